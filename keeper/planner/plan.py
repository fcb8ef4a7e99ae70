"""From histories, costs and a wish to a rule: sweep, search, choose, doubt.

The choice is the best of many on one history, and so flattered. What comes with it says by how much: the same wish
walked forward, many histories that might have been, and the chance that the best is no better than a rule of thumb.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path as FilePath
from typing import Final

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner import bootstrap, crashes, metrics
from keeper.planner.bars import History
from keeper.planner.cases import BasketCase, Case
from keeper.planner.chance import Bound, Held, first_that_keeps, paths_for
from keeper.planner.costs import Costs
from keeper.planner.ensemble import FIGURES, Lives, ensemble, live_through, share_best
from keeper.planner.findings import Contender, Findings, Lived
from keeper.planner.frontier import Frontier, TheoryPoint, frontier, theory_point
from keeper.planner.objectives import Objective
from keeper.planner.results import YEAR, Floats, Kind, Path, Scores
from keeper.planner.rule_file import Assets, rule_file
from keeper.planner.search import Span, search
from keeper.planner.sweep import Backend, OnProgress, grid, sweep
from keeper.planner.volatility import realised
from keeper.planner.walk import walk_forward

_CHECKED: Final = 40
_BLOCK_OF_DAYS: Final = 20.0
_WEIGHED: Final = {
    "cost_bps": "cost a year in basis points",
    "max_drawdown": "drawdown",
    "cvar_95_day": "CVaR of a day",
}
"""The figures that are held against their own intervals."""
_RISK_UNITS: Final[Mapping[Kind, str]] = {
    "basket": "tracking error a year",
    "loan": "CVaR of a day at 95 %",
    "range": "tracking error a year",
}


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to look, and where: trials of the optimiser, paths that might have been, folds of the walk.

    `bound_paths` are those that a bound is held over, and as many again to confirm it; None is as many as it takes.
    """

    trials: int = 256
    paths: int = 60
    bound_paths: int | None = None
    folds: int = 4
    seed: int = 0
    backend: Backend = "threading"
    workers: int = -1
    folder: FilePath | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Rules of one sort, told apart by what volatility does to their band; one that no contract takes is only told of.

    `choices` are a grid's, `spans` the optimiser's, `fixed` its other columns.
    """

    name: str
    choices: Mapping[str, Sequence[float] | Floats | float]
    spans: Mapping[str, Span]
    fixed: Mapping[str, float]
    is_on_chain: bool = True


@dataclass(frozen=True, slots=True)
class _Tried:
    """A family's scores, and what they are ranked by; infinite for all before the first that keeps to a bound."""

    family: Family
    scores: Scores
    fee: Floats
    held: Held | None = None

    @property
    def best(self) -> int:
        return int(np.argmin(self.fee))

    @property
    def is_found(self) -> bool:
        return math.isfinite(self.fee[self.best])

    def rule(self, case: Case) -> Floats:
        return np.array([self.scores.parameters[name][self.best] for name in case.columns])


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned: histories, how a case is made of them, the wish, the costs, and which rules to try.

    `build` travels to other processes, so it is no closure.
    """

    kind: Kind
    title: str
    histories: tuple[History, ...]
    build: Callable[[Sequence[History]], Case]
    objective: Objective
    costs: Costs
    families: tuple[Family, ...]
    thumbs: Mapping[str, Mapping[str, float]]
    assets: Assets = field(default_factory=Assets)


def plan(
    question: Question, effort: Effort, on_progress: Callable[[str, int, int], None] | None = None
) -> Findings:
    """The best rule found and all that is known of it; `on_progress` is told what is under way, and how far it is."""

    def tell(what: str) -> OnProgress:
        return lambda done, of: on_progress(what, done, of) if on_progress is not None else None

    case = question.build(question.histories)
    bound = question.objective.bound
    if bound is not None and bound.figure == "liquidations" and case.kind != "loan":
        raise Misconfigured(f"plan: a {case.kind} has no chance of liquidation to bound")
    wish, g = question.objective, question.objective.risk_aversion
    tried = _tried(case, question, effort, tell)
    on_chain = [each for each in tried if each.family.is_on_chain]
    scores = reduce(_together, (each.scores for each in on_chain))
    if not any(each.is_found for each in on_chain):
        raise Misconfigured(f"plan: none of {len(scores)} rules keeps to {wish.said}; allow more")
    if bound is not None:
        tried = _bounded(bound, question, tried, effort, tell)
        on_chain = [each for each in tried if each.family.is_on_chain]
    fee = np.concatenate([each.fee for each in on_chain])
    first = min(on_chain, key=lambda each: float(each.fee[each.best]))
    best = first.rule(case)
    others = [each for each in tried if each is not first and each.is_found]
    thumbs = {name: _rule(case, name, rule) for name, rule in question.thumbs.items()}
    named = {"planned": best, **thumbs, **{f"best {each.family.name}": each.rule(case) for each in others}}
    table = np.vstack(list(named.values()))
    lives = None
    if effort.paths > 0:
        drawn = ensemble(question.histories, question.build, effort.seed)
        lives = live_through(
            drawn,
            table,
            effort.paths,
            effort.backend,
            effort.workers,
            folder=effort.folder,
            on_progress=tell("paths"),
        )
    path = case.path(best)
    told = tuple(_lived(name, rule, case, g, lives, at) for at, (name, rule) in enumerate(named.items()))
    folds = (
        walk_forward(case, _grids(case, question), wish, effort.folds, effort.backend, effort.workers)
        if effort.folds > 0
        else ()
    )
    cost, risk = _axes(scores)
    found = {
        crash.name: span for crash in crashes.CRASHES if (span := crashes.during(path, crash)) is not None
    }
    return Findings(
        title=question.title,
        objective=wish.said,
        risk_aversion=g,
        chosen=told[0],
        path=path,
        compared=told[1:],
        scores=scores,
        cost=cost,
        risk=risk,
        risk_unit=_RISK_UNITS[case.kind],
        fee=fee,
        front=_front(scores, cost, risk),
        theory=_theory(case, question, g),
        crashes={name: metrics.measure(span, g) for name, span in found.items()},
        folds=folds,
        doubts=(*_doubts(case, scores, fee, thumbs, lives, g, effort.seed), *outside(told)),
        notes=case.notes,
        rule_file=rule_file(case.kind, told[0].rule, path, question.assets),
        held=first.held,
        contest=tuple(
            Contender(
                each.family.name,
                told[at].rule,
                float(each.fee[each.best]),
                each.family.is_on_chain,
                _ahead(case, lives, at, g),
            )
            for at, each in zip((0, *range(len(thumbs) + 1, len(named))), (first, *others), strict=True)
        ),
    )


def _tried(case: Case, question: Question, effort: Effort, tell: Callable[[str], OnProgress]) -> list[_Tried]:
    """Each family swept over its grid and searched between its points, with an even share of the trials."""
    wish, found = question.objective, []
    share, rest = divmod(effort.trials, len(question.families))
    for at, family in enumerate(question.families):
        rules = grid(case.columns, **family.choices)
        scores = sweep(
            case, rules, effort.backend, effort.workers, effort.folder, tell(f"sweep, {family.name}")
        )
        trials = share + (at < rest)
        if trials > 0 and family.spans:
            search_told = tell(f"search, {family.name}")
            scores = _together(
                scores, search(case, wish, family.spans, family.fixed, trials, effort.seed, search_told)
            )
        found.append(_Tried(family, scores, wish.fee(scores)))
    return found


def _grids(case: Case, question: Question) -> Floats:
    return np.vstack([grid(case.columns, **each.choices) for each in question.families if each.is_on_chain])


def _ahead(case: Case, lives: Lives | None, at: int, risk_aversion: float) -> float | None:
    """On what share of histories that might have been the planned rule is better than the one told of there."""
    if lives is None or at == 0:
        return None
    rows = -lives.figures["final_value"] if case.kind == "range" else lives.certainty_fee_bps(risk_aversion)
    return float(np.mean(rows[:, 0] < rows[:, at]))


def _bounded(
    bound: Bound,
    question: Question,
    tried: Sequence[_Tried],
    effort: Effort,
    tell: Callable[[str], OnProgress],
) -> list[_Tried]:
    """Each family with its best rule that keeps to the bound over paths ranked before all others."""
    choosing = sum(each.is_found for each in tried)
    paths = paths_for(bound, effort.bound_paths, choosing)
    drawn = ensemble(question.histories, question.build, effort.seed)
    columns = drawn.build(drawn.histories).columns
    kept = []
    for each in tried:
        order = np.argsort(each.fee, kind="stable")
        order = order[np.isfinite(each.fee[order])]
        every = np.column_stack([each.scores.parameters[name] for name in columns])
        found = first_that_keeps(
            bound,
            drawn,
            every[order],
            paths,
            choosing,
            effort.backend,
            effort.workers,
            effort.folder,
            tell(f"bound, {each.family.name}"),
        )
        fee = each.fee.copy()
        fee[order if found is None else order[: found[0]]] = np.inf
        kept.append(replace(each, fee=fee, held=None if found is None else found[1]))
    if not any(each.is_found and each.family.is_on_chain for each in kept):
        raise Misconfigured(
            f"plan: none of {sum(len(each.fee) for each in kept)} rules is shown to keep to {question.objective.said}; "
            f"allow more, or draw more than {paths} (--bound-paths)"
        )
    return kept


def _rule(case: Case, name: str, rule: Mapping[str, float]) -> Floats:
    rules = grid(case.columns, **rule)
    if len(rules) == 0:
        raise Misconfigured(f"plan: the rule “{name}” contradicts itself")
    return np.asarray(rules[0])


def _together(first: Scores, second: Scores) -> Scores:
    return Scores(
        kind=first.kind,
        bars=first.bars,
        seconds=first.seconds,
        parameters={
            name: np.concatenate((first.parameters[name], second.parameters[name]))
            for name in first.parameters
        },
        columns={name: np.concatenate((first.columns[name], second.columns[name])) for name in first.columns},
    )


def _lived(name: str, rule: Floats, case: Case, risk_aversion: float, lives: Lives | None, at: int) -> Lived:
    intervals = {}
    if lives is not None:
        renamed = {"cost_bps_per_year": "cost_bps", "trades_per_year": "trades", "cvar_95": "cvar_95_day"}
        for figure in FIGURES:
            if figure != "final_value" and np.isfinite(lives.figures[figure][:, at]).all():
                intervals[renamed.get(figure, figure)] = lives.interval(figure, at)
    told = dict(zip(case.columns, rule.tolist(), strict=True))
    return Lived(name, told, metrics.measure(case.path(rule), risk_aversion), intervals)


def _axes(scores: Scores) -> tuple[Floats, Floats]:
    """Cost in basis points a year, and risk in its kind's unit."""
    cost = scores.shortfall_bps_per_year if scores.kind == "range" else scores.cost_bps_per_year
    return cost, scores["cvar_95"] if scores.kind == "loan" else scores.tracking_error


def _front(scores: Scores, cost: Floats, risk: Floats) -> Frontier:
    """The frontier of what was never liquidated, where anything was not: what has been lost is calm, and not safe."""
    lost = scores["liquidations"] > 0
    return frontier(cost, np.where(lost & ~lost.all(), np.inf, risk))


def _theory(case: Case, question: Question, risk_aversion: float) -> dict[str, TheoryPoint]:
    """The closed-form band for a basket of two; other kinds have none that bears their costs."""
    if not isinstance(case, BasketCase) or len(question.histories) > 1:
        return {}
    (history,) = question.histories
    gas, _ = question.costs.gas_money(history)
    point = theory_point(
        float(case.targets[0]),
        realised(history.close, history.seconds),
        risk_aversion,
        max(question.costs.fee, 1e-6),
        float(np.median(gas)) / case.capital,
        history.seconds / YEAR,
    )
    return {f"theory, aversion {risk_aversion:g}": point}


def _doubts(
    case: Case,
    scores: Scores,
    fee: Floats,
    thumbs: Mapping[str, Floats],
    lives: Lives | None,
    risk_aversion: float,
    seed: int,
) -> list[str]:
    """Sentences about how far to trust the choice."""
    best = int(np.argmin(fee))
    said = [f"The rule is the best of {len(scores):,} tried on one history, and so looks better than it is."]
    check = _no_better(case, scores, fee, thumbs, risk_aversion, seed) if case.kind != "range" else None
    if check is not None:
        name, chance = check
        said.append(
            f"The chance that the best is no better than “{name}” is {chance:.0%} (a reality check by blocks of days)."
        )
    if lives is not None and thumbs:
        rows = (
            -lives.figures["final_value"] if case.kind == "range" else lives.certainty_fee_bps(risk_aversion)
        )
        share = float(share_best(rows)[0])
        said.append(
            f"On {share:.0%} of {len(rows)} histories that might have been it beats every rule it is compared with."
        )
    if lives is not None and case.kind == "loan":
        hit = float(lives.share_liquidated()[0])
        said.append(
            f"On {hit:.1%} of {len(lives.figures['liquidations'])} such histories it is liquidated at least once."
        )
    for name in ("trigger", "floor", "width"):
        values = scores.parameters.get(name)
        if values is not None and len(np.unique(values)) > 2 and values[best] in (values.min(), values.max()):
            said.append(
                f"Its {name} of {values[best]:.4g} is at the edge of what was tried: look farther out."
            )
    if any(scores.parameters[name][best] > 0 for name in ("scale", "sigmas") if name in scores.parameters):
        said.append(
            "Its band follows volatility, which somebody must have measured on the chain: until then it is at its "
            f"{'highest' if case.kind == 'loan' else 'widest'}."
        )
    return said


def outside(lives: Sequence[Lived]) -> list[str]:
    """A sentence for each rule whose figures few histories that might have been would give it."""
    said = []
    for lived in lives:
        figures = lived.metrics.table()
        beyond = [
            f"{_WEIGHED[name]} {figures[name]:.4g} beside {low:.4g} to {high:.4g}"
            for name, (low, high) in lived.intervals.items()
            if name in _WEIGHED and not low <= figures[name] <= high
        ]
        if beyond:
            said.append(
                f"This history was no usual one for “{lived.name}”: outside what 90% of those that might have been "
                f"gave it lie {', '.join(beyond)}."
            )
    return said


def _no_better(
    case: Case, scores: Scores, fee: Floats, thumbs: Mapping[str, Floats], risk_aversion: float, seed: int
) -> tuple[str, float] | None:
    """The best rule of thumb that kept anything, and the chance that none of the best rules tried truly beats it."""
    every = np.column_stack([scores.parameters[name] for name in case.columns])
    lived = {name: case.path(rule) for name, rule in thumbs.items()}
    days = {name: _daily_loss(path, risk_aversion) for name, path in lived.items() if path.equity[-1] > 0}
    if not days:
        return None
    name = min(days, key=lambda each: float(days[each].sum()))
    leading = every[np.argsort(fee)[:_CHECKED]]
    gains = np.vstack([days[name] - _daily_loss(case.path(rule), risk_aversion) for rule in leading])
    return name, bootstrap.reality_check(gains, _BLOCK_OF_DAYS, seed, 200)


def _daily_loss(path: Path, risk_aversion: float) -> Floats:
    """What each day cost: costs over net worth, and half the aversion times the squared distance to the ideal."""
    equity = np.maximum(path.equity, 1e-12)
    apart = equity[1:] / equity[:-1] - path.ideal[1:] / np.maximum(path.ideal[:-1], 1e-12)
    bars = np.zeros(len(equity))
    bars[1:] = 0.5 * risk_aversion * apart**2
    np.add.at(bars, path.actions.bar, path.actions.cost / equity[np.maximum(path.actions.bar - 1, 0)])
    day = max(86_400 // path.seconds, 1)
    whole = len(bars) // day * day
    return np.asarray(bars[:whole].reshape(-1, day).sum(axis=1))

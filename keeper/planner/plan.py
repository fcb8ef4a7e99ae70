"""From histories, costs and a wish to a rule: sweep, search, choose, doubt.

The choice is the best of many on one history, and so flattered. What comes with it says by how much: the same wish
walked forward, many histories that might have been, and the chance that the best is no better than a rule of thumb.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner import bootstrap, crashes, metrics
from keeper.planner.bars import History
from keeper.planner.cases import SCALINGS, BasketCase, Case
from keeper.planner.chance import Bound, Held, first_that_keeps, paths_for
from keeper.planner.costs import Costs
from keeper.planner.ensemble import FIGURES, Lives, ensemble, live_through, share_best
from keeper.planner.findings import Findings, Lived
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
class Question:
    """What is planned: histories, how a case is made of them, the wish, the costs, and which rules to try.

    `build` travels to other processes, so it is no closure. `choices` are a grid's, `spans` the optimiser's, `fixed`
    its other columns.
    """

    kind: Kind
    title: str
    histories: tuple[History, ...]
    build: Callable[[Sequence[History]], Case]
    objective: Objective
    costs: Costs
    choices: Mapping[str, Sequence[float] | Floats | float]
    spans: Mapping[str, Span]
    fixed: Mapping[str, float]
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
    rules = grid(case.columns, **question.choices)
    swept = sweep(case, rules, effort.backend, effort.workers, effort.folder, tell("sweep"))
    scores = swept
    if effort.trials > 0 and question.spans:
        tried = search(case, wish, question.spans, question.fixed, effort.trials, effort.seed, tell("search"))
        scores = _together(swept, tried)
    fee = wish.fee(scores)
    best = int(np.argmin(fee))
    if not math.isfinite(fee[best]):
        raise Misconfigured(f"plan: none of {len(scores)} rules keeps to {wish.said}; allow more")
    every = np.column_stack([scores.parameters[name] for name in case.columns])
    held = None
    if bound is not None:
        best, fee, held = _bounded(bound, question, every, fee, effort, tell("bound"))
    thumbs = {name: _rule(case, name, rule) for name, rule in question.thumbs.items()}
    named = {"planned": every[best], **thumbs}
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
    path = case.path(every[best])
    told = tuple(_lived(name, rule, case, g, lives, at) for at, (name, rule) in enumerate(named.items()))
    folds = (
        walk_forward(case, rules, wish, effort.folds, effort.backend, effort.workers)
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
        held=held,
    )


def _bounded(
    bound: Bound, question: Question, rules: Floats, fee: Floats, effort: Effort, on_progress: OnProgress
) -> tuple[int, Floats, Held]:
    """The best rule that keeps to the bound over paths, with the ranks of all but those better that do not."""
    order = np.argsort(fee, kind="stable")
    order = order[np.isfinite(fee[order])]
    paths = paths_for(bound, effort.bound_paths)
    drawn = ensemble(question.histories, question.build, effort.seed)
    found = first_that_keeps(
        bound,
        drawn,
        rules[order],
        paths,
        backend=effort.backend,
        workers=effort.workers,
        folder=effort.folder,
        on_progress=on_progress,
    )
    if found is None:
        raise Misconfigured(
            f"plan: none of {len(order)} rules is shown to keep to {question.objective.said}; allow more, or draw more "
            f"than {paths} (--bound-paths)"
        )
    at, held = found
    kept = fee.copy()
    kept[order[:at]] = np.inf
    return int(order[at]), kept, held


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
    scaling = SCALINGS[int(scores.parameters["scale"][best])]
    if scaling != SCALINGS[0]:
        said.append(
            f"Its band moves {scaling}: as wide as it says at 80 % a year, at most four times wider or narrower."
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

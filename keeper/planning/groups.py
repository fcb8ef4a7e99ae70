"""The options that belong together, said once for `plan` and `backtest`, each of which takes a few of these groups.

A command names a group as one argument; typer sees every field of it as an option of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from keeper.planning.inputs import costs_of, effort, histories
from keeper.planning.options import (
    AtMost,
    Aversion,
    Bonus,
    Borrow,
    BoundPaths,
    Capital,
    CloseFactor,
    Column,
    Compare,
    Confidence,
    Cooldown,
    Cooldowns,
    Depth,
    End,
    Ether,
    Failures,
    FeeBps,
    Folds,
    Gas,
    Gwei,
    Horizon,
    Json,
    Keep,
    Latency,
    Look,
    Looks,
    Out,
    Paths,
    Premium,
    Prices,
    Quotes,
    Scheduler,
    Seed,
    Start,
    Supply,
    Threshold,
    Trials,
    Walk,
    Wanted,
    Where,
    Workers,
)

if TYPE_CHECKING:
    from keeper.planner.bars import History
    from keeper.planner.costs import Costs
    from keeper.planner.objectives import Objective
    from keeper.planner.plan import Effort
    from keeper.planner.results import Kind
    from keeper.planner.simulate_loan import Lending


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Which histories."""

    prices: Prices = None
    column: Column = None
    start: Start = None
    end: End = None

    def read(self, walk: bool = False) -> list[History]:
        """One per file."""
        return histories(self.prices, self.column, self.start, self.end, walk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """What acting costs and how late it comes; a plan counts all of it unless told otherwise."""

    fee_bps: FeeBps = 5.0
    gas_units: Gas = None
    gas_gwei: Gwei = None
    ether: Ether = None
    quotes: Quotes = None
    impact: Depth = True
    failures: Failures = 0.05
    latency: Latency = 1
    capital: Capital = 100_000.0

    def costs(self, kind: Kind, premium_bps: float = 0.0) -> Costs:
        """Of an action of this kind."""
        return costs_of(
            kind,
            self.fee_bps,
            self.gas_units,
            self.gas_gwei,
            self.ether,
            self.quotes,
            self.impact,
            self.failures,
            self.latency,
            premium_bps,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncharged(Charged):
    """The same for a backtest, which counts nothing that is not said."""

    fee_bps: FeeBps = 0.0
    gas_units: Gas = 0
    impact: Depth = False
    failures: Failures = 0.0
    latency: Latency = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnchargedRange(Uncharged):
    """The same for a range, which earns by its fee."""

    fee_bps: FeeBps = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """A loan's market, by default at usual rates; and whether bars are walked."""

    liquidation_threshold: Threshold = 0.83
    bonus: Bonus = 0.05
    close_factor: CloseFactor = 0.5
    supply_rate: Supply = 0.01
    borrow_rate: Borrow = 0.04
    premium_bps: Premium = 0.0
    walk_bars: Walk = False

    def lending(self) -> Lending:
        """Its terms."""
        from keeper.planner.simulate_loan import Lending

        return Lending(self.liquidation_threshold, self.close_factor, 0.95, self.bonus)


@dataclass(frozen=True, slots=True, kw_only=True)
class LentFree(Lent):
    """The same without interest, as a backtest has it."""

    supply_rate: Supply = 0.0
    borrow_rate: Borrow = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """How often one rule looks and acts."""

    cooldown: Cooldown = 0
    look: Look = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wished:
    """What is wanted of a rule."""

    objective: Wanted = "risk-aversion"
    at_most: AtMost = None
    confidence: Confidence = 0.95
    horizon: Horizon = None
    risk_aversion: Aversion = 5.0

    def wish(self) -> Objective:
        """As the planner has it."""
        from keeper.planner.objectives import objective

        at_most = self.at_most
        if self.objective == "liquidations" and at_most is None:
            at_most = 0.0
        return objective(self.objective, at_most, self.risk_aversion, self.confidence, self.horizon)


@dataclass(frozen=True, slots=True, kw_only=True)
class WishedOfALoan(Wished):
    """What is wanted of a loan's rule."""

    objective: Wanted = "liquidations"
    risk_aversion: Aversion = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WishedOfARange(Wished):
    """What is wanted of a range's."""

    risk_aversion: Aversion = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which paces to try, how hard to look, where, beside what, and where to leave what was found."""

    cooldown: Cooldowns = None
    look: Looks = None
    trials: Trials = 256
    paths: Paths = 60
    bound_paths: BoundPaths = None
    folds: Folds = 4
    seed: Seed = 0
    backend: Where = "threading"
    scheduler: Scheduler = None
    workers: Workers = -1
    keep: Keep = None
    compare: Compare = None
    out: Out = Path("build")
    as_json: Json = False

    @property
    def pace(self) -> tuple[list[int], list[int]]:
        """Cooldowns and looks; none and every bar where nothing is said."""
        return self.cooldown or [0], self.look or [1]

    def effort(self) -> Effort:
        """How hard to look, and where."""
        return effort(
            self.trials,
            self.paths,
            self.bound_paths,
            self.folds,
            self.seed,
            self.backend,
            self.workers,
            self.keep,
        )


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every field of its groups as an option of its own, in the order they stand in."""
    groups: dict[str, type[Any]] = {}
    options: list[inspect.Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        hint: Any = hints[name]
        if is_dataclass(hint) and isinstance(hint, type):
            groups[name] = hint
            within = get_type_hints(hint, include_extras=True)
            options += [_option(each.name, within[each.name], each.default) for each in fields(hint)]
        else:
            options.append(_option(name, hint, parameter.default))

    @wraps(command)
    def run(**said: Any) -> None:
        whole = {
            name: group(**{each.name: said.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        command(**whole, **said)

    seen: Any = run
    seen.__signature__ = inspect.Signature(options)
    seen.__annotations__ = {option.name: option.annotation for option in options}
    return run


def _option(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)

"""What the options say, as the planner takes it: histories, costs, how hard to look, a loan's band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keeper.domain.errors import Misconfigured

if TYPE_CHECKING:
    from keeper.planner.bars import History
    from keeper.planner.costs import Costs
    from keeper.planner.plan import Effort, Question
    from keeper.planner.results import Kind


def histories(
    prices: Sequence[Path] | None, column: str | None, start: str | None, end: str | None, walk: bool = False
) -> list[History]:
    """The bars of the files, or those that the package has of ether."""
    from dataclasses import replace

    from keeper.planner.bars import read_history, walked
    from keeper.planner.costs import ether_history

    if prices:
        found = [read_history(path, start, end, column) for path in prices]
    else:
        cut = ether_history().between(start, end)
        found = [
            replace(cut, notes=("prices are hourly ether in tether, as the package has them", *cut.notes))
        ]
    return [walked(each) for each in found] if walk else found


def costs_of(
    kind: Kind,
    fee_bps: float,
    gas_units: int | None,
    gas_gwei: float | None,
    ether: float | None,
    quotes: Path | None,
    impact: bool,
    failures: float,
    latency: int,
    premium_bps: float,
) -> Costs:
    """What acting costs, where nothing is said by what the kind of action needs."""
    from keeper.planner.costs import GAS_UNITS, NO_IMPACT, Costs, ether_impact, read_quotes

    depth = read_quotes(quotes) if quotes is not None else ether_impact() if impact else NO_IMPACT
    return Costs(
        fee=fee_bps / 1e4,
        impact=depth,
        gas_units=GAS_UNITS[kind] if gas_units is None else gas_units,
        gas_gwei=gas_gwei,
        ether=ether,
        premium=premium_bps / 1e4,
        failures=failures,
        delay=latency,
    )


def effort(
    trials: int,
    paths: int,
    bound_paths: int | None,
    folds: int,
    seed: int,
    backend: Literal["serial", "threading", "loky", "dask"],
    workers: int,
    keep: Path | None,
) -> Effort:
    """How hard to look, and where."""
    from keeper.planner.plan import Effort

    return Effort(trials, paths, bound_paths, folds, seed, backend, workers, keep)


def band_of(
    leverage: float | None,
    within: float,
    floor: float | None,
    target: float | None,
    ceiling: float | None,
    threshold: float,
) -> tuple[float, float, float]:
    """Floor, target and ceiling in health, of a leverage or of healths."""
    from keeper.planner.theory.passage import health_of

    if leverage is not None:
        if target is not None or floor is not None or ceiling is not None:
            raise Misconfigured("loan: say its band by --leverage or by healths, not by both")
        low, high = leverage * (1 - within), leverage * (1 + within)
        top = health_of(low, threshold) if low > 1 and within > 0 else math.inf
        return health_of(high, threshold), health_of(leverage, threshold), top
    if target is None:
        raise Misconfigured("loan: say where it shall stand, by --leverage or by --target")
    return floor or 0.0, target, math.inf if ceiling is None else ceiling


def scale(scaling: Literal["fixed", "with", "against"]) -> float:
    """A way of moving with volatility, as a rule has it."""
    from keeper.planner.cases import AGAINST_VOLATILITY, FIXED, WITH_VOLATILITY

    return float({"fixed": FIXED, "with": WITH_VOLATILITY, "against": AGAINST_VOLATILITY}[scaling])


def beside(
    question: Question, compare: Sequence[str] | None, targets: Sequence[float] = (), threshold: float = 0.0
) -> Question:
    """The same question, with the rules that are there already to be compared with as well."""
    from dataclasses import replace

    from keeper.planner.rivals import Setting, rivals

    if not compare:
        return question
    history = question.histories[0]
    weights = (
        (*targets, 1.0 - sum(targets)) if len(targets) == len(question.histories) == 1 else tuple(targets)
    )
    found = rivals(compare, Setting(question.kind, history.seconds, weights, threshold))
    return replace(question, thumbs={**found, **question.thumbs})

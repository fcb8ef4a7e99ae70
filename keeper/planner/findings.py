"""What a plan found: the rule it would write, what that buys and costs, and every reason to doubt it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keeper.planner.chance import Held
from keeper.planner.frontier import Frontier, TheoryPoint
from keeper.planner.metrics import Metrics
from keeper.planner.results import Floats, Path, Scores


@dataclass(frozen=True, slots=True)
class Lived:
    """One rule under the name people call it by, and its figures; intervals by the figure's name in `Metrics`."""

    name: str
    rule: Mapping[str, float]
    metrics: Metrics
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of a walk forward: what was best on the years known, and what it cost on those that came.

    Times are unix seconds, both ends included; `best_fee_bps` is what the best rule of the later span itself would
    have cost there, which nobody could have known.
    """

    trained: tuple[int, int]
    tested: tuple[int, int]
    rule: Mapping[str, float]
    trained_fee_bps: float
    tested_fee_bps: float
    best_fee_bps: float


@dataclass(frozen=True, slots=True)
class Contender:
    """The best rule of a family, and what it was ranked by, in basis points a year.

    `beaten` is the share of histories that might have been on which the planned rule is better; None of itself, and
    where none were drawn.
    """

    name: str
    rule: Mapping[str, float]
    fee_bps: float
    is_on_chain: bool
    beaten: float | None = None


def contest_told(contest: Sequence[Contender]) -> tuple[str, ...]:
    """A sentence for each other way a band may go with volatility: which is ahead, and by how much."""
    said = []
    for other in contest[1:]:
        first = contest[0]
        gap = other.fee_bps - first.fee_bps
        whose = "" if other.is_on_chain else ", which no contract takes,"
        beaten = ""
        if other.beaten is not None:
            beaten = f"; it is better on {other.beaten:.0%} of histories that might have been"
        where = f"{abs(gap):.4g} bp a year {'ahead of' if gap >= 0 else 'behind'}"
        said.append(
            f"The best {first.name} ranks at {first.fee_bps:.4g} bp a year, {where} the best {other.name}"
            f"{whose or ','} at {other.fee_bps:.4g}{beaten}."
        )
    return tuple(said)


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it; arrays have one entry per rule of `scores`.

    `objective` says what was asked for in words. `cost` is in basis points a year (of a range,
    how far it fell behind its rebalancing portfolio), `risk` in `risk_unit`; `fee` is what
    rules were ranked by. `theory` are closed forms under the names people call them by. `doubts` are sentences about
    how far to trust the choice, `notes` about the data and costs. `rule_file` is what would be put on chain. `held` is
    the bound that the rule was held against over histories that might have been, where one was asked for. `contest` are
    the best of each way a band may go with volatility, the chosen one first.
    """

    title: str
    objective: str
    risk_aversion: float
    chosen: Lived
    path: Path
    compared: tuple[Lived, ...]
    scores: Scores
    cost: Floats
    risk: Floats
    risk_unit: str
    fee: Floats
    front: Frontier
    theory: Mapping[str, TheoryPoint]
    crashes: Mapping[str, Metrics]
    folds: tuple[Fold, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]
    rule_file: str
    held: Held | None = None
    contest: tuple[Contender, ...] = ()

"""Which rules are worth a second look: those none beats on cost and risk at once, their knee, and theory's place.

Assumes: less of both is better, in any unit. The knee depends on the span of rules tried: widen the grid and it may
move. It is a place to start looking, not a choice; the choice is the owner's aversion to risk.
Source: Kung, Luccio and Preparata 1975 for the frontier by one sort; Satopää, Albrecht, Irwin and Raghavan 2011
("Kneedle") for the knee as the point farthest below the chord.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner.results import Floats, Ints
from keeper.planner.theory.bands import Band, band_statistics, best_band


@dataclass(frozen=True, slots=True)
class Frontier:
    """The rules that none beats: `members` index those given, in order of rising cost and falling risk.

    `knee` is the place among the members, not among all rules, where another bit of cost begins to buy little.
    """

    members: Ints
    cost: Floats
    risk: Floats
    knee: int

    def least_cost(self, risk: float) -> float:
        """What the cheapest rule costs that is no riskier; infinite when all are."""
        kept = self.cost[self.risk <= risk]
        return float(kept[0]) if len(kept) else math.inf

    def excess(self, cost: float, risk: float) -> float:
        """How much more a rule costs than the cheapest no riskier; at most 0 on the frontier and beyond it."""
        return cost - self.least_cost(risk)


def frontier(cost: Floats, risk: Floats) -> Frontier:
    """The frontier of all rules with a finite cost and risk; of equals, the first. `Misconfigured` when none is."""
    if len(cost) != len(risk):
        raise Misconfigured(f"frontier: {len(cost)} costs and {len(risk)} risks")
    sound = np.flatnonzero(np.isfinite(cost) & np.isfinite(risk))
    if not len(sound):
        raise Misconfigured(f"frontier: none of {len(cost)} rules has a finite cost and risk")
    order = sound[np.lexsort((risk[sound], cost[sound]))]
    least = np.minimum.accumulate(risk[order])
    better = np.concatenate(([True], risk[order][1:] < least[:-1]))
    members = np.asarray(order[better], np.int64)
    return Frontier(members, cost[members], risk[members], _knee(cost[members], risk[members]))


def _knee(cost: Floats, risk: Floats) -> int:
    """The member farthest below the line from the cheapest to the safest, when both axes run from 0 to 1."""
    if len(cost) < 3:
        return 0
    across = (cost - cost[0]) / (cost[-1] - cost[0])
    down = (risk - risk[-1]) / (risk[0] - risk[-1])
    return int(np.argmin(across + down))


@dataclass(frozen=True, slots=True)
class TheoryPoint:
    """Where the closed-form band stands among rules that were lived through: basis points and tracking error a year."""

    band: Band
    cost_bps: float
    tracking_error: float


def theory_point(
    target: float,
    volatility: float,
    risk_aversion: float,
    cost: float,
    fixed_cost: float = 0.0,
    step: float = 0.0,
) -> TheoryPoint:
    """The best band for an aversion to risk, with what theory says it costs and risks when looked at every `step`."""
    band = best_band(target, risk_aversion, cost, fixed_cost)
    return point_of(band, target, volatility, cost, fixed_cost, step)


def point_of(
    band: Band, target: float, volatility: float, cost: float, fixed_cost: float = 0.0, step: float = 0.0
) -> TheoryPoint:
    """Any band's place by theory."""
    done = band_statistics(target, volatility, band.trigger, band.destination, step)
    spent = cost * done.turnover + (fixed_cost * done.trades if fixed_cost else 0.0)
    return TheoryPoint(band, spent * 1e4, done.tracking_error)

"""A loan's band as the contract reckons it: one measure for both units, its edges, and where a step is to land.

A rule in leverage is held as cover, collateral per debt, which obeys the arithmetic of health with every asset counted
whole: higher is safer, and the greatest leverage is the floor.
Source: contracts/loan_band.vy and loan_sigma.vy, mirrored rounding by rounding (`tests/size` holds the two equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keeper.domain.loans import Band, Loan, LoanMarket, LoanRule
from keeper.domain.units import BPS, HEALTH_WAD_PER_BPS, WAD, mul_div_up
from keeper.domain.volatility import floor_up

TOLERANCE_BPS: Final = 50
"""How far from its aim, in basis points of it, the contract lets a step land."""
_STEP_MARGIN: Final = 16


@dataclass(frozen=True, slots=True)
class Edges:
    """The band in WAD of the measure; a ceiling of 0 is none."""

    floor: int
    target: int
    ceiling: int


def edges(rule: LoanRule) -> Edges:
    """The band of a rule; without a borrow step its ceiling says nothing."""
    return _edges(rule, standing(rule))


def narrowest(rule: LoanRule) -> Edges:
    """What is within the band of a rule whatever volatility does: its highest floor, its lowest ceiling."""
    band = rule.band
    return _edges(rule, Band(max(band.floor_bps, rule.terms.highest_bps), band.target_bps, band.ceiling_bps))


def standing(rule: LoanRule) -> Band:
    """The band as volatility has it now: the one written, or higher by one proportion in all."""
    band, terms = rule.band, rule.terms
    if terms.highest_bps == 0:
        return band
    low = band.floor_bps
    floor = floor_up(terms.sigmas_bps, rule.sigma, terms.horizon, low, terms.highest_bps)
    return Band(floor, mul_div_up(band.target_bps, floor, low), mul_div_up(band.ceiling_bps, floor, low))


def _edges(rule: LoanRule, band: Band) -> Edges:
    whole = rule.terms.in_leverage
    ceiling = edge_down(band.ceiling_bps, whole) if rule.terms.borrow_step else 0
    return Edges(edge_down(band.floor_bps, whole), edge_down(band.target_bps, whole), ceiling)


def edge_down(bps: int, in_leverage: bool) -> int:
    """A health factor or leverage in basis points as a measure in WAD."""
    return cover_down(bps * HEALTH_WAD_PER_BPS) if in_leverage else bps * HEALTH_WAD_PER_BPS


def measure_down(loan: Loan, in_leverage: bool) -> int:
    """What the rule measures of a loan, in WAD; without debt Aave's boundless health."""
    if not in_leverage or loan.debt_base == 0:
        return loan.health
    return loan.collateral_base * WAD // loan.debt_base


def weight_bps(rule: LoanRule, market: LoanMarket) -> int:
    """What the rule's collateral counts in its measure."""
    return BPS if rule.terms.in_leverage else market.collateral_threshold_bps


def aim_down(measure: int, rule: LoanRule) -> int:
    """Where one step from a `measure` outside the band is to land, in WAD."""
    band, speed = edges(rule), rule.terms.speed_bps
    if speed == 0:
        return band.target
    aim = 0
    if not rule.terms.in_leverage:
        aim = _between(measure, band.target, speed)
    elif measure > WAD:
        aim = cover_down(_between(cover_down(measure), cover_down(band.target), speed))
    if measure < band.target:
        return min(max(aim, band.floor * BPS // (BPS - 2 * TOLERANCE_BPS) + 1), band.target)
    return max(min(aim, band.ceiling * BPS // (BPS + 2 * TOLERANCE_BPS) - 1), band.target)


def urgency_down(measure: int, rule: LoanRule, loan: Loan) -> int:
    """How deep below the floor, in basis points of the way from it to liquidation; 0 above the floor."""
    floor = edges(rule).floor
    if measure >= floor:
        return 0
    line = measure * WAD // max(loan.health, 1)
    if line >= floor or measure <= line:
        return BPS
    return (floor - measure) * BPS // (floor - line)


def sized_step_down(rule: LoanRule, loan: Loan) -> int:
    """What to size one deleverage by, in units of the debt asset: a little less than an urgent one may repay now.

    Urgency follows every tick of the price, and a stranger can make it fall by repaying a little of the debt.
    """
    most, urgent = rule.limits.max_step, rule.terms.urgent_step
    if urgent == 0:
        return most
    measure = measure_down(loan, rule.terms.in_leverage)
    step = most + (urgent - most) * urgency_down(measure, rule, loan) // BPS
    return max(most, step - step // _STEP_MARGIN)


def above_down(aim: int) -> int:
    """Where a releverage is aimed: the middle of where it may land, on its aim or above it within the tolerance."""
    return aim + aim * TOLERANCE_BPS // (2 * BPS)


def cover_down(leverage: int) -> int:
    """x / (x - 1) in WAD, of an x above 1: from leverage to cover, and back."""
    return leverage * WAD // (leverage - WAD)


def _between(start: int, end: int, speed_bps: int) -> int:
    if start < end:
        return start + (end - start) * speed_bps // BPS
    return start - (start - end) * speed_bps // BPS

"""How wide a band of weights should be and how far to trade back, and what a band then costs.

A weight `w` of target `p` drifts away by `x = w - p`. The band acts at |x| = trigger and trades to |x| = destination on
the same side: 0 goes back to the target, the trigger itself only to the edge. Leverage L is the weight p = L > 1.

Assumes: geometric Brownian motion, watched without pause unless `step` says how often; the weight's variance rate
frozen at its value at the target; trades small against the market; no drift of the weight (`band_statistics`).
Source: one-asset band, reset and edge: Shreve and Soner 1994; Janeček and Shreve 2004; Gerhold, Guasoni, Muhle-Karbe
and Schachermayer 2014 (arXiv 1108.1167), whose spread is 2 × `cost`. Fixed cost: Atkinson and Wilmott 1995;
Altarovici, Muhle-Karbe and Soner 2015. Pauses between looks: Broadie, Glasserman and Kou 1997.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from scipy import optimize, special

from keeper.domain.errors import Misconfigured
from keeper.planner.theory.inputs import not_negative, positive

OVERSHOOT: Final = float(-special.zeta(0.5) / math.sqrt(2 * math.pi))
"""By how many standard deviations of one step a walk looked at once a step passes a barrier: 0.5826."""

DAYS: Final = 365.25


def weight_volatility(target: float, volatility: float) -> float:
    """A weight's own volatility a year at its target, |p (1 - p)| s.

    For a pair of risky assets `volatility` is that of their relative return, for one asset in a basket that of its
    return less the rest's.
    """
    positive(volatility=volatility)
    return abs(target * (1 - target)) * volatility


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """What a band does in a year; `turnover` is what is sold as a fraction of wealth, deviations are weights."""

    trades: float
    turnover: float
    rms_deviation: float
    tracking_error: float

    @property
    def days_between_trades(self) -> float:
        """Mean time from one trade to the next; 0 for a band that trades to its edge."""
        return DAYS / self.trades


def band_statistics(
    target: float, volatility: float, trigger: float, destination: float = 0.0, step: float = 0.0
) -> BandStatistics:
    """Trades, turnover and deviation of a band; infinitely many tiny trades where destination = trigger.

    `step` in years is the time between looks: the weight overshoots the trigger by 0.5826 of what it moves in one.
    """
    positive(trigger=trigger)
    not_negative(destination=destination, step=step)
    if destination > trigger:
        raise Misconfigured(f"theory: a destination of {destination} lies beyond the trigger {trigger}")
    pace = weight_volatility(target, volatility)
    reach = trigger + OVERSHOOT * pace * math.sqrt(step)
    room = reach**2 - destination**2
    rms = math.sqrt((reach**2 + destination**2) / 6)
    return BandStatistics(
        trades=pace**2 / room if room > 0 else math.inf,
        turnover=pace**2 / (reach + destination),
        rms_deviation=rms,
        tracking_error=volatility * rms,
    )


@dataclass(frozen=True, slots=True)
class Band:
    """Half-widths around a target, in weight."""

    trigger: float
    destination: float


def edge_trigger(target: float, risk_aversion: float, cost: float) -> float:
    """The best half-width where only proportional costs matter: trade to the edge, as little as brings it back."""
    positive(risk_aversion=risk_aversion)
    not_negative(cost=cost)
    return math.cbrt(1.5 / risk_aversion * _squared(target) * cost)


def reset_trigger(target: float, risk_aversion: float, cost: float) -> float:
    """The best half-width for who pays proportional costs and yet goes all the way back: 1.587 times the edge's."""
    positive(risk_aversion=risk_aversion)
    not_negative(cost=cost)
    return math.cbrt(6 / risk_aversion * _squared(target) * cost)


def fixed_cost_trigger(target: float, risk_aversion: float, fixed_cost: float) -> float:
    """The best half-width where only a trade's fixed cost matters: a quartic root, and all the way back."""
    positive(risk_aversion=risk_aversion)
    not_negative(fixed_cost=fixed_cost)
    return float((12 / risk_aversion * _squared(target) * fixed_cost) ** 0.25)


def yearly_loss(
    target: float,
    volatility: float,
    risk_aversion: float,
    band: Band,
    cost: float,
    fixed_cost: float = 0.0,
) -> float:
    """What a band loses a year against costless holding at target, in wealth: risk of deviation plus costs."""
    done = band_statistics(target, volatility, band.trigger, band.destination)
    risk = risk_aversion * done.tracking_error**2 / 2
    return risk + cost * done.turnover + (fixed_cost * done.trades if fixed_cost else 0.0)


def best_band(target: float, risk_aversion: float, cost: float, fixed_cost: float = 0.0) -> Band:
    """The trigger and destination with the least `yearly_loss`, at any volatility: risk and cost both grow by s².

    Nests the three triggers above. `Misconfigured` when there is no cost at all, for then the best band has no width.
    """
    positive(risk_aversion=risk_aversion)
    not_negative(cost=cost, fixed_cost=fixed_cost)
    if cost == 0 and fixed_cost == 0:
        raise Misconfigured("theory: without any cost the best band has no width")
    if _squared(target) == 0:
        raise Misconfigured(f"theory: a target of {target} never drifts and needs no band")
    if fixed_cost == 0:
        edge = edge_trigger(target, risk_aversion, cost)
        return Band(edge, edge)
    if cost == 0:
        return Band(fixed_cost_trigger(target, risk_aversion, fixed_cost), 0.0)
    pace, risk = _squared(target), risk_aversion / 6

    # Along a fixed share = destination / trigger, the loss has one minimum, a quartic's only root above zero.
    def trigger(share: float) -> float:
        fixed = 2 * pace * fixed_cost / (1 - share**2)
        proportional = pace * cost / (1 + share)
        power = risk * (1 + share**2)
        top = (fixed / power) ** 0.25 + math.cbrt(proportional / power)
        return float(
            optimize.brentq(lambda x: power * x**4 - proportional * x - fixed, 0, top, xtol=1e-15, rtol=1e-14)
        )

    def slope(share: float) -> float:
        x = trigger(share)
        fixed = 2 * pace * fixed_cost * share / (x**2 * (1 - share**2) ** 2)
        return risk * x**2 * share + fixed - pace * cost / (x * (1 + share) ** 2)

    share = float(optimize.brentq(slope, 0.0, 1 - 1e-12, xtol=1e-14))
    return Band(trigger(share), share * trigger(share))


def trigger_for_tracking_error(volatility: float, tracking_error: float, to_edge: bool = False) -> float:
    """The widest trigger that keeps within a budget of tracking error a year; falls as volatility rises."""
    positive(volatility=volatility, tracking_error=tracking_error)
    return math.sqrt(3 if to_edge else 6) * tracking_error / volatility


def trigger_for_trades(target: float, volatility: float, trades: float) -> float:
    """The trigger that acts so many times a year when it goes back to target; rises with volatility (k sigmas)."""
    positive(trades=trades)
    return weight_volatility(target, volatility) / math.sqrt(trades)


def trigger_for_turnover(target: float, volatility: float, turnover: float, to_edge: bool = False) -> float:
    """The trigger that sells so much of wealth a year; rises with the square of volatility."""
    positive(turnover=turnover)
    return float(weight_volatility(target, volatility) ** 2 / ((2 if to_edge else 1) * turnover))


def _squared(target: float) -> float:
    return target**2 * (1 - target) ** 2

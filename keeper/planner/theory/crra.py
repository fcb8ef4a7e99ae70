"""The exact no-trade band of an investor with constant relative risk aversion, beside its leading order.

Assumes: one risky asset of constant excess return and volatility, one safe one, a proportional spread paid on selling
(bid = (1 - spread) × ask, so about twice the one-way cost), no fixed cost, no end.
Source: Gerhold, Guasoni, Muhle-Karbe and Schachermayer, "Transaction Costs, Trading Volume, and the Liquidity Premium",
Finance and Stochastics 2014 (arXiv 1108.1167), theorem 2.2: a free boundary for the gap of business time; their
equation for w has no time in it, so that the way from one boundary to the other is one integral, in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import optimize

from keeper.domain.errors import Misconfigured
from keeper.planner.theory.inputs import positive


@dataclass(frozen=True, slots=True)
class NoTradeBand:
    """The weights between which to do nothing, and what that is worth a year.

    `gap` is the spread's shadow in the drift: the band is (excess ± gap) / (risk_aversion × volatility²).
    `safe_rate_gain` is the sure return above the safe rate that would please as much; `liquidity_premium` the excess
    return lost to trading; `share_turnover` shares traded over shares held, `wealth_turnover` value traded over wealth.
    """

    low: float
    high: float
    gap: float
    safe_rate_gain: float
    liquidity_premium: float
    share_turnover: float
    wealth_turnover: float

    @property
    def half_width(self) -> float:
        """Half the band's width; it is not quite centred on the frictionless weight."""
        return (self.high - self.low) / 2


def merton_weight(excess_return: float, volatility: float, risk_aversion: float) -> float:
    """The weight held without costs; above 1 it is leverage."""
    positive(volatility=volatility, risk_aversion=risk_aversion)
    return excess_return / (risk_aversion * volatility**2)


def growth_optimal_leverage(excess_return: float, volatility: float) -> float:
    """The leverage whose logarithm grows fastest: Merton's weight at a risk aversion of one."""
    return merton_weight(excess_return, volatility, 1.0)


def half_width_at_leading_order(target: float, risk_aversion: float, spread: float) -> float:
    """The band's half-width for a small spread, (3 / (4 g) p² (1 - p)² spread)^(1/3)."""
    positive(risk_aversion=risk_aversion, spread=spread)
    return math.cbrt(0.75 / risk_aversion * target**2 * (1 - target) ** 2 * spread)


def wealth_turnover_at_leading_order(
    target: float, volatility: float, risk_aversion: float, spread: float
) -> float:
    """The value traded a year over wealth for a small spread; grows without bound as the spread vanishes."""
    positive(volatility=volatility, risk_aversion=risk_aversion, spread=spread)
    drift = 0.75 / risk_aversion * target**2 * (1 - target) ** 2
    return 2 * risk_aversion * volatility**2 / 3 * math.cbrt(drift) ** 2 / math.cbrt(spread)


def no_trade_band(
    excess_return: float, volatility: float, risk_aversion: float, spread: float
) -> NoTradeBand:
    """The exact band; `Misconfigured` for a spread outside (0, 1), for targets of 0 or 1 and where no gap solves it."""
    positive(excess_return=excess_return, volatility=volatility, risk_aversion=risk_aversion, spread=spread)
    scale = risk_aversion * volatility**2
    target = excess_return / scale
    if spread >= 1 or target == 1:
        raise Misconfigured(f"theory: no band for a spread of {spread} around a target of {target}")
    # Beyond these the logarithm of the boundaries' ratio has no meaning.
    largest = min(excess_return, abs(excess_return - scale)) * (1 - 1e-12)
    guess = scale * half_width_at_leading_order(target, risk_aversion, spread)

    def missed(gap: float) -> float:
        way = _time_between(excess_return, volatility, risk_aversion, gap)
        # Squeezed, so that a way without end has a sign and a size.
        return math.atan(way - _log_ratio(excess_return, scale, gap, spread))

    low, high = min(guess, largest) / 8, min(2 * guess, largest)
    if math.copysign(1, missed(low)) == math.copysign(1, missed(high)):
        raise Misconfigured(
            f"theory: no band solves excess return {excess_return}, volatility {volatility}, risk aversion "
            f"{risk_aversion}, spread {spread}"
        )
    gap = float(optimize.brentq(missed, low, high, xtol=1e-16, rtol=1e-13))
    return _described(excess_return, volatility, scale, gap, spread)


def _time_between(excess: float, volatility: float, risk_aversion: float, gap: float) -> float:
    """Log of the boundaries' ratio by the equation for w: ∫ dw / (a w² + b w + c) from the lower to the upper weight.

    Infinite where w would come to rest between them.
    """
    scale = risk_aversion * volatility**2
    low, high = (excess - gap) / scale, (excess + gap) / scale
    # Above a target of 1 the pace is negative, and so is the way.
    sign = 1 if excess < scale else -1
    a = sign * (risk_aversion - 1)
    b = sign * (1 - 2 * excess / volatility**2)
    c = sign * (excess**2 - gap**2) / (risk_aversion * volatility**4)
    apart = high - low
    spread = 2 * a * low * high + b * (low + high) + 2 * c
    discriminant = b**2 - 4 * a * c
    root = math.sqrt(abs(discriminant))
    if discriminant < 0:
        return sign * 2 / root * math.atan2(root * apart, spread)
    if spread <= root * apart:
        return sign * math.inf
    return sign * (2 / root * math.atanh(root * apart / spread) if root > 0 else 2 * apart / spread)


def _log_ratio(excess: float, scale: float, gap: float, spread: float) -> float:
    """Log of the boundaries' ratio by the spread that lies between them."""
    rest = excess - scale
    return (
        math.log1p(gap / excess)
        - math.log1p(-gap / excess)
        + math.log1p(-gap / rest)
        - math.log1p(gap / rest)
        - math.log1p(-spread)
    )


def _described(excess: float, volatility: float, scale: float, gap: float, spread: float) -> NoTradeBand:
    low, high = (excess - gap) / scale, (excess + gap) / scale
    power = 2 * excess / volatility**2 - 1
    way = _log_ratio(excess, scale, gap, spread)
    if abs(power * way) < 1e-12:
        selling = buying = volatility**2 / (2 * way)
    else:
        buying = volatility**2 / 2 * power / math.expm1(power * way)
        selling = -(volatility**2) / 2 * power / math.expm1(-power * way)
    return NoTradeBand(
        low=low,
        high=high,
        gap=gap,
        safe_rate_gain=(excess**2 - gap**2) / (2 * scale),
        liquidity_premium=excess - math.sqrt(excess**2 - gap**2),
        share_turnover=abs(buying * (1 - low)) + abs(selling * (1 - high)),
        wealth_turnover=abs(buying * low * (1 - low)) + abs(selling * high * (1 - high)),
    )

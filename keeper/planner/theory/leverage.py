"""What holding a fixed leverage does to a position over time, and the bands others keep it in.

Assumes: `leverage_decay` prices without jumps, rebalanced without pause and cost. On real days it is a diagnostic, not
a price: at 3x on ETH in 2021 it is off by 74 %. The simulation compounds the returns themselves.
Source: Avellaneda and Zhang, SIAM Journal on Financial Mathematics 2010; Cheng and Madhavan 2009; Index Coop's
Flexible Leverage Index methodology.
"""

from __future__ import annotations

import math

from keeper.planner.theory.inputs import not_negative, positive


def leverage_decay(
    leverage: float, price_ratio: float, variance: float, safe_rate: float = 0.0, years: float = 0.0
) -> float:
    """What one unit of equity became while the price went to `price_ratio` of itself.

    `variance` is the sum of squared log returns over that time (s² × years), `safe_rate` what debt costs a year.
    """
    positive(price_ratio=price_ratio)
    not_negative(variance=variance, years=years)
    drag = (leverage - leverage**2) / 2 * variance + (1 - leverage) * safe_rate * years
    return float(price_ratio**leverage * math.exp(drag))


def rebalancing_trade(leverage: float, price_return: float) -> float:
    """What must be bought (negative: sold) after a return, over equity before it, to hold a leverage.

    Always with the market: it buys what rose and sells what fell, above 1 and below 0 alike.
    """
    return leverage * (leverage - 1) * price_return


def recentred_leverage(
    leverage: float, target: float, speed: float = 0.05, lowest: float = 1.7, highest: float = 2.3
) -> float:
    """The next leverage of Index Coop's flexible index: a share `speed` of the way to target, within its band."""
    positive(leverage=leverage, target=target)
    return max(lowest, min(highest, leverage * (1 - speed) + target * speed))


def lowest_for(target: float, highest: float) -> float:
    """The lower bound as far from the target as the upper, in ratio: target² / highest."""
    positive(target=target, highest=highest)
    return target**2 / highest

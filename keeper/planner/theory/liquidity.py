"""What a liquidity position loses to arbitrage, how long it stays in range, and how wide it should be.

A range is [P / ratio, P × ratio] around the price it was placed at.

Assumes: arbitrageurs without latency or gas, prices without jumps; `reset_loss` one recentring per exit, at the exit.
Source: Milionis, Moallemi, Roughgarden and Zhang, "Automated Market Making and Loss-Versus-Rebalancing" 2022, and
"… and Arbitrage Profits in the Presence of Fees" (arXiv 2305.14604); Nezlobin and Tassy (arXiv 2505.05113) for blocks
of fixed length; the rest derived, and checked by simulation in its test.
"""

from __future__ import annotations

import math

from scipy import optimize

from keeper.domain.errors import Misconfigured
from keeper.planner.theory.bands import OVERSHOOT
from keeper.planner.theory.inputs import not_negative, positive


def loss_versus_rebalancing(volatility: float, weight: float = 0.5) -> float:
    """What a constant-product (or weighted) pool loses to arbitrage a year, over its value."""
    positive(volatility=volatility)
    if not 0 <= weight <= 1:
        raise Misconfigured(f"theory: a pool cannot hold a weight of {weight}")
    return volatility**2 * weight * (1 - weight) / 2


def range_loss(liquidity: float, volatility: float, price: float) -> float:
    """What a Uniswap v3 position in range loses a year, in quote; independent of how wide it is."""
    positive(price=price)
    not_negative(liquidity=liquidity, volatility=volatility)
    return liquidity * volatility**2 * math.sqrt(price) / 4


def break_even_turnover(volatility: float, fee: float) -> float:
    """The volume, over a constant-product pool's value, at which fees make up for arbitrage, in volatility's time."""
    positive(fee=fee)
    return loss_versus_rebalancing(volatility) / fee


def arbitrage_share(volatility: float, block: float, fee: float) -> float:
    """The part of the loss left to arbitrageurs by a fee, when blocks of mean length `block` come at random.

    `volatility` and `block` in the same time: a year's and years, a day's and days.
    """
    positive(volatility=volatility, block=block)
    not_negative(fee=fee)
    return 1 / (1 + math.sqrt(2 / block) * fee / volatility)


def arbitrage_per_block(volatility: float, block: float, fee: float) -> float:
    """The same per block of fixed length and unit of liquidity value; without a fee, half the block's variance."""
    positive(volatility=volatility, block=block)
    not_negative(fee=fee)
    spread = volatility * math.sqrt(block)
    # The source's 1.7164 is sqrt(2 pi) / |zeta(1/2)|: how far a walk oversteps a barrier, upside down.
    return spread**2 / (2 + fee / (OVERSHOOT * spread))


def efficiency(ratio: float) -> float:
    """How many times the liquidity a range has of the same value spread over all prices."""
    _above_one(ratio)
    return -1 / math.expm1(-math.log(ratio) / 2)


def exit_time(ratio: float, volatility: float) -> float:
    """Mean years until the price first leaves the range, from its centre, with a still logarithm."""
    _above_one(ratio)
    positive(volatility=volatility)
    return float((math.log(ratio) / volatility) ** 2)


def centred_loss(ratio: float, volatility: float) -> float:
    """What a range at its centre loses a year, over its value."""
    return efficiency(ratio) * loss_versus_rebalancing(volatility)


def impermanent_loss(price_ratio: float) -> float:
    """A full-range position against what was put in, just held, as a fraction of that: never positive."""
    positive(price_ratio=price_ratio)
    return 2 * math.sqrt(price_ratio) / (1 + price_ratio) - 1


def net_yield(ratio: float, advantage: float, reset_cost: float, volatility: float) -> float:
    """A recentred range's fees less arbitrage less resets, a year, over its value.

    `advantage` is the fee yield of full-range liquidity less its loss, s²/8; `reset_cost` is a fraction of value.
    """
    not_negative(reset_cost=reset_cost)
    return efficiency(ratio) * advantage - reset_cost / exit_time(ratio, volatility)


def best_ratio(advantage: float, reset_cost: float, volatility: float) -> float:
    """The range with the best `net_yield`; infinite where resets cost so much that all prices is best.

    `Misconfigured` without an advantage: then every width loses, and the narrower the more.
    """
    positive(volatility=volatility, reset_cost=reset_cost)
    if not advantage > 0:
        raise Misconfigured(
            f"theory: fees of {advantage + volatility**2 / 8:.4f} do not pay for arbitrage of {volatility**2 / 8:.4f}, "
            "so no range is profitable"
        )
    # The slope of the yield, over the advantage, in h = ln ratio; its first root is the maximum.
    burden = 32 * reset_cost * volatility**2 / advantage

    def slope(h: float) -> float:
        return burden - 2 * h**3 / math.sinh(h / 4) ** 2

    peak = float(optimize.brentq(lambda h: 6 * math.tanh(h / 4) - h, 1.0, 6.0))
    if slope(peak) >= 0:
        return math.inf
    ratio = math.exp(float(optimize.brentq(slope, 1e-9 * min(1.0, burden), peak, xtol=1e-14)))
    return ratio if net_yield(ratio, advantage, reset_cost, volatility) > advantage else math.inf


def _above_one(ratio: float) -> None:
    if not (math.isfinite(ratio) and ratio > 1):
        raise Misconfigured(
            f"theory: a range reaches from P / ratio to P × ratio, so not with a ratio of {ratio}"
        )

"""Liquidity: what a range holds, what an amount of it takes, and what both are worth.

Words: prices and a range's edges are square roots of prices in Q64.96; `liquidity` is Uniswap's L.

Source: contracts/liquidity.vy, which is v3-core's SqrtPriceMath and SwapMath and v3-periphery's LiquidityAmounts,
mirrored rounding by rounding (`tests/size` holds the two equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Final

from keeper.domain.units import mul_div_down, mul_div_up

MIN_SQRT_PRICE: Final = 4295128739
MAX_SQRT_PRICE: Final = 1461446703485210103287273052203988822378723970342
_Q96: Final = 2**96
_Q64: Final = 2**64
_MILLION: Final = 10**6
_WORD: Final = 2**256 - 1
_MOST: Final = 2**128 - 1


@dataclass(frozen=True, slots=True)
class Venue:
    """A price, the liquidity that stands at it, and what trading there costs (millionths)."""

    price: int
    liquidity: int
    fee: int


def for_amounts_down(price: int, lower: int, upper: int, amount0: int, amount1: int) -> int:
    """The liquidity that the amounts give, the scarcer of the two deciding."""
    if price <= lower:
        return _for_0_down(lower, upper, amount0)
    if price >= upper:
        return mul_div_down(amount1, _Q96, upper - lower)
    return min(_for_0_down(price, upper, amount0), mul_div_down(amount1, _Q96, price - lower))


def _for_0_down(lower: int, upper: int, amount0: int) -> int:
    return mul_div_down(amount0, mul_div_down(lower, upper, _Q96), upper - lower)


def held_down(liquidity: int, price: int, lower: int, upper: int) -> tuple[int, int]:
    """What a range gives back when it is closed at a price."""
    at = min(max(price, lower), upper)
    return (
        mul_div_down(liquidity << 96, upper - at, upper) // at,
        mul_div_down(liquidity, at - lower, _Q96),
    )


def taken_up(liquidity: int, price: int, lower: int, upper: int) -> tuple[int, int]:
    """What a range takes when it is opened at a price: the same, rounded up."""
    at = min(max(price, lower), upper)
    return (
        mul_div_up(mul_div_up(liquidity << 96, upper - at, upper), 1, at),
        mul_div_up(liquidity, at - lower, _Q96),
    )


def worth_down(amount0: int, amount1: int, price: int) -> int:
    """Both amounts in 2**-64 units of token1."""
    return mul_div_down(mul_div_down(amount0, price, _Q64), price, _Q64) + (amount1 << 64)


def sell(sells_token0: bool, sold: int, venue: Venue) -> tuple[int, int] | None:
    """What selling exactly so much buys, and the price after it; None when the liquidity in range cannot carry it."""
    if sold == 0:
        return 0, venue.price
    if venue.liquidity == 0 or sold > _MOST:
        return None
    net = mul_div_down(sold, _MILLION - venue.fee, _MILLION)
    if sells_token0:
        after = _price_after_0_up(net, venue)
        if after <= MIN_SQRT_PRICE:
            return None
        return mul_div_down(venue.liquidity, venue.price - after, _Q96), after
    after = venue.price + mul_div_down(net, _Q96, venue.liquidity)
    if after >= MAX_SQRT_PRICE:
        return None
    return mul_div_down(venue.liquidity << 96, after - venue.price, after) // venue.price, after


def venue_of_swaps(
    sells_token0: bool, swap: tuple[int, int], larger: tuple[int, int], fee: int
) -> Venue | None:
    """The venue of one liquidity that would take and give the same, and end at the same price, as two real swaps.

    Each is what was sold and bought, `larger` by a little, so that the two tell the price at the end. What lies on the
    way, ticks and all, is in them. None when they tell no price.
    """
    (sold, bought), (sold_more, bought_more) = swap, larger
    net, net_more = (mul_div_down(x, _MILLION - fee, _MILLION) for x in (sold, sold_more))
    last = (net_more - net, bought_more - bought)
    if min(net, bought, *last) <= 0:
        return None
    if sells_token0:
        end = isqrt((last[1] << 192) // last[0])
        start = (bought << 192) // (net * end)
        fall, moved = start - end, bought
    else:
        end = isqrt((last[0] << 192) // last[1])
        start = (net << 192) // (bought * end)
        fall, moved = end - start, net
    return Venue(start, min((moved << 96) // fall, _MOST) if fall > 0 else _MOST, fee)


def _price_after_0_up(net: int, venue: Venue) -> int:
    reserve = venue.liquidity << 96
    # Where the sum does not fit a word the chain takes another way, which rounds otherwise.
    if reserve + net * venue.price <= _WORD:
        return mul_div_up(reserve, venue.price, reserve + net * venue.price)
    return mul_div_up(reserve, 1, reserve // venue.price + net)

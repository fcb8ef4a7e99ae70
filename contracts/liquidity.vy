# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Liquidity: what a range holds, what an amount of it takes, and what both are worth
@custom:contract-name liquidity
@license MIT
@notice Words: `price` and the edges `lower`, `upper` are square roots of prices in Q64.96; `liquidity` is Uniswap's L.
        Between its edges a range of L holds L * (1/price - 1/upper) of token0 and L * (price - lower) of token1;
        beyond an edge it holds one token only, as much as at that edge.
@dev Integers only; `keeper/protocols/liquidity.py` mirrors every rounding.
Source: v3-core SqrtPriceMath and SwapMath, v3-periphery LiquidityAmounts, roundings included.
"""

from . import uniswap_v3
from . import wide


# A price, the liquidity that stands at it, and what trading there costs.
struct Venue:
    price: uint256
    liquidity: uint256
    fee: uint24


struct Swap:
    bought: uint256
    price: uint256      # after it; 0 = out of reach


_Q96: constant(uint256) = 2**96
_PIPS: constant(uint256) = 1_000_000
_MOST: constant(uint256) = 2**128 - 1


@internal
@pure
def _for_amounts(price: uint256, lower: uint256, upper: uint256, amount0: uint256, amount1: uint256) -> uint256:
    """
    @dev The liquidity that the amounts (each below 2**128) give, the scarcer of the two deciding.
    """
    if price <= lower:
        return self._for_0(lower, upper, amount0)
    if price >= upper:
        return wide._mul_div_down(amount1, _Q96, upper - lower)
    return min(self._for_0(price, upper, amount0), wide._mul_div_down(amount1, _Q96, price - lower))


@internal
@pure
def _for_0(lower: uint256, upper: uint256, amount0: uint256) -> uint256:
    return wide._mul_div_down(amount0, wide._mul_div_down(lower, upper, _Q96), upper - lower)


@internal
@pure
def _held(liquidity: uint256, price: uint256, lower: uint256, upper: uint256) -> (uint256, uint256):
    """
    @dev What a range gives back when it is closed at a price.
    """
    at: uint256 = min(max(price, lower), upper)
    amount0: uint256 = 0
    if at < upper:
        amount0 = wide._mul_div_down(liquidity << 96, upper - at, upper) // at
    return amount0, wide._mul_div_down(liquidity, at - lower, _Q96)


@internal
@pure
def _taken(liquidity: uint256, price: uint256, lower: uint256, upper: uint256) -> (uint256, uint256):
    """
    @dev What a range takes when it is opened at a price: the same, rounded up.
    """
    at: uint256 = min(max(price, lower), upper)
    amount0: uint256 = 0
    if at < upper:
        amount0 = wide._mul_div_up(wide._mul_div_up(liquidity << 96, upper - at, upper), 1, at)
    return amount0, wide._mul_div_up(liquidity, at - lower, _Q96)


@internal
@pure
def _worth(amount0: uint256, amount1: uint256, price: uint256) -> uint256:
    """
    @dev Both amounts (each below 2**128) in 2**-64 units of token1; `wide.NEVER` when that does not fit a word.
    """
    first: uint256 = wide._mul_div_down(wide._mul_div_down(amount0, price, 2**64), price, 2**64)
    if first > max_value(uint256) - (amount1 << 64):
        return wide.NEVER
    return first + (amount1 << 64)


@internal
@pure
def _sell(sells_token0: bool, sold: uint256, venue: Venue) -> Swap:
    """
    @dev What selling exactly so much buys, fee included, while the liquidity in range now reaches that far.
    """
    if sold == 0:
        return Swap(bought=0, price=venue.price)
    if venue.liquidity == 0 or sold > _MOST:
        return empty(Swap)
    net: uint256 = wide._mul_div_down(sold, _PIPS - convert(venue.fee, uint256), _PIPS)
    after: uint256 = 0
    bought: uint256 = 0
    if sells_token0:
        reserve: uint256 = venue.liquidity << 96
        product: uint256 = wide._times(net, venue.price)
        if product <= max_value(uint256) - reserve:
            after = wide._mul_div_up(reserve, venue.price, reserve + product)
        else:
            after = wide._mul_div_up(reserve, 1, reserve // venue.price + net)
        if after <= uniswap_v3.MIN_SQRT_PRICE:
            return empty(Swap)
        bought = wide._mul_div_down(venue.liquidity, venue.price - after, _Q96)
    else:
        after = venue.price + wide._mul_div_down(net, _Q96, venue.liquidity)
        if after >= uniswap_v3.MAX_SQRT_PRICE:
            return empty(Swap)
        bought = wide._mul_div_down(venue.liquidity << 96, after - venue.price, after) // venue.price
    return Swap(bought=bought, price=after)

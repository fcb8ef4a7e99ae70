"""Uniswap V3 pools: their state, and what an exact output costs while the price stays in its range.

Source: v3-core `SqrtPriceMath` and `SwapMath`, rounding included.
Assumes: the swap crosses no initialised tick. Where it does, the pool itself is asked and the step is sized again.
"""

from __future__ import annotations

from typing import Final

from keeper.domain.loans import PoolState
from keeper.domain.units import mul_div_up
from keeper.protocols.methods import Method

FEE_TIERS: Final = (100, 500, 3000, 10000)
_MILLION: Final = 10**6
_Q96: Final = 2**96
_MIN_SQRT_PRICE: Final = 4295128739
_MAX_SQRT_PRICE: Final = 1461446703485210103287273052203988822378723970342
_OUT_OF_REACH: Final = 2**128

GET_POOL: Final = Method("getPool", ("address", "address", "uint24"), ("address",))
SLOT0: Final = Method("slot0", (), ("uint160", "int24", "uint16", "uint16", "uint16", "uint8", "bool"))
LIQUIDITY: Final = Method("liquidity", (), ("uint128",))


def exact_output_cost_up(pool: PoolState, amount_out: int) -> int | None:
    """Collateral to pay, fee included and rounded up, for exactly `amount_out`; None when the range cannot give it."""
    net = _token0_in(pool, amount_out) if pool.collateral_is_token0 else _token1_in(pool, amount_out)
    if net is None or net >= _OUT_OF_REACH:
        return None
    return net + mul_div_up(net, pool.fee, _MILLION - pool.fee)


def _token0_in(pool: PoolState, out: int) -> int | None:
    moved = mul_div_up(out, _Q96, pool.liquidity)
    if moved >= pool.sqrt_price - _MIN_SQRT_PRICE:
        return None
    net = mul_div_up(pool.liquidity * _Q96, moved, pool.sqrt_price)
    return mul_div_up(net, 1, pool.sqrt_price - moved)


def _token1_in(pool: PoolState, out: int) -> int | None:
    reserve = pool.liquidity * _Q96
    taken = out * pool.sqrt_price
    if taken >= reserve:
        return None
    after = mul_div_up(reserve, pool.sqrt_price, reserve - taken)
    if after >= _MAX_SQRT_PRICE:
        return None
    return mul_div_up(pool.liquidity, after - pool.sqrt_price, _Q96)

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title What a Uniswap V3 pool really asks and gives for an exact amount, every tick on the way included
@custom:contract-name SwapLens
@license MIT
@notice Never deployed: its runtime code is lent to an address for one `eth_call`. It starts the swap and undoes it from
        the pool's callback, by reverting with the two amounts.
@custom:kill Nothing to stop: it exists only inside a call that changes nothing.
"""

from .interfaces import IUniswapV3Pool

_MIN_SQRT_PRICE: constant(uint160) = 4295128739
_MAX_SQRT_PRICE: constant(uint160) = 1461446703485210103287273052203988822378723970342


@external
def cost(pool: address, sells_token0: bool, specified: int256) -> (uint256, uint256):
    """
    @notice What the pool asks, fee included, and what it gives for it: less than `specified` (sold if positive, bought
            if negative) where its liquidity ends.
    """
    done: bool = False
    amounts: Bytes[64] = b""
    done, amounts = raw_call(
        pool,
        abi_encode(
            self,
            sells_token0,
            specified,
            _MIN_SQRT_PRICE + 1 if sells_token0 else _MAX_SQRT_PRICE - 1,
            b"",
            method_id=method_id("swap(address,bool,int256,uint160,bytes)"),
        ),
        max_outsize=64,
        revert_on_failure=False,
    )
    assert not done and len(amounts) == 64, "pool: it would not swap"
    return abi_decode(amounts, (uint256, uint256))


@external
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[1]):
    raw_revert(abi_encode(convert(max(delta_0, delta_1), uint256), convert(-min(delta_0, delta_1), uint256)))

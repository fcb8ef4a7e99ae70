"""Uniswap V3 pools: their state, their swaps, and what an exact output costs while the price stays in its range.

Source: v3-core `SqrtPriceMath` and `SwapMath`, rounding included.
Assumes: the swap crosses no initialised tick. Where it does, the pool itself is asked and the step is sized again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from keeper.domain.loans import PoolState
from keeper.domain.units import Address, mul_div_down, mul_div_up
from keeper.protocols.liquidity import MAX_SQRT_PRICE, MIN_SQRT_PRICE
from keeper.protocols.methods import Method, address

FEE_TIERS: Final = (100, 500, 3000, 10000)
_POOL_CODE_HASH: Final = bytes.fromhex("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54")
_MILLION: Final = 10**6
_Q96: Final = 2**96
_OUT_OF_REACH: Final = 2**128
_MAX_WORD: Final = 2**256 - 1

SLOT0: Final = Method("slot0", (), ("uint160", "int24", "uint16", "uint16", "uint16", "uint8", "bool"))
OBSERVE: Final = Method("observe", ("uint32[]",), ("int56[]", "uint160[]"))
"""Reverts where the pool keeps no record that old."""
LIQUIDITY: Final = Method("liquidity", (), ("uint128",))
SWAP_TOPIC: Final = "0x" + keccak(text="Swap(address,address,int256,int256,uint160,uint128,int24)").hex()
_SWAP_WORDS: Final = 5


@dataclass(frozen=True, slots=True)
class Swap:
    """What a pool took (above 0) and gave (below) of its two tokens, and its price and liquidity after it."""

    amount0: int
    amount1: int
    sqrt_price: int
    liquidity: int


def read_swap(data: str) -> Swap | None:
    """The swap in a log's data; None when it is none."""
    held = bytes.fromhex(data.removeprefix("0x"))
    if len(held) != 32 * _SWAP_WORDS:
        return None
    words = [held[at : at + 32] for at in range(0, len(held), 32)]
    amount0, amount1 = (int.from_bytes(word, "big", signed=True) for word in words[:2])
    sqrt_price, liquidity = (int.from_bytes(word, "big") for word in words[2:4])
    return Swap(amount0, amount1, sqrt_price, liquidity)


POSITIONS: Final = Method(
    "positions",
    ("uint256",),
    ("uint96", "address", "address", "address", "uint24", "int24", "int24", "uint128", *("uint256",) * 2)
    + ("uint128",) * 2,
)
"""Of the position manager: its third to seventh words are the tokens, the fee and the edges."""
SET_OPERATOR: Final = Method("setApprovalForAll", ("address", "bool"), ())
IS_OPERATOR: Final = Method("isApprovedForAll", ("address", "address"), ("bool",))


def pool_address(factory: Address, token_a: Address, token_b: Address, fee: int) -> Address:
    """Where the factory puts the pool of a pair and fee, whether it has made it or not.

    Source: v3-periphery `PoolAddress`. Assumes: a factory of v3-core's own pools, as the contract does.
    """
    low, high = sorted((int(token_a, 16), int(token_b, 16)))
    salt = keccak(b"".join(number.to_bytes(32, "big") for number in (low, high, fee)))
    return address("0x" + keccak(b"\xff" + bytes.fromhex(factory[2:]) + salt + _POOL_CODE_HASH)[12:].hex())


def exact_output_cost_up(pool: PoolState, amount_out: int) -> int | None:
    """Collateral to pay, fee included and rounded up, for exactly `amount_out`; None when the range cannot give it."""
    if pool.liquidity == 0:
        return None
    net = _token0_in(pool, amount_out) if pool.collateral_is_token0 else _token1_in(pool, amount_out)
    if net is None or net >= _OUT_OF_REACH:
        return None
    return net + mul_div_up(net, pool.fee, _MILLION - pool.fee)


def exact_input_gain_down(pool: PoolState, amount_in: int) -> int:
    """Collateral bought, rounded down, with exactly `amount_in` of the other token; 0 when the range cannot take it."""
    if pool.liquidity == 0:
        return 0
    net = amount_in * (_MILLION - pool.fee) // _MILLION
    if not pool.collateral_is_token0:
        reserve, given = pool.liquidity * _Q96, net * pool.sqrt_price
        if given > _MAX_WORD - reserve:
            return 0
        after = mul_div_up(reserve, pool.sqrt_price, reserve + given)
        return pool.liquidity * (pool.sqrt_price - after) // _Q96 if after > MIN_SQRT_PRICE else 0
    moved = net * _Q96 // pool.liquidity
    if moved >= MAX_SQRT_PRICE - pool.sqrt_price:
        return 0
    after = pool.sqrt_price + moved
    return mul_div_down(pool.liquidity * _Q96, moved, after) // pool.sqrt_price


def _token0_in(pool: PoolState, out: int) -> int | None:
    moved = mul_div_up(out, _Q96, pool.liquidity)
    if moved >= pool.sqrt_price - MIN_SQRT_PRICE:
        return None
    net = mul_div_up(pool.liquidity * _Q96, moved, pool.sqrt_price)
    return mul_div_up(net, 1, pool.sqrt_price - moved)


def _token1_in(pool: PoolState, out: int) -> int | None:
    reserve = pool.liquidity * _Q96
    taken = out * pool.sqrt_price
    if taken >= reserve:
        return None
    after = mul_div_up(reserve, pool.sqrt_price, reserve - taken)
    if after >= MAX_SQRT_PRICE:
        return None
    return mul_div_up(pool.liquidity, after - pool.sqrt_price, _Q96)

"""What pools say of a price that somebody else tells: at their spot, and over the last while.

Assumes: pools of Uniswap V3. Of several the deepest at its spot speaks for the pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.plans import Call
from keeper.domain.quotes import Quote
from keeper.domain.units import Address
from keeper.protocols import uniswap_v3
from keeper.protocols.ticks import mean_tick_down, sqrt_price_at

_QUESTIONS = 3


@dataclass(frozen=True, slots=True)
class Belief:
    """A pair, what one smallest unit of `sold` is held to be worth in those of `bought`, a fraction, and its pools."""

    sold: Address
    bought: Address
    worth: tuple[int, int]
    pools: tuple[Address, ...]


def quotes(node: Node, beliefs: Sequence[Belief], block: Block, seconds: int) -> tuple[Quote, ...]:
    """Each belief beside its deepest pool; none where there is no pool with a price."""
    calls = [
        Call(pool, data)
        for belief in beliefs
        for pool in belief.pools
        for data in (
            uniswap_v3.SLOT0.call(),
            uniswap_v3.LIQUIDITY.call(),
            uniswap_v3.OBSERVE.call([seconds, 0]),
        )
    ]
    answers = iter(ask_together(node, calls, block.hash))
    found: list[Quote] = []
    for belief in beliefs:
        told = [(pool, [next(answers) for _ in range(_QUESTIONS)]) for pool in belief.pools]
        pools = [
            (uniswap_v3.LIQUIDITY.read(liquidity)[0], pool, uniswap_v3.SLOT0.read(slot0)[0], observed)
            for pool, (slot0, liquidity, observed) in told
            if slot0 and liquidity
        ]
        deepest = max((each for each in pools if each[2]), key=lambda each: each[0], default=None)
        if deepest is None or not belief.worth[1]:
            continue
        _, pool, sqrt_price, observed = deepest
        mean = sqrt_price_at(_mean(observed, seconds)) if observed else None
        found.append(
            Quote(
                sold=belief.sold,
                bought=belief.bought,
                pool=pool,
                believed=(belief.worth[0] << 128) // belief.worth[1],
                spot=_price(belief, sqrt_price),
                mean=None if mean is None else _price(belief, mean),
            )
        )
    return tuple(found)


def _mean(observed: bytes, seconds: int) -> int:
    (earlier, later), _ = uniswap_v3.OBSERVE.read(observed)
    return mean_tick_down(earlier, later, seconds)


def _price(belief: Belief, sqrt_price: int) -> int:
    """A square root price of token1 per token0 in Q64.96, as the price of what is sold times 2**128."""
    if int(belief.sold, 16) < int(belief.bought, 16):
        return sqrt_price * sqrt_price >> 64
    return (1 << 320) // (sqrt_price * sqrt_price)

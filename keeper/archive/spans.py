"""Which blocks lie between two moments, and the logs and moments of those blocks.

Assumes: a node that keeps the headers and logs of what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from keeper.chain.node import Node
from keeper.chain.wire import block_of
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured, NodeRefused
from keeper.domain.units import Address

_MOST_BLOCKS: Final = 10_000
_FEWEST_BLOCKS: Final = 16
_HEADERS: Final = 100


def blocks_at(node: Node, moments: Sequence[int], first: int, last: int) -> list[int]:
    """From block `first` to `last`, the first one at or after each moment in unix seconds; one after `last` for none.

    All are looked for at once, by halves.
    """
    low, high = [first] * len(moments), [last + 1] * len(moments)
    while open_ := [n for n in range(len(moments)) if low[n] < high[n]]:
        made = moments_of(node, [(low[n] + high[n]) // 2 for n in open_])
        for n in open_:
            middle = (low[n] + high[n]) // 2
            if made[middle] < moments[n]:
                low[n] = middle + 1
            else:
                high[n] = middle
    return low


def span_of(node: Node, start: int | None, end: int | None) -> tuple[int, int, Block]:
    """The first and last block between two moments, both included, and the newest of the chain."""
    head = node.head()
    first = 0 if start is None else blocks_at(node, [start], 0, head.number)[0]
    last = head.number if end is None else blocks_at(node, [end + 1], 0, head.number)[0] - 1
    if first > last:
        raise Misconfigured(
            f"data: the chain has no block between the moments asked for; its newest is {head.number}"
        )
    return first, last, head


def logs_of(node: Node, contract: Address, topic: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    """The contract's logs of one event, in order, asked for in spans as wide as the node allows."""
    width = _MOST_BLOCKS
    while first <= last:
        until = min(first + width - 1, last)
        wanted = {"address": contract, "topics": [topic], "fromBlock": hex(first), "toBlock": hex(until)}
        try:
            yield from node.ask("eth_getLogs", wanted)
        except NodeRefused as refusal:
            if refusal.is_about_rate or width <= _FEWEST_BLOCKS:
                raise
            width = max(width // 4, _FEWEST_BLOCKS)
            continue
        first = until + 1


def moments_of(node: Node, numbers: Sequence[int]) -> dict[int, int]:
    """When each of these blocks was made."""
    found: dict[int, int] = {}
    wanted = sorted(set(numbers))
    for at in range(0, len(wanted), _HEADERS):
        some = wanted[at : at + _HEADERS]
        headers = node.ask_many([("eth_getBlockByNumber", [hex(number), False]) for number in some])
        found |= {
            number: block_of(header, str(number)).timestamp
            for number, header in zip(some, headers, strict=True)
        }
    return found

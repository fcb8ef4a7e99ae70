"""A Chainlink aggregator's rounds, walked back from the newest.

Source: AggregatorV3Interface; a proxy's round is `phase << 64 | round`, and another phase is another aggregator, whose
rounds are not walked into.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from keeper.archive.samples import Samples
from keeper.chain.node import Node
from keeper.chain.reads import ask_at_length, ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured
from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.protocols.aave_v3 import LATEST_ROUND
from keeper.protocols.methods import Method

_ROUND: Final = Method("getRoundData", ("uint80",), LATEST_ROUND.outputs)
_DECIMALS: Final = Method("decimals", (), ("uint256",))
_AT_ONCE: Final = 500
_PHASE: Final = 2**64


def rounds(node: Node, feed: Address, start: int | None, head: Block) -> tuple[Samples, tuple[str, ...]]:
    """The feed's answers from `start` (unix seconds) to `head`, and what a reader must know of them."""
    newest, places = ask_together(
        node, [Call(feed, LATEST_ROUND.call()), Call(feed, _DECIMALS.call())], head.hash
    )
    if newest is None or places is None:
        raise Misconfigured(f"data: {feed} answers no latestRoundData() and decimals(); is it a feed?")
    try:
        last, decimals = LATEST_ROUND.read(newest)[0], _DECIMALS.read(places)[0]
    except Blind as error:
        raise Misconfigured(f"data: {feed} is no feed ({error})") from error
    lowest, found, refused = last - last % _PHASE + 1, [], 0
    upper = last
    while upper >= lowest:
        numbers = range(upper, max(upper - _AT_ONCE, lowest - 1), -1)
        told = ask_at_length(node, [Call(feed, _ROUND.call(number)) for number in numbers], head.hash)
        upper -= len(numbers)
        for number, answer in zip(numbers, told, strict=True):
            if answer is None:
                refused += 1
                continue
            _, price, _, updated_at, _ = _ROUND.read(answer)
            found.append((number, updated_at, price))
        if start is not None and found and found[-1][1] < start:
            break
    kept = sorted(row for row in found if start is None or row[1] >= start)
    for number, updated_at, price in kept:
        if price <= 0 or updated_at <= 0:
            raise Misconfigured(
                f"data: round {number} of {feed} answers {price} at {updated_at}, which cannot be"
            )
    notes = [f"rounds {kept[0][0]} to {kept[-1][0]} of {feed}"] if kept else []
    if refused:
        notes.append(f"{refused} rounds were refused by the feed and are left out")
    if found and min(row[0] for row in found) == lowest and last >= _PHASE:
        notes.append("the rounds reach back to where this phase of the feed began")
    moments = np.array([row[1] for row in kept], dtype=np.int64)
    return Samples(moments, np.array([row[2] / 10**decimals for row in kept])), tuple(notes)

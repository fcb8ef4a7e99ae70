"""What ether costs, by a feed that the operator names, and so what gas for an action may cost."""

from __future__ import annotations

from typing import Final

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind
from keeper.domain.plans import Call, Stake, Worth
from keeper.domain.units import BASE, Address, mul_div_up
from keeper.protocols import basket_thresholds as law

_MOST_DECIMALS: Final = 36


class Ether:
    """The price of ether at `feed`, in dollars; one older than `max_age` seconds is none."""

    def __init__(self, node: Node, feed: Address, max_age: int, benefit_bps: int) -> None:
        self._node = node
        self._feed = feed
        self._max_age = max_age
        self._benefit_bps = benefit_bps

    def worth(self, stake: Stake | None, block: Block) -> Worth | None:
        """What gas may cost for so much at stake; None where that is not known, or the feed tells no price."""
        if stake is None:
            return None
        price = self.price_up(block)
        return None if price is None else stake.worth(price, self._benefit_bps)

    def price_up(self, block: Block) -> int | None:
        """Dollars with 8 decimals for one ether; None where the feed tells none, or an old one."""
        calls = [Call(self._feed, method.call()) for method in (law.LATEST_ROUND, law.FEED_DECIMALS)]
        try:
            told, places = ask_together(self._node, calls, block.hash)
            if told is None or places is None:
                return None
            _, answer, _, updated_at, _ = law.LATEST_ROUND.read(told)
            (decimals,) = law.FEED_DECIMALS.read(places)
        except Blind:
            return None
        if answer <= 0 or decimals > _MOST_DECIMALS or block.timestamp - updated_at > self._max_age:
            return None
        return mul_div_up(answer, BASE, 10**decimals)

"""The feeds that one Volatility contract measures, as the chain shows them at one block, in one question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.chain.thresholds import expected_at
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind
from keeper.domain.feeds import FeedSight, Round
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.protocols import volatility

_WORD: Final = 32
_ROUND: Final = 5 * _WORD


class Feeds:
    """`feeds` as the contract at `contract` remembers them; `Misconfigured` when there is no such contract."""

    def __init__(self, node: Node, contract: Address, feeds: Sequence[Address]) -> None:
        self._node = node
        self._keys: Final = tuple(RuleKey(contract, feed, 0) for feed in feeds)
        self.contract: Final = contract
        asked = {"to": contract, "data": "0x" + volatility.MIN_INTERVAL.call().hex()}
        with expected_at(node, contract, "Volatility"):
            (self.least,) = volatility.MIN_INTERVAL.read(node.ask_bytes("eth_call", asked, "latest"))

    def observe(self, block: Block) -> tuple[FeedSight, ...]:
        """Every feed: its latest round, and what of it was counted."""
        calls = [call for key in self._keys for call in self._calls(key.owner)]
        answers = iter(ask_together(self._node, calls, block.hash))
        return tuple(self._sight(key, *(next(answers) for _ in range(3))) for key in self._keys)

    def _calls(self, feed: Address) -> Iterator[Call]:
        yield Call(feed, volatility.LATEST_ROUND.call())
        yield Call(self.contract, volatility.MEMORY.call(feed))
        yield Call(self.contract, volatility.SIGMA.call(feed))

    def _sight(
        self, key: RuleKey, told: bytes | None, memory: bytes | None, sigma: bytes | None
    ) -> FeedSight:
        if memory is None or sigma is None:
            raise Blind(f"chain: {self.contract} does not tell what it remembers of {key.owner}")
        (_, _, counted_at, _), (measured,) = volatility.MEMORY.read(memory), volatility.SIGMA.read(sigma)
        return FeedSight(key, _round(told), counted_at, measured)


def _round(told: bytes | None) -> Round | None:
    if told is None or len(told) != _ROUND:
        return None
    answer = int.from_bytes(told[_WORD : 2 * _WORD], "big", signed=True)
    return Round(answer, int.from_bytes(told[3 * _WORD : 4 * _WORD], "big"))

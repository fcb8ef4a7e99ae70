"""How old the prices are that a lending pool reckons with: what its oracle's feeds say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from keeper.chain.node import Node, Question
from keeper.chain.reads import read_together, together_question
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind
from keeper.domain.plans import Call
from keeper.domain.units import NOBODY, Address
from keeper.protocols import aave_v3
from keeper.protocols.methods import address


class PriceAges:
    """The feeds behind the oracle of the market that the provider stands for, which is `oracle` as far as is known."""

    def __init__(self, node: Node, provider: Address, oracle: Address) -> None:
        self._node = node
        self._provider: Final = provider
        self.oracle = oracle
        self._sources: dict[Address, Address] = {}

    def questions(self, assets: Sequence[Address], block: Block) -> list[Question]:
        """What oracle there is, what feed it has for each asset, and the last round of the feeds that it had."""
        if not assets:
            return []
        feeds = [self._sources.get(asset, NOBODY) for asset in assets]
        calls = [
            Call(self._provider, aave_v3.GET_PRICE_ORACLE.call()),
            *(Call(self.oracle, aave_v3.GET_SOURCE.call(asset)) for asset in assets),
            *(Call(feed, aave_v3.LATEST_ROUND.call()) for feed in feeds),
        ]
        return [together_question(calls, block.hash)]

    def read(self, assets: Sequence[Address], block: Block, told: Sequence[Any]) -> dict[Address, int | None]:
        """Seconds since each asset's feed last spoke; the feeds behind Aave's oracle are looked up anew every time.

        `told` is the answer to `questions`, if it was asked.
        """
        if not assets:
            return {}
        for _ in range(2):
            feeds = [self._sources.get(asset, NOBODY) for asset in assets]
            (answer,) = told or self._node.ask_each(self.questions(assets, block))
            told = ()
            answers = read_together(answer, 1 + 2 * len(assets))
            oracle = address(aave_v3.GET_PRICE_ORACLE.read(_answered(answers[0], "getPriceOracle"))[0])
            sources = [
                address(aave_v3.GET_SOURCE.read(_answered(a, "getSourceOfAsset"))[0])
                for a in answers[1 : 1 + len(assets)]
            ]
            rounds = answers[1 + len(assets) :]
            if (oracle, sources) == (self.oracle, feeds):
                return {asset: _age(told, block) for asset, told in zip(assets, rounds, strict=True)}
            self.oracle = oracle
            self._sources = dict(zip(assets, sources, strict=True))
        raise Blind(f"oracle: the feeds behind {self.oracle} changed while they were read")


def _age(told: bytes | None, block: Block) -> int | None:
    if not told:
        return None
    try:
        updated_at: int = aave_v3.LATEST_ROUND.read(told)[3]
    except Blind:
        return block.timestamp  # it speaks no sense, so it has never spoken: only its own rules go blind
    return max(block.timestamp - updated_at, 0)


def _answered(answer: bytes | None, name: str) -> bytes:
    if answer is None:
        raise Blind(f"chain: {name} reverted")
    return answer

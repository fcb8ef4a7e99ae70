"""Which rules the watched owners have in one thresholds contract, counted again only when one may have been added.

Source: every thresholds contract's `rule_count` and the event it logs when a rule is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.protocols.methods import Method

MOST_RULES: Final = 32
"""How many rules of one owner are held: each costs every other owner time."""
# An index of logs may lag behind its blocks, so what it did not tell is counted now and then all the same.
_BLOCKS_BETWEEN_COUNTS: Final = 32
_RULE_COUNT: Final = Method("rule_count", ("address",), ("uint256",))


class RuleKeys:
    """The keys of `owners` in the contract at `thresholds`, which logs `set_topic` when a rule is set."""

    def __init__(self, node: Node, thresholds: Address, owners: Sequence[Address], set_topic: str) -> None:
        self._node = node
        self._thresholds = thresholds
        self._owners = tuple(owners)
        self._set_topic = set_topic
        self._keys: tuple[RuleKey, ...] = ()
        self._counted_at: Block | None = None
        self.unattended: tuple[RuleKey, ...] = ()
        """The first rule of each owner that is beyond the `MOST_RULES` held, as last counted."""

    def at(self, block: Block) -> tuple[RuleKey, ...]:
        """Every key there is at `block`."""
        since = self._counted_at
        if since is None or (since.hash != block.hash and self._may_differ(since, block)):
            self._count(block)
        self._counted_at = block
        return self._keys

    def _count(self, block: Block) -> None:
        calls = [Call(self._thresholds, _RULE_COUNT.call(owner)) for owner in self._owners]
        keys: list[RuleKey] = []
        beyond: list[RuleKey] = []
        for owner, answer in zip(self._owners, ask_together(self._node, calls, block.hash), strict=True):
            if answer is None:
                raise Blind("chain: rule_count reverted")
            (count,) = _RULE_COUNT.read(answer)
            keys += [RuleKey(self._thresholds, owner, n) for n in range(min(count, MOST_RULES))]
            if count > MOST_RULES:
                beyond.append(RuleKey(self._thresholds, owner, MOST_RULES))
        self._keys, self.unattended = tuple(keys), tuple(beyond)

    def _may_differ(self, since: Block, block: Block) -> bool:
        """Whether a rule was set after `since`, or `since` is no longer in the chain so that nobody can say."""
        if block.number <= since.number or block.number % _BLOCKS_BETWEEN_COUNTS == 0:
            return True
        span = {"fromBlock": hex(since.number + 1), "toBlock": hex(block.number)}
        wanted = {**span, "address": self._thresholds, "topics": [self._set_topic]}
        logs, header = self._node.ask_each(
            [("eth_getLogs", [wanted]), ("eth_getBlockByNumber", [hex(since.number), False])]
        )
        return bool(logs) or not isinstance(header, dict) or header["hash"] != since.hash

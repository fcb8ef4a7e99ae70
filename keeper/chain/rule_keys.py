"""Which rules the watched owners have in one thresholds contract, counted again only when one may have been added.

Source: every thresholds contract's `rule_count` and the event it logs when a rule is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from keeper.chain.node import Node, Question
from keeper.chain.reads import ask_together
from keeper.chain.thresholds import answered
from keeper.domain.blocks import Block
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
        self.counted: tuple[RuleKey, ...] = ()
        """Every key there was at the block last asked for."""
        self._counted_at: Block | None = None
        self.unattended: tuple[RuleKey, ...] = ()
        """The first rule of each owner that is beyond the `MOST_RULES` held, as last counted."""

    def at(self, block: Block) -> tuple[RuleKey, ...]:
        """Every key there is at `block`; counted anew only when a rule may have been added."""
        since = self._counted_at
        if since is None or (since.hash != block.hash and self._may_differ(since, block)):
            self._count(block)
        self._counted_at = block
        return self.counted

    def news(self, block: Block) -> Question | None:
        """What tells, asked together with other things, whether a rule was added in `block`; None where they must be
        counted.

        It is for a block that comes right after the last one; its answer is for `hear`.
        """
        since = self._counted_at
        if since is None or since.hash != block.parent or block.number % _BLOCKS_BETWEEN_COUNTS == 0:
            return None
        return self._set_within({"blockHash": block.hash})

    def hear(self, answer: Any, block: Block) -> None:
        """Take the answer to `news`: one that is not empty, a refusal too, is reason to count."""
        if answer:
            self._count(block)
        self._counted_at = block

    def _count(self, block: Block) -> None:
        calls = [Call(self._thresholds, _RULE_COUNT.call(owner)) for owner in self._owners]
        keys: list[RuleKey] = []
        beyond: list[RuleKey] = []
        for owner, answer in zip(self._owners, ask_together(self._node, calls, block.hash), strict=True):
            (count,) = _RULE_COUNT.read(answered(answer, _RULE_COUNT.name))
            keys += [RuleKey(self._thresholds, owner, n) for n in range(min(count, MOST_RULES))]
            if count > MOST_RULES:
                beyond.append(RuleKey(self._thresholds, owner, MOST_RULES))
        self.counted, self.unattended = tuple(keys), tuple(beyond)

    def _may_differ(self, since: Block, block: Block) -> bool:
        """Whether a rule was set after `since`, or `since` is no longer in the chain so that nobody can say."""
        if block.number <= since.number or block.number % _BLOCKS_BETWEEN_COUNTS == 0:
            return True
        span = {"fromBlock": hex(since.number + 1), "toBlock": hex(block.number)}
        logs, header = self._node.ask_each(
            [self._set_within(span), ("eth_getBlockByNumber", [hex(since.number), False])]
        )
        return bool(logs) or not isinstance(header, dict) or header["hash"] != since.hash

    def _set_within(self, span: dict[str, str]) -> Question:
        return "eth_getLogs", [{**span, "address": self._thresholds, "topics": [self._set_topic]}]

"""The ranges under one thresholds contract as the chain shows them at one block.

Every turn reads all watched rules, positions and pools in one question, by a lens; the contract's own verdict is asked
of those that are to be acted on.

Assumes: a node that takes state overrides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keeper.chain.node import Node
from keeper.chain.reads import ask_lent
from keeper.chain.rule_keys import RuleKeys
from keeper.chain.thresholds import address_at, expected_at, findings
from keeper.domain.blocks import Block
from keeper.domain.errors import NodeRefused
from keeper.domain.ranges import RangeSight
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.protocols import range_thresholds
from keeper.protocols.lenses import read_swap_cost, swap_cost_call

# A `check` may take a million gas, and public nodes allow a call some fifty million.
_CHECKS: Final = 40
_FEWEST_ROWS: Final = 4


class Ranges:
    """The rules of `owners` in the contract at `thresholds`, and the positions they are about.

    `Misconfigured` when there is no such contract on the node's chain.
    """

    def __init__(self, node: Node, thresholds: Address, owners: Sequence[Address]) -> None:
        self._node = node
        self.thresholds: Final = thresholds
        with expected_at(node, thresholds, "RangeThresholds"):
            self.manager: Final = address_at(node, thresholds, range_thresholds.MANAGER)
            self._factory: Final = address_at(node, thresholds, range_thresholds.FACTORY)
        self.keys: Final = RuleKeys(node, thresholds, owners, range_thresholds.RULE_SET_TOPIC)
        self._rows = range_thresholds.MOST_ROWS

    def sights(self, keys: Sequence[RuleKey], block: Block) -> list[RangeSight]:
        """The keys' rules and positions at `block`, in as few questions as the node allows."""
        sights: list[RangeSight] = []
        while len(sights) < len(keys):
            chunk = keys[len(sights) : len(sights) + self._rows]
            call = range_thresholds.sights_call(self.thresholds, self.manager, self._factory, chunk)
            try:
                returned = ask_lent(self._node, "RangeLens", call, block.hash)
            except NodeRefused as refusal:
                if refusal.is_about_rate or len(chunk) <= _FEWEST_ROWS:
                    raise
                self._rows = max(len(chunk) // 4, _FEWEST_ROWS)
                continue
            sights += range_thresholds.read_sights(chunk, returned)
        return sights

    def findings(self, keys: Sequence[RuleKey], block: Block) -> list[range_thresholds.Finding]:
        """The contract's own verdict on each rule."""
        return findings(
            self._node, keys, range_thresholds.CHECK, range_thresholds.read_finding, _CHECKS, block.hash
        )

    def swap_gain(self, pool: Address, sells_token0: bool, sold: int, block: Block) -> int | None:
        """What the pool gives for exactly `sold`, every tick on the way included; None if it cannot take it."""
        try:
            returned = ask_lent(self._node, "SwapLens", swap_cost_call(pool, sells_token0, sold), block.hash)
        except NodeRefused as refusal:
            if refusal.is_about_rate:
                raise
            return None
        taken, given = read_swap_cost(returned)
        return given if taken == sold else None

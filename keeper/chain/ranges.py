"""The ranges under one thresholds contract as the chain shows them at one block.

Every turn reads all watched rules, positions and pools in one question, by a lens; the contract's own verdict is asked
of those that are to be acted on.

Assumes: a node that takes state overrides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.chain.rule_keys import RuleKeys
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured, NodeRefused
from keeper.domain.plans import Call
from keeper.domain.ranges import RangeSight
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.protocols import range_thresholds
from keeper.protocols.lenses import lent, read_swap_cost, swap_cost_call
from keeper.protocols.methods import Method, address

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
        if node.ask("eth_getCode", thresholds, "latest") == "0x":
            raise Misconfigured(f"contract: there is no code at {thresholds} on this chain")
        try:
            self.manager: Final = self._address(range_thresholds.MANAGER)
            self._factory: Final = self._address(range_thresholds.FACTORY)
        except (Blind, NodeRefused) as error:
            raise Misconfigured(
                f"contract: {thresholds} is not a RangeThresholds contract ({error})"
            ) from error
        self._keys = RuleKeys(node, thresholds, owners, range_thresholds.RULE_SET_TOPIC)
        self._rows = range_thresholds.MOST_ROWS

    @property
    def unattended(self) -> tuple[RuleKey, ...]:
        """The first rule of each owner that is beyond those held."""
        return self._keys.unattended

    def keys(self, block: Block) -> tuple[RuleKey, ...]:
        """Every rule the owners have at `block`."""
        return self._keys.at(block)

    def sights(self, keys: Sequence[RuleKey], block: Block) -> list[RangeSight]:
        """The keys' rules and positions at `block`, in as few questions as the node allows."""
        sights: list[RangeSight] = []
        while len(sights) < len(keys):
            chunk = keys[len(sights) : len(sights) + self._rows]
            call = range_thresholds.sights_call(self.thresholds, self.manager, self._factory, chunk)
            try:
                message = {"to": call.to, "data": "0x" + call.data.hex()}
                pinned = {"blockHash": block.hash}
                returned = self._node.ask_bytes("eth_call", message, pinned, lent("RangeLens"))
            except NodeRefused as refusal:
                if refusal.is_about_rate or len(chunk) <= _FEWEST_ROWS:
                    raise
                self._rows = max(len(chunk) // 4, _FEWEST_ROWS)
                continue
            sights += range_thresholds.read_sights(chunk, returned)
        return sights

    def findings(self, keys: Sequence[RuleKey], block: Block) -> list[range_thresholds.Finding]:
        """The contract's own verdict on each rule."""
        findings = []
        for at in range(0, len(keys), _CHECKS):
            calls = [
                Call(self.thresholds, range_thresholds.CHECK.call(key.owner, key.id))
                for key in keys[at : at + _CHECKS]
            ]
            for answer in ask_together(self._node, calls, block.hash):
                if answer is None:
                    raise Blind("chain: check reverted")
                findings.append(range_thresholds.read_finding(answer))
        return findings

    def swap_gain(self, pool: Address, sells_token0: bool, sold: int, block: Block) -> int | None:
        """What the pool gives for exactly `sold`, every tick on the way included; None if it cannot take it."""
        call = swap_cost_call(pool, sells_token0, sold)
        message = {"to": call.to, "data": "0x" + call.data.hex()}
        try:
            pinned = {"blockHash": block.hash}
            returned = self._node.ask_bytes("eth_call", message, pinned, lent("SwapLens"))
        except NodeRefused as refusal:
            if refusal.is_about_rate:
                raise
            return None
        taken, given = read_swap_cost(returned)
        return given if taken == sold else None

    def _address(self, method: Method) -> Address:
        message = {"to": self.thresholds, "data": "0x" + method.call().hex()}
        return address(method.read(self._node.ask_bytes("eth_call", message, "latest"))[0])

"""What a contract would say, were its rules' words others: asked of the contract itself, by a state override.

Assumes: a node that takes state overrides; one that does not is `NodeRefused` or answers with words that were not asked
for, which is `Blind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keeper.chain.node import Node
from keeper.chain.reads import read_together, returned_by
from keeper.chain.wire import bytes_of
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, NodeRefused
from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.protocols.as_if import Slots
from keeper.protocols.methods import revert_reason
from keeper.protocols.multicall3 import together


@dataclass(frozen=True, slots=True)
class Proof:
    """A call that reads what was written, and what it must return."""

    call: Call
    expected: bytes


def ask_as_if(
    node: Node, contract: Address, slots: Slots, calls: Sequence[Call], proofs: Sequence[Proof], block: Block
) -> list[bytes | None]:
    """What each call returns, None where it reverts, with so much of the contract's storage replaced.

    `Blind` where a proof does not read what was written.
    """
    asked = [*(proof.call for proof in proofs), *calls]
    (answer,) = node.ask_each([_question(together(asked), contract, slots, block)])
    told = read_together(answer, len(asked))
    if any(read != proof.expected for proof, read in zip(proofs, told[: len(proofs)], strict=True)):
        raise Blind(f"chain: {node.name} does not show {contract} as if its rules were others")
    return told[len(proofs) :]


def refusals_as_if(
    node: Node, contract: Address, slots: Slots, calls: Sequence[tuple[Address, Call]], block: Block
) -> list[str]:
    """For each sender and call the reason it reverts with, empty where it goes through."""
    answers = node.ask_each(
        [_question(call, contract, slots, block, {"from": sender}) for sender, call in calls]
    )
    return [_refusal(answer) for answer in answers]


def _refusal(answer: Any) -> str:
    if isinstance(answer, NodeRefused):
        if not answer.data and "revert" not in answer.message:
            raise answer
        return revert_reason(bytes_of(answer.data or "0x", "eth_call"))
    returned_by(answer)
    return ""


def _question(
    call: Call, contract: Address, slots: Slots, block: Block, fields: Mapping[str, str] | None = None
) -> tuple[str, list[Any]]:
    message = {**(fields or {}), "to": call.to, "data": "0x" + call.data.hex()}
    changed = {f"0x{at:064x}": f"0x{word:064x}" for at, word in slots.items()}
    return "eth_call", [message, {"blockHash": block.hash}, {contract: {"stateDiff": changed}}]

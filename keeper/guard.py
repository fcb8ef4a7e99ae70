"""What this operator will not do, whatever a rule asks: each refusal is a reason, and nothing is sent.

These limits protect the operator's own money and key; the owner's are enforced by the contract.
"""

from __future__ import annotations

from keeper.domain.blocks import Block
from keeper.domain.flights import Flight
from keeper.domain.units import GWEI, NOBODY, Address


def why_not(
    named: Address, block: Block, keeper: Address, action_fee_wei: int, waiting: Flight | None
) -> str | None:
    """The first reason not to act now on a breached rule that names this keeper, or None.

    `waiting` is a flight that `block` does not show yet.
    """
    if named not in (NOBODY, keeper):
        return f"rule: another keeper is named, {named}"
    if waiting is not None:
        return f"sender: nonce {waiting.nonce}, decided in block {waiting.intent.decided_block}, is still under way"
    if block.base_fee > action_fee_wei:
        return f"fees: the base fee of {block.base_fee / GWEI:.1f} gwei is above the limit of {action_fee_wei / GWEI:g}"
    return None

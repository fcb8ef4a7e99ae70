"""What this operator will not do, whatever a rule asks: each refusal is a reason, and nothing is sent.

These limits protect the operator's own money and key; the owner's are enforced by the contract.
"""

from __future__ import annotations

from keeper.domain.blocks import Block
from keeper.domain.flights import Flight, Lately
from keeper.domain.texts import count_text
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


def rests(lately: Lately, block: int) -> str | None:
    """Why an owner is left alone in `block` though a rule is breached: each revert in a row doubles the wait.

    Whoever makes one owner's actions revert, that owner among them, is to cost the others nothing and the operator
    little, and to keep nobody from being rescued for long.
    """
    until = lately.newest + 2**lately.reverted
    if not lately.reverted or block >= until:
        return None
    return (
        f"operator: {count_text(lately.reverted, 'action')} for this owner reverted in a row, and the next is not "
        f"before block {until}"
    )

"""What a quorum of endpoints stands behind: the answers to one question go in, the one to believe comes out.

Everything here is pure, and nothing raises, whatever the answers are: one that cannot be read stands behind nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from keeper.chain.wire import block_of, number_of, receipt_of, spenders_of
from keeper.domain.blocks import Block
from keeper.domain.errors import NodeRefused, NodeUnreachable

HELD: Final = "eth_getTransactionByHash"
_BLOCK: Final = "eth_getBlockByNumber"
_RECEIPT: Final = "eth_getTransactionReceipt"
CRITICAL: Final = frozenset({"eth_chainId", "eth_getTransactionCount", _RECEIPT, _BLOCK})
"""What one endpoint alone is not believed: a batch with any of these in it is asked of all."""

Believed = tuple[Any]
"""An answer in a tuple, since it may be None."""


def decided(method: str, params: Sequence[Any], answers: Sequence[Any], quorum: int) -> Believed | None:
    """The answer that `quorum` endpoints stand behind, so far; None while there is none."""
    if method == HELD:
        held = next((a for a in answers if isinstance(a, dict)), None)
        return (held,) if held is not None or len(answers) >= quorum else None
    if method not in CRITICAL:
        told = [a for a in answers if not isinstance(a, NodeRefused)] or list(answers)
        return (told[0],) if told else None
    if method == _BLOCK and params[0] in ("finalized", "safe"):
        return reached(answers, quorum)
    read = [(gist(method, params, answer), answer) for answer in answers]
    counted = Counter(said for said, _ in read if said is not None).most_common(2)
    if not counted or counted[0][1] < quorum or (len(counted) == 2 and counted[1][1] == counted[0][1]):
        return None
    return (next(answer for said, answer in read if said == counted[0][0]),)


def reached(answers: Sequence[Any], quorum: int) -> Believed | None:
    """The highest block that a quorum has reached, some being ahead; its number is borne out, not its hash."""
    known: list[tuple[int, Any]] = []
    others: list[Any] = []
    for answer in answers:
        if isinstance(answer, NodeRefused) or answer is None:
            others.append(answer)
            continue
        header = _header(answer)
        if header is not None:
            known.append((header.number, answer))
    known.sort(key=lambda each: each[0], reverse=True)
    if len(known) >= quorum:
        return (known[quorum - 1][1],)
    return (others[0],) if len(others) >= quorum else None


def agreed_head(heads: Sequence[Block], quorum: int) -> Block | None:
    """The head that a quorum gives, whole: a liar may leave the hash and change what hangs on it."""
    if not heads:
        return None
    (block, count), *others = Counter(heads).most_common(2)
    return None if count < quorum or (others and others[0][1] == count) else block


def gist(method: str, params: Sequence[Any], answer: Any) -> tuple[object, ...] | None:
    """What must be the same of two answers for them to agree, all that is read of them; None of an unreadable one.

    Nodes differ in what else they add, and in how they write a number.
    """
    if isinstance(answer, NodeRefused):
        return ("refused",)
    try:
        if method not in (_BLOCK, _RECEIPT):
            return (number_of(answer, method),)
        if answer is None:
            return (None,)
        if method == _RECEIPT:
            return (receipt_of(answer),)
        if len(params) > 1 and params[1] is True:
            return (block_of(answer, "asked for"), spenders_of(answer, "asked for"))
        return (block_of(answer, "asked for"),)
    except NodeUnreachable:
        return None


def _header(answer: Any) -> Block | None:
    try:
        return block_of(answer, "asked for")
    except NodeUnreachable:
        return None

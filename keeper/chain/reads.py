"""Many contract questions in one request, pinned to one block."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.chain.node import Node
from keeper.domain.plans import Call
from keeper.protocols.multicall3 import apart, together


def ask_together(node: Node, calls: Sequence[Call], at: str) -> list[bytes | None]:
    """What each call returns at the block whose hash is `at`, None where it reverts."""
    if not calls:
        return []
    call = together(calls)
    return apart(node.call(call.to, call.data, at))

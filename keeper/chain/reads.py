"""Many contract questions in one request, pinned to one block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from keeper.chain.node import Node, Question
from keeper.chain.wire import bytes_of
from keeper.domain.errors import NodeRefused
from keeper.domain.plans import Call
from keeper.protocols.lenses import lent
from keeper.protocols.multicall3 import apart, together

# What reads a word takes some ten thousand gas through a proxy, and public nodes allow a question some fifty million.
_MOST_CALLS: Final = 1_000
_FEWEST_CALLS: Final = 16


def ask_together(node: Node, calls: Sequence[Call], at: str) -> list[bytes | None]:
    """What each call returns at the block whose hash is `at`, None where it reverts."""
    if not calls:
        return []
    return read_together(node.ask_each([together_question(calls, at)])[0], len(calls))


def ask_at_length(node: Node, calls: Sequence[Call], at: str) -> list[bytes | None]:
    """The same of any number of calls, in as many questions as the node's bounds on one of them ask for."""
    answers: list[bytes | None] = []
    most = _MOST_CALLS
    while len(answers) < len(calls):
        try:
            answers += ask_together(node, calls[len(answers) : len(answers) + most], at)
        except NodeRefused as refusal:
            if refusal.is_about_rate or most <= _FEWEST_CALLS:
                raise
            most = max(most // 4, _FEWEST_CALLS)
    return answers


def ask_lent(node: Node, lens: str, call: Call, at: str) -> bytes:
    """What a call of a lens returns at the block whose hash is `at`; `NodeRefused` where the node lends no code."""
    (answer,) = node.ask_each([call_question(call, at, lens)])
    returned = returned_by(answer)
    if not returned:
        raise NodeRefused(f"eth_call: {node.name} lends no code to {lens}")
    return returned


def together_question(calls: Sequence[Call], at: str) -> Question:
    """The same as a question, to be asked with others in one batch."""
    return call_question(together(calls), at)


def read_together(answer: Any, count: int) -> list[bytes | None]:
    """What each of `count` calls returned, from the answer to `together_question`."""
    return apart(returned_by(answer), count)


def call_question(call: Call, at: str, lens: str = "") -> Question:
    """The question what a call returns at the block whose hash is `at`, a lens's code being lent to the one called."""
    message = {"to": call.to, "data": "0x" + call.data.hex()}
    place = {"blockHash": at}
    return ("eth_call", [message, place, lent(lens, call.to)] if lens else [message, place])


def returned_by(answer: Any) -> bytes:
    """The bytes in the answer to a `call_question`; the node's refusal is raised."""
    if isinstance(answer, NodeRefused):
        raise answer
    return bytes_of(answer, "eth_call")

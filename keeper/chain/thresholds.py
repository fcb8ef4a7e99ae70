"""What is asked of every thresholds contract alike: that it is one, and its own word on its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.errors import Blind, Misconfigured
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.protocols.methods import Method, address

Finding = TypeVar("Finding")


@contextmanager
def expected_at(node: Node, thresholds: Address, kind: str) -> Iterator[None]:
    """Turns whatever goes wrong with asking it into `Misconfigured`: there is no contract of `kind` there."""
    if node.ask("eth_getCode", thresholds, "latest") == "0x":
        raise Misconfigured(f"contract: there is no code at {thresholds} on this chain")
    try:
        yield
    except Blind as error:
        raise Misconfigured(f"contract: {thresholds} is not a {kind} contract ({error})") from error


def address_at(node: Node, to: Address, method: Method) -> Address:
    """The address that a contract answers `method` with, now."""
    message = {"to": to, "data": "0x" + method.call().hex()}
    return address(method.read(node.ask_bytes("eth_call", message, "latest"))[0])


def findings(
    node: Node,
    keys: Sequence[RuleKey],
    check: Method,
    read: Callable[[bytes], Finding],
    most: int,
    at: str,
) -> list[Finding]:
    """What the contracts' `check` says of each rule at the block whose hash is `at`, asking `most` at a time."""
    found: list[Finding] = []
    for start in range(0, len(keys), most):
        asked = keys[start : start + most]
        calls = [Call(key.thresholds, check.call(key.owner, key.id)) for key in asked]
        found += [read(answered(answer, check.name)) for answer in ask_together(node, calls, at)]
    return found


def answered(answer: bytes | None, name: str) -> bytes:
    """What a call returned; `Blind` when it reverted."""
    if answer is None:
        raise Blind(f"chain: {name} reverted")
    return answer

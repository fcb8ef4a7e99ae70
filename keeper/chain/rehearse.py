"""The exact calldata, run at the block it was decided on, before anything is made durable or signed."""

from __future__ import annotations

from keeper.chain.node import Node
from keeper.chain.wire import bytes_of, number_of
from keeper.domain.errors import NodeRefused, Unsafe
from keeper.domain.plans import Call
from keeper.domain.units import NOBODY, Address
from keeper.protocols.lenses import LENS, attempt_call, lent, read_attempt
from keeper.protocols.methods import revert_reason

_TRANSACTION_GAS = 21_000
_ZERO_BYTE_GAS = 4
_BYTE_GAS = 16


def rehearse(
    node: Node, call: Call, sender: Address, at: str, *, estimate: bool = False
) -> tuple[int, bytes]:
    """The gas `sender` uses by the call on the state of block hash `at`, and what it returns; `Unsafe` on a revert.

    The gas is measured in the same run, refunds not taken off. With `estimate` the node is asked for it instead, which
    takes some ten times as long: for chains that charge more than the execution, and nodes that lend no code.
    """
    if estimate:
        return _estimated(node, call, sender, at)
    sender = LENS if sender == NOBODY else sender
    wrapped = attempt_call(sender, call)
    message = {"to": wrapped.to, "data": "0x" + wrapped.data.hex()}
    try:
        answer = node.ask_bytes("eth_call", message, {"blockHash": at}, lent("CallLens", sender))
    except NodeRefused:
        answer = b""
    if not answer:
        return _estimated(node, call, sender, at)
    done, gas, returned = read_attempt(answer)
    if not done:
        raise Unsafe(f"rehearsal: {revert_reason(returned)}")
    return gas + _intrinsic_gas(call.data), returned


def _estimated(node: Node, call: Call, sender: Address, at: str) -> tuple[int, bytes]:
    """Assumes: `at` is the head, since nodes estimate on the newest state."""
    message = {"from": sender, "to": call.to, "data": "0x" + call.data.hex()}
    returned, gas = node.ask_each(
        [("eth_call", [message, {"blockHash": at}]), ("eth_estimateGas", [message, "latest"])]
    )
    for answer in (returned, gas):
        if isinstance(answer, NodeRefused):
            if answer.data or "revert" in answer.message:
                raise Unsafe(f"rehearsal: {revert_reason(bytes_of(answer.data, 'eth_call'))}")
            raise answer
    return number_of(gas, "eth_estimateGas"), bytes_of(returned, "eth_call")


def _intrinsic_gas(data: bytes) -> int:
    zeros = data.count(0)
    return _TRANSACTION_GAS + zeros * _ZERO_BYTE_GAS + (len(data) - zeros) * _BYTE_GAS

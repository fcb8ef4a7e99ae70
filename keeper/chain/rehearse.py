"""The exact calldata, run at the block it was decided on, before anything is made durable or signed."""

from __future__ import annotations

from keeper.chain.node import Node
from keeper.domain.errors import NodeRefused, Unsafe
from keeper.domain.plans import Call, Rehearsal
from keeper.domain.units import Address
from keeper.protocols.loan_thresholds import REBALANCE
from keeper.protocols.methods import revert_reason


def rehearse(node: Node, call: Call, sender: Address, at: str) -> Rehearsal:
    """What the call does when `sender` makes it on the state of the block whose hash is `at`; `Unsafe` when it reverts.

    Assumes: `at` is the head, so that the gas estimate, which nodes take on the newest state, is of the same state.
    """
    message = {"from": sender, "to": call.to, "data": "0x" + call.data.hex()}
    returned, gas = node.ask_each(
        [("eth_call", [message, {"blockHash": at}]), ("eth_estimateGas", [message, "latest"])]
    )
    for answer in (returned, gas):
        if isinstance(answer, NodeRefused):
            if answer.data or "revert" in answer.message:
                raise Unsafe(f"rehearsal: {revert_reason(answer.data)}")
            raise answer
    sold, health = REBALANCE.read(bytes.fromhex(returned[2:]))
    return Rehearsal(sold=sold, health=health, gas=int(gas, 16))

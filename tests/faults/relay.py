"""A private relay as there are good and bad ones, before a chain that mines when told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from eth_utils.crypto import keccak

from keeper.chain.node import Node
from keeper.domain.errors import NodeRefused
from tests.faults.proxy import SEND, Call, Proxy, proxied

PRIVATE = "eth_sendPrivateTransaction"
BUNDLE = "eth_sendBundle"
CANCEL = "eth_cancelPrivateTransaction"


class Relay(Proxy):
    """Holds what it is given, a bundle for one block, and has it mined in the next that is mined through it.

    One that `drops` mines nothing, one that `leaks` tells the pool at once, and one that is `deaf` says that it has
    forgotten what it still holds. What else may go wrong with it, its `rules` say as any proxy's.
    """

    def __init__(self, behind: str) -> None:
        super().__init__(behind)
        self.held: dict[str, str] = {}
        self._bundled: list[str] = []
        self.calls: list[Call] = []
        self.drops = self.leaks = self.deaf = False

    def forward(self, calls: list[Call]) -> list[Any]:
        return [{"jsonrpc": "2.0", "id": call["id"], **self._told(call)} for call in calls]

    def mine(self) -> None:
        """Mine a block with what is held, if it is of any use by now."""
        chain = Node(self.behind)
        for raw in () if self.drops else (*self.held.values(), *self._bundled):
            with suppress(NodeRefused):  # its nonce is used, or another bids more
                chain.ask(SEND, raw)
        chain.ask("evm_mine")
        self._bundled.clear()

    def _told(self, call: Call) -> dict[str, Any]:
        self.calls.append(call)
        method, params = call["method"], call["params"]
        if method in (PRIVATE, BUNDLE):
            raw = params[0]["tx"] if method == PRIVATE else params[0]["txs"][0]
            hash_ = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
            if method == BUNDLE:
                self._bundled.append(raw)
            else:
                self.held[hash_] = raw
            if self.leaks:
                Node(self.behind).ask(SEND, raw)
            return {"result": hash_ if method == PRIVATE else {"bundleHash": "0x" + "b0" * 32}}
        if method == CANCEL:
            if not self.deaf:
                self.held.pop(params[0]["txHash"], None)
            return {"result": True}
        return {"error": {"code": -32601, "message": f"the method {method} does not exist"}}


@contextmanager
def relaying(behind: str) -> Iterator[tuple[Relay, str]]:
    """A relay before the chain at `behind`, and its address."""
    made: list[Relay] = []

    def make(url: str) -> Relay:
        made.append(Relay(url))
        return made[0]

    with proxied(behind, make) as (_, url):
        yield made[0], url

"""What a pool of real nodes does and Anvil's does not: it holds what no block has taken, and bids that are too low now.

Anvil mines all it has in the next block, and forgets a bid below the base fee. Here blocks may be full, and what they
leave out, or would not pay for, waits for one that takes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keeper.chain.node import Node, Question
from keeper.domain.errors import NodeRefused
from keeper.domain.units import GWEI

_ABOVE_ALL_REASON = 1_000 * GWEI


@dataclass(frozen=True)
class _Waiting:
    sender: str
    nonce: int
    bid: int
    raw: str


class Pool:
    """Everything that waits on one chain, the highest bid for each nonce."""

    def __init__(self, chain: Node) -> None:
        self._chain = chain
        self._waiting: dict[tuple[str, int], _Waiting] = {}

    def mine(self, how: list[Question], full: bool) -> None:
        """Mine one block, which has room only for bids above all reason if it is `full`, and put back what is left."""
        self._gather()
        if full:
            self._chain.ask("anvil_dropAllTransactions")
            self._put_back(_ABOVE_ALL_REASON)
        self._chain.ask_many([*how, ("evm_mine", [])])
        self._put_back()

    def lose(self) -> None:
        """Forget everything, as a pool under pressure does."""
        self._waiting.clear()
        self._chain.ask("anvil_dropAllTransactions")

    def _gather(self) -> None:
        content = self._chain.ask("txpool_content")
        held: list[dict[str, Any]] = [
            each
            for part in ("pending", "queued")
            for of_one in content[part].values()
            for each in of_one.values()
        ]
        raws = self._chain.ask_many([("eth_getRawTransactionByHash", [each["hash"]]) for each in held])
        for each, raw in zip(held, raws, strict=True):
            found = _Waiting(each["from"], int(each["nonce"], 16), int(each["maxFeePerGas"], 16), raw)
            before = self._waiting.get((found.sender, found.nonce))
            if before is None or before.bid <= found.bid:
                self._waiting[found.sender, found.nonce] = found

    def _put_back(self, least: int = 0) -> None:
        counts: dict[str, int] = {}
        for key, each in sorted(self._waiting.items()):
            if each.sender not in counts:
                asked = "eth_getTransactionCount", each.sender, "latest"
                counts[each.sender] = self._chain.ask_number(*asked)
            if each.nonce < counts[each.sender]:
                del self._waiting[key]
                continue
            if each.bid < least:
                continue
            try:
                self._chain.ask("eth_sendRawTransaction", each.raw)
            except NodeRefused:
                continue  # it holds it, or the bid is too low for now

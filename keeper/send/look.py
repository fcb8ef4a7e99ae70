"""One look at the chain for all open flights: two batches, and a search only when a nonce was used elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keeper.chain.node import Node, Question
from keeper.chain.wire import block_of, number_of, receipt_of, spenders_of
from keeper.domain.blocks import Block
from keeper.domain.errors import NodeRefused, NodeUnreachable
from keeper.domain.flights import Flight, Receipt
from keeper.domain.units import Address
from keeper.send.flight import Seen


@dataclass(frozen=True, slots=True)
class _Told:
    """The node's answers about one flight: a receipt or none per attempt, and whether it knows the newest."""

    receipts: list[Receipt | NodeRefused | None]
    known: bool

    def receipt_in(self, canonical: set[str]) -> Receipt | None:
        for found in self.receipts:
            if isinstance(found, Receipt) and found.block_hash in canonical:
                return found
        return None


class Look:
    """Reads about `address`; `final_depth` below the head stands in where the node cannot say what is final."""

    def __init__(self, node: Node, address: Address, final_depth: int) -> None:
        self._node = node
        self._address = address
        self._final_depth = final_depth

    def chain_id(self) -> int:
        """Which chain the node is on."""
        return _number(self._node.ask("eth_chainId"))

    def account(self) -> tuple[int, int, int]:
        """Nonces used at the head, the same with the node's pending transactions, and the balance in wei."""
        latest, pending, balance = self._node.ask_many(
            [
                ("eth_getTransactionCount", [self._address, "latest"]),
                ("eth_getTransactionCount", [self._address, "pending"]),
                ("eth_getBalance", [self._address, "latest"]),
            ]
        )
        return _number(latest), _number(pending), _number(balance)

    def final_count(self) -> int:
        """Nonces used in final blocks."""
        head, final = self._node.ask_each([("eth_blockNumber", []), _FINALIZED])
        return self._count_at(self._final(final, _number(head)))

    def at(self, flights: Sequence[Flight], head: Block) -> list[Seen]:
        """What the chain shows of each flight, in order."""
        questions: list[Question] = [_FINALIZED, ("eth_getTransactionCount", [self._address, "latest"])]
        for flight in flights:
            questions += [("eth_getTransactionReceipt", [attempt.hash]) for attempt in flight.attempts]
            questions += [("eth_getTransactionByHash", [attempt.hash]) for attempt in flight.attempts[-1:]]
        answers = iter(self._node.ask_each(questions))
        final, mined = self._final(next(answers), head.number), _number(next(answers))
        told = [
            _Told(
                receipts=[_receipt(next(answers), attempt.hash) for attempt in flight.attempts],
                known=any(isinstance(next(answers), dict) for _ in flight.attempts[-1:]),
            )
            for flight in flights
        ]
        canonical = self._canonical(told)
        seen: list[Seen] = []
        for flight, each in zip(flights, told, strict=True):
            receipt = each.receipt_in(canonical)
            gone = receipt is None and bool(flight.attempts) and mined > flight.nonce
            nonce_final = gone and self._count_at(final) > flight.nonce
            seen.append(
                Seen(
                    head=head.number,
                    now=head.timestamp,
                    base_fee=head.base_fee,
                    final=final,
                    mined=mined,
                    receipt=receipt,
                    unread=receipt is None and any(isinstance(found, NodeRefused) for found in each.receipts),
                    known=each.known,
                    nonce_final=nonce_final,
                    consumer=self._consumer(flight, final) if nonce_final else None,
                )
            )
        return seen

    def _canonical(self, told: Sequence[_Told]) -> set[str]:
        """The hashes of those receipts' blocks that the chain has at their numbers now."""
        numbers = {found.block for each in told for found in each.receipts if isinstance(found, Receipt)}
        asked: list[Question] = [("eth_getBlockByNumber", [hex(number), False]) for number in sorted(numbers)]
        headers = [header for header in self._node.ask_many(asked) if header is not None]
        return {block_of(header, "of a receipt").hash for header in headers}

    def _consumer(self, flight: Flight, final: int) -> str | None:
        """What used the flight's nonce, found by halving; None when the node has no state that old."""
        low, high = flight.intent.decided_block - 1, final
        try:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if self._count_at(middle) > flight.nonce else (middle, high)
            block = self._node.ask("eth_getBlockByNumber", hex(high), True)
        except NodeRefused:
            return None
        for spender, nonce, hash_ in () if block is None else spenders_of(block, hex(high)):
            if spender == self._address.lower() and nonce == flight.nonce:
                return hash_
        return None

    def _count_at(self, number: int) -> int:
        return _number(self._node.ask("eth_getTransactionCount", self._address, hex(number)))

    def _final(self, header: Any, head: int) -> int:
        if isinstance(header, dict):
            return block_of(header, "finalized").number
        return max(head - self._final_depth, 0)


_FINALIZED: Question = ("eth_getBlockByNumber", ["finalized", False])


def _number(answer: Any) -> int:
    if isinstance(answer, NodeRefused):
        raise answer
    return number_of(answer, "a count or a balance")


def _receipt(answer: Any, hash_: str) -> Receipt | NodeRefused | None:
    """A receipt as JSON-RPC writes it; None for a transaction that is not mined."""
    if isinstance(answer, NodeRefused) or answer is None:
        return answer
    found = receipt_of(answer)
    if found.hash != hash_:
        raise NodeUnreachable(f"node: asked for the receipt of {hash_}, it answered with another")
    return found

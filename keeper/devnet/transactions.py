"""Calls and transactions on a development chain, from accounts the node has unlocked.

Assumes: Anvil. Keys are never needed here, so this is no way to act on a chain that matters.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.chain.node import Node, Question
from keeper.devnet.artifacts import Compiled
from keeper.domain.errors import Misconfigured, NodeRefused
from keeper.domain.units import Address
from keeper.protocols.methods import method, revert_reason

GAS: Final = 16_000_000
"""Allowed to each transaction: below the 2^24 a transaction may use since Osaka."""
# Enough for a swap or a liquidation, and little enough for 10,000 ETH to allow many at once.
_ACT_GAS: Final = 2_000_000
_BATCH: Final = 40
_MINED_WITHIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction that succeeded: hash, block number, gas used, wei per gas, and its logs as JSON-RPC has them."""

    hash: str
    block: int
    gas_used: int
    gas_price: int
    logs: tuple[dict[str, Any], ...]


def calldata(signature: str, *arguments: Any) -> str:
    """A call in hex: `calldata("transfer(address,uint256)", to, amount)`; structs are tuples in both."""
    return "0x" + method(signature).call(*arguments).hex()


def decoded(returns: str, data: str) -> tuple[Any, ...]:
    """What a call returned, by its types in parentheses; addresses come checksummed when they stand by themselves."""
    answer = method("answer()", returns)
    return tuple(
        to_checksum_address(value) if kind == "address" else value
        for kind, value in zip(answer.outputs, answer.read(bytes.fromhex(data[2:])), strict=True)
    )


def call(node: Node, to: Address, signature: str, returns: str, *arguments: Any) -> tuple[Any, ...]:
    """Ask a contract at the newest block: `call(node, token, "balanceOf(address)", "(uint256)", who)`."""
    return call_many(node, [(to, signature, returns, arguments)])[0]


def call_many(node: Node, calls: Sequence[tuple[Address, str, str, Sequence[Any]]]) -> list[tuple[Any, ...]]:
    """Ask several contracts in one request: each (to, signature, returns, arguments)."""
    asked: list[Question] = [
        ("eth_call", [{"to": to, "data": calldata(signature, *arguments)}, "latest"])
        for to, signature, _, arguments in calls
    ]
    try:
        answers = node.ask_many(asked)
    except NodeRefused as refusal:
        raise NodeRefused(_with_reason(refusal), refusal.code, refusal.data) from None
    return [decoded(returns, answer) for (_, _, returns, _), answer in zip(calls, answers, strict=True)]


def send(
    node: Node, sender: Address, to: Address, signature: str, *arguments: Any, value: int = 0, gas: int = GAS
) -> Mined:
    """Send one transaction and return once it is mined; `NodeRefused` with the contract's reason when it reverts."""
    transaction = {"from": sender, "to": to, "data": calldata(signature, *arguments)}
    sent, mines_by_itself = node.ask_many(
        [
            ("eth_sendTransaction", [{**transaction, "value": hex(value), "gas": hex(gas)}]),
            ("anvil_getAutomine", []),
        ]
    )
    if not mines_by_itself:
        node.ask("evm_mine")
    return receipt(node, sent)


def offer(sender: Address, to: Address, data: str, tip_wei: int, base_fee: int) -> Question:
    """The question that leaves one transaction in the mempool; its answer is the hash.

    Bids as most wallets do: `tip_wei` per gas, capped at twice `base_fee` above it. Anvil fills a block by that cap,
    so of two who see the same base fee the one with the larger tip comes first.
    """
    fields = {"from": sender, "to": to, "data": data, "gas": hex(_ACT_GAS)}
    fields |= {"maxPriorityFeePerGas": hex(tip_wei), "maxFeePerGas": hex(2 * base_fee + tip_wei)}
    return "eth_sendTransaction", [fields]


def receipt(node: Node, transaction: str) -> Mined:
    """Wait for a transaction that is about to be mined; `NodeRefused` with the contract's reason when it reverted."""
    return _succeeded(node, wait_for(node, transaction))


def wait_for(node: Node, transaction: str) -> dict[str, Any]:
    """The receipt, as JSON-RPC writes it, of a transaction that is about to be mined, reverted or not."""
    give_up_at = time.monotonic() + _MINED_WITHIN_SECONDS
    while time.monotonic() < give_up_at:
        found: dict[str, Any] | None = node.ask("eth_getTransactionReceipt", transaction)
        if found is not None:
            return found
        time.sleep(0.002)
    raise NodeRefused(f"{transaction} was not mined within {_MINED_WITHIN_SECONDS:.0f} s")


def receipts(node: Node, hashes: Sequence[str]) -> list[Mined]:
    """The receipts of transactions that a block just took in; `NodeRefused` for one that reverted or was left out."""
    found = node.ask_many([("eth_getTransactionReceipt", [sent]) for sent in hashes])
    for sent, answer in zip(hashes, found, strict=True):
        if answer is None:
            raise NodeRefused(f"the transaction {sent} was left out of the block")
    return [_succeeded(node, answer) for answer in found]


def _succeeded(node: Node, found: dict[str, Any]) -> Mined:
    if found["status"] != "0x1":
        data = revert_data(node, found["transactionHash"])
        raise NodeRefused(f"the transaction {found['transactionHash']} reverted: {reason_in(data)}", 3, data)
    return mined(found)


def mined(found: dict[str, Any]) -> Mined:
    """A receipt as JSON-RPC writes it."""
    return Mined(
        hash=found["transactionHash"],
        block=int(found["blockNumber"], 16),
        gas_used=int(found["gasUsed"], 16),
        gas_price=int(found["effectiveGasPrice"], 16),
        logs=tuple(found["logs"]),
    )


def revert_data(node: Node, transaction: str) -> str:
    """What a mined transaction reverted with, in hex."""
    trace = node.ask("debug_traceTransaction", transaction, {"tracer": "callTracer"})
    output: str = trace.get("output") or "0x"
    return output


def reason_in(data: str) -> str:
    """Revert data in hex, for people."""
    return revert_reason(bytes.fromhex(data.removeprefix("0x")))


def _with_reason(refusal: NodeRefused) -> str:
    return f"{refusal.message} ({reason_in(refusal.data)})" if refusal.data else refusal.message


def create_address(sender: Address, nonce: int) -> Address:
    """Where the `nonce`-th contract of an account, or of a contract (whose first is 1), comes to stand."""
    count = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    written = count if nonce and nonce < 0x80 else bytes([0x80 + len(count)]) + count
    body = b"\x94" + bytes.fromhex(sender[2:]) + written
    return Address(to_checksum_address(keccak(bytes([0xC0 + len(body)]) + body)[12:]))


@contextmanager
def in_one_block(node: Node, sender: Address) -> Iterator[Queue]:
    """Gather transactions in the block's body and mine them together at its end, whatever the node's way of mining."""
    mines_by_itself = node.ask("anvil_getAutomine")
    node.ask("evm_setAutomine", False)
    try:
        queue = Queue(node, sender)
        yield queue
        queue.settle()
    finally:
        node.ask("evm_setAutomine", mines_by_itself)


class Queue:
    """Transactions gathered with explicit nonces, sent in a few batches and mined in one block by `settle`.

    Assumes: automine is off. Every transaction has a name, and the first that fails is reported by it.
    """

    def __init__(self, node: Node, sender: Address) -> None:
        self._node = node
        self._sender = sender
        self._nonces: dict[Address, int] = {}
        self._waiting: list[tuple[str, dict[str, str]]] = []

    def next_addresses(self, count: int) -> tuple[Address, ...]:
        """Where the next `count` contracts will stand if nothing else is queued between them."""
        first = self._nonce(self._sender)
        return tuple(create_address(self._sender, first + step) for step in range(count))

    def create(self, contract: Compiled, *arguments: Any, **libraries: Address) -> Address:
        """Queue a contract's creation; libraries by their name."""
        code = "0x" + contract.linked(libraries) + encode(contract.constructor, arguments).hex()
        address = create_address(self._sender, self._nonce(self._sender))
        self._add(f"creating {contract.name}", {"data": code}, self._sender)
        return address

    def call(
        self, to: Address, signature: str, *arguments: Any, value: int = 0, sender: Address | None = None
    ) -> None:
        """Queue a call, from the queue's own sender unless another is named."""
        transaction = {"to": to, "data": calldata(signature, *arguments), "value": hex(value)}
        self._add(f"{signature[: signature.index('(')]} on {to}", transaction, sender or self._sender)

    def settle(self) -> None:
        """Send what is queued, mine it, and check every receipt."""
        transactions = self._waiting
        self._waiting = []
        hashes: list[str] = []
        for start in range(0, len(transactions), _BATCH):
            batch = transactions[start : start + _BATCH]
            hashes += self._node.ask_many([("eth_sendTransaction", [fields]) for _, fields in batch])
        self._node.ask("evm_mine")
        receipts = {
            found["transactionHash"]: found for found in self._node.ask("eth_getBlockReceipts", "latest")
        }
        for (step, _), sent in zip(transactions, hashes, strict=True):
            found = receipts.get(sent)
            if found is None:
                raise Misconfigured(f"devnet: {step} was not mined with the others")
            if found["status"] != "0x1":
                reason = reason_in(revert_data(self._node, sent))
                raise Misconfigured(f"devnet: {step} failed: {reason}")

    def _nonce(self, sender: Address) -> int:
        if sender not in self._nonces:
            self._nonces[sender] = int(self._node.ask("eth_getTransactionCount", sender, "latest"), 16)
        return self._nonces[sender]

    def _add(self, step: str, fields: dict[str, str], sender: Address) -> None:
        nonce = self._nonce(sender)
        self._nonces[sender] = nonce + 1
        self._waiting.append((step, {**fields, "from": sender, "nonce": hex(nonce), "gas": hex(GAS)}))

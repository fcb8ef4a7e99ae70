"""The doors bytes may leave through: the public one, which is every endpoint's pool, and relays that tell nobody.

A relay proves nothing. What it says it took it may drop, what it refused it may hold, what it was given it may tell,
and what it was asked to forget it may have mined: its word decides nothing but what is written down of it. An action's
bounds and deadline are the contract's, whichever door it left by.

Source: Flashbots' `eth_sendPrivateTransaction`, `eth_cancelPrivateTransaction` and `eth_sendBundle`, as other relays
have them too; a request is signed by a key that stands for nothing but its sender's name there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak

from keeper.chain.node import Node
from keeper.domain.blocks import Block
from keeper.domain.errors import KeeperError, NodeRefused
from keeper.domain.flights import Attempt, Purpose
from keeper.send.answers import Answer, Meaning, read_refusal
from keeper.send.fees import SendLimits, urgency
from keeper.send.flight import PUBLIC

_BLOCKS_HELD: Final = 25
_LONGEST_WORD: Final = 80


def doors_now(
    purpose: Purpose, attempts: Sequence[Attempt], head: Block, deadline: int, limits: SendLimits
) -> tuple[str, ...]:
    """Through which doors bytes leave at `head`; `attempts` are those of the flight so far.

    A cancellation has nothing to hide, and what is public once cannot be hidden again. An action is public after so
    many blocks among relays, or once it is so urgent, as the operator's discretion has it.
    """
    discretion = limits.discretion
    was_public = any(PUBLIC in attempt.doors or not attempt.doors for attempt in attempts)
    if not discretion.relays or purpose is Purpose.CANCEL or was_public:
        return (PUBLIC,)
    blocks = head.number - attempts[0].block if attempts else 0
    waited = 0 < discretion.public_after_blocks <= blocks
    pressing = urgency(deadline - head.timestamp, limits) >= discretion.public_urgency
    return (PUBLIC,) if waited or pressing else discretion.relays


@dataclass(frozen=True, slots=True)
class Relay:
    """One relay by its name; `bundles` gives it bundles of one transaction for the next block instead."""

    name: str
    node: Node
    bundles: bool = False

    def send(self, attempt: Attempt, head: Block) -> Any:
        """Give it the bytes; whatever it answers."""
        raw = "0x" + attempt.raw.hex()
        if self.bundles:
            return self.node.ask("eth_sendBundle", {"txs": [raw], "blockNumber": hex(head.number + 1)})
        most = hex(head.number + _BLOCKS_HELD)
        return self.node.ask("eth_sendPrivateTransaction", {"tx": raw, "maxBlockNumber": most})

    def forget(self, hash_: str) -> Any:
        """Ask it to forget a transaction; a bundle is over with its block."""
        return None if self.bundles else self.node.ask("eth_cancelPrivateTransaction", {"txHash": hash_})


class Doors:
    """The public node and the relays, which are asked all at once and waited for no longer than each one's timeout."""

    def __init__(self, node: Node, relays: Sequence[Relay] = ()) -> None:
        self._node = node
        self._relays = {relay.name: relay for relay in relays}
        # One each, for a node behind a relay is asked by one thread at a time.
        self._threads = {relay.name: ThreadPoolExecutor(1, f"relay {relay.name}") for relay in relays}

    def send(self, attempt: Attempt, doors: Sequence[str], head: Block) -> Answer:
        """Send once through each. Whatever happens here is an answer, since the bytes may be out."""
        private = [self._relays[name] for name in doors if name in self._relays]
        told = self._ask(private, lambda relay: relay.send(attempt, head))
        if PUBLIC in doors:
            return self._publish(attempt)
        taken = [name for name, answer in told.items() if _took(answer, attempt)]
        if taken:
            return Answer(Meaning.TAKEN, f"given to {', '.join(taken)} alone")
        said = "; ".join(f"{name}: {_word(answer)}" for name, answer in told.items())
        return Answer(Meaning.OPEN, f"given to relays alone, and none says that it took it: {said}")

    def forget(self, attempts: Sequence[Attempt]) -> None:
        """Ask whichever relays were given these to forget them, and believe no answer."""
        for attempt in attempts:
            given = [self._relays[name] for name in attempt.doors if name in self._relays]
            self._ask(given, partial(Relay.forget, hash_=attempt.hash))

    def _publish(self, attempt: Attempt) -> Answer:
        try:
            told = self._node.ask("eth_sendRawTransaction", "0x" + attempt.raw.hex())
        except NodeRefused as refusal:
            return read_refusal(refusal)
        except Exception as error:  # noqa: BLE001 - an unforeseen failure says as little as a foreseen one
            return Answer(Meaning.OPEN, _said(error))
        if told != attempt.hash:
            return Answer(Meaning.OPEN, f"the node answered with another hash, {str(told)[:_LONGEST_WORD]}")
        return Answer(Meaning.TAKEN, "")

    def _ask(self, relays: Sequence[Relay], what: Callable[[Relay], Any]) -> dict[str, Any]:
        """Each relay's answer, an exception for one that gave none."""
        if not relays:
            return {}
        asked: dict[str, Future[Any]] = {r.name: self._threads[r.name].submit(what, r) for r in relays}
        wait(asked.values(), max(relay.node.timeout for relay in relays))
        return {name: _outcome(future) for name, future in asked.items()}


def _outcome(future: Future[Any]) -> Any:
    if not future.done():
        return TimeoutError("no answer in time")
    error = future.exception()
    return future.result() if error is None else error


def _took(answer: Any, attempt: Attempt) -> bool:
    """Whether a relay says that it holds these bytes; of a bundle it names another hash."""
    return answer == attempt.hash or (isinstance(answer, dict) and "bundleHash" in answer)


def _word(answer: Any) -> str:
    said = _said(answer) if isinstance(answer, BaseException) else f"it answered {answer!r}"
    return said[:_LONGEST_WORD]


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, KeeperError) else type(error).__name__


def named_by_a_key() -> Callable[[bytes], Mapping[str, str]]:
    """Signs each request with a key made for it, which is worth nothing and kept nowhere."""
    account = Account.from_key(secrets.token_bytes(32))

    def headers(body: bytes) -> Mapping[str, str]:
        said = encode_defunct(text="0x" + keccak(body).hex())
        signature = account.sign_message(said).signature.hex().removeprefix("0x")
        return {"X-Flashbots-Signature": f"{account.address}:0x{signature}"}

    return headers

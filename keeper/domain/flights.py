"""What becomes of an intent: one nonce, the signed attempts that share it, and what the chain says of them.

An `Intent` held in memory is only planned. Journalled together with a nonce and signed bytes it is a flight, and goes

    signed -> broadcast -> included -> final | reverted_final | cancelled
                       \\-----------> replaced
    refused beyond doubt when first sent ----> abandoned

`broadcast` says bytes may be out, not that a node took them. A receipt moves a flight to `included`, a reorganisation
moves it back, and only a final block ends it: a failure too can be undone by a reorganisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keeper.domain.plans import Intent
from keeper.domain.units import Address


class State(StrEnum):
    """Where a flight stands; `ended` and `awaiting` group them."""

    SIGNED = "signed"
    BROADCAST = "broadcast"
    INCLUDED = "included"
    FINAL = "final"
    REVERTED_FINAL = "reverted_final"
    REPLACED = "replaced"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"

    @property
    def ended(self) -> bool:
        """Nothing will change any more."""
        return self in _ENDED

    @property
    def awaiting(self) -> bool:
        """The nonce is taken and no block holds it yet."""
        return self in _AWAITING


_ENDED = frozenset({State.FINAL, State.REVERTED_FINAL, State.REPLACED, State.CANCELLED, State.ABANDONED})
_AWAITING = frozenset({State.SIGNED, State.BROADCAST})


@dataclass(frozen=True, slots=True)
class Lately:
    """What was done for an owner of late: how many actions, sightings apart, which block decided the newest of all, and
    how many of the newest that are in a block reverted in a row."""

    actions: int = 0
    newest: int = 0
    reverted: int = 0


class Purpose(StrEnum):
    """What an attempt is for: the intent's own call, or a transfer to oneself that uses its nonce up."""

    ACT = "act"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Fees:
    """An EIP-1559 bid in wei per unit of gas."""

    max_fee: int
    tip: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """Signed bytes, their hash, and the block that was the newest when they were signed.

    `doors` are the names of those through which they may have left, in that order.
    """

    hash: str
    raw: bytes
    fees: Fees
    purpose: Purpose
    block: int
    doors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Log:
    """An event as the receipt holds it."""

    address: str
    topics: tuple[str, ...]
    data: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain says of one attempt; `gas_price` is what was paid, in wei per unit of gas."""

    hash: str
    block: int
    block_hash: str
    succeeded: bool
    gas_used: int
    gas_price: int
    logs: tuple[Log, ...] = ()

    @property
    def gas_cost(self) -> int:
        """Wei paid for gas."""
        return self.gas_used * self.gas_price


@dataclass(frozen=True, slots=True)
class Flight:
    """An intent, its nonce, and how far it has come; `why` is the reason for `state`, `room: sentence`.

    `sent_block` is the newest block when the newest attempt was first sent, or sent again after it was lost;
    None before anything was.
    """

    intent: Intent
    chain_id: int
    sender: Address
    nonce: int
    state: State
    why: str
    attempts: tuple[Attempt, ...]
    sent_block: int | None = None
    receipt: Receipt | None = None

    @property
    def newest(self) -> Attempt:
        """The attempt a node should hold now: each one replaces those before it."""
        return self.attempts[-1]

    def attempt(self, hash_: str) -> Attempt:
        """The attempt with this hash; KeyError when there is none."""
        for attempt in self.attempts:
            if attempt.hash == hash_:
                return attempt
        raise KeyError(hash_)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a flight's story: at which block it came to stand where, and why."""

    block: int
    state: State
    why: str
    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class Change:
    """What a turn changed about a flight, which is given as it stands after; `alarm` asks for a person."""

    flight: Flight
    before: State
    alarm: bool

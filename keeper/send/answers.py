"""What a node's answer to `eth_sendRawTransaction` proves, which is little.

Only a few refusals prove that the bytes went nowhere: those of a transaction which no pool could hold. All else,
a lost connection as much as an error nobody has seen before, leaves it open whether the bytes are out.

Source: the error texts of geth, reth, Nethermind, Besu, Erigon and Anvil 1.7.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from keeper.domain.errors import NodeRefused


class Meaning(Enum):
    """What an answer allows one to conclude."""

    TAKEN = auto()
    """The node says it holds these bytes."""
    SPENT = auto()
    """The node says the nonce is used: a receipt must tell by whom."""
    REFUSED = auto()
    """Proven: the node did not take the bytes."""
    OPEN = auto()
    """Nothing is known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A meaning and the node's own words for it."""

    meaning: Meaning
    text: str


_TAKEN = ("already known", "already imported", "already exists", "alreadyknown", "existing tx with same hash")
_SPENT = ("nonce too low", "nonce is too low", "oldnonce", "nonce has already been used")
_REFUSED = (
    "insufficient funds",
    "insufficientfunds",
    "upfront cost exceeds account balance",
    "intrinsic gas too low",
    "intrinsic gas too high",
    "intrinsic gas exceeds gas limit",
    "exceeds block gas limit",
    "invalid chain id",
    "wrong chain id",
    "wrong_chain_id",
    "max priority fee per gas higher than max fee per gas",
    "transaction type not supported",
    "invalid sender",
)


def read_refusal(refusal: NodeRefused) -> Answer:
    """Read an error answer; a text not listed here means nothing.

    Of several endpoints one that holds the bytes is enough, and all must refuse them for that to be proven.
    """
    said = [_read(each.message) for each in (refusal, *refusal.others)]
    text = "; ".join(dict.fromkeys(each.message for each in (refusal, *refusal.others)))
    if Meaning.TAKEN in said:
        return Answer(Meaning.TAKEN, text)
    return Answer(said[0] if len(set(said)) == 1 else Meaning.OPEN, text)


def _read(message: str) -> Meaning:
    text = message.lower()
    for meaning, phrases in ((Meaning.TAKEN, _TAKEN), (Meaning.SPENT, _SPENT), (Meaning.REFUSED, _REFUSED)):
        if any(phrase in text for phrase in phrases):
            return meaning
    return Meaning.OPEN

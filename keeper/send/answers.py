"""What a node's answer to `eth_sendRawTransaction` proves, which is little.

Only a few refusals prove that the bytes went nowhere: those of a transaction which no pool could hold. All else,
a lost connection as much as an error nobody has seen before, leaves it open whether the bytes are out.

Source: the error texts of geth, reth, Nethermind, Besu, Erigon, Arbitrum's Nitro and Anvil 1.7.1, as Chainlink's
transaction manager knows them too (core/chains/evm/client/errors.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Text:
    """A pattern in an error's text, in lower case, what it means, and whose text it is."""

    pattern: str
    meaning: Meaning
    clients: str


TEXTS: Final = (
    Text("already known", Meaning.TAKEN, "geth, reth, erigon, arbitrum"),
    Text("already imported", Meaning.TAKEN, "anvil"),
    Text("alreadyknown", Meaning.TAKEN, "nethermind"),
    Text("(?<!un)known transaction", Meaning.TAKEN, "besu"),
    Text("existing tx with same hash", Meaning.TAKEN, "erigon"),
    Text("already exists", Meaning.TAKEN, "gateways"),
    Text("nonce too low", Meaning.SPENT, "geth, reth, besu, erigon, arbitrum, anvil"),
    Text("oldnonce", Meaning.SPENT, "nethermind"),
    Text("nonce is too low", Meaning.SPENT, "gateways"),
    Text("nonce has already been used", Meaning.SPENT, "gateways"),
    Text("insufficient funds", Meaning.REFUSED, "geth, reth, erigon, arbitrum, anvil"),
    Text("insufficientfunds", Meaning.REFUSED, "nethermind"),
    Text("upfront cost exceeds account balance", Meaning.REFUSED, "besu"),
    Text("not enough funds for gas", Meaning.REFUSED, "arbitrum"),
    Text("intrinsic gas too (low|high)", Meaning.REFUSED, "geth, reth, erigon, arbitrum, anvil"),
    Text("intrinsic gas exceeds gas limit", Meaning.REFUSED, "besu"),
    Text("exceeds block gas limit", Meaning.REFUSED, "geth, reth, besu, erigon"),
    Text("gaslimitexceeded", Meaning.REFUSED, "nethermind"),
    Text("(invalid|wrong)[ _]chain[ _]?id", Meaning.REFUSED, "geth, besu, anvil"),
    Text("max priority fee per gas higher than max fee per gas", Meaning.REFUSED, "geth, reth, erigon"),
    Text(r"tx fee \(.*\) exceeds the configured cap", Meaning.REFUSED, "geth, erigon"),
    Text("transaction fee cap exceeded", Meaning.REFUSED, "besu"),
    Text("transaction type not supported", Meaning.REFUSED, "geth"),
    Text("oversized data", Meaning.REFUSED, "geth, erigon"),
    Text("invalid sender", Meaning.REFUSED, "geth, erigon"),
)
"""Every text that means something, the first that fits having its way; all others mean nothing."""


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
    said = message.lower()
    return next((text.meaning for text in TEXTS if re.search(text.pattern, said)), Meaning.OPEN)

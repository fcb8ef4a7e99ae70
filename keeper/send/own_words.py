"""What was signed first is what may be signed again: the key takes no call from the journal alone.

A replacement is made of what the journal says. Whoever can write there holds no key, and could have ours sign any call;
so the journal must say what our own earlier signature says, which nobody else can have made.
"""

from __future__ import annotations

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from keeper.domain.errors import JournalBroken
from keeper.domain.flights import Flight
from keeper.domain.units import Address


def prove_own_words(flight: Flight, signer: Address) -> None:
    """`JournalBroken` unless the flight's chain, nonce, gas, `to`, value and data are those of its first attempt."""
    intent, first = flight.intent, flight.attempts[0]
    said = {
        "type": 2,
        "chainId": flight.chain_id,
        "nonce": flight.nonce,
        "gas": intent.gas_limit,
        "to": bytes.fromhex(intent.call.to[2:]),
        "value": 0,
        "data": intent.call.data,
    }
    where = f"journal: nonce {flight.nonce} of {signer} was changed in it"
    try:
        recovered = Account.recover_transaction(first.raw)
        signed = TypedTransaction.from_bytes(HexBytes(first.raw)).as_dict()
    except Exception as error:
        raise JournalBroken(
            f"{where}: its first attempt is no transaction; nothing is signed for it"
        ) from error
    if recovered != signer:
        raise JournalBroken(f"{where}: its first attempt is {recovered}'s; nothing is signed for it")
    differing = [name for name, value in said.items() if signed.get(name) != value]
    if differing:
        raise JournalBroken(
            f"{where}: its {' and '.join(differing)} is not what was signed first; nothing is signed for it"
        )

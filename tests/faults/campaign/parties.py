"""Whose episodes are played, and how each is judged: everybody by the chain, the keeper by its journal as well."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeper.chain.node import Node
from keeper.domain.errors import JournalBroken
from keeper.domain.flights import Flight, Purpose, State
from keeper.domain.units import mul_div_down
from keeper.domain.verdicts import Kind
from keeper.journal.annals import Annals
from keeper.journal.journal import Journal, Reader, reset
from keeper.send.fees import SendLimits
from keeper.send.sender import Sender
from keeper.send.signers import LocalSigner, Secret
from tests.faults.campaign.crews import Life, keeper
from tests.faults.campaign.faults import Play
from tests.faults.campaign.models import latest_nonce, send_then_record, upward_only, web3_defaults
from tests.faults.campaign.orders import keeper_of_orders
from tests.faults.campaign.works import KEEPER, KEEPER_KEY, MAX_FEE

_ACTION_FEE = mul_div_down(MAX_FEE, 8, 9)
_ABOVE = "is above the ceiling"


@dataclass(frozen=True)
class Party:
    """A life to be lived, what a person does for it once a fault is mended, and what is asked of it afterwards.

    `ends_well` says that it is to end with 0 when it is told to end.
    """

    life: Life
    judge: Callable[[Play], list[str]]
    person: Callable[[Path], None] = lambda _: None
    ends_well: bool = False


def by_the_chain(play: Play) -> list[str]:
    """I1, I2, I3, I4 and I5 of anybody: the chain alone is asked."""
    found = []
    for number, times in play.work.carried_out().items():
        if times > 1:
            found.append(f"I1: order {number} was carried out {times} times")
        if times < 1:
            found.append(f"I2: order {number} was not carried out")
    latest, pending = (play.chain.ask_number("eth_getTransactionCount", KEEPER, tag) for tag in _TAGS)
    pool = play.chain.ask("txpool_status")
    if pending != latest or int(pool["pending"], 16) or int(pool["queued"], 16):
        found.append(
            f"I3: {latest} nonces are used, {pending} with what is pending, and the pool holds {pool}"
        )
    for transaction in _sent(play.chain):
        if int(transaction["gasPrice"], 16) > MAX_FEE and transaction["hash"] not in play.foreign:
            found.append(f"I4: {transaction['hash']} paid {transaction['gasPrice']} a gas, which {_ABOVE}")
    return found + play.work.left_behind()


def by_the_journal(play: Play) -> list[str]:
    """All of them, of a keeper that wrote one."""
    path = play.crew.folder / "keeper.db"
    if not path.exists():
        return [*by_the_chain(play), "I7: it wrote no journal"]
    with Annals(path) as journal:
        flights = journal.actions()
        told = {flight.intent.id: journal.story(flight.intent.id)[-1] for flight in flights}
        tally = journal.tally().flights
    on_chain = {each["hash"]: each for each in _sent(play.chain)}
    found = by_the_chain(play)
    found += _acted(flights, on_chain, play.foreign)
    found += _ended(flights)
    found += _nonces(play, flights, on_chain)
    found += [
        f"I4: a bid of {attempt.fees} for {flight.intent.id} {_ABOVE}"
        for flight in flights
        for attempt in flight.attempts
        if not attempt.fees.tip
        <= attempt.fees.max_fee
        <= (_ACTION_FEE if attempt.purpose is Purpose.ACT else MAX_FEE)
    ]
    found += _told(play, path, flights, tally)
    for flight in flights:
        last = told[flight.intent.id]
        if (last.state, last.why, last.receipt) != (flight.state, flight.why, flight.receipt):
            found.append(f"I7: the story of {flight.intent.id} ends elsewhere than where it stands")
    return found + _goes_on(play.chain, path)


def resume(folder: Path) -> None:
    """What a person does about breakers that tripped, once the trouble is over."""
    try:
        with Reader(folder / "keeper.db") as journal:
            latched = journal.latches()
        if latched:
            reset(folder / "keeper.db")
    except JournalBroken:
        return  # it never came to write one


def _acted(
    flights: tuple[Flight, ...], on_chain: dict[str, dict[str, Any]], foreign: list[str]
) -> Iterator[str]:
    """I1: what the chain holds of this key is the journal's, each intent once, as the journal tells it."""
    ours = {attempt.hash for flight in flights for attempt in flight.attempts}
    for hash_ in on_chain:
        if hash_ not in ours and hash_ not in foreign:
            yield f"I1: {hash_} is on the chain and not in the journal"
    for flight in flights:
        mined = [attempt for attempt in flight.attempts if attempt.hash in on_chain]
        if len(mined) > 1:
            yield f"I1: {flight.intent.id} was mined {len(mined)} times"
        if flight.state is State.FINAL and [a.purpose for a in mined] != [Purpose.ACT]:
            yield f"I1: {flight.intent.id} is said to be done and is not"
        if flight.receipt is not None and [a.hash for a in mined] != [flight.receipt.hash]:
            yield f"I7: the receipt of {flight.intent.id} is not the chain's"


def _ended(flights: tuple[Flight, ...]) -> Iterator[str]:
    """I2: all has ended, and with a reason."""
    for flight in flights:
        if not flight.state.ended:
            yield f"I2: {flight.intent.id} has not ended: {flight.why}"
        if not flight.why.partition(": ")[2]:
            yield f"I2: {flight.intent.id} has no reason"


def _nonces(play: Play, flights: tuple[Flight, ...], on_chain: dict[str, dict[str, Any]]) -> Iterator[str]:
    """I3: every nonce is one flight's, or was used by others on the chain."""
    held = [flight.nonce for flight in flights if flight.state is not State.ABANDONED]
    if len(set(held)) != len(held):
        yield f"I3: a nonce is held twice, of {held}"
    used = {int(each["nonce"], 16) for each in on_chain.values()}
    if not set(held) <= used:
        yield f"I3: the nonces {sorted(set(held) - used)} are held, and not used on the chain"


def _told(play: Play, path: Path, flights: tuple[Flight, ...], tally: Any) -> Iterator[str]:
    """I6: no block at which a rule was breached is without an intent or a reason, and what ended badly is counted and,
    where the process lived, was told."""
    decided = {(flight.intent.decided_hash, flight.intent.plan.key.owner) for flight in flights}
    query = "SELECT t.number, t.hash, v.owner, v.kind, v.why FROM verdict v JOIN turn t ON t.id = v.turn"
    with closing(sqlite3.connect(path)) as journal:
        for number, hash_, owner, kind, why in journal.execute(query):
            if kind == int(Kind.BREACHED) and (hash_, owner) not in decided:
                yield f"I6: at block {number} {owner} was breached, and neither acted for nor told why not"
            if kind in (int(Kind.BARRED), int(Kind.BLIND)) and not why.partition(": ")[2]:
                yield f"I6: at block {number} {owner} has no reason, {why!r}"
    for state in (State.REVERTED_FINAL, State.REPLACED):
        bad = [flight for flight in flights if flight.state is state]
        if tally.get(state, 0) != len(bad):
            yield f"I6: {len(bad)} flights are {state}, and {tally.get(state, 0)} are counted"
        for flight in bad:
            if play.crew.starts == 1 and not _alarmed(play.crew.said("stdout"), flight.intent.id):
                yield f"I6: nobody was told that {flight.intent.id} is {state}"


def _alarmed(said: str, intent_id: str) -> bool:
    return any(intent_id in line and '"alarm": true' in line for line in said.splitlines())


def _goes_on(chain: Node, path: Path) -> list[str]:
    """I7: a keeper that starts from this journal finds nothing to do and nothing to change."""
    head, sent = chain.head(), chain.ask("txpool_status")
    chain_id = chain.ask_number("eth_chainId")
    with Journal(path) as journal:
        limits = SendLimits(max_fee_wei=MAX_FEE, tip_wei=10**9)
        sender = Sender(chain, journal, LocalSigner(Secret(KEEPER_KEY)), chain_id, limits)
        changes = sender.recover(head)
    if changes or chain.ask("txpool_status") != sent:
        return [f"I7: read anew, the journal asks for more: {[change.flight.why for change in changes]}"]
    return []


def _sent(chain: Node) -> list[dict[str, Any]]:
    """Every transaction of the key in the chain as it is now, by its node's account."""
    head = chain.head().number
    blocks = chain.ask_many([("eth_getBlockByNumber", [hex(n), True]) for n in range(head + 1)])
    return [
        transaction
        for block in blocks
        for transaction in block["transactions"]
        if int(transaction["from"], 16) == int(KEEPER, 16)
    ]


_TAGS = ("latest", "pending")
WHOLE_KEEPER = Party(keeper, by_the_journal, resume, ends_well=True)

SCORED = {
    "keeper": Party(keeper_of_orders, by_the_journal, resume, ends_well=True),
    "send, then record": Party(send_then_record, by_the_chain),
    "latest nonce": Party(latest_nonce, by_the_chain),
    "upward-only counter": Party(upward_only, by_the_chain),
    "web3.py as it comes": Party(web3_defaults, by_the_chain),
}
"""Those who are compared, on the counter: the keeper with a kind of position for it, and models of how others send."""

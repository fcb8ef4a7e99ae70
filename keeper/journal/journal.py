"""What the keeper saw, decided, signed and learned, durable before anything leaves the machine.

Every write is one transaction, and on the disk when the method returns. A failure of the store is a `JournalBroken`
with one sentence; the caller then sends nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    bindparam,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from keeper.domain.blocks import Block
from keeper.domain.errors import JournalBroken, KeeperError, Misconfigured, Unsafe
from keeper.domain.flights import Attempt, Flight, Lately, Purpose, State, Step
from keeper.domain.plans import WITNESS, Intent
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind, Verdict
from keeper.journal import rows
from keeper.journal.places import place_of
from keeper.journal.shares import Share
from keeper.journal.tables import (
    FREE,
    SHARED,
    VERSION,
    about,
    attempt,
    breaker,
    intent,
    lease,
    metadata,
    nonce,
    outcome,
    toll,
    turn,
    verdict,
)

FORMAT = "threshold-keeper journal"
OLDEST = 2
"""The oldest tables that are brought up to date."""
LEASED = 3
"""The first that know of a lease."""
# What a launch waits for is put together once.
_OPEN = insert(intent).values(
    opened=select(func.coalesce(func.max(intent.c.opened), 0) + 1).scalar_subquery()
)
_HOLD, _SIGN, _TELL = insert(nonce), insert(attempt), insert(outcome)
_LATCHED = select(breaker).where(breaker.c.forgiven.is_(None)).order_by(breaker.c.n)
_SUCCEEDED = (
    select(outcome.c.succeeded)
    .join(attempt, (attempt.c.intent == outcome.c.intent) & (attempt.c.hash == outcome.c.hash))
    .where(outcome.c.intent == intent.c.id, attempt.c.purpose == Purpose.ACT)
    .order_by(outcome.c.n.desc())
    .limit(1)
    .scalar_subquery()
)
_LATELY = (
    select(intent.c.owner, intent.c.action, intent.c.decided_block, _SUCCEEDED)
    .where(intent.c.decided_block > bindparam("since"))
    .order_by(intent.c.opened)
)


@dataclass(frozen=True, slots=True)
class Page:
    """What the journal holds of one owner at one turn.

    `rivals` are the hashes of other blocks of the same number, seen before or after a reorganisation. `flights` were
    decided in this turn; `open` were under way, decided earlier and not ended yet as this turn was written;
    `later` is the owner's next flight after this turn.
    """

    block: Block
    note: str
    verdicts: tuple[Verdict, ...]
    rivals: tuple[str, ...]
    flights: tuple[Flight, ...]
    open: tuple[Flight, ...]
    later: Flight | None


@dataclass(frozen=True, slots=True)
class Latch:
    """A breaker that has tripped and nobody has reset: at which block, and why."""

    name: str
    block: int
    why: str


class Reader:
    """A journal opened to be read, beside a keeper that may be writing it.

    Its address is `sqlite:///file`, a plain path, or `postgresql://user@host/database`.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self._place = place_of(url)
        self._connection = self._open()

    def close(self) -> None:
        """Give the file back."""
        engine = self._connection.engine
        self._connection.close()
        engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def last_turn(self) -> Block | None:
        """The block of the turn written last; None when there was none."""
        with self._transaction() as db:
            row = db.execute(select(turn).order_by(turn.c.id.desc()).limit(1)).mappings().first()
        return rows.block_of_turn(row) if row else None

    def flights(self, chain_id: int | None = None, sender: Address | None = None) -> tuple[Flight, ...]:
        """All that have not ended, in the order of their nonces."""
        wanted: list[ColumnElement[bool]] = [
            intent.c.state.in_([state.value for state in State if not state.ended])
        ]
        if chain_id is not None:
            wanted.append(intent.c.chain == chain_id)
        if sender is not None:
            wanted.append(intent.c.sender == sender)
        with self._transaction() as db:
            found = flights_where(db, *wanted)
        return tuple(sorted(found, key=lambda flight: (flight.chain_id, flight.sender, flight.nonce)))

    def actions(self, owner: Address | None = None) -> tuple[Flight, ...]:
        """Every intent not pruned yet, oldest first, with plan, rehearsal, attempts and receipt."""
        with self._transaction() as db:
            return flights_where(db) if owner is None else flights_where(db, intent.c.owner == owner)

    def story(self, intent_id: str) -> tuple[Step, ...]:
        """Everywhere one flight has stood, and why."""
        query = select(outcome).where(outcome.c.intent == intent_id).order_by(outcome.c.n)
        with self._transaction() as db:
            return tuple(rows.step_of(row) for row in db.execute(query).mappings())

    def verdicts(self, owner: Address, block: int | None = None) -> Page | None:
        """What was judged of `owner` in the newest turn at or before `block`, and what came of it; None when no turn is
        that old. Of two blocks of one number, the one seen last.
        """
        query = select(turn).order_by(turn.c.number.desc(), turn.c.id.desc()).limit(1)
        if block is not None:
            query = query.where(turn.c.number <= block)
        with self._transaction() as db:
            row = None
            if _is_shared(db):  # and the owner's share may not have come to the newest turn yet
                mine = select(verdict.c.turn).where(verdict.c.owner == owner)
                row = db.execute(query.where(turn.c.id.in_(mine))).mappings().first()
            row = row or db.execute(query).mappings().first()
            return _page(db, owner, row) if row else None

    def last_stirred(self, owner: Address) -> int | None:
        """The newest block at which a verdict on `owner` was other than within; None when there was none."""
        query = (
            select(func.max(turn.c.number))
            .join(verdict)
            .where(verdict.c.owner == owner, verdict.c.kind != Kind.WITHIN.value)
        )
        with self._transaction() as db:
            newest: int | None = db.execute(query).scalar()
        return newest

    def lately(self, since: int) -> dict[Address, Lately]:
        """What was done for each owner after block `since`."""
        found: dict[Address, Lately] = {}
        with self._transaction() as db:
            for owner, action, decided, succeeded in db.execute(_LATELY, {"since": since}):
                had = found.get(owner, Lately())
                reverted = had.reverted if succeeded is None else 0 if succeeded else had.reverted + 1
                found[owner] = Lately(had.actions + (action != WITNESS), max(had.newest, decided), reverted)
        return found

    def top_nonce(self, chain_id: int, sender: Address) -> int | None:
        """The highest nonce held by an intent; None when none is."""
        query = select(func.max(nonce.c.number)).where(nonce.c.chain == chain_id, nonce.c.sender == sender)
        with self._transaction() as db:
            top: int | None = db.execute(query).scalar()
        return top

    def latches(self) -> tuple[Latch, ...]:
        """The breakers that are latched, the first to trip first: while there is one, no nonce is given."""
        with self._transaction() as db:
            return _latches(db)

    def unforgiven(
        self, names: Sequence[str], since: int, newest: int = 100
    ) -> dict[str, tuple[Flight, ...]]:
        """What each of these breakers still counts, oldest first: the flights with a deadline after `since` and the
        newest in any case, as far as they were opened since that breaker was last reset.
        """
        top = select(func.coalesce(func.max(intent.c.opened), 0)).scalar_subquery()
        counted = (intent.c.deadline > since) | (intent.c.opened > top - newest)
        resets = select(breaker.c.name, func.coalesce(func.max(breaker.c.forgiven), 0)).group_by(
            breaker.c.name
        )
        with self._transaction() as db:
            forgiven: dict[str, int] = {row[0]: row[1] for row in db.execute(resets)}
            opened = {
                row.id: row.opened for row in db.execute(select(intent.c.id, intent.c.opened).where(counted))
            }
            found = flights_where(db, counted)
        return {
            name: tuple(flight for flight in found if opened[flight.intent.id] > forgiven.get(name, 0))
            for name in names
        }

    def tolls(self, intents: Sequence[str]) -> dict[str, tuple[str, int | None]]:
        """By intent, in which block's hash its action was weighed, and what share of its worth the position lost."""
        query = select(toll).where(toll.c.intent.in_(intents))
        with self._transaction() as db:
            return {row.intent: (row.block_hash, row.lost_bps) for row in db.execute(query)}

    def final(self) -> tuple[int, str] | None:
        """Number and hash of the last block that was written down as final; None before there was one."""
        with self._transaction() as db:
            held = dict(_facts(db)).get("final")
        number, _, hash_ = (held or "").partition(" ")
        return (int(number), hash_) if held else None

    def chain(self) -> tuple[int, str] | None:
        """The chain id and genesis hash this journal belongs to; None before a keeper has used it."""
        with self._transaction() as db:
            return _chain(db)

    def among(self) -> str:
        """How the owners are shared, as the keepers that write it say; empty where one writes all."""
        with self._transaction() as db:
            return dict(_facts(db)).get(SHARED, "")

    def _open(self) -> Connection:
        connection = self._place.connect(writing=False)
        try:
            with self._guarded(), connection.begin():
                version = self._version(connection)
            if version is None:
                raise JournalBroken(f"journal: {self._place} is empty: no keeper has opened it yet")
            if version < VERSION:
                raise JournalBroken(
                    f"journal: {self._place} was written by an older keeper (its tables are version {version}, these "
                    f"are {VERSION}); it is brought up to date when this one runs"
                )
        except JournalBroken:
            connection.close()
            raise
        return connection

    def _version(self, connection: Connection) -> int | None:
        """Which tables are there, None for no tables at all; `JournalBroken` when they cannot be used."""
        present = inspect(connection).get_table_names()
        if not present:
            return None
        held = dict(_facts(connection)) if about.name in present else {}
        if held.get("format") != FORMAT:
            raise JournalBroken(f"journal: {self._place} is not a keeper's journal")
        version = int(held["version"])
        if not OLDEST <= version <= VERSION:
            writer = "a newer" if version > VERSION else "too old a"
            raise JournalBroken(
                f"journal: {self._place} was written by {writer} keeper (its tables are version {version}, "
                f"these are {VERSION})"
            )
        return version

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._guarded(), self._connection.begin():
            yield self._connection

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise self._place.broken(error) from error


class Journal(Reader):
    """A journal opened to be written, by this process alone until it is closed, ends or, on a server, falls silent.

    Opening it raises `Standby` while another keeper leads, and any method `Superseded` once another has taken over.
    With a `share` all that is said of that share, and the others are written by whoever has them.
    """

    def __init__(self, url: str | os.PathLike[str], share: Share | None = None) -> None:
        self._share = share
        self._right = place_of(url).right(share)
        self._epoch = 0
        try:
            super().__init__(url)
        except BaseException:
            self._right.release()
            raise

    @property
    def leads(self) -> bool:
        """Whether this keeper may still write, as far as it can know without asking."""
        return self._right.held

    def close(self) -> None:
        """Give the journal back and let another keeper write it."""
        super().close()
        self._right.release()

    def bind(self, chain_id: int, genesis: str) -> None:
        """Tie the journal to one chain for good; `Misconfigured` when it belongs to another."""
        with self._transaction() as db:
            held = _chain(db)
            if held is None:
                facts = [{"name": "chain", "value": str(chain_id)}, {"name": "genesis", "value": genesis}]
                db.execute(insert(about), facts)
                return
        if held != (chain_id, genesis):
            raise Misconfigured(
                f"journal: {self._place} belongs to chain {held[0]} that began with {held[1]}, and the node is on "
                f"chain {chain_id} that began with {genesis}; name another file"
            )

    def write_turn(self, block: Block, verdicts: Sequence[Verdict], note: str = "") -> bool:
        """A turn and all its verdicts; False, and nothing changed, when the block's hash was written before.

        The shares of a journal write one turn together: the first begins it, the others add to it.
        """
        with self._transaction() as db:
            begun = db.execute(select(turn).where(turn.c.hash == block.hash)).mappings().first()
            if begun is not None:
                return self._share is not None and _add_to_turn(db, begun, verdicts, note)
            written = db.execute(insert(turn), rows.turn_row(block, note)).inserted_primary_key
            assert written is not None
            if verdicts:
                db.execute(insert(verdict), [rows.verdict_row(written[0], each) for each in verdicts])
        return True

    def open_intent(
        self, planned: Intent, chain_id: int, sender: Address, number: int, signed: Attempt
    ) -> Flight:
        """Keep the intent, its nonce and the signed bytes, which may be broadcast once this has returned.

        `Unsafe`, and nothing kept, when a breaker is latched, or the intent or the nonce taken already.
        """
        flight = Flight(
            planned, chain_id, sender, number, State.SIGNED, f"send: signed as {signed.hash}", (signed,)
        )
        held = {"chain": chain_id, "sender": sender, "number": number, "intent": planned.id}
        with self._transaction() as db:
            for latch in _latches(db):
                raise Unsafe(stopped_by(latch))
            try:
                db.execute(_OPEN, rows.intent_row(flight) | {"epoch": self._epoch})
                db.execute(_HOLD, held)
            except IntegrityError as error:
                raise Unsafe(
                    f"journal: intent {planned.id} or nonce {number} of {sender} is already taken"
                ) from error
            db.execute(_SIGN, rows.attempt_row(planned.id, 1, signed))
            step = Step(signed.block, flight.state, flight.why, None)
            db.execute(_TELL, rows.step_row(planned.id, 1, step))
        return flight

    def add_attempt(self, intent_id: str, signed: Attempt) -> None:
        """Keep the signed bytes of a replacement, which may be broadcast once this has returned."""
        with self._transaction() as db:
            n = _next_n(db, attempt, intent_id)
            db.execute(insert(attempt), rows.attempt_row(intent_id, n, signed))

    def open_doors(self, intent_id: str, hash_: str, doors: Sequence[str]) -> None:
        """Keep through which doors an attempt's bytes may have left, which they may once this has returned."""
        mine = (attempt.c.intent == intent_id) & (attempt.c.hash == hash_)
        with self._transaction() as db:
            db.execute(update(attempt).where(mine).values(doors=rows.doors_text(doors)))

    def record(self, intent_id: str, step: Step, sent_block: int | None = None) -> None:
        """Where a flight stands now. An abandoned one gives its nonce back in the same transaction."""
        with self._transaction() as db:
            _step(db, intent_id, step)
            if sent_block is not None:
                db.execute(update(intent).where(intent.c.id == intent_id).values(sent_block=sent_block))
            if step.state is State.ABANDONED:
                db.execute(delete(nonce).where(nonce.c.intent == intent_id))

    def latch(self, name: str, block: int, why: str) -> bool:
        """Let a breaker trip until a person resets it; False when it was latched already."""
        with self._transaction() as db:
            if any(latch.name == name for latch in _latches(db)):
                return False
            db.execute(insert(breaker), {"name": name, "block": block, "why": why})
        return True

    def weigh(self, intent_id: str, block_hash: str, lost_bps: int | None) -> None:
        """Keep what share of its worth a position lost in the block of an action, in place of what was kept before."""
        with self._transaction() as db:
            db.execute(delete(toll).where(toll.c.intent == intent_id))
            db.execute(insert(toll), {"intent": intent_id, "block_hash": block_hash, "lost_bps": lost_bps})

    def mark_final(self, block: int, hash_: str) -> None:
        """Write down a block that is final now."""
        with self._transaction() as db:
            db.execute(delete(about).where(about.c.name == "final"))
            db.execute(insert(about), {"name": "final", "value": f"{block} {hash_}"})

    def prune(self, before: int, ended_before: int = 0) -> int:
        """Forget the turns below block `before` in which nothing was decided; how many those were.

        Flights that have ended go when their deadline is before `ended_before`, but for the last of each sender, which
        tells the next its nonce.
        """
        decided = select(intent.c.decided_hash)
        quiet = select(turn.c.id).where(turn.c.number < before, turn.c.hash.not_in(decided))
        with self._transaction() as db:
            gone = list(db.execute(_forgettable(ended_before)).scalars())
            for table in (outcome, attempt, nonce, toll):
                db.execute(delete(table).where(table.c.intent.in_(gone)))
            db.execute(delete(intent).where(intent.c.id.in_(gone)))
            db.execute(delete(verdict).where(verdict.c.turn.in_(quiet)))
            return db.execute(delete(turn).where(turn.c.id.in_(quiet))).rowcount

    def _open(self) -> Connection:
        connection = self._place.connect(writing=True)
        try:
            with self._guarded(), connection.begin():
                self._place.alone(connection)
                version = self._version(connection)
                if version is None:
                    metadata.create_all(connection)
                    facts = [{"name": "format", "value": FORMAT}, {"name": "version", "value": str(VERSION)}]
                    connection.execute(insert(about), facts)
                    connection.execute(insert(lease), FREE)
                elif version < LEASED:  # so nobody can hold a lease of it
                    _bring_up_to_date(connection, version)
                self._right.agree(connection)
            self._right.take()
            with self._guarded(), connection.begin():
                self._place.alone(connection)
                self._right.agree(connection)  # for it may have been shared otherwise in between
                version = self._version(connection) or VERSION
                if version < VERSION:
                    self._right.none_beside(connection)
                # A file that may only be read opens without a word: one write tells.
                _bring_up_to_date(connection, version)
        except KeeperError:
            connection.close()
            raise
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with super()._transaction() as db:
            self._epoch = self._right.epoch(db)
            yield db


def reset(url: str | os.PathLike[str], names: Sequence[str] = ()) -> tuple[Latch, ...]:
    """Reset the breakers of these names, or all, and say which were latched; a keeper may be writing all the while."""
    with _beside(url) as db:
        found = tuple(latch for latch in _latches(db) if not names or latch.name in names)
        opened = select(func.coalesce(func.max(intent.c.opened), 0)).scalar_subquery()
        mine = breaker.c.name.in_([latch.name for latch in found]) & breaker.c.forgiven.is_(None)
        db.execute(update(breaker).where(mine).values(forgiven=opened))
    return found


def hold(url: str | os.PathLike[str], name: str, why: str) -> tuple[Latch, bool]:
    """Latch by hand at the newest turn's block, and whether it was not latched before; a keeper may be writing
    all the while, and gives no nonce once this has returned.
    """
    with _beside(url) as db:
        for latch in _latches(db):
            if latch.name == name:
                return latch, False
        block = db.execute(select(func.coalesce(func.max(turn.c.number), 0))).scalar_one()
        db.execute(insert(breaker), {"name": name, "block": block, "why": why})
    return Latch(name, block, why), True


@contextmanager
def _beside(url: str | os.PathLike[str]) -> Iterator[Connection]:
    """One transaction on the journal of a keeper that goes on meanwhile."""
    place = place_of(url)
    with Reader(url):  # which says what is wrong with it
        pass
    connection = place.connect(writing=True)
    try:
        with connection.begin():
            yield connection
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise place.broken(error) from error
    finally:
        connection.close()
        connection.engine.dispose()


def stopped_by(latch: Latch) -> str:
    """Why nothing is sent while a breaker is latched, and what to type."""
    return f"{latch.why}; stopped since block {latch.block} until a person types `keeper resume {latch.name}`"


def _latches(db: Connection) -> tuple[Latch, ...]:
    return tuple(Latch(row.name, row.block, row.why) for row in db.execute(_LATCHED))


def _bring_up_to_date(db: Connection, version: int) -> None:
    if version < VERSION:
        # Only then, because alembic takes longer to load than all the rest to start.
        from keeper.journal.migrations import upgrade  # noqa: PLC0415

        upgrade(db, version, VERSION)
    db.execute(update(about).where(about.c.name == "version").values(value=str(VERSION)))


def _add_to_turn(db: Connection, begun: RowMapping, verdicts: Sequence[Verdict], note: str) -> bool:
    """What another share of the journal had to say of the same block; False when it had been said."""
    there = db.execute(
        select(verdict.c.owner, verdict.c.thresholds, verdict.c.rule).where(verdict.c.turn == begun["id"])
    )
    keys = {(row.owner, row.thresholds, row.rule) for row in there}
    new = [each for each in verdicts if (each.key.owner, each.key.thresholds, each.key.id) not in keys]
    if len(new) < len(verdicts):
        return False
    if new:
        db.execute(insert(verdict), [rows.verdict_row(begun["id"], each) for each in new])
    if note and note not in begun["note"]:
        both = "; ".join(filter(None, [begun["note"], note]))
        db.execute(update(turn).where(turn.c.id == begun["id"]).values(note=both))
    return bool(new)


def _is_shared(db: Connection) -> bool:
    return SHARED in dict(_facts(db))


def _facts(db: Connection) -> list[tuple[str, str]]:
    return [(row.name, row.value) for row in db.execute(select(about))]


def _chain(db: Connection) -> tuple[int, str] | None:
    held = dict(_facts(db))
    return (int(held["chain"]), held["genesis"]) if "chain" in held else None


def _step(db: Connection, intent_id: str, step: Step) -> None:
    db.execute(insert(outcome), rows.step_row(intent_id, _next_n(db, outcome, intent_id), step))
    db.execute(update(intent).where(intent.c.id == intent_id).values(state=step.state.value))


def _next_n(db: Connection, table: Any, intent_id: str) -> int:
    top: int = db.execute(
        select(func.coalesce(func.max(table.c.n), 0)).where(table.c.intent == intent_id)
    ).scalar_one()
    return top + 1


def flights_where(db: Connection, *wanted: ColumnElement[bool]) -> tuple[Flight, ...]:
    """The flights whose intents are wanted, oldest first."""
    found = db.execute(select(intent).where(*wanted).order_by(intent.c.opened)).mappings().all()
    if not found:
        return ()
    signed: dict[str, list[Attempt]] = {row["id"]: [] for row in found}
    last: dict[str, Step] = {}
    query = select(attempt).join(intent).where(*wanted).order_by(attempt.c.n)
    for row in db.execute(query).mappings():
        signed[row["intent"]].append(rows.attempt_of(row))
    query = select(outcome).join(intent).where(*wanted).order_by(outcome.c.n)
    for row in db.execute(query).mappings():
        last[row["intent"]] = rows.step_of(row)
    return tuple(rows.flight_of(row, tuple(signed[row["id"]]), last[row["id"]]) for row in found)


def _page(db: Connection, owner: Address, row: RowMapping) -> Page:
    block = rows.block_of_turn(row)
    judged = select(verdict).where(verdict.c.turn == row["id"], verdict.c.owner == owner)
    found = sorted(
        (rows.verdict_of(each) for each in db.execute(judged).mappings()), key=lambda each: each.key
    )
    others = (
        select(turn.c.hash).where(turn.c.number == block.number, turn.c.id != row["id"]).order_by(turn.c.id)
    )
    mine = intent.c.owner == owner
    after = (
        select(func.min(intent.c.opened)).where(mine, intent.c.decided_block > block.number).scalar_subquery()
    )
    later = flights_where(db, intent.c.opened == after)
    earlier = flights_where(db, mine, intent.c.decided_block < block.number, _under_way_at(block.number))
    return Page(
        block=block,
        note=row["note"],
        verdicts=tuple(found),
        rivals=tuple(db.execute(others).scalars()),
        flights=flights_where(db, mine, intent.c.decided_hash == block.hash),
        open=earlier,
        later=later[0] if later else None,
    )


def _forgettable(ended_before: int) -> Select[tuple[str]]:
    """The ids of flights that are over for long and that no later nonce leans on, some hundred at a time."""
    beside = nonce.alias()
    top = (
        select(func.max(beside.c.number))
        .where(beside.c.chain == intent.c.chain, beside.c.sender == intent.c.sender)
        .scalar_subquery()
    )
    last = select(func.max(intent.alias().c.opened)).scalar_subquery()
    over = intent.c.state.in_([state.value for state in State if state.ended])
    old = select(intent.c.id).where(over, intent.c.deadline < ended_before)
    return old.where(intent.c.number < top, intent.c.opened < last).order_by(intent.c.opened).limit(500)


def _under_way_at(number: int) -> ColumnElement[bool]:
    ended = [state.value for state in State if state.ended]
    over = select(outcome.c.intent).where(outcome.c.state.in_(ended), outcome.c.at_block <= number)
    return intent.c.id.not_in(over)

"""A journal read as a whole, for those who watch: the newest turn, a measure's course, a search, and sums.

A `Reader` answers about one owner or one flight. What is here goes over all of them, and is bounded: whoever asks says
how much is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, RowMapping, func, or_, select

from keeper.domain.blocks import Block
from keeper.domain.flights import Flight, State
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.journal import rows
from keeper.journal.journal import Reader, flights_where
from keeper.journal.tables import attempt, intent, outcome, turn, verdict

_MOST_ROWS: Final = 5_000
_64_BITS: Final = 2**63


@dataclass(frozen=True, slots=True)
class Newest:
    """The turn written last, with every rule's verdict."""

    block: Block
    note: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """What one rule was found to be at one block; its time in unix seconds."""

    block: int
    timestamp: int
    kind: Kind
    measure: Measure


@dataclass(frozen=True, slots=True)
class Span:
    """One verdict, unchanged from the turn of block `first` to that of `last`; the measure is that of the last."""

    first: int
    last: int
    timestamp: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums for an operator: turns ever written, flights by where they stand, wei paid for gas by how a flight ended."""

    turns: int
    flights: Mapping[State, int]
    gas_wei: Mapping[State, int]
    senders: tuple[Address, ...]


class Annals(Reader):
    """A journal opened to be read, beside a keeper that may be writing it."""

    def mark(self) -> tuple[int, ...]:
        """A value that differs as soon as something was written."""
        counts = (
            select(func.max(turn.c.id)).scalar_subquery(),
            select(func.max(intent.c.opened)).scalar_subquery(),
            select(func.count()).select_from(outcome).scalar_subquery(),
            select(func.count()).select_from(attempt).scalar_subquery(),
        )
        with self._transaction() as db:
            return tuple(count or 0 for count in db.execute(select(*counts)).one())

    def newest(self) -> Newest | None:
        """The turn written last; None when there was none."""
        with self._transaction() as db:
            row = db.execute(select(turn).order_by(turn.c.id.desc()).limit(1)).mappings().first()
            if row is None:
                return None
            judged = select(verdict).where(verdict.c.turn == row["id"])
            found = tuple(rows.verdict_of(each) for each in db.execute(judged).mappings())
        return Newest(rows.block_of_turn(row), row["note"], found)

    def course(self, key: RuleKey, most: int) -> tuple[Moment, ...]:
        """What a rule was found to be in the last `most` turns, oldest first; a block that was replaced is left out."""
        columns = (turn.c.id, turn.c.number, turn.c.timestamp, *verdict.c)
        query = (
            select(*columns)
            .join(verdict, verdict.c.turn == turn.c.id)
            .where(
                verdict.c.owner == key.owner,
                verdict.c.thresholds == key.thresholds,
                verdict.c.rule == key.id,
                turn.c.id > select(func.max(turn.c.id) - most).scalar_subquery(),
            )
            .order_by(turn.c.id)
        )
        with self._transaction() as db:
            found = {row["number"]: row for row in db.execute(query).mappings()}
        return tuple(_moment(found[number]) for number in sorted(found))

    def bounds(self) -> tuple[Block, Block] | None:
        """The first and the last block of the turns that are kept; None when there are none."""
        ends = (turn.c.number, turn.c.id), (turn.c.number.desc(), turn.c.id.desc())
        with self._transaction() as db:
            found = [db.execute(select(turn).order_by(*end).limit(1)).mappings().first() for end in ends]
        first, last = (row and rows.block_of_turn(row) for row in found)
        return (first, last) if first and last else None

    def decisions(self) -> Mapping[str, Block]:
        """The blocks in which something was decided, by their hashes."""
        query = select(turn).where(turn.c.hash.in_(select(intent.c.decided_hash)))
        with self._transaction() as db:
            return {row["hash"]: rows.block_of_turn(row) for row in db.execute(query).mappings()}

    def latest_flights(self, most: int) -> tuple[Flight, ...]:
        """Those that have not ended, then the `most` opened last; the newest first in each."""
        since = select(func.coalesce(func.max(intent.c.opened), 0) - most).scalar_subquery()
        open_ = intent.c.state.in_([state.value for state in State if not state.ended])
        with self._transaction() as db:
            found = flights_where(db, or_(intent.c.opened > since, open_))[::-1]
        return tuple(flight for ended in (False, True) for flight in found if flight.state.ended is ended)

    def flight(self, intent_id: str) -> Flight | None:
        """One flight by its intent."""
        with self._transaction() as db:
            found = flights_where(db, intent.c.id == intent_id)
        return found[0] if found else None

    def search(self, text: str, most: int) -> tuple[tuple[Span, ...], tuple[Flight, ...]]:
        """Verdicts and flights in which every word of `text` occurs, newest first and at most `most` of each.

        A word may be part of an address, of a reason, of a token's symbol or of a transaction's hash, the name of a
        verdict or of a flight's state, or a block's number.
        """
        words = text.lower().split()
        if not words:
            return (), ()
        with self._transaction() as db:
            return _spans(db, words, most), _flights_with(db, words, most)

    def tally(self) -> Tally:
        """Sums over the whole journal."""
        standing = select(intent.c.state, func.count()).group_by(intent.c.state)
        paid = (
            select(intent.c.state, outcome.c.gas_used, outcome.c.gas_price)
            .join(outcome, outcome.c.intent == intent.c.id)
            .where(outcome.c.state == intent.c.state, outcome.c.gas_used.is_not(None))
        )
        gas: dict[State, int] = {}
        with self._transaction() as db:
            turns = db.execute(select(func.max(turn.c.id))).scalar() or 0
            flights = {State(state): count for state, count in db.execute(standing)}
            for state, used, price in db.execute(paid):
                if State(state).ended:
                    gas[State(state)] = gas.get(State(state), 0) + used * price
            senders = tuple(
                Address(sender) for sender in db.execute(select(intent.c.sender).distinct()).scalars()
            )
        return Tally(turns, flights, gas, senders)


def _moment(row: RowMapping) -> Moment:
    found = rows.verdict_of(row)
    return Moment(row["number"], row["timestamp"], found.kind, found.measure)


def _spans(db: Connection, words: Sequence[str], most: int) -> tuple[Span, ...]:
    query = (
        select(turn.c.id, turn.c.number, turn.c.timestamp, *verdict.c)
        .join(verdict, verdict.c.turn == turn.c.id)
        .where(*(_verdict_has(word) for word in words))
        .order_by(turn.c.id.desc())
        .limit(_MOST_ROWS)
    )
    spans: list[Span] = []
    growing: dict[
        RuleKey, tuple[int, int]
    ] = {}  # where a rule's span stands in the list, and the turn it reaches
    for row in db.execute(query).mappings():
        found = rows.verdict_of(row)
        at, reached = growing.get(found.key, (-1, -1))
        same = at >= 0 and (spans[at].verdict.kind, spans[at].verdict.why) == (found.kind, found.why)
        if same and reached == row["id"] + 1:
            last = spans[at]
            spans[at] = Span(row["number"], last.last, last.timestamp, last.verdict)
        elif len(spans) == most:
            break
        else:
            at = len(spans)
            spans.append(Span(row["number"], row["number"], row["timestamp"], found))
        growing[found.key] = at, row["id"]
    return tuple(spans)


def _verdict_has(word: str) -> ColumnElement[bool]:
    kinds = [int(kind) for kind in Kind if word == kind.name.lower()]
    columns = (verdict.c.owner, verdict.c.thresholds, verdict.c.why, verdict.c.measure)
    return or_(
        *(column.icontains(word, autoescape=True) for column in columns),
        verdict.c.kind.in_(kinds),
        turn.c.hash == word,
        *_number_is(turn.c.number, word),
    )


def _flights_with(db: Connection, words: Sequence[str], most: int) -> tuple[Flight, ...]:
    columns = (
        intent.c.owner,
        intent.c.thresholds,
        intent.c.sender,
        intent.c.action,
        intent.c.why,
        intent.c.moves,
    )
    wanted = [
        or_(
            *(column.icontains(word, autoescape=True) for column in columns),
            intent.c.id == word,
            intent.c.state == word,
            intent.c.decided_hash == word,
            intent.c.id.in_(select(attempt.c.intent).where(attempt.c.hash.icontains(word, autoescape=True))),
            intent.c.id.in_(select(outcome.c.intent).where(outcome.c.why.icontains(word, autoescape=True))),
            *_number_is(intent.c.decided_block, word),
        )
        for word in words
    ]
    newest = select(intent.c.id).where(*wanted).order_by(intent.c.opened.desc()).limit(most)
    return tuple(reversed(flights_where(db, intent.c.id.in_(newest))))


def _number_is(column: ColumnElement[int], word: str) -> list[ColumnElement[bool]]:
    is_number = word.isascii() and word.isdigit() and int(word) < _64_BITS
    return [column == int(word)] if is_number else []

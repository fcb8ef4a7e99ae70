"""An older journal, with transactions in flight, opened by today's keeper: nothing is lost and nothing left behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from keeper.domain.errors import JournalBroken
from keeper.domain.flights import Purpose, State, Step
from keeper.journal import rows
from keeper.journal.journal import FORMAT, OLDEST, Journal, Reader
from keeper.journal.migrations import STEPS, upgrade
from keeper.journal.places import place_of
from keeper.journal.tables import VERSION, metadata
from tests.journal import tables_of_version_2 as old
from tests.journal.flights_kept import CHAIN, KEEPER, OWNER, RECEIPT, attempt, block, intent
from tests.postgres import NewDatabase

GENESIS = "0x" + "ab" * 32


@pytest.fixture(params=["file", "server"])
def url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if request.param == "server":
        fresh: NewDatabase = request.getfixturevalue("new_database")
        return fresh()
    return str(tmp_path / "keeper.db")


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    address = url.replace("postgresql://", "postgresql+psycopg://") if "://" in url else f"sqlite:///{url}"
    made = sa.create_engine(address, poolclass=sa.NullPool)
    yield made
    made.dispose()


def write_version_2(engine: sa.Engine) -> None:
    """A journal as version 2 left it when it was killed: one flight in a block, one replaced once and not mined."""
    with engine.begin() as db:
        old.metadata.create_all(db)
        facts = {"format": FORMAT, "version": "2", "chain": str(CHAIN), "genesis": GENESIS}
        db.execute(sa.insert(old.about), [{"name": name, "value": value} for name, value in facts.items()])
        db.execute(sa.insert(old.turn), rows.turn_row(block(10), ""))
        for number, name in enumerate(("included", "replaced")):
            held = {
                "id": name,
                "opened": number + 1,
                "chain": CHAIN,
                "sender": KEEPER,
                "number": number,
                "sent_block": 10,
                "state": "included" if number == 0 else "broadcast",
            }
            planned = intent(name)
            kept = {**_known(rows.intent_row(rows_flight(planned)), old.intent), **held}
            db.execute(sa.insert(old.intent), kept)
            db.execute(
                sa.insert(old.nonce), {"chain": CHAIN, "sender": KEEPER, "number": number, "intent": name}
            )
            db.execute(sa.insert(old.attempt), _known(rows.attempt_row(name, 1, attempt(1)), old.attempt))
            state = State.INCLUDED if number == 0 else State.BROADCAST
            receipt = RECEIPT if number == 0 else None
            db.execute(sa.insert(old.outcome), rows.step_row(name, 1, Step(11, state, "send: so", receipt)))
        db.execute(
            sa.insert(old.attempt),
            _known(rows.attempt_row("replaced", 2, attempt(2, Purpose.CANCEL)), old.attempt),
        )


def _known(row: dict[str, Any], table: sa.Table) -> dict[str, Any]:
    """What of today's row an older table has a column for."""
    return {name: value for name, value in row.items() if name in table.c}


def rows_flight(planned: rows.Intent) -> rows.Flight:
    return rows.Flight(planned, CHAIN, KEEPER, 0, State.SIGNED, "send: signed", (attempt(1),))


def test_every_version__from_the_oldest_on__has_a_step_to_the_next() -> None:
    assert sorted(STEPS) == list(range(OLDEST, VERSION))


def write_version(engine: sa.Engine, version: int) -> None:
    """The same, brought no further than to `version`."""
    write_version_2(engine)
    with engine.begin() as db:
        upgrade(db, 2, version)
        db.execute(sa.update(old.about).where(old.about.c.name == "version").values(value=str(version)))


@pytest.mark.parametrize("version", range(OLDEST, VERSION))
def test_an_older_journal__with_flights_open__goes_on_where_it_was(
    url: str, engine: sa.Engine, version: int
) -> None:
    write_version(engine, version)
    planned = intent("replaced")
    with pytest.raises(
        JournalBroken, match=f"older keeper .*version {version}.* it is brought up to date when this one runs"
    ):
        Reader(url)
    for _ in range(2):  # and again, when it is up to date already
        with Journal(url) as journal:
            journal.bind(CHAIN, GENESIS)
            included, replaced = journal.flights(CHAIN, KEEPER)
            assert (included.state, included.receipt, included.attempts) == (
                State.INCLUDED,
                RECEIPT,
                (attempt(1),),
            )
            assert (replaced.state, replaced.sent_block) == (State.BROADCAST, 10)
            assert replaced.attempts == (attempt(1), attempt(2, Purpose.CANCEL))
            assert replaced.intent == replace(planned, plan=replace(planned.plan, valued=None))
            assert journal.top_nonce(CHAIN, KEEPER) == 1
            assert journal.last_turn() == block(10)
    with Journal(url) as journal:
        journal.record("replaced", Step(12, State.CANCELLED, "send: cancelled", None))
        journal.open_intent(intent("next"), CHAIN, KEEPER, 2, attempt(3))
        assert journal.latch("gas", 12, "breaker: enough")
        assert [flight.intent.id for flight in journal.actions(OWNER)] == ["included", "replaced", "next"]


def test_an_older_journal__brought_up_to_date__has_the_tables_of_a_new_one(
    url: str, engine: sa.Engine
) -> None:
    write_version_2(engine)
    Journal(url).close()
    with engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), metadata) == []
        assert db.execute(sa.text("SELECT name, epoch, holder FROM lease")).fetchall()[0][0] == "writer"


def test_an_upgrade__that_fails_half_way__leaves_the_older_journal_as_it_was(
    url: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_version_2(engine)
    whole = STEPS[2]

    def fails(op: object) -> None:
        whole(op)  # type: ignore[arg-type]
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setitem(STEPS, 2, fails)
    with pytest.raises(JournalBroken):
        Journal(url)
    with engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db), old.metadata) == []
    monkeypatch.undo()
    with Journal(url) as journal:
        assert len(journal.flights()) == 2


def test_a_journal__that_is_up_to_date__loads_no_alembic(url: str) -> None:
    import subprocess
    import sys

    Journal(url).close()
    opening = f"from keeper.journal.journal import Journal; Journal({url!r}).close()"
    code = f"import sys; {opening}; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert str(place_of(url))

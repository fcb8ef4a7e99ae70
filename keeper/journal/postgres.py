"""The one spot that knows a journal may be a PostgreSQL database, so that several keepers can stand by for one.

Who writes holds a lease: a row with an epoch, kept alive from a connection and a thread of its own, by the server's
clock alone. A keeper that falls silent loses it after `TTL_SECONDS`, and the next one takes it under a higher epoch.
Every transaction of a writer first proves its epoch, with a lock on the row that holds off a successor until it ends;
so one that was paused, and still believes it leads, is told so before it can take a nonce or keep signed bytes.

A shared journal has a lease for each share. Their writers take turns, a transaction each, so that whatever holds for a
journal with one writer holds for theirs. How it is shared is written in it, and changes only while nobody has a lease
and no flight is under way, so that no rule is ever in two shares.

Assumes: no pooler that shares a session between transactions stands before the server.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    CursorResult,
    create_engine,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.dialects.postgresql import insert as insert_if
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import cast

from keeper.domain.errors import JournalBroken, Misconfigured, Standby, Superseded
from keeper.domain.flights import State
from keeper.domain.texts import count_text
from keeper.journal.shares import Share
from keeper.journal.tables import FREE, SHARED, WRITER, about, intent, lease

TTL_SECONDS: Final = 3.0
"""How long a silent keeper keeps its lease."""
_BEAT_SECONDS: Final = TTL_SECONDS / 4
_FOUNDING: Final = 0x6B656570
_WRITERS: Final = 0x6B656571
_ALIVE: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
# A writer that stops in the midst of a transaction would hold off its successor with it.
_WRITING: Final = (
    "-c synchronous_commit=on -c statement_timeout=5000 -c lock_timeout=5000 "
    "-c idle_in_transaction_session_timeout=2000"
)
# What a page shows is read in several questions, of one moment.
_READING: Final = (
    "-c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read "
    "-c statement_timeout=30000"
)
BEATING: Final = "-c synchronous_commit=on -c statement_timeout=1000 -c lock_timeout=1000"


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A journal in a PostgreSQL database; it is shown without user and password."""

    url: URL

    def __str__(self) -> str:
        host = self.url.host or self.url.query.get("host") or "localhost"
        return f"postgresql://{host}/{self.url.database or ''}"

    def right(self, share: Share | None) -> Lease:
        """The lease of its writer, or of a share of it, not taken yet."""
        return Lease(self, share)

    def connect(self, writing: bool) -> Connection:
        """A session of its own."""
        return self.dial(_WRITING if writing else _READING)

    def dial(self, options: str) -> Connection:
        """A session with these settings of the server's."""
        engine = create_engine(
            self.url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={**_ALIVE, "options": options, "application_name": "keeper"},
        )
        try:
            return engine.connect()
        except SQLAlchemyError as error:
            engine.dispose()
            raise self.broken(error) from error

    def alone(self, db: Connection) -> None:
        """Two keepers may meet before the tables are there: one at a time founds or upgrades them."""
        db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _FOUNDING})

    def broken(self, error: Exception) -> JournalBroken:
        """What an error means, in one sentence."""
        origin = getattr(error, "orig", None) or error
        words = " ".join(str(origin).split()) or type(origin).__name__
        if "connection" in words or "terminat" in words:
            return JournalBroken(f"journal: {self} did not answer ({words[:200]})")
        return JournalBroken(f"journal: {self} failed ({words[:200]})")


def database_of(parsed: URL) -> PostgresDatabase:
    """The database of an address such as `postgresql://user@host/database`."""
    if not parsed.database:
        raise Misconfigured("journal: the address of its PostgreSQL names no database")
    return PostgresDatabase(parsed.set(drivername="postgresql+psycopg"))


def this_process() -> str:
    """By which name this process holds leases."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def older_than(beat: ColumnElement[datetime], seconds: float) -> ColumnElement[bool]:
    """Whether a sign of life is older than that, by the server's clock."""
    return beat < func.clock_timestamp() - cast(f"{seconds} seconds", INTERVAL)


FREE_NOW: Final = (lease.c.holder == "") | older_than(lease.c.beat, TTL_SECONDS)
"""Whether nobody has a lease, or whoever has has fallen silent."""


class Lease:
    """The right to write one database's journal, or a share of it, for as long as this process shows itself alive."""

    def __init__(self, place: PostgresDatabase, share: Share | None = None) -> None:
        self._place = place
        self._share = share
        self._name = share.name if share else WRITER
        self._mine = lease.c.name == self._name
        self._what = f"share {self._name} of {place}" if share else str(place)
        self._holder = this_process()
        self._epoch = 0
        self._beat_at = float("-inf")
        self._done = threading.Event()
        self._lost = threading.Event()
        self._session: Connection | None = None
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether the last sign of life is young enough that nobody can have taken it."""
        return not self._lost.is_set() and time.monotonic() - self._beat_at < TTL_SECONDS

    def take(self) -> None:
        """Take it if nobody has it, or whoever has has fallen silent; else `Standby`."""
        asked_at = time.monotonic()
        session = self._dial()
        founding = insert_if(lease).values(FREE | {"name": self._name}).on_conflict_do_nothing()
        taking = (
            update(lease)
            .where(self._mine, FREE_NOW)
            .values(epoch=lease.c.epoch + 1, holder=self._holder, beat=func.clock_timestamp())
            .returning(lease.c.epoch)
        )
        try:
            if self._share is not None:
                session.execute(founding)
            epoch = session.execute(taking).scalar()
            holder = session.execute(select(lease.c.holder).where(self._mine)).scalar()
        except SQLAlchemyError as error:
            raise self._place.broken(error) from error
        if epoch is None:
            self._hang_up()
            raise Standby(f"journal: {self._what} is written by another keeper ({holder}); standing by")
        self._epoch, self._beat_at = epoch, asked_at
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def agree(self, db: Connection) -> None:
        """See that the journal is shared as this lease's is, and share it so while nobody writes it.

        Whoever believed to have a lease of how it was shared before is superseded.
        """
        wanted = self._share.among if self._share else ""
        held: str = db.execute(select(about.c.value).where(about.c.name == SHARED)).scalar() or ""
        if held == wanted:
            return
        # Who fell silent in the midst of a write has proven its epoch, and its flight is seen once that has ended.
        db.execute(select(lease.c.name).with_for_update())
        writer: str | None = db.execute(select(lease.c.holder).where(~FREE_NOW).limit(1)).scalar()
        if writer is not None:
            raise Standby(
                f"journal: {self._place} is shared otherwise than these settings say, by another keeper ({writer}); "
                "standing by"
            )
        ended = [state.value for state in State if state.ended]
        open_ = db.execute(select(func.count()).where(intent.c.state.not_in(ended))).scalar_one()
        if open_:
            flights = count_text(open_, "flight")
            raise Misconfigured(
                f"journal: {self._place} was shared otherwise than these settings say, and has {flights} "
                "under way; run with the shards as they were, paused, until keeper doctor finds none"
            )
        db.execute(update(lease).values(epoch=lease.c.epoch + 1, holder="", beat=FREE["beat"]))
        db.execute(delete(about).where(about.c.name == SHARED))
        if wanted:
            db.execute(insert(about), {"name": SHARED, "value": wanted})

    def none_beside(self, db: Connection) -> None:
        """See that no older keeper writes another share; `Standby` while one does, for it would meet newer tables."""
        beside = select(lease.c.holder).where(~FREE_NOW, ~self._mine).limit(1)
        writer: str | None = db.execute(beside).scalar()
        if writer is not None:
            raise Standby(
                f"journal: {self._place} is written by an older keeper ({writer}), and is brought up to date when "
                "none is left; standing by"
            )

    def epoch(self, db: Connection) -> int:
        """The epoch, proven by a lock that lasts until the transaction ends."""
        if self._share is not None:
            db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITERS})
        row = select(lease.c.epoch, lease.c.holder).where(self._mine).with_for_update(read=True)
        found = db.execute(row).one()
        if found.epoch != self._epoch:
            self._lost.set()
            what = f"{self._what} " if self._share else ""
            raise Superseded(
                f"journal: {found.holder or 'another keeper'} took over {what}with epoch {found.epoch}, and this "
                f"keeper's was {self._epoch}"
            )
        return self._epoch

    def release(self) -> None:
        """Say that nobody has it, so that the next need not wait."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        if self._session is not None and not self._lost.is_set():
            mine = update(lease).where(self._mine, lease.c.epoch == self._epoch)
            with suppress(SQLAlchemyError):  # then it lapses by itself
                self._session.execute(mine.values(holder=""))
        self._hang_up()
        self._beat_at = float("-inf")

    def _keep(self) -> None:
        """Show a sign of life again and again, dialling anew when the session is lost, until the lease is."""
        mine = update(lease).where(self._mine, lease.c.epoch == self._epoch)
        while not self._done.wait(_BEAT_SECONDS):
            asked_at = time.monotonic()
            try:
                session = self._session or self._dial()
                done: CursorResult[tuple[()]] = session.execute(mine.values(beat=func.clock_timestamp()))
            except (SQLAlchemyError, JournalBroken):
                self._hang_up()
                continue
            if done.rowcount == 0:
                self._lost.set()
                return
            self._beat_at = asked_at

    def _dial(self) -> Connection:
        session = self._place.dial(BEATING).execution_options(isolation_level="AUTOCOMMIT")
        self._session = session
        return session

    def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()
            session.engine.dispose()

"""The one spot that knows a journal may be a PostgreSQL database, so that several keepers can stand by for one.

Who writes holds a lease: a row with an epoch, kept alive from a connection and a thread of its own, by the server's
clock alone. A keeper that falls silent loses it after `TTL_SECONDS`, and the next one takes it under a higher epoch.
Every transaction of a writer first proves its epoch, with a lock on the row that holds off a successor until it ends;
so one that was paused, and still believes it leads, is told so before it can take a nonce or keep signed bytes.

Assumes: no pooler that shares a session between transactions stands before the server.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sqlalchemy import URL, Connection, CursorResult, create_engine, func, select, text, update
from sqlalchemy.dialects.postgresql import INTERVAL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import cast

from keeper.domain.errors import JournalBroken, Misconfigured, Standby, Superseded
from keeper.journal.tables import lease

TTL_SECONDS: Final = 3.0
"""How long a silent keeper keeps its lease."""
WRITER: Final = "writer"
_BEAT_SECONDS: Final = TTL_SECONDS / 4
_FOUNDING: Final = 0x6B656570
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
    "-c idle_in_transaction_session_timeout=1000"
)
# What a page shows is read in several questions, of one moment.
_READING: Final = (
    "-c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read "
    "-c statement_timeout=30000"
)
_BEATING: Final = "-c synchronous_commit=on -c statement_timeout=1000 -c lock_timeout=1000"


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A journal in a PostgreSQL database; it is shown without user and password."""

    url: URL

    def __str__(self) -> str:
        host = self.url.host or self.url.query.get("host") or "localhost"
        return f"postgresql://{host}/{self.url.database or ''}"

    def right(self) -> Lease:
        """The lease of its writer, not taken yet."""
        return Lease(self)

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


class Lease:
    """The right to write one database's journal, for as long as this process shows itself alive."""

    def __init__(self, place: PostgresDatabase) -> None:
        self._place = place
        self._holder = f"{socket.gethostname()}, process {os.getpid()}"
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
        lapsed = lease.c.beat < func.clock_timestamp() - cast(f"{TTL_SECONDS} seconds", INTERVAL)
        taking = (
            update(lease)
            .where(lease.c.name == WRITER, (lease.c.holder == "") | lapsed)
            .values(epoch=lease.c.epoch + 1, holder=self._holder, beat=func.clock_timestamp())
            .returning(lease.c.epoch)
        )
        try:
            epoch = session.execute(taking).scalar()
            holder = session.execute(select(lease.c.holder).where(lease.c.name == WRITER)).scalar()
        except SQLAlchemyError as error:
            raise self._place.broken(error) from error
        if epoch is None:
            self._hang_up()
            raise Standby(f"journal: {self._place} is written by another keeper ({holder}); standing by")
        self._epoch, self._beat_at = epoch, asked_at
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def epoch(self, db: Connection) -> int:
        """The epoch, proven by a lock that lasts until the transaction ends."""
        row = select(lease.c.epoch, lease.c.holder).where(lease.c.name == WRITER).with_for_update(read=True)
        found = db.execute(row).one()
        if found.epoch != self._epoch:
            self._lost.set()
            raise Superseded(
                f"journal: {found.holder or 'another keeper'} took over with epoch {found.epoch}, and this keeper's "
                f"was {self._epoch}"
            )
        return self._epoch

    def release(self) -> None:
        """Say that nobody has it, so that the next need not wait."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        if self._session is not None and not self._lost.is_set():
            mine = update(lease).where(lease.c.name == WRITER, lease.c.epoch == self._epoch)
            with suppress(SQLAlchemyError):  # then it lapses by itself
                self._session.execute(mine.values(holder=""))
        self._hang_up()
        self._beat_at = float("-inf")

    def _keep(self) -> None:
        """Show a sign of life again and again, dialling anew when the session is lost, until the lease is."""
        mine = update(lease).where(lease.c.name == WRITER, lease.c.epoch == self._epoch)
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
        session = self._place.dial(_BEATING).execution_options(isolation_level="AUTOCOMMIT")
        self._session = session
        return session

    def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()
            session.engine.dispose()

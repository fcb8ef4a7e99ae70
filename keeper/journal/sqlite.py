"""The one spot that knows the journal is a SQLite file: where it is, how it is opened, who may write it.

Write-ahead log with `synchronous=FULL`: a commit has reached the disk when it returns, and readers in other processes
never wait for the writer. One keeper writes: it holds an advisory lock on a file beside the journal, which the kernel
drops with the process however that ends.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from keeper.domain.errors import JournalBroken, Misconfigured
from keeper.journal.shares import Share

WAIT_SECONDS = 5.0
"""How long a statement waits for another process's lock on the file, which only a checkpoint or a backup takes."""
_OWNER_ALONE = 0o600


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A journal in a file at `path`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def right(self, share: Share | None) -> WriterLock:
        """The right to write it, taken."""
        if share is not None:
            raise Misconfigured(
                f"journal: {self} is a file, which one keeper writes; shards need a PostgreSQL"
            )
        return WriterLock(self.path)

    def connect(self, writing: bool) -> Connection:
        """Open it; for reading it must exist."""
        return connect(self.path, writing)

    def alone(self, db: Connection) -> None:
        """Nothing to do: whoever writes holds the kernel's lock."""

    def broken(self, error: Exception) -> JournalBroken:
        """What an error means, in one sentence."""
        return broken(self.path, error)


def file_of(parsed: URL) -> SqliteFile:
    """The file of an address such as `sqlite:///a/path.db`."""
    if parsed.database in (None, "", ":memory:"):
        raise Misconfigured("journal: it must be a file, since what is kept in memory survives nothing")
    return SqliteFile(Path(str(parsed.database)).absolute())


class WriterLock:
    """The right to write one journal, held until it is released or the process ends."""

    def __init__(self, place: Path) -> None:
        path = place.resolve().with_name(place.resolve().name + ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JournalBroken(f"journal: {path} cannot be written ({_words(error)})") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise JournalBroken(
                f"journal: {place} is already written by process {holder or 'unknown'}"
            ) from error
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
        except OSError as error:
            os.close(self._file)
            raise JournalBroken(f"journal: {path} cannot be written ({_words(error)})") from error

    @property
    def held(self) -> bool:
        """Whether it still is."""
        return self._file >= 0

    def take(self) -> None:
        """Nothing more to do: the kernel gave it."""

    def agree(self, db: Connection) -> None:
        """Nothing to ask: a file is not shared."""

    def none_beside(self, db: Connection) -> None:
        """Nothing to ask: whoever writes holds the kernel's lock."""

    def epoch(self, db: Connection) -> int:
        """Zero: who holds the kernel's lock cannot have been superseded."""
        return 0

    def release(self) -> None:
        """Let another keeper write; the file stays, since removing it would race with whoever opens it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def connect(place: Path, writing: bool) -> Connection:
    """Open the journal's file; for reading it must exist."""
    if not writing and not place.is_file():
        raise JournalBroken(f"journal: there is none at {place}")
    engine = create_engine(
        "sqlite://",
        creator=lambda: _dial(place, writing),
        poolclass=NullPool,
        hide_parameters=True,
    )
    _begin_with(engine, "BEGIN IMMEDIATE" if writing else "BEGIN")
    try:
        connection = engine.connect()
        if writing:
            _check_vital_pages(connection)
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise broken(place, error) from error
    return connection


def broken(place: Path, error: Exception) -> JournalBroken:
    """What a database error means, in one sentence."""
    origin = getattr(error, "orig", None) or error
    words = _words(origin)
    if "malformed" in words or "not a database" in words:
        return JournalBroken(f"journal: {place} is damaged or not a journal ({words})")
    if "readonly" in words:
        return JournalBroken(f"journal: {place} cannot be written ({words})")
    if "full" in words or "disk I/O" in words:
        return JournalBroken(f"journal: nothing more could be written to {place} ({words})")
    return JournalBroken(f"journal: {place} failed ({words})")


def _dial(place: Path, writing: bool) -> sqlite3.Connection:
    if writing:
        # Only where there is none: to close a file that this process has open elsewhere takes that one's locks away.
        with suppress(OSError):  # which SQLite then says in its own words
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ALONE))
    mode = "rwc" if writing else "ro"
    connection = sqlite3.connect(
        f"file:{quote(str(place))}?mode={mode}",
        uri=True,
        timeout=WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA foreign_keys=ON")
    if writing:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            connection.close()
            raise sqlite3.OperationalError("its file system allows no write-ahead log")
        connection.execute("PRAGMA synchronous=FULL")
    else:
        connection.execute("PRAGMA query_only=ON")
    return connection


def _begin_with(engine: Engine, statement: str) -> None:
    """Python's sqlite3 would begin on its own, and too late: only before the first write."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(statement)


def _check_vital_pages(connection: Connection) -> None:
    """Read through what a restart depends on; the verdicts, which can be many, are left to whoever asks for them."""
    present = {
        row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type='table'")
    }
    for table in ("about", "intent", "nonce", "attempt", "outcome"):
        if table in present:
            found = connection.exec_driver_sql(f"PRAGMA quick_check('{table}')").scalar()
            if found != "ok":
                raise sqlite3.DatabaseError(f"malformed: {found}")
    connection.rollback()


def _words(error: object) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)

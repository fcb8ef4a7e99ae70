"""Where a journal is: a file, or a database on a server, told apart by its address alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from keeper.domain.errors import JournalBroken, Misconfigured
from keeper.journal.postgres import database_of
from keeper.journal.shares import Share
from keeper.journal.sqlite import SqliteFile, file_of


class Right(Protocol):
    """The right to write a journal, which one keeper has at a time."""

    @property
    def held(self) -> bool:
        """Whether this keeper has it, as far as it can know without asking."""

    def take(self) -> None:
        """Have it from now on; `Standby` while another keeper does. The tables must be there."""

    def agree(self, db: Connection) -> None:
        """See that the journal is shared as this keeper would share it; `Standby` or `Misconfigured` when it is not."""

    def none_beside(self, db: Connection) -> None:
        """See that nobody writes another share of it; `Standby` while somebody does."""

    def epoch(self, db: Connection) -> int:
        """The number under which it is held, proven within the transaction under way; `Superseded` when it is not."""

    def release(self) -> None:
        """Let another keeper have it."""


class Place(Protocol):
    """One journal's address, without the secret that may be in it when it is shown."""

    def right(self, share: Share | None) -> Right:
        """The right to write it, or one share of it, not yet taken where that needs its tables."""

    def connect(self, writing: bool) -> Connection:
        """A connection of one's own; for reading the journal must exist."""

    def alone(self, db: Connection) -> None:
        """Keep every other keeper from founding or upgrading the tables until this transaction ends."""

    def broken(self, error: Exception) -> JournalBroken:
        """What a database error means, in one sentence."""


def place_of(url: str | os.PathLike[str]) -> Place:
    """The place at `sqlite:///a/path.db`, `postgresql://user@host/database`, or a plain path."""
    text = os.fspath(url)
    if "://" not in text:
        return SqliteFile(Path(text).absolute())
    try:
        parsed = make_url(text)
    except ArgumentError:
        raise Misconfigured("journal: its address must be a file, sqlite:///file or postgresql://…") from None
    match parsed.get_backend_name():
        case "sqlite":
            return file_of(parsed)
        case "postgresql":
            return database_of(parsed)
        case other:
            raise Misconfigured(f"journal: only SQLite and PostgreSQL are supported, not {other}")

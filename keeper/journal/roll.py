"""Who shares a journal: each keeper signs the roll again and again, and reads who else has, and who holds what.

Nothing is decided by it but who should try for which lease: a keeper that is wrong about the others gets a lease later
than it might, or none, and never one that another has.
"""

from __future__ import annotations

import os
from typing import Final, Self

from sqlalchemy import Connection, delete, func, inspect, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from keeper.domain.errors import Misconfigured
from keeper.journal.places import place_of
from keeper.journal.postgres import BEATING, FREE_NOW, PostgresDatabase, older_than, this_process
from keeper.journal.shares import Sight
from keeper.journal.tables import lease, peer

PRESENT_SECONDS: Final = 2.0
"""How long a signature lasts: less than a lease, so that nobody waits for one who is gone to take what was theirs."""
_FORGOTTEN_SECONDS: Final = 60.0


class Roll:
    """The roll of one database's journal, signed by this process until it is closed."""

    def __init__(self, url: str | os.PathLike[str]) -> None:
        place = place_of(url)
        if not isinstance(place, PostgresDatabase):
            raise Misconfigured(
                f"journal: {place} is a file, which one keeper writes; shards need a PostgreSQL"
            )
        self._place = place
        self._me = this_process()
        self._session: Connection | None = None
        self._is_founded = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sign(self, is_able: bool = True) -> Sight:
        """Show a sign of life, and see who else has; `JournalBroken` when the database does not answer.

        Who is not `is_able` to take more is struck off instead, so that nobody leaves it any.
        """
        try:
            if self._session is None:
                self._session = self._place.dial(BEATING).execution_options(isolation_level="AUTOCOMMIT")
            # Whoever takes the first lease makes it.
            self._is_founded = self._is_founded or inspect(self._session).has_table(peer.name)
            if not self._is_founded:
                return Sight(self._me, frozenset({self._me}), {})
            now = func.clock_timestamp()
            if is_able:
                signing = insert(peer).values(name=self._me, beat=now)
                self._session.execute(
                    signing.on_conflict_do_update(index_elements=[peer.c.name], set_={"beat": now})
                )
            else:
                self._session.execute(delete(peer).where(peer.c.name == self._me))
            self._session.execute(delete(peer).where(older_than(peer.c.beat, _FORGOTTEN_SECONDS)))
            there = self._session.execute(
                select(peer.c.name).where(~older_than(peer.c.beat, PRESENT_SECONDS))
            )
            held = self._session.execute(select(lease.c.name, lease.c.holder).where(~FREE_NOW))
            return Sight(self._me, frozenset(there.scalars()), {row.name: row.holder for row in held})
        except SQLAlchemyError as error:
            self._hang_up()
            raise self._place.broken(error) from error

    def close(self) -> None:
        """Strike this keeper off, so that nobody leaves anything to it."""
        try:
            if self._session is not None:
                self._session.execute(delete(peer).where(peer.c.name == self._me))
        except SQLAlchemyError:
            pass  # then its signature lapses by itself
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.invalidate()
            session.close()
            session.engine.dispose()

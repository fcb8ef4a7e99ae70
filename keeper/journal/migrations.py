"""How an older journal becomes one of today's, in one transaction and whatever is in flight.

Each step is written in alembic's operations, which hide what SQLite cannot do to a table, and is never changed once it
was released: a journal may be many versions old.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

Step = Callable[[Operations], None]


def upgrade(connection: Connection, version: int, wanted: int) -> None:
    """Bring the tables from one version to another; KeyError when no way is known from the first."""
    operations = Operations(MigrationContext.configure(connection))
    for number in range(version, wanted):
        STEPS[number](operations)


def _several_keepers(op: Operations) -> None:
    """Leases, latched breakers, and under which epoch an intent was opened."""
    lease = op.create_table(
        "lease",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("beat", sa.DateTime(timezone=True), nullable=False),
    )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    op.bulk_insert(lease, [{"name": "writer", "epoch": 0, "holder": "", "beat": epoch}])
    op.create_table(
        "breaker",
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("block", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("forgiven", sa.BigInteger),
    )
    op.add_column("intent", sa.Column("epoch", sa.BigInteger, nullable=False, server_default="0"))


def _tolls_and_doors(op: Operations) -> None:
    """What actions cost and may cost, what all was worth when they were decided, and where their bytes left through."""
    op.create_table(
        "toll",
        sa.Column("intent", sa.String(128), sa.ForeignKey("intent.id"), primary_key=True),
        sa.Column("block_hash", sa.String(66), nullable=False),
        sa.Column("lost_bps", sa.BigInteger),
    )
    op.add_column("intent", sa.Column("worth", sa.Text))
    op.add_column("intent", sa.Column("worth_why", sa.Text, nullable=False, server_default=""))
    op.add_column("intent", sa.Column("valued", sa.Text))
    op.add_column("attempt", sa.Column("doors", sa.Text, nullable=False, server_default="[]"))


def _peers(op: Operations) -> None:
    """Who shares the journal; its leases may be many from now on, which an older keeper would not respect."""
    op.create_table(
        "peer",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("beat", sa.DateTime(timezone=True), nullable=False),
    )


STEPS: Final[dict[int, Step]] = {2: _several_keepers, 3: _tolls_and_doors, 4: _peers}
"""From each version to the next."""

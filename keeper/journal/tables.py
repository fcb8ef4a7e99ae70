"""The journal's tables, in SQLAlchemy Core and nothing of one database's own.

`about` says what this journal is, among whom it is shared and how far the chain is known to be final, `lease` who
writes it, and `peer` who else could. `turn` and
`verdict` say what was seen and judged at a block; `intent`, `nonce` and `attempt` what was decided and signed;
`outcome` is each flight's story, only ever added to, its last row being where the flight stands. `breaker` holds what
has tripped, `toll` what positions lost by being acted on. A number that may exceed 64 bits is kept as decimal text;
moves, measures and prices of an intent are JSON, for they are read only with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

VERSION = 5
"""Raised with every change to the tables; a journal of a higher one is refused."""


class Wide(TypeDecorator[int]):
    """An integer of any size, as decimal text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        """Into the database."""
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """Out of it."""
        return None if value is None else int(value)


class Words(TypeDecorator[str]):
    """Text that may come from strangers, without what some databases cannot hold in a text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Into the database."""
        if value is None:
            return None
        return value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Out of it."""
        return None if value is None else str(value)


metadata = MetaData()

lease = Table(
    "lease",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("beat", DateTime(timezone=True), nullable=False),
)

peer = Table(
    "peer",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("beat", DateTime(timezone=True), nullable=False),
)

WRITER: Final = "writer"
"""The lease of a journal that is not shared."""
FREE: Final = {"name": WRITER, "epoch": 0, "holder": "", "beat": datetime(1970, 1, 1, tzinfo=UTC)}
"""That lease before anybody had it."""

about = Table(
    "about", metadata, Column("name", String(32), primary_key=True), Column("value", Text, nullable=False)
)

SHARED: Final = "shards"
"""Under which name `about` has how the journal is shared; no such row where it is not."""

turn = Table(
    "turn",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False, index=True),
    Column("hash", String(66), nullable=False, unique=True),
    Column("parent", String(66), nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("base_fee", Wide, nullable=False),
    Column("note", Words, nullable=False),
)

verdict = Table(
    "verdict",
    metadata,
    Column("turn", ForeignKey("turn.id"), primary_key=True),
    Column("owner", String(42), primary_key=True),
    Column("thresholds", String(42), primary_key=True),
    Column("rule", Wide, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("why", Words, nullable=False),
    Column("measure", String(32), nullable=False),
    Column("value", Wide),
    Column("decimals", SmallInteger, nullable=False),
    Column("endless", Wide),
    sqlite_with_rowid=False,
)

intent = Table(
    "intent",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("opened", BigInteger, nullable=False, unique=True),
    Column("chain", BigInteger, nullable=False),
    Column("sender", String(42), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("sent_block", BigInteger),
    Column("owner", String(42), nullable=False),
    Column("thresholds", String(42), nullable=False),
    Column("rule", Wide, nullable=False),
    Column("action", String(32), nullable=False),
    Column("moves", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("to", String(42), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("rehearsed_moves", Text, nullable=False),
    Column("rehearsed_after", Text, nullable=False),
    Column("rehearsed_gas", BigInteger, nullable=False),
    Column("gas_limit", BigInteger, nullable=False),
    Column("decided_block", BigInteger, nullable=False),
    Column("decided_hash", String(66), nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("why", Words, nullable=False),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    # What it may cost in gas because of what is at stake, in wei, and how that was reckoned; null where nobody knew.
    Column("worth", Wide),
    Column("worth_why", Words, nullable=False, server_default=""),
    # What all was worth as it was decided; null where an older keeper decided, or nobody could say.
    Column("valued", Text),
    Index("intent_by_state", "state"),
    Index("intent_by_owner", "owner", "decided_block"),
)

nonce = Table(
    "nonce",
    metadata,
    Column("chain", BigInteger, primary_key=True),
    Column("sender", String(42), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("intent", ForeignKey("intent.id"), nullable=False, unique=True),
)

attempt = Table(
    "attempt",
    metadata,
    Column("intent", ForeignKey("intent.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("hash", String(66), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("max_fee", Wide, nullable=False),
    Column("tip", Wide, nullable=False),
    Column("purpose", String(8), nullable=False),
    Column("block", BigInteger, nullable=False),
    # Where these bytes have left through, in that order, by name.
    Column("doors", Text, nullable=False, server_default="[]"),
    # Not across intents: what was refused beyond doubt may be signed again, and signing is deterministic.
    UniqueConstraint("intent", "hash"),
)

outcome = Table(
    "outcome",
    metadata,
    Column("intent", ForeignKey("intent.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("at_block", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("why", Words, nullable=False),
    Column("hash", String(66)),
    Column("block", BigInteger),
    Column("block_hash", String(66)),
    Column("succeeded", SmallInteger),
    Column("gas_used", BigInteger),
    Column("gas_price", Wide),
    Column("logs", Text),
)

toll = Table(
    "toll",
    metadata,
    Column("intent", ForeignKey("intent.id"), primary_key=True),
    Column("block_hash", String(66), nullable=False),
    # Of its worth, in basis points, in the block of its action; null where the chain would not say.
    Column("lost_bps", BigInteger),
)

breaker = Table(
    "breaker",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("name", String(32), nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("why", Words, nullable=False),
    # How many intents there were when a person reset it, which are forgiven; null while it is latched.
    Column("forgiven", BigInteger),
)

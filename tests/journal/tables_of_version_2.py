"""The journal's tables as they stood in version 2, to make such a journal with; never changed again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
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

VERSION = 2
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


metadata = MetaData()

about = Table(
    "about", metadata, Column("name", String(32), primary_key=True), Column("value", Text, nullable=False)
)

turn = Table(
    "turn",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False, index=True),
    Column("hash", String(66), nullable=False, unique=True),
    Column("parent", String(66), nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    Column("base_fee", Wide, nullable=False),
    Column("note", Text, nullable=False),
)

verdict = Table(
    "verdict",
    metadata,
    Column("turn", ForeignKey("turn.id"), primary_key=True),
    Column("owner", String(42), primary_key=True),
    Column("thresholds", String(42), primary_key=True),
    Column("rule", Wide, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("why", Text, nullable=False),
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
    Column("why", Text, nullable=False),
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
    Column("why", Text, nullable=False),
    Column("hash", String(66)),
    Column("block", BigInteger),
    Column("block_hash", String(66)),
    Column("succeeded", SmallInteger),
    Column("gas_used", BigInteger),
    Column("gas_price", Wide),
    Column("logs", Text),
)

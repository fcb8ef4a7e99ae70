"""A journal that somebody else has written in: the key signs nothing that it did not sign before."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from keeper.domain.errors import JournalBroken
from keeper.domain.flights import Fees
from keeper.domain.plans import Call
from keeper.domain.units import GWEI
from keeper.send.signers import LocalSigner, Secret, Transaction
from tests.send.conftest import Stage
from tests.send.flights_given import CHAIN, COUNTER, LIMITS, STRANGER
from tests.send.test_sender import STRANGER_KEY, intent


def by(key: str, nonce: int) -> bytes:
    """The flight's own call with another signature or nonce."""
    signer, call = LocalSigner(Secret(key)), Call(COUNTER, (1).to_bytes(32, "big"))
    return signer.sign(Transaction(CHAIN, nonce, Fees(40 * GWEI, GWEI), 100_000, call)).raw


@pytest.mark.parametrize(
    ("table", "column", "value", "named"),
    [
        ("intent", "to", STRANGER, "its to is not what was signed first"),
        ("intent", "data", b"\xde\xad\xbe\xef", "its data is not what was signed first"),
        ("intent", "gas_limit", 29_000_000, "its gas is not what was signed first"),
        ("attempt", "raw", b"\x02\xc0", "its first attempt is no transaction"),
        ("attempt", "raw", by(STRANGER_KEY, 0), f"its first attempt is {STRANGER}'s"),
    ],
    ids=["to", "data", "gas", "junk", "stranger"],
)
def test_a_flight__changed_in_the_journal__is_not_signed_again(
    stage: Stage, tmp_path: Path, table: str, column: str, value: Any, named: str
) -> None:
    sent = stage.launch(intent(1, deadline=stage.head().timestamp + 3600))
    with sqlite3.connect(tmp_path / "keeper.db", timeout=5) as other:
        other.execute(f'UPDATE {table} SET "{column}" = ?', (value,))
    stage.restart()
    with pytest.raises(JournalBroken, match=f"nonce 0 of .* was changed in it: {named}; nothing is signed"):
        for _ in range(LIMITS.stuck_blocks + 1):
            stage.outbid(20 * GWEI)
            stage.follow()
    attempts = stage.flight().attempts
    assert [attempt.hash for attempt in attempts] == [sent.newest.hash], "no other bytes were made"

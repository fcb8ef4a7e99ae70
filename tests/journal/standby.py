"""A keeper reduced to its journal: it stands by for the lease, and once it leads takes one nonce after the other."""

from __future__ import annotations

import time
from dataclasses import replace
from multiprocessing.connection import Connection

from keeper.domain.errors import JournalBroken, Standby, Superseded
from keeper.journal.journal import Journal
from tests.journal.flights_kept import CHAIN, KEEPER, attempt, intent


def stand_by(url: str, name: str, telling: Connection) -> None:
    """Tell when it stands by, when it leads, each nonce it was given, and why it stopped."""
    stands_by = False
    while True:
        try:
            journal = Journal(url)
            break
        except Standby as error:
            if not stands_by:
                telling.send(("stands by", str(error)))
            stands_by = True
            time.sleep(0.2)
    telling.send(("leads", time.monotonic()))
    with journal:
        for turn in range(100_000):
            try:
                top = journal.top_nonce(CHAIN, KEEPER)
                number = 0 if top is None else top + 1
                wanted = replace(intent(f"{name}, turn {turn}"), decided_block=number)
                signed = replace(attempt(1), hash=f"0x{number:064x}")
                journal.open_intent(wanted, CHAIN, KEEPER, number, signed)
            except Superseded as error:
                telling.send(("superseded", str(error)))
                return
            except JournalBroken as error:
                telling.send(("broken", str(error)))
            else:
                telling.send(("nonce", number))
            time.sleep(0.02)

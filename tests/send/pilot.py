"""A keeper reduced to its sender: it counts 1, 2, 3 … on the counter, each once, and may be killed at any instant.

It also plays the weather, since a dead keeper must find the chain as it left it: `calm` mines every turn, `dear` mines
blocks too expensive for a first bid, `late` lets the deadline of every flight pass before a block can be had.
"""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from pathlib import Path

from keeper.chain.node import Node
from keeper.domain.flights import Flight, Purpose, State
from keeper.domain.units import GWEI
from keeper.journal.journal import Journal
from keeper.send.failpoints import VARIABLE
from keeper.send.sender import Sender
from keeper.send.signers import LocalSigner, Secret
from tests.send.flights_given import CHAIN, KEEPER_KEY, LIMITS, intent

TURNS = 100_000


def fly(url: str, path: Path, numbers: int, weather: str, crash_at: str, telling: Connection) -> None:
    """Say that it is ready, and take turns until every number up to `numbers` has been dealt with for good."""
    os.environ[VARIABLE] = crash_at
    telling.send("ready")
    telling.close()
    node = Node(url)
    with Journal(path) as journal:
        sender = Sender(node, journal, LocalSigner(Secret(KEEPER_KEY)), CHAIN, LIMITS)
        sender.recover(node.head())
        for _ in range(TURNS):
            head = node.head()
            sender.follow(head)
            sender.settle(head)
            number, tries = next_number(journal)
            if number > numbers and not journal.flights():
                return
            waiting = sender.busy()
            if waiting is None and number <= numbers:
                wanted = intent(
                    number, f"{number}, try {tries}", deadline=head.timestamp + 600, block=head.number
                )
                waiting = sender.launch(wanted, head)
            blow(node, weather, waiting, idle=number > numbers)
    raise AssertionError("it comes to no end")


def next_number(journal: Journal) -> tuple[int, int]:
    """The first number no flight of which was ever signed and let go, and which try this would be."""
    flights = journal.actions()
    done = {counted(flight) for flight in flights if flight.state is not State.ABANDONED}
    number = next(n for n in range(1, TURNS) if n not in done)
    return number, 1 + sum(counted(flight) == number for flight in flights)


def counted(flight: Flight) -> int:
    """The number a flight is to count."""
    return int.from_bytes(flight.intent.call.data, "big")


def blow(node: Node, weather: str, waiting: Flight | None, idle: bool) -> None:
    """Mine as the weather is; when nothing is left to do, up to finality."""
    newest = waiting.newest if waiting else None
    if newest is None or weather == "calm":
        node.ask("anvil_mine", "0x46" if idle and waiting is None else "0x1")
        return
    if weather == "dear" and waiting is not None:
        outbid = len(waiting.attempts) == 1
        node.ask("anvil_setNextBlockBaseFeePerGas", hex(newest.fees.max_fee + 1 if outbid else GWEI))
    if weather == "late" and newest.purpose is Purpose.ACT:
        node.ask("anvil_setNextBlockBaseFeePerGas", hex(newest.fees.max_fee + 1))
        node.ask("evm_increaseTime", 601)
    node.ask("evm_mine")

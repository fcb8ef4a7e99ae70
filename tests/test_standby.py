"""Two whole keepers on one real PostgreSQL: one acts, the other takes over, and nothing is done twice."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.devnet.world import World
from keeper.domain.flights import State
from keeper.journal.journal import Reader
from tests.conftest import SetRule
from tests.postgres import NewDatabase
from tests.test_cli import Running, actions, config, pending


@pytest.fixture
def keepers(
    world: World, tmp_path: Path, new_database: NewDatabase
) -> Iterator[tuple[str, Running, Running]]:
    """A leader at work and a second one standing by; the database they share."""
    url = new_database()
    processes = []
    for name in ("leader", "heir"):
        folder = tmp_path / name
        folder.mkdir()
        process = Running(config(world, folder), KEEPER_JOURNAL_URL=url)
        processes.append(process)
        told = process.turns if name == "leader" else process.errors
        process.wait_until(lambda told=told: told.read_text())
    leader, heir = processes
    assert "is written by another keeper" in heir.errors.read_text()
    yield url, leader, heir
    for process in processes:
        process.process.send_signal(signal.SIGCONT)
        process.end(signal.SIGKILL)


def turned(process: Running) -> int:
    return len(process.turns.read_text().splitlines())


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_a_keeper__whose_leader_is_gone__takes_over_in_time_and_acts_once(
    world: World, set_rule: SetRule, keepers: tuple[str, Running, Running], sign: signal.Signals
) -> None:
    url, leader, heir = keepers
    assert turned(heir) == 0
    world.automine(False)
    gone_at = time.monotonic()
    leader.process.send_signal(sign)
    heir.wait_until(lambda: turned(heir) > 0)
    taken = time.monotonic() - gone_at
    print(f"takeover after {sign.name}: {taken:.2f} s")
    assert taken < 5.0
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.mine()
    if sign == signal.SIGSTOP:
        leader.process.send_signal(signal.SIGCONT)  # and it sees the breach as soon as the heir does
    heir.wait_until(lambda: pending(world) == 1)
    world.mine()
    heir.wait_until(lambda: '"included"' in heir.turns.read_text())
    if sign == signal.SIGSTOP:
        leader.wait_until(lambda: "took over with epoch 2" in leader.errors.read_text())
        assert leader.process.poll() is None, "it stands by for the heir now"
    assert (actions(world), pending(world)) == (1, 0)
    with Reader(url) as reader:
        assert [flight.state for flight in reader.actions()] == [State.INCLUDED]


def test_a_flight__of_a_leader_killed_in_the_midst_of_sending__is_finished_by_the_heir(
    world: World, set_rule: SetRule, tmp_path: Path, new_database: NewDatabase
) -> None:
    url = new_database()
    world.automine(False)
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.mine()
    path = config(world, tmp_path)
    leader = Running(path, KEEPER_JOURNAL_URL=url, KEEPER_CRASH_AT="after_intent")
    assert leader.process.wait(timeout=30) == 137
    assert pending(world) == 0
    with Reader(url) as reader:
        (signed,) = reader.flights()
    heir = Running(path, KEEPER_JOURNAL_URL=url)
    try:
        heir.wait_until(lambda: pending(world) == 1)
        held = world.node.ask("eth_getTransactionByHash", signed.attempts[0].hash)
        assert held is not None, "the very bytes the leader had signed"
        world.mine()
        heir.wait_until(lambda: '"included"' in heir.turns.read_text())
        assert actions(world) == 1
    finally:
        assert heir.end() == 0
    assert json.loads(heir.turns.read_text().splitlines()[0])["tripped"] == []

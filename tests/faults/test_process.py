"""Faults of the process and of where it writes: A3 to A8, F5."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.devnet.world import World
from keeper.domain.errors import JournalBroken, NodeUnreachable, Unsafe
from keeper.domain.flights import State
from keeper.journal.journal import Journal
from tests.conftest import SetRule
from tests.faults.conftest import Faulty
from tests.faults.invariants import hold
from tests.faults.proxy import SEND, Hang
from tests.postgres import NewDatabase
from tests.send.conftest import Stage
from tests.send.flights_given import intent
from tests.test_cli import Running, actions, config, pending


@pytest.fixture
def running(world: World, tmp_path: Path) -> Iterator[Any]:
    processes: list[Running] = []

    def start() -> Running:
        processes.append(Running(config(world, tmp_path)))
        return processes[-1]

    yield start
    for each in processes:
        each.process.send_signal(signal.SIGCONT)
        each.end(signal.SIGKILL)


def test_a3_a_database_that_goes_down__sends_nothing_and_goes_on_when_it_is_back(
    anvil: Anvil, new_database: NewDatabase
) -> None:
    url = new_database()
    name = url.partition("?")[0].rpartition("/")[2]
    admin = url.replace(f"/{name}", "/postgres")
    with Journal(url) as journal:
        stage = Stage(anvil.node, Node(anvil.url), journal)
        stage.sender.recover(stage.head())
        with psycopg.connect(admin, autocommit=True) as server:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            for _ in range(3):
                with pytest.raises(JournalBroken):
                    stage.launch(intent(1))
            assert stage.nonces("pending") == 0, "nothing left this machine"
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        stage.launch(intent(1))
        stage.mine()
        stage.follow()
        assert (stage.flight().state, stage.count()) == (State.INCLUDED, 1)
        hold(stage)


def test_a4_a_keeper_frozen_in_the_midst_of_a_turn__decides_nothing_on_what_it_saw_before(
    faulty: Faulty,
) -> None:
    stage, proxy = faulty
    head = stage.head()
    with stage.node.within(0.3):
        time.sleep(0.4)  # as a machine that was paused finds itself
        with pytest.raises(NodeUnreachable, match="the time for this turn was up"):
            stage.sender.launch(intent(1), head)
    assert (proxy.sent, stage.journal.actions()) == ([], ())


def test_a4_a_keeper_stopped_and_continued__acts_on_what_is_then(
    world: World, set_rule: SetRule, running: Any
) -> None:
    world.automine(False)
    kept = running()
    kept.wait_until(kept.turns.read_text)
    kept.process.send_signal(signal.SIGSTOP)
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    for _ in range(5):
        world.mine()
    time.sleep(1.0)
    kept.process.send_signal(signal.SIGCONT)
    kept.wait_until(lambda: pending(world) == 1)
    world.mine()
    kept.wait_until(lambda: '"included"' in kept.turns.read_text())
    assert actions(world) == 1


def test_a5_this_machine_s_clock__however_wrong__decides_nothing(
    faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, _ = faulty
    now = time.time()
    stage.launch(intent(1, deadline=stage.head().timestamp + 600))
    for wrong in (now - 3600, now + 3600):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        assert stage.follow() == ()
    stage.mine()
    stage.follow()
    assert stage.flight().state is State.INCLUDED


def test_a5_the_chain_s_clock__past_a_deadline__cancels(faulty: Faulty) -> None:
    stage, _ = faulty
    sent = stage.launch(intent(1, deadline=stage.head().timestamp + 600))
    stage.chain.ask("evm_increaseTime", 3600)
    stage.outbid(sent.attempts[0].fees.max_fee + 1)
    stage.follow()
    assert "by its deadline" in stage.flight().why
    stage.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count(), stage.nonces()) == (State.CANCELLED, 0, 1)


def test_a6_a_node_that_hangs__is_given_up_and_loses_nothing(faulty: Faulty) -> None:
    stage, proxy = faulty
    proxy.on(SEND, Hang(4.0))
    begun = time.monotonic()
    sent = stage.launch(intent(1))
    assert time.monotonic() - begun < 3.5
    assert (sent.state, "nobody knows yet" in sent.why) == (State.BROADCAST, True)
    proxy.heal()
    stage.follow()
    stage.mine()
    stage.follow()
    assert (stage.flight().state, stage.count(), len(set(proxy.sent))) == (State.INCLUDED, 1, 1)


def test_a7_a_keeper_told_to_end_with_a_flight_open__ends_and_the_next_one_goes_on(
    world: World, set_rule: SetRule, running: Any
) -> None:
    world.automine(False)
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.mine()
    first = running()
    first.wait_until(lambda: pending(world) == 1)
    assert first.end(signal.SIGTERM) == 0
    world.mine()
    second = running()
    second.wait_until(lambda: '"included"' in second.turns.read_text())
    assert (actions(world), pending(world)) == (1, 0)


def test_f5_a_journal_restored_from_before__gives_no_nonce_until_the_chain_has_settled_it(
    anvil: Anvil, tmp_path: Path
) -> None:
    path, backup = tmp_path / "keeper.db", tmp_path / "backup"
    with Journal(path) as journal:
        stage = Stage(anvil.node, Node(anvil.url), journal)
        stage.sender.recover(stage.head())
        stage.launch(intent(1))
        stage.mine()
        stage.follow()
    shutil.copy(path, backup)
    with Journal(path) as journal:
        stage = Stage(anvil.node, Node(anvil.url), journal)
        stage.restart()
        for number in (2, 3):
            stage.launch(intent(number))
            if number == 2:
                stage.mine()
                stage.follow()
    for name in tmp_path.glob("keeper.db*"):
        name.unlink()
    shutil.copy(backup, path)
    with Journal(path) as journal:
        stage = Stage(anvil.node, Node(anvil.url), journal)
        stage.restart()
        with pytest.raises(Unsafe, match="1 transactions of .* are pending that the journal does not know"):
            stage.launch(intent(4))
        stage.mine()
        stage.follow()
        with pytest.raises(Unsafe, match="nonces 1 to 2 of .* were used elsewhere, in blocks not final yet"):
            stage.launch(intent(4))
        stage.finalise()
        stage.follow()
        assert stage.launch(intent(4)).nonce == 3
        stage.mine()
        stage.follow()
        assert [stage.count(number) for number in (1, 2, 3, 4)] == [1, 1, 1, 1]
        hold(stage)

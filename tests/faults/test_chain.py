"""Faults of the chain itself: C5 to C8."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.app import open_keeper
from keeper.devnet.world import World
from keeper.domain.flights import State
from keeper.domain.verdicts import Kind
from keeper.settings import read_settings
from keeper.turn import Keeper
from tests.conftest import KEEPER_KEY, SetRule
from tests.faults.conftest import Faulty
from tests.faults.proxy import Call, Fault, Rewrite
from tests.send.flights_given import intent
from tests.test_cli import config, pending


@pytest.fixture
def keeper(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)
    with open_keeper(read_settings(config(world, tmp_path)), dry_run=False) as kept:
        yield kept


def test_c5_a_block_undone_between_reading_and_sending__is_decided_on_by_nobody(
    world: World, set_rule: SetRule, keeper: Keeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.automine(False)
    for _ in range(3):
        world.mine()
    head = keeper.node.head()
    world.node.ask("anvil_reorg", 2, [])
    turn = keeper.turn(head)
    assert turn.intents == ()
    assert turn.trouble or all(verdict.kind is Kind.BLIND for verdict in turn.verdicts)
    assert pending(world) == 0
    again = keeper.turn(keeper.node.head())
    assert len(again.intents) == 1, "on the block that is there now"


def test_c7_finality_that_stalls__ends_no_flight_and_stops_no_other(faulty: Faulty) -> None:
    stage, proxy = faulty
    frozen = stage.chain.ask("eth_getBlockByNumber", "0x0", False)

    def finalized(call: Call) -> Fault | None:
        return Rewrite(lambda _: frozen) if "finalized" in call["params"] else None

    proxy.rules.append(finalized)
    for number in (1, 2, 3):
        stage.launch(intent(number))
        stage.mine(40)
        stage.follow()
    assert [flight.state for flight in stage.journal.flights()] == [State.INCLUDED] * 3
    proxy.heal()
    stage.finalise()
    assert [change.flight.state for change in stage.follow()] == [State.FINAL] * 3


def test_c8_blocks_with_odd_timestamps__are_taken_as_they_are(faulty: Faulty) -> None:
    stage, _ = faulty
    sent = stage.launch(intent(1, deadline=stage.head().timestamp + 1_000))
    now = stage.head().timestamp
    for later in (1, 2, 900):  # seconds that creep, and then leap
        stage.chain.ask("evm_setNextBlockTimestamp", hex(now + later))
        stage.outbid(sent.attempts[0].fees.max_fee + 1)
        stage.follow()
    assert stage.flight().state is State.BROADCAST
    stage.chain.ask("evm_setNextBlockTimestamp", hex(now + 1_000))
    stage.outbid(2 * 10**9)
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.INCLUDED, 1), "in time to the second"

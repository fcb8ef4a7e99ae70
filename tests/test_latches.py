"""Breakers over a real chain: they trip, stay tripped through a restart, let nothing out, and a person resets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.breakers import PAUSE, BreakerLimits, pause_text
from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.domain.errors import Unsafe
from keeper.domain.flights import State
from keeper.journal.journal import Journal, hold, reset
from keeper.latches import Latches
from tests.send.conftest import Stage
from tests.send.flights_given import COUNTER, COUNTER_CODE, LIMITS, REFUSING_CODE, intent

BREAKERS = BreakerLimits(reverts=2, actions_per_hour=1000)


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    with Anvil() as running:
        running.node.ask("evm_setAutomine", False)
        running.node.ask("anvil_setCode", COUNTER, COUNTER_CODE)
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keeper.db"


@pytest.fixture
def stage(anvil: Anvil, path: Path) -> Iterator[Stage]:
    with Journal(path) as journal:
        ready = Stage(anvil.node, Node(anvil.url), journal)
        ready.sender.recover(ready.head())
        yield ready


def latches(stage: Stage, limits: BreakerLimits = BREAKERS) -> Latches:
    return Latches(stage.journal, stage.node, limits, LIMITS.final_depth)


def test_actions_that_revert__in_a_row__latch_and_no_nonce_is_given_until_a_person_resets(
    stage: Stage, path: Path
) -> None:
    watching = latches(stage)
    stage.chain.ask("anvil_setCode", COUNTER, REFUSING_CODE)
    tripped: tuple[str, ...] = ()
    for number in (1, 2):
        assert tripped == ()
        stage.launch(intent(number))
        stage.mine()
        stage.follow()
        tripped = watching.watch(stage.head(), flew=True)
    assert tripped == ("breaker: the last 2 actions reverted, and 2 in a row are too many",)
    assert watching.watch(stage.head(), flew=True) == (), "latched once"
    stage.chain.ask("anvil_setCode", COUNTER, COUNTER_CODE)
    for restarted in (False, True):
        if restarted:
            stage.restart()
        with pytest.raises(
            Unsafe, match="stopped since block .* until a person types `keeper resume reverts`"
        ):
            stage.launch(intent(3))
    assert "keeper resume reverts" in (latches(stage).why_stopped() or "")
    assert stage.nonces("pending") == 2

    (reset_,) = reset(path, ["reverts"])
    assert reset_.name == "reverts"
    assert reset(path) == ()
    assert watching.watch(stage.head(), flew=True) == (), "what was reset is forgiven"
    stage.launch(intent(3))
    stage.mine()
    assert stage.count(3) == 1


def test_a_pause__set_beside_a_running_keeper__gives_no_nonce_until_it_is_taken_back(
    stage: Stage, path: Path
) -> None:
    stage.launch(intent(1))
    latch, is_new = hold(path, PAUSE, pause_text("moving\x1b[2J house"))
    assert (latch.why, is_new) == ("pause: a person asked for it (moving[2J house)", True)
    assert hold(path, PAUSE, "pause: again") == (latch, False)
    stage.mine()
    stage.follow()
    for restarted in (False, True):
        if restarted:
            stage.restart()
        with pytest.raises(Unsafe, match=r"pause: .* until a person types `keeper resume pause`"):
            stage.launch(intent(2))
    assert stage.flight().state is State.INCLUDED, "what was under way is followed"
    assert reset(path, [PAUSE]) == (latch,)
    stage.launch(intent(2))
    stage.mine()
    assert stage.count(2) == 1


def test_a_latched_breaker__leaves_what_is_in_flight_to_its_end(stage: Stage) -> None:
    stage.launch(intent(1))
    stage.journal.latch("gas", 1, "breaker: enough")
    stage.mine()
    stage.follow()
    stage.finalise()
    stage.follow()
    assert stage.flight().state is State.FINAL


def test_the_gas_of_a_day__above_its_limit__latches(stage: Stage) -> None:
    watching = latches(stage, replace(BREAKERS, gas_wei_per_day=1))
    stage.launch(intent(1, deadline=stage.head().timestamp + 300))
    assert watching.watch(stage.head(), flew=True) == ()
    stage.mine()
    stage.follow()
    assert watching.watch(stage.head(), flew=False) == (), "no flight changed"
    (why,) = watching.watch(stage.head(), flew=True)
    assert "gwei were paid for gas within a day" in why


def test_a_reorganisation_past_a_final_block__latches_even_after_a_restart(stage: Stage) -> None:
    stage.mine(10)
    stage.finalise()
    watching = latches(stage)
    assert watching.watch(stage.head(), flew=False) == ()
    marked = stage.journal.final()
    assert marked is not None
    stage.mine(20)
    stage.chain.ask("anvil_reorg", 3, [])
    assert watching.watch(stage.head(), flew=False) == (), "what was not final may be undone"
    kept = stage.journal.final()
    assert kept is not None
    assert kept[0] > marked[0]
    number = stage.head().number
    stage.chain.ask("anvil_reorg", number - kept[0] + 5, [])
    stage.mine()
    (why,) = latches(stage).watch(stage.head(), flew=False)
    assert f"block {kept[0]} was final as {kept[1]}" in why
    with pytest.raises(Unsafe, match="keeper resume reorg"):
        stage.launch(intent(1))


def test_a_chain_that_simply_grows__is_asked_for_its_finality_now_and_then(stage: Stage) -> None:
    stage.finalise()
    watching = latches(stage)
    seen = set()
    for _ in range(40):
        stage.mine()
        watching.watch(stage.head(), flew=False)
        seen.add(stage.journal.final())
    assert 2 <= len(seen) <= 4


def test_a_quorum__missing_for_too_long__latches(stage: Stage) -> None:
    watching = latches(stage)
    assert watching.no_quorum(299.0) == ()
    (why,) = watching.no_quorum(301.0)
    assert "no quorum of endpoints for 301 s" in why
    assert watching.no_quorum(400.0) == ()

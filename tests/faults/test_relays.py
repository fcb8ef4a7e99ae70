"""D10: private relays that drop, lie, hang, tell, or do not forget; and those that do what they say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.domain.flights import Purpose, State
from keeper.journal.journal import Journal
from keeper.send import doors
from keeper.send.fees import Discretion
from tests.faults.invariants import hold
from tests.faults.proxy import Drop, Error, Hang, Rewrite
from tests.faults.relay import BUNDLE, CANCEL, PRIVATE, Relay, relaying
from tests.send.conftest import Stage
from tests.send.flights_given import LIMITS, intent

Hushed = tuple[Stage, Relay]
Hush = Callable[..., Hushed]
NEVER = {"public_after_blocks": 0, "public_urgency": 3}


@pytest.fixture
def hush(anvil: Anvil, tmp_path: Path) -> Iterator[Hush]:
    """A sender with a relay called hush, and the invariants once the test is over."""
    with ExitStack() as opened:

        def made(*, bundles: bool = False, **discretion: int) -> Hushed:
            relay, url = opened.enter_context(relaying(anvil.url))
            journal = opened.enter_context(Journal(tmp_path / "keeper.db"))
            limits = replace(LIMITS, discretion=Discretion(("hush",), **{**NEVER, **discretion}))
            given = (doors.Relay("hush", Node(url, timeout=0.5), bundles),)
            stage = Stage(anvil.node, Node(anvil.url), journal, limits=limits, relays=given)
            stage.sender.recover(stage.head())
            opened.callback(hold, stage)
            return stage, relay

        yield made


def pool(stage: Stage) -> int:
    return int(stage.chain.ask("txpool_status")["pending"], 16)


@pytest.mark.parametrize("bundles", [False, True])
def test_d10_an_action_given_to_a_relay__is_in_no_pool_and_in_a_block_once(hush: Hush, bundles: bool) -> None:
    stage, relay = hush(bundles=bundles)
    flight = stage.launch(intent(1))
    assert (flight.state, flight.why) == (State.BROADCAST, "send: given to hush alone")
    assert pool(stage) == 0
    (call,) = relay.calls
    assert call["method"] == (BUNDLE if bundles else PRIVATE)
    if bundles:
        assert call["params"][0]["blockNumber"] == hex(stage.head().number + 1)
    relay.mine()
    stage.follow()
    assert stage.flight().state is State.INCLUDED
    assert stage.flight().newest.doors == ("hush",)
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.FINAL, 1)


@pytest.mark.parametrize("bundles", [False, True])
def test_d10_a_relay_that_drops__is_given_it_again_each_block_and_cancelled_in_public_at_the_deadline(
    hush: Hush, bundles: bool
) -> None:
    stage, relay = hush(bundles=bundles)
    relay.drops = True
    stage.launch(intent(1, deadline=stage.head().timestamp + 250))
    for _ in range(5):
        relay.mine()
        stage.follow()
        assert pool(stage) == 0
    flight = stage.flight()
    assert relay.asked.count(BUNDLE if bundles else PRIVATE) == 6
    assert len(flight.attempts) == 2, "a stuck one is bid higher, among relays as anywhere"
    assert {attempt.doors for attempt in flight.attempts} == {("hush",)}
    stage.chain.ask("evm_increaseTime", 300)
    relay.mine()
    stage.follow()
    assert (stage.flight().newest.purpose, stage.flight().newest.doors) == (Purpose.CANCEL, ("public",))
    assert pool(stage) == 1
    forgotten = [call["params"][0]["txHash"] for call in relay.calls if call["method"] == CANCEL]
    assert forgotten == ([] if bundles else [attempt.hash for attempt in flight.attempts])
    relay.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.CANCELLED, 0)


def test_d10_an_action_among_relays_for_long_enough__goes_public_where_that_is_allowed(hush: Hush) -> None:
    stage, relay = hush(public_after_blocks=2)
    relay.drops = True
    stage.launch(intent(1))
    raw = stage.flight().newest.raw
    for expected in (0, 1):
        relay.mine()
        stage.follow()
        assert pool(stage) == expected
    flight = stage.flight()
    assert (flight.newest.doors, flight.newest.raw) == (("hush", "public"), raw)
    assert flight.why == f"send: among relays to no avail, and public from block {stage.head().number} on"
    relay.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.FINAL, 1)


def test_d10_an_action_that_presses__goes_public_before_its_deadline(hush: Hush) -> None:
    stage, relay = hush(public_urgency=2)
    relay.drops = True
    now = stage.head().timestamp
    stage.launch(intent(1, deadline=now + 300))
    for seconds, expected in ((200, 0), (230, 1)):
        stage.chain.ask("evm_setNextBlockTimestamp", now + seconds)
        relay.mine()
        stage.follow()
        assert pool(stage) == expected
    relay.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.FINAL, 1)


@pytest.mark.parametrize(
    "word",
    [
        Rewrite(lambda _: "0x" + "ab" * 32),
        Rewrite(lambda _: None),
        Rewrite(lambda _: {"status": "INCLUDED"}),
        Error("insufficient funds for gas * price + value", after=True),
        Error("nonce too low", after=True),
    ],
    ids=["another hash", "nothing", "included", "no money", "nonce too low"],
)
def test_d10_a_relay_that_lies__decides_nothing(hush: Hush, word: Rewrite | Error) -> None:
    stage, relay = hush()
    relay.on(PRIVATE, word)
    flight = stage.launch(intent(1))
    assert flight.state is State.BROADCAST
    assert "given to relays alone, and none says that it took it: hush: " in flight.why
    relay.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.FINAL, 1)


def test_d10_a_relay_that_never_got_it_though_it_says_so__is_no_reason_to_believe_it(hush: Hush) -> None:
    stage, relay = hush()
    relay.on(PRIVATE, Drop())
    assert "none says that it took it" in stage.launch(intent(1)).why
    stage.mine(2)
    stage.restart()
    assert pool(stage) == 0, "a keeper that starts anew keeps its discretion"
    relay.heal()
    stage.follow()
    relay.mine()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.INCLUDED, 1)


def test_d10_a_relay_that_hangs__holds_up_a_turn_for_so_long_and_no_longer(hush: Hush) -> None:
    stage, relay = hush()
    relay.on("*", Hang(3.0))
    begun = time.monotonic()
    flight = stage.launch(intent(1))
    assert time.monotonic() - begun < 2.0
    assert (flight.state, pool(stage)) == (State.BROADCAST, 0)
    relay.heal()
    stage.mine()
    stage.follow()
    relay.mine()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.INCLUDED, 1)


def test_d10_a_relay_that_tells__is_found_out_and_nothing_is_done_twice(hush: Hush) -> None:
    stage, relay = hush()
    relay.leaks = True
    stage.launch(intent(1))
    (change,) = stage.follow()
    assert change.alarm
    assert (
        change.flight.why == "send: given to hush alone, and the node's pool holds it: somebody told others"
    )
    assert stage.follow() == (), "said once"
    relay.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.FINAL, 1)


def test_d10_a_relay_that_does_not_forget__has_it_mined_and_that_is_what_is_told(hush: Hush) -> None:
    stage, relay = hush()
    relay.drops = relay.deaf = True
    stage.launch(intent(1, deadline=stage.head().timestamp + 50))
    stage.chain.ask("evm_increaseTime", 100)
    relay.mine()
    stage.follow()
    assert stage.flight().newest.purpose is Purpose.CANCEL
    stage.chain.ask("anvil_dropAllTransactions")
    relay.drops = False
    relay.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.FINAL, 1)

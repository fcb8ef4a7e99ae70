"""Between the keeper and the node things get lost, doubled and misreported, and every intent still acts once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.domain.flights import State
from keeper.domain.units import GWEI
from keeper.journal.journal import Journal
from tests.send.conftest import Stage
from tests.send.faulty_node import FaultyNode, faulty
from tests.send.flights_given import LIMITS, intent

Faulty = tuple[Stage, FaultyNode]


@pytest.fixture
def between(anvil: Anvil, tmp_path: Path) -> Iterator[Faulty]:
    with faulty(anvil.url) as (proxy, url), Journal(tmp_path / "keeper.db") as journal:
        stage = Stage(anvil.node, Node(url, timeout=5.0), journal)
        stage.sender.recover(stage.head())
        yield stage, proxy


def ends_well(stage: Stage, proxy: FaultyNode) -> None:
    """The intent is executed once, by the bytes signed first, and the next nonce follows on."""
    proxy.fault = ""
    for _ in range(3):
        stage.follow()
        stage.mine()
    stage.finalise()
    stage.follow()
    done = stage.flight()
    assert (done.state, len(done.attempts)) == (State.FINAL, 1)
    assert set(proxy.sent) == {"0x" + done.attempts[0].raw.hex()}, "no other bytes ever left"
    assert (stage.count(1), stage.nonces()) == (1, 1)
    assert stage.launch(intent(2)).nonce == 1
    stage.mine()
    assert (stage.count(2), stage.nonces()) == (1, 2)


@pytest.mark.parametrize("fault", ["drop_after", "500_after", "duplicate"])
@pytest.mark.parametrize("mined", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_bytes__taken_by_a_node_whose_answer_was_lost__are_found_and_not_signed_again(
    between: Faulty, fault: str, mined: bool, restarted: bool
) -> None:
    stage, proxy = between
    proxy.fault = fault
    sent = stage.launch(intent(1))
    assert sent.state is State.BROADCAST
    assert len(proxy.sent) == 1, "sent exactly once"
    assert stage.nonces("pending") == 1
    proxy.fault = ""
    if mined:
        stage.mine()
    if restarted:
        stage.restart()
    stage.follow()
    assert len(proxy.sent) == 1, "the node holds it: nothing to send again"
    ends_well(stage, proxy)


@pytest.mark.parametrize("fault", ["drop_before", "500_before"])
@pytest.mark.parametrize("restarted", [False, True])
def test_bytes__that_never_reached_a_node__go_out_again_as_they_are(
    between: Faulty, fault: str, restarted: bool
) -> None:
    stage, proxy = between
    proxy.fault = fault
    sent = stage.launch(intent(1))
    assert sent.state is State.BROADCAST
    assert "nobody knows yet" in sent.why
    assert stage.nonces("pending") == 0
    stage.mine()
    proxy.fault = ""
    if restarted:
        stage.restart()
    else:
        stage.follow()
    assert len(proxy.sent) == 2
    assert stage.nonces("pending") == 1
    ends_well(stage, proxy)


@pytest.mark.parametrize(
    "text", ["already known", "nonce too low: next nonce 1, tx nonce 0", "never heard of before"]
)
def test_an_error__for_bytes_that_were_taken__changes_nothing(between: Faulty, text: str) -> None:
    stage, proxy = between
    proxy.fault = "refuse_after"
    proxy.error = {"code": -32000, "message": text}
    assert stage.launch(intent(1)).state is State.BROADCAST
    ends_well(stage, proxy)


def test_bytes_sent_again__to_a_node_that_holds_them__are_not_lost(between: Faulty) -> None:
    stage, proxy = between
    flight = stage.launch(intent(1))
    stage.sender._doors.send(flight.attempts[0], ("public",), stage.head())
    stage.mine()
    stage.sender._doors.send(flight.attempts[0], ("public",), stage.head())
    assert len(proxy.sent) == 3
    ends_well(stage, proxy)


def test_a_refusal_beyond_doubt__gives_the_nonce_to_the_next_intent(between: Faulty) -> None:
    stage, proxy = between
    proxy.fault = "refuse"
    proxy.error = {
        "code": -32000,
        "message": "insufficient funds for gas * price + value: balance 0, tx cost 1",
    }
    refused = stage.launch(intent(1))
    assert refused.state is State.ABANDONED
    assert "insufficient funds" in refused.why
    assert stage.sender.busy() is None
    proxy.fault = ""
    stage.follow()
    again = stage.launch(intent(1, name="intent 1 again"))
    assert again.nonce == 0
    stage.mine()
    assert (stage.count(1), stage.nonces()) == (1, 1)


def test_a_refusal__of_bytes_the_node_holds_all_the_same__is_not_believed(between: Faulty) -> None:
    stage, proxy = between
    proxy.fault = "refuse_after"
    proxy.error = {"code": -32000, "message": "insufficient funds for gas * price + value"}
    assert stage.launch(intent(1)).state is State.BROADCAST
    ends_well(stage, proxy)


def test_a_stuck_flight__on_a_node_with_geths_rule__is_replaced_until_it_is_mined(between: Faulty) -> None:
    stage, proxy = between
    proxy.fault = "geth"
    stage.launch(intent(1))
    for base_fee in (10, 40, 90):
        for _ in range(LIMITS.stuck_blocks):
            stage.outbid(base_fee * GWEI)
            stage.follow()
        assert stage.nonces("pending") == 1, "the replacement was taken"
    stage.mine()
    stage.finalise()
    stage.follow()
    done = stage.flight()
    assert (done.state, len(done.attempts), stage.count(1)) == (State.FINAL, 4, 1)
    assert done.receipt is not None
    assert done.receipt.hash == done.attempts[-1].hash


def test_finality__on_a_node_without_the_tag__is_a_depth(between: Faulty) -> None:
    stage, proxy = between
    proxy.without_finalized = True
    stage.launch(intent(1))
    stage.mine(LIMITS.final_depth)
    stage.follow()
    assert stage.flight().state is State.INCLUDED
    stage.mine()
    stage.follow()
    assert stage.flight().state is State.FINAL

"""Faults on the way out: B9 to B18 as far as they are not with the sender's own tests."""

from __future__ import annotations

import pytest
import rlp

from keeper.domain.errors import Unsafe
from keeper.domain.flights import Change, Purpose, State
from keeper.domain.units import GWEI
from tests.faults.conftest import Faulty
from tests.faults.proxy import SEND, Drop, Error, Fault, Rewrite, Swallow
from tests.send.conftest import Stage
from tests.send.flights_given import CHAIN, KEEPER, LIMITS, intent


def outbid_until(stage: Stage, wei: int, blocks: int) -> list[Change]:
    changes: list[Change] = []
    for _ in range(blocks):
        stage.outbid(wei)
        changes += stage.follow()
    return changes


def test_b9_a_base_fee_a_hundredfold__is_followed_to_the_ceiling_held_there_and_alarmed(
    faulty: Faulty,
) -> None:
    stage, proxy = faulty
    stage.launch(intent(1, deadline=stage.head().timestamp + 10_000))
    changes = outbid_until(stage, 490 * GWEI, 5 * LIMITS.stuck_blocks)
    newest = stage.flight().newest
    assert newest is not None
    assert newest.fees.max_fee == LIMITS.action_fee_wei, "one bid straight to the ceiling"
    assert any(change.alarm for change in changes), "and a person is told"
    assert len(set(proxy.sent)) == 2
    stage.chain.ask("evm_increaseTime", 20_000)
    outbid_until(stage, 490 * GWEI, 1)
    assert stage.flight().attempts[-1].purpose is Purpose.CANCEL
    stage.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.CANCELLED, 0)


def test_b10_a_base_fee_that_falls_back__is_paid_as_it_is_and_not_as_it_was_bid(faulty: Faulty) -> None:
    stage, _ = faulty
    stage.launch(intent(1, deadline=stage.head().timestamp + 10_000))
    outbid_until(stage, 300 * GWEI, LIMITS.stuck_blocks)
    assert len(stage.flight().attempts) == 2
    stage.outbid(2 * GWEI)
    stage.finalise()
    stage.follow()
    done = stage.flight()
    assert done.receipt is not None
    assert (done.state, stage.count()) == (State.FINAL, 1)
    assert done.receipt.gas_price <= 2 * GWEI + done.attempts[-1].fees.tip


def test_b11_an_action_that_nobody_mines__is_bid_higher_and_cancelled_at_its_deadline(faulty: Faulty) -> None:
    stage, proxy = faulty
    proxy.on(SEND, Swallow())
    stage.launch(intent(1, deadline=stage.head().timestamp + 600))
    for _ in range(3 * LIMITS.stuck_blocks):
        stage.mine()
        stage.follow()
    bids = [attempt.fees.max_fee for attempt in stage.flight().attempts]
    assert bids == sorted(bids)
    assert len(bids) >= 3, "censorship looks like too low a bid"
    stage.chain.ask("evm_increaseTime", 3600)
    stage.mine()
    proxy.heal()
    stage.follow()
    assert stage.flight().attempts[-1].purpose is Purpose.CANCEL
    stage.mine()
    stage.finalise()
    stage.follow()
    assert (stage.flight().state, stage.count(), stage.nonces()) == (State.CANCELLED, 0, 1)


def test_b13_no_gas_money__takes_no_nonce_and_is_over_once_there_is_some(faulty: Faulty) -> None:
    stage, proxy = faulty
    stage.chain.ask("anvil_setBalance", KEEPER, "0x1")
    for _ in range(3):
        with pytest.raises(Unsafe, match="holds 1 wei, and the gas may cost"):
            stage.launch(intent(1))
    assert (proxy.sent, stage.journal.top_nonce(CHAIN, KEEPER)) == ([], None)
    stage.chain.ask("anvil_setBalance", KEEPER, hex(10**18))
    stage.launch(intent(1))
    stage.mine()
    stage.follow()
    assert (stage.flight().state, stage.count()) == (State.INCLUDED, 1)


def test_b15_more_gas_than_a_block_holds__is_refused_without_a_loop_and_gives_the_nonce_back(
    faulty: Faulty,
) -> None:
    stage, proxy = faulty
    stage.chain.ask("evm_setBlockGasLimit", hex(60_000))
    stage.mine()
    refused = stage.launch(intent(1))
    assert refused.state is State.ABANDONED
    for _ in range(5):
        stage.mine()
        assert stage.follow() == ()
    assert len(proxy.sent) == 1
    stage.chain.ask("evm_setBlockGasLimit", hex(30_000_000))
    stage.mine()
    assert stage.launch(intent(2)).nonce == 0
    stage.mine()
    assert stage.count(2) == 1


def test_b15_an_action_that_runs_out_of_gas__is_a_revert_and_asks_for_a_person(faulty: Faulty) -> None:
    stage, _ = faulty
    stage.launch(intent(1, gas=30_000))
    stage.mine()
    stage.follow()
    stage.finalise()
    (change,) = stage.follow()
    assert (change.flight.state, change.alarm, stage.count()) == (State.REVERTED_FINAL, True, 0)


def test_b18_a_sender_whose_pool_has_room_for_one__is_still_waited_for(faulty: Faulty) -> None:
    stage, proxy = faulty
    proxy.on(SEND, Error("in-flight transaction limit reached for delegated accounts"))
    sent = stage.launch(intent(1))
    assert sent.state is State.BROADCAST, "it proves nothing"
    proxy.heal()
    stage.follow()
    stage.mine()
    stage.follow()
    assert (stage.flight().state, stage.count(), len(set(proxy.sent))) == (State.INCLUDED, 1, 1)


@pytest.mark.parametrize(
    ("fault", "gas"),
    [
        pytest.param(None, 21_000, id="no-fault"),
        pytest.param(Rewrite(lambda _: hex(100_000)), 130_000, id="more"),
        pytest.param(Rewrite(lambda _: hex(2**60)), 5_000_000, id="absurdly-more"),
        pytest.param(Rewrite(lambda _: "0x1"), 21_000, id="less"),
        pytest.param(Error("execution reverted", 3), 21_000, id="reverts"),
        pytest.param(Drop(), 21_000, id="no-answer"),
    ],
)
def test_a_cancellation__on_a_chain_that_charges_more__has_the_gas_the_node_says(
    faulty: Faulty, fault: Fault | None, gas: int
) -> None:
    stage, proxy = faulty
    if fault is not None:
        proxy.on("eth_estimateGas", fault)
    sent = stage.launch(intent(1, deadline=stage.head().timestamp + 60))
    stage.chain.ask("evm_increaseTime", 3600)
    stage.outbid(sent.attempts[0].fees.max_fee + 1)
    stage.follow()
    cancel = stage.flight().attempts[-1]
    assert cancel.purpose is Purpose.CANCEL
    assert int.from_bytes(rlp.decode(cancel.raw[1:])[4], "big") == gas
    stage.mine()
    stage.finalise()
    stage.follow()
    assert stage.flight().state is State.CANCELLED

"""The next thing to do about a flight, from every state and every look at the chain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.flights import Fees, Flight, Purpose, State
from keeper.domain.units import GWEI
from keeper.send.flight import Finish, Include, Replace, Resend, Seen, Wait, next_action
from tests.send.flights_given import COUNTER, LIMITS, attempt, flight, receipt

SEEN = Seen(head=101, now=1_000, base_fee=10 * GWEI, final=40, mined=7, known=True)
CANCEL = attempt(2, Fees(45 * GWEI, 2 * GWEI), Purpose.CANCEL)


@pytest.mark.parametrize("state", [State.SIGNED, State.BROADCAST, State.INCLUDED])
@pytest.mark.parametrize(("final", "succeeded"), [(100, True), (101, True), (100, False), (101, False)])
def test_a_receipt__good_or_bad__ends_a_flight_only_when_final(
    state: State, final: int, succeeded: bool
) -> None:
    mined = receipt(1, 101, succeeded)
    action = next_action(flight(state), replace(SEEN, final=final, mined=8, receipt=mined), LIMITS)
    if final < 101:
        assert action == Include(mined, action.why)
        return
    assert isinstance(action, Finish)
    assert action.state is (State.FINAL if succeeded else State.REVERTED_FINAL)
    assert action.alarm is not succeeded
    assert action.receipt == mined


@pytest.mark.parametrize(("which", "state"), [(1, State.FINAL), (2, State.CANCELLED)])
def test_a_race_with_the_cancellation__is_told_by_what_was_mined(which: int, state: State) -> None:
    raced = flight(State.BROADCAST, attempt(1), CANCEL)
    seen = replace(SEEN, final=101, mined=8, receipt=receipt(which))
    action = next_action(raced, seen, LIMITS)
    assert isinstance(action, Finish)
    assert action.state is state


def test_a_flight_the_chain_undid__goes_out_again_byte_for_byte() -> None:
    action = next_action(
        replace(flight(State.INCLUDED), receipt=receipt()), replace(SEEN, known=False), LIMITS
    )
    assert action == Resend(attempt(), action.why, lost=True)


def test_a_flight_signed_before_a_crash__goes_out_byte_for_byte() -> None:
    for seen in (SEEN, replace(SEEN, known=False), replace(SEEN, head=999)):
        action = next_action(flight(State.SIGNED, sent=None), seen, LIMITS)
        assert action == Resend(attempt(), action.why, lost=True)


def test_a_flight_the_node_dropped__goes_out_again_and_its_wait_goes_on() -> None:
    action = next_action(flight(), replace(SEEN, known=False), LIMITS)
    assert action == Resend(attempt(), action.why, lost=False)


def test_a_restarted_keeper__repeats_itself_before_it_bids_more() -> None:
    seen = replace(SEEN, head=500, known=False)
    assert isinstance(next_action(flight(), seen, LIMITS), Replace)
    action = next_action(flight(), seen, LIMITS, restarted=True)
    assert action == Resend(attempt(), action.why, lost=True)


@pytest.mark.parametrize(("head", "bumped"), [(100, False), (102, False), (103, True), (110, True)])
def test_a_flight__not_mined_after_so_many_blocks__bids_an_eighth_more(head: int, bumped: bool) -> None:
    action = next_action(flight(), replace(SEEN, head=head), LIMITS)
    if not bumped:
        assert action == Wait(State.BROADCAST, "before")
        return
    assert isinstance(action, Replace)
    assert (action.purpose, action.fees) == (Purpose.ACT, Fees(45 * GWEI, 1_125_000_000))


def test_a_flight__behind_an_earlier_nonce__does_not_bid_more() -> None:
    assert isinstance(next_action(flight(), replace(SEEN, head=110, mined=6), LIMITS), Wait)


@pytest.mark.parametrize("known", [True, False])
def test_a_flight__at_the_ceiling__holds_and_asks_for_a_person(known: bool) -> None:
    top = flight(State.BROADCAST, attempt(1, Fees(LIMITS.action_fee_wei, GWEI)))
    action = next_action(top, replace(SEEN, head=110, base_fee=900 * GWEI, known=known), LIMITS)
    assert isinstance(action, Wait if known else Resend)
    assert action.alarm
    assert "would exceed 444.444 gwei" in action.why


def test_a_flight__that_would_cost_more_than_it_is_worth__holds_but_is_still_cancelled() -> None:
    modest = replace(LIMITS, worth_wei={COUNTER: 42 * GWEI * 100_000})
    dear = replace(SEEN, head=110, base_fee=60 * GWEI)
    action = next_action(flight(), dear, modest)
    assert isinstance(action, Wait)
    assert action.alarm
    assert "would exceed 42 gwei" in action.why
    assert isinstance(next_action(flight(), dear, LIMITS), Replace)
    late = next_action(flight(deadline=999), dear, modest)
    assert isinstance(late, Replace)
    assert (late.purpose, late.fees.max_fee > 42 * GWEI) == (Purpose.CANCEL, True)


def test_a_flight__past_its_deadline__is_cancelled_even_from_the_ceiling() -> None:
    for fees in (Fees(40 * GWEI, GWEI), Fees(LIMITS.action_fee_wei, LIMITS.action_fee_wei)):
        late = flight(State.BROADCAST, attempt(1, fees), deadline=999)
        for state in (State.SIGNED, State.BROADCAST, State.INCLUDED):
            action = next_action(replace(late, state=state), SEEN, LIMITS, restarted=True)
            assert isinstance(action, Replace)
            assert action.purpose is Purpose.CANCEL
            assert action.fees.max_fee <= LIMITS.max_fee_wei
    at_the_deadline = flight(State.BROADCAST, deadline=1_000)
    assert isinstance(next_action(at_the_deadline, SEEN, LIMITS), Wait)


def test_a_cancellation__not_mined_either__bids_more_and_is_not_cancelled_itself() -> None:
    late = flight(State.BROADCAST, attempt(1), CANCEL, deadline=999)
    assert next_action(late, SEEN, LIMITS) == Wait(State.BROADCAST, "before")
    action = next_action(late, replace(SEEN, head=103), LIMITS)
    assert isinstance(action, Replace)
    assert (action.purpose, action.fees.max_fee) == (Purpose.CANCEL, 50_625_000_000)


def test_a_nonce_used_by_another__is_believed_only_when_final() -> None:
    foreign = "0x" + "ff" * 32
    spent = replace(SEEN, mined=8, known=False)
    for state in (State.SIGNED, State.BROADCAST, State.INCLUDED):
        action = next_action(flight(state), spent, LIMITS)
        assert isinstance(action, Wait)
        assert (action.state, action.alarm) == (State.BROADCAST, True)
    action = next_action(flight(), replace(spent, nonce_final=True, consumer=foreign), LIMITS)
    assert isinstance(action, Finish)
    assert (action.state, action.alarm, action.receipt) == (State.REPLACED, True, None)
    assert foreign in action.why


def test_a_nonce_used__by_nobody_the_node_can_name__proves_nothing() -> None:
    spent = replace(SEEN, mined=8, nonce_final=True)
    action = next_action(flight(), spent, LIMITS)
    assert isinstance(action, Wait)
    assert action.alarm
    ours = next_action(flight(), replace(spent, consumer=attempt().hash), LIMITS)
    assert isinstance(ours, Wait), "the node knows the transaction and lags with its receipt"


def test_a_node_that_will_not_say__changes_nothing() -> None:
    for state in (State.SIGNED, State.BROADCAST, State.INCLUDED):
        action = next_action(flight(state), replace(SEEN, unread=True, mined=9, nonce_final=True), LIMITS)
        assert isinstance(action, Wait)
        assert action.state is state


@given(
    state=st.sampled_from([State.SIGNED, State.BROADCAST, State.INCLUDED]),
    tried=st.integers(1, 4),
    cancelled=st.booleans(),
    seen=st.builds(
        Seen,
        head=st.integers(100, 200),
        now=st.integers(0, 2000),
        base_fee=st.integers(0, 10**13),
        final=st.integers(0, 120),
        mined=st.integers(5, 9),
        receipt=st.none() | st.builds(receipt, st.just(1), st.integers(90, 120), st.booleans()),
        unread=st.booleans(),
        known=st.booleans(),
        nonce_final=st.booleans(),
        consumer=st.none() | st.sampled_from([attempt(1).hash, "0x" + "ff" * 32]),
    ),
    restarted=st.booleans(),
)
def test_no_look_at_the_chain__ends_a_flight_before_it_is_final_or_bids_above_the_ceiling(
    state: State, tried: int, cancelled: bool, seen: Seen, restarted: bool
) -> None:
    attempts = [attempt(n + 1, Fees(40 * GWEI + n, GWEI + n)) for n in range(tried)]
    given_: Flight = flight(
        state, *attempts, *([replace(CANCEL, hash="0xc")] if cancelled else []), deadline=1000
    )
    action = next_action(given_, seen, LIMITS, restarted)
    match action:
        case Finish(state=State.REPLACED):
            assert seen.nonce_final
            assert seen.consumer == "0x" + "ff" * 32
            assert seen.receipt is None
        case Finish(receipt=mined):
            assert mined is not None
            assert mined.block <= seen.final
        case Replace(purpose=purpose, fees=fees):
            assert fees.tip <= fees.max_fee <= LIMITS.max_fee_wei
            assert purpose is Purpose.CANCEL or not cancelled
            assert seen.mined <= given_.nonce
        case Resend(attempt=again):
            assert again is given_.newest
            assert seen.mined <= given_.nonce
        case Include() | Wait():
            pass


@pytest.mark.parametrize(
    ("left", "waited", "tip"),
    [(300, 2, None), (300, 3, 1), (149, 1, 2), (74, 1, 4), (74, 0, None)],
)
def test_a_flight__nearer_to_its_deadline__bids_sooner_and_tips_more(
    left: int, waited: int, tip: int | None
) -> None:
    seen = replace(SEEN, head=100 + waited, now=1_000, mined=7, known=True, base_fee=GWEI)
    action = next_action(flight(deadline=1_000 + left), seen, LIMITS)
    if tip is None:
        assert isinstance(action, Wait)
    else:
        assert isinstance(action, Replace)
        assert action.fees.tip == max(tip * GWEI, GWEI * 9 // 8)


def test_a_cancellation__past_the_deadline__is_in_no_hurry() -> None:
    seen = replace(SEEN, head=102, now=10**9, mined=7, known=True)
    cancelling = flight(State.BROADCAST, attempt(1), attempt(2, purpose=Purpose.CANCEL), deadline=1_000)
    assert isinstance(next_action(cancelling, seen, LIMITS), Wait)

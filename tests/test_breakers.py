"""What trips a breaker, and what does not quite."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.breakers import (
    DAY,
    HOUR,
    BreakerLimits,
    prices_apart,
    too_far_off,
    too_many_reverts,
    too_much_gas,
    too_much_lost,
    too_much_sold,
    too_often,
    undone_when_final,
    without_quorum,
)
from keeper.domain.flights import Flight, Log, Purpose, State
from keeper.domain.plans import Asset, Move
from keeper.domain.quotes import Quote
from keeper.domain.units import Address
from tests.send.flights_given import attempt, flight, intent, receipt

NOW = 10_000_000
WETH = Asset(Address("0x" + "0E" * 20), "WETH", 18)
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"
POOL = "0x" + "0f" * 20
LIMITS = BreakerLimits(reverts=3, gas_wei_per_day=3 * 43_000 * 20 * 10**9, actions_per_hour=3)


def mined(succeeded: bool = True, ago: int = 0, purpose: Purpose = Purpose.ACT) -> Flight:
    """A flight decided so many seconds ago and in a block since."""
    flown = flight(State.INCLUDED, attempt(1, purpose=purpose), deadline=NOW - ago)
    return replace(flown, receipt=receipt(1, succeeded=succeeded))


def selling(
    amount: int,
    swapped: int | None = None,
    *,
    provided: tuple[int, ...] = (),
    state: State = State.FINAL,
    ago: int = 0,
) -> Flight:
    """A flight whose rehearsal sold so much WETH, and whose receipt tells of a swap and of liquidity into its pool."""
    wanted = intent(deadline=NOW - ago)
    rehearsal = replace(wanted.rehearsal, moves=(Move("sell", WETH, amount),))
    flown = replace(flight(state), intent=replace(wanted, rehearsal=rehearsal))
    if swapped is None:
        return flown
    paid = tuple(
        Log(WETH.address.lower(), (TRANSFER, "0x" + "00" * 32, "0x" + "00" * 12 + POOL[2:]), f"0x{sum_:064x}")
        for sum_ in (swapped, *provided)
    )
    swap = Log(POOL, (SWAP, "0x", "0x"), f"0x{2**256 - 5:064x}{swapped:064x}" + "00" * 96)
    return replace(flown, receipt=replace(receipt(1), logs=(*paid, swap)))


@pytest.mark.parametrize(
    ("outcomes", "trips"),
    [
        ("", False),
        ("..", False),
        ("xx", False),
        ("xxx", True),
        ("xxxx", True),
        ("xxx.", False),
        (".xx", False),
    ],
)
def test_reverts__only_so_many_in_a_row_and_to_the_end__trip(outcomes: str, trips: bool) -> None:
    flown = [mined(outcome == ".") for outcome in outcomes]
    assert (too_many_reverts(flown, LIMITS) is not None) is trips


def test_reverts__with_a_cancellation_or_an_open_flight_between__are_still_in_a_row() -> None:
    failed = mined(False)
    flown = [failed, mined(True, purpose=Purpose.CANCEL), failed, flight(State.BROADCAST), failed]
    trip = too_many_reverts(flown, LIMITS)
    assert trip is not None
    assert trip.why == "breaker: the last 3 actions reverted, and 3 in a row are too many"


def test_gas__of_a_day__counts_failures_and_cancellations_and_forgets_older_ones() -> None:
    flown = [mined(), mined(False), mined(purpose=Purpose.CANCEL)]
    assert too_much_gas(flown, NOW - 1, LIMITS) is not None
    assert too_much_gas(flown[:2], NOW - 1, LIMITS) is None
    assert too_much_gas([mined(ago=DAY), *flown[:2]], NOW - 1, LIMITS) is not None
    assert too_much_gas([mined(ago=DAY), *flown[:2]], NOW, LIMITS) is None


def test_actions__of_an_hour__trip_when_they_are_too_many() -> None:
    assert too_often([mined(), mined(), flight(State.BROADCAST, deadline=NOW)], NOW - 1, LIMITS) is not None
    assert too_often([mined(), mined(), flight(State.ABANDONED, deadline=NOW)], NOW - 1, LIMITS) is None
    assert too_often([mined(), mined(), mined(ago=HOUR)], NOW, LIMITS) is None


def test_what_was_sold__beyond_the_rehearsal__trips_by_what_pools_took_for_swaps() -> None:
    assert too_far_off([selling(10_000, 10_100)], LIMITS) is None
    trip = too_far_off([selling(10_000, 10_101)], LIMITS)
    assert trip is not None
    assert f"sold 10101 of {WETH.address} where its rehearsal sold 10000" in trip.why
    other = replace(WETH, address=Address("0x" + "AA" * 20))
    flown = selling(10_000, 20_000)
    moves = (Move("sell", other, 10_000),)
    assert (
        too_far_off(
            [
                replace(
                    flown,
                    intent=replace(flown.intent, rehearsal=replace(flown.intent.rehearsal, moves=moves)),
                )
            ],
            LIMITS,
        )
        is None
    )


def test_what_was_sold__with_liquidity_put_into_the_same_pool__counts_the_swap_alone() -> None:
    assert too_far_off([selling(10_000, 10_000, provided=(25_000, 9_000))], LIMITS) is None
    assert too_far_off([selling(10_000, 10_101, provided=(25_000,))], LIMITS) is not None


@given(topic=st.sampled_from([TRANSFER, SWAP]), data=st.binary(max_size=70), topics=st.integers(0, 3))
def test_what_was_sold__where_a_token_logs_what_no_pool_would__is_told_by_the_others(
    topic: str, data: bytes, topics: int
) -> None:
    flown = selling(10_000, 10_101)
    assert flown.receipt is not None
    for address in (WETH.address, POOL):
        log = Log(address.lower(), (topic, *["0x" + "00" * 32] * topics), "0x" + data.hex())
        odd = replace(flown, receipt=replace(flown.receipt, logs=(log, *flown.receipt.logs)))
        assert too_far_off([odd], LIMITS) == too_far_off([flown], LIMITS)


def test_what_was_sold__within_a_day__trips_above_the_limit_of_a_named_token_alone() -> None:
    limits = BreakerLimits(sold_per_day={WETH.address: Decimal("1.5")})
    ether = 10**18
    assert too_much_sold([selling(ether), selling(ether // 2)], NOW - 1, limits) is None
    trip = too_much_sold([selling(ether), selling(ether // 2), selling(1)], NOW - 1, limits)
    assert trip is not None
    assert "1.500000000000000001" in trip.why
    undone = selling(ether, state=State.CANCELLED)
    assert too_much_sold([selling(ether), undone, selling(ether, ago=DAY)], NOW, limits) is None
    assert too_much_sold([selling(ether), selling(ether, state=State.BROADCAST)], NOW - 1, limits) is not None
    assert too_much_sold([selling(100 * ether)], NOW - 1, BreakerLimits()) is None


def acted(name: str, rule: int = 0, *, succeeded: bool = True, ago: int = 0) -> Flight:
    """A flight that moved something of a rule's position, and is in a block."""
    flown = selling(1, 1, ago=ago)
    assert flown.receipt is not None
    plan = replace(flown.intent.plan, key=replace(flown.intent.plan.key, id=rule))
    return replace(
        flown,
        intent=replace(flown.intent, id=name, plan=plan),
        receipt=replace(flown.receipt, succeeded=succeeded),
    )


def test_what_actions_lost__adds_up_rule_by_rule_over_a_day_and_leaves_out_what_failed() -> None:
    limits = BreakerLimits(equity_bps_per_day=100)
    flown = [acted("a"), acted("b"), acted("c", rule=1)]
    lost = {"a": 60, "b": 40, "c": 100}
    assert too_much_lost(flown, lost, NOW - 1, limits) is None
    trip = too_much_lost(flown, lost | {"b": 41}, NOW - 1, limits)
    assert trip is not None
    assert (
        "lost 101 basis points of its position's worth by a day's actions, and 100 is the limit" in trip.why
    )
    old_or_failed = [acted("a", ago=DAY), acted("a", succeeded=False), acted("b")]
    assert too_much_lost(old_or_failed, {"a": 100, "b": 100}, NOW, limits) is None
    assert too_much_lost([mined()], {"intent 1": 10_000}, NOW - 1, limits) is None, "it moved nothing"
    assert too_much_lost([acted("unread")], {}, NOW - 1, limits) is None


def quote(spot: int, mean: int | None) -> Quote:
    return Quote(
        WETH.address, Address("0x" + "0C" * 20), Address(POOL), 10_000 << 96, spot << 96, mean and mean << 96
    )


@pytest.mark.parametrize(
    ("spot", "mean", "apart"),
    [
        (10_000, 10_000, 0),
        (11_000, 11_200, 1_000),
        (12_000, 10_500, 500),
        (8_999, 7_000, -1_001),
        (12_000, 8_000, 0),
        (12_000, 10_000, 0),
        (20_000, None, 0),
    ],
)
def test_a_pool__is_as_far_from_a_price_as_the_nearer_of_its_spot_and_its_mean(
    spot: int, mean: int | None, apart: int
) -> None:
    limits = BreakerLimits(divergence_bps=999)
    assert quote(spot, mean).apart_bps == apart
    assert (prices_apart([quote(10_000, 10_000), quote(spot, mean)], limits) is not None) is (
        abs(apart) > 999
    )
    assert prices_apart([quote(spot, mean)], BreakerLimits()) is None, "unless it is asked for"


def test_finality_and_quorum__trip_when_they_are_broken() -> None:
    assert undone_when_final(7, "0xaa", "0xaa") is None
    assert undone_when_final(7, "0xaa", "0xbb") is not None
    assert without_quorum(299.9, LIMITS) is None
    assert without_quorum(300.0, LIMITS) is not None

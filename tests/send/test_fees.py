"""Bids: in bounds, and high enough to replace what they are meant to replace on every client."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import Misconfigured, Unsafe
from keeper.domain.flights import Fees
from keeper.domain.plans import Worth
from keeper.domain.rules import RuleKey
from keeper.domain.units import GWEI
from keeper.send.fees import (
    BUMP,
    SendLimits,
    first_fees,
    gwei_text,
    patience,
    raised,
    replacement_fees,
    urgency,
)
from tests.send.flights_given import COUNTER, OWNER, STRANGER, intent

WEI = st.integers(0, 10**15)


def offered(base_fee: int, limits: SendLimits) -> Fees:
    """The first bid for an action that is worth anything."""
    return first_fees(base_fee, limits, limits.ceiling(intent()))


def test_the_tables_below__when_the_bump_changes__must_change_too() -> None:
    assert BUMP == (9, 8)


@pytest.mark.parametrize(
    ("base_fee", "tip", "cap", "bid"),
    [
        (10 * GWEI, 1 * GWEI, 90 * GWEI, Fees(21 * GWEI, 1 * GWEI)),
        (0, 0, 90 * GWEI, Fees(0, 0)),
        (0, 1, 9, Fees(1, 1)),
        (40 * GWEI, 1 * GWEI, 90 * GWEI, Fees(80 * GWEI, 1 * GWEI)),
        (80 * GWEI, 1 * GWEI, 90 * GWEI, Fees(80 * GWEI, 1 * GWEI)),
        (7, 80 * GWEI, 90 * GWEI, Fees(80 * GWEI, 80 * GWEI)),
    ],
)
def test_a_first_bid__is_twice_the_base_fee_and_the_tip_below_the_ceiling(
    base_fee: int, tip: int, cap: int, bid: Fees
) -> None:
    assert offered(base_fee, SendLimits(cap, tip)) == bid


def test_a_first_bid__when_the_base_fee_is_above_the_ceiling__is_refused() -> None:
    with pytest.raises(Unsafe, match=r"base fee of 80\.001 gwei is above the 80 gwei"):
        offered(80 * GWEI + GWEI // 1000, SendLimits(90 * GWEI, GWEI))


@pytest.mark.parametrize(
    ("worth", "gas", "ceiling"),
    [
        (10**16, 100_000, 80 * GWEI),
        (8 * 10**15, 100_000, 80 * GWEI),
        (8 * 10**15 - 1, 100_000, 80 * GWEI - 1),
        (4 * 10**15, 200_000, 20 * GWEI),
        (1, 100_000, 0),
    ],
)
def test_an_action__that_is_worth_so_much__bids_no_more_than_its_gas_then_costs(
    worth: int, gas: int, ceiling: int
) -> None:
    limits = SendLimits(90 * GWEI, GWEI, worth_wei={COUNTER: worth})
    wanted = intent(gas=gas)
    assert limits.ceiling(wanted) == ceiling
    assert limits.ceiling(wanted) * gas <= worth
    elsewhere = replace(wanted, plan=replace(wanted.plan, key=RuleKey(STRANGER, OWNER, 0)))
    assert limits.ceiling(elsewhere) == limits.action_fee_wei
    with pytest.raises(Unsafe, match="an action may bid"):
        first_fees(ceiling + 1, limits, ceiling)


@given(
    st.none() | st.integers(0, 10**18), st.none() | st.integers(0, 10**18), st.integers(1, 10**7), WEI, WEI
)
def test_whatever_an_action_is_worth__no_bid_for_it_costs_more_nor_more_than_the_operator_allows(
    said: int | None, reckoned: int | None, gas: int, base_fee: int, old: int
) -> None:
    limits = SendLimits(500 * GWEI, GWEI, worth_wei={} if said is None else {COUNTER: said})
    worth = None if reckoned is None else Worth(reckoned, "so much is at risk")
    wanted = replace(intent(gas=gas), worth=worth)
    ceiling = limits.ceiling(wanted)
    bids: list[Fees | None] = [replacement_fees(Fees(old, 0), base_fee, 4 * GWEI, ceiling)]
    try:
        bids.append(first_fees(base_fee, limits, ceiling))
    except Unsafe:
        assert base_fee > ceiling
    for bid in filter(None, bids):
        assert bid.max_fee <= limits.action_fee_wei
        assert bid.max_fee * gas <= min(most for most in (said, reckoned, 2**256) if most is not None)


@pytest.mark.parametrize(
    ("bid", "next_bid"),
    [(0, 1), (1, 2), (8, 9), (9, 11), (16, 18), (10**9, 1_125_000_000), (10**9 + 1, 1_125_000_002)],
)
def test_a_raised_bid__is_an_eighth_more_rounded_up(bid: int, next_bid: int) -> None:
    assert raised(bid) == next_bid


@pytest.mark.parametrize(
    ("old", "base_fee", "ceiling", "bid"),
    [
        (Fees(40, 8), 10, 1000, Fees(45, 9)),
        (Fees(40, 8), 100, 1000, Fees(208, 9)),
        (Fees(40, 8), 100, 150, Fees(150, 9)),
        (Fees(40, 8), 100, 45, Fees(45, 9)),
        (Fees(40, 8), 100, 44, None),
        (Fees(0, 0), 0, 10, Fees(8, 8)),
        (Fees(40, 40), 0, 1000, Fees(45, 45)),
    ],
)
def test_a_replacement__is_an_eighth_more_or_the_market_below_the_ceiling(
    old: Fees, base_fee: int, ceiling: int, bid: Fees | None
) -> None:
    assert replacement_fees(old, base_fee, tip=8, ceiling=ceiling) == bid


@given(WEI, WEI, WEI, WEI, WEI)
def test_a_replacement__whatever_it_replaces__passes_geth_and_reth_and_the_ceiling(
    max_fee: int, tip: int, base_fee: int, market_tip: int, ceiling: int
) -> None:
    old = Fees(max_fee, min(tip, max_fee))
    new = replacement_fees(old, base_fee, market_tip, ceiling)
    if new is None:
        assert raised(max_fee) > ceiling
        return
    assert new.tip <= new.max_fee <= ceiling
    for before, after in ((old.max_fee, new.max_fee), (old.tip, new.tip)):
        assert after > before, "both must rise"
        assert 100 * after >= 110 * before, "geth: at least a tenth"
        assert 100 * after > 110 * before, "reth: more than a tenth"


@given(WEI, WEI, WEI)
def test_a_bid_at_the_ceiling_of_actions__can_still_be_cancelled(base_fee: int, tip: int, cap: int) -> None:
    try:
        limits = SendLimits(cap, tip)
        bid = offered(base_fee, limits)
    except (Misconfigured, Unsafe):
        return
    while True:
        higher = replacement_fees(bid, base_fee, tip, limits.action_fee_wei)
        if higher is None or limits.action_fee_wei > 10**6 * bid.max_fee:
            break
        bid = higher
    if limits.action_fee_wei > 8:
        assert replacement_fees(bid, base_fee, tip, limits.max_fee_wei) is not None


def test_limits__that_cannot_hold__are_refused() -> None:
    with pytest.raises(Misconfigured, match="a tip of 81 gwei does not fit under the fee ceiling of 90 gwei"):
        SendLimits(90 * GWEI, 81 * GWEI)
    with pytest.raises(Misconfigured, match="tip"):
        SendLimits(90 * GWEI, -1)
    with pytest.raises(Misconfigured, match=r"stuck_blocks \(0\)"):
        SendLimits(90 * GWEI, GWEI, stuck_blocks=0)


@pytest.mark.parametrize(
    ("wei", "text"), [(0, "0"), (GWEI, "1"), (1_500_000_000, "1.5"), (999_999, "0"), (100 * GWEI, "100")]
)
def test_a_fee__for_people__is_in_gwei(wei: int, text: str) -> None:
    assert gwei_text(wei) == text


@pytest.mark.parametrize(
    ("left", "pressing", "blocks"),
    [
        (10**9, 0, 8),
        (300, 0, 8),
        (150, 0, 8),
        (149, 1, 4),
        (75, 1, 4),
        (74, 2, 2),
        (1, 2, 2),
        (0, 0, 8),
        (-5, 0, 8),
    ],
)
def test_urgency__as_the_deadline_nears__rises_and_waits_less(left: int, pressing: int, blocks: int) -> None:
    limits = SendLimits(500 * GWEI, GWEI, stuck_blocks=8, deadline_seconds=300)
    assert urgency(left, limits) == pressing
    assert patience(pressing, limits) == blocks
    assert patience(pressing, SendLimits(500 * GWEI, GWEI, stuck_blocks=1)) == 1

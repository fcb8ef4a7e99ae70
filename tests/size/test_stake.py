"""What is at stake: nothing above the floor, all of a liquidation's bonus at its edge, never a wei too much."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.loans import Loan
from keeper.domain.plans import Stake
from keeper.domain.units import BASE, BPS, WAD
from keeper.size.stake import loan_stake

DOLLARS = st.integers(0, 10**20)


def loan(debt: int) -> Loan:
    return Loan(2 * debt, debt, 8_000, WAD)


@pytest.mark.parametrize(
    ("urgency", "at_risk"), [(0, 0), (5_000, 625 * BASE), (10_000, 1_250 * BASE), (20_000, 1_250 * BASE)]
)
def test_a_loan__on_its_way_to_liquidation__has_so_much_of_the_bonus_at_risk(
    urgency: int, at_risk: int
) -> None:
    assert loan_stake(loan(50_000 * BASE), 10_500, urgency, BASE) == Stake(BASE, at_risk)


@pytest.mark.parametrize(
    ("stake", "wei", "why"),
    [
        (Stake(16_000 * BASE, 625 * BASE), 3125 * 10**14, "625.00 dollars are at risk"),
        (Stake(16_000 * BASE, 60 * BASE), 4 * 10**16, "50 basis points of the 16000.00 dollars it moves"),
        (Stake(16_000 * BASE), 4 * 10**16, "50 basis points of the 16000.00 dollars it moves"),
        (Stake(0), 0, "0.00 dollars are at risk"),
    ],
)
def test_an_action__is_worth_what_it_averts_or_a_part_of_what_it_moves(
    stake: Stake, wei: int, why: str
) -> None:
    worth = stake.worth(2_000 * BASE, benefit_bps=50)
    assert (worth.wei, worth.why) == (wei, why)


@given(
    DOLLARS,
    DOLLARS,
    st.integers(0, 12_000),
    st.integers(0, 20_000),
    st.integers(1, 10**14),
    st.integers(1, BPS),
)
def test_whatever_is_at_stake__gas_is_never_worth_more_than_it_and_grows_with_it(
    debt: int, moved: int, bonus_bps: int, urgency: int, price: int, benefit_bps: int
) -> None:
    stake = loan_stake(loan(debt), bonus_bps, urgency, moved)
    assert 0 <= stake.at_risk * 2 * BPS <= debt * max(bonus_bps - BPS, 0)
    worth = stake.worth(price, benefit_bps)
    assert 0 <= worth.wei * price * BPS <= max(stake.at_risk * BPS, moved * benefit_bps) * WAD
    nearer = loan_stake(loan(debt), bonus_bps, urgency + 1, moved)
    assert nearer.worth(price, benefit_bps).wei >= worth.wei
    assert Stake(moved + 1, stake.at_risk).worth(price, benefit_bps).wei >= worth.wei

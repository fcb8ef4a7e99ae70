"""Loans: liquidations reckoned by hand, the slow reference, and the live keeper's own sizes in integers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.loans import Band, Limits, Loan, LoanMarket, LoanRule, PoolState, Terms
from keeper.domain.units import BASE, NOBODY, WAD, Address
from keeper.planner.bars import History
from keeper.planner.cases import LoanCase, loan_case
from keeper.planner.charges import Charges
from keeper.planner.costs import Costs, Impact, ether_history
from keeper.planner.results import COLUMNS, DOWN, LIQUIDATED, UP, YEAR, Floats
from keeper.planner.simulate_loan import Lending, borrowing, repayment
from keeper.planner.sweep import grid
from keeper.size.deleverage import deleverage
from keeper.size.releverage import releverage
from tests.planner import slow
from tests.planner.histories import random_history

LENDING = Lending(0.825, 0.5, 0.95, 0.05)
NO_RULE = 0.0


def rule(floor: float, target: float, ceiling: float = math.inf, **more: float) -> Floats:
    return grid(COLUMNS_OF_A_RULE, floor=[floor], target=[target], ceiling=[ceiling], **more)[0]


COLUMNS_OF_A_RULE = loan_case(random_history(0), LENDING, Costs()).columns


def bars(*rows: tuple[float, float, float, float]) -> History:
    """Open, high, low and close, hour by hour."""
    open_, high, low, close = (np.array(column) for column in zip(*rows, strict=True))
    time = 3600 * np.arange(len(rows), dtype=np.int64)
    return History("by hand", 3600, time, open_, high, low, close)


def life(case: LoanCase, chosen: Floats) -> dict[str, float]:
    return dict(zip(COLUMNS, case.score(chosen[None, :])[0], strict=True))


def test_a_loan__whose_low_is_below_health_one__is_liquidated_by_half_at_that_low() -> None:
    # $1,000 at a health of 1.65 is twice leveraged: 20 ether at $100 against $1,000. At $60 health is 0.99.
    case = loan_case(bars((100, 100, 100, 100), (100, 100, 60, 90)), LENDING, Costs(0.0), capital=1_000.0)
    path = case.path(rule(NO_RULE, 1.65))
    assert path.measure[0] == pytest.approx(1.65)
    assert path.lowest[1] == pytest.approx(20 * 60 * 0.825 / 1000)
    actions = path.actions
    assert actions.side.tolist() == [LIQUIDATED]
    # $500 repaid for $525 of collateral: 8.75 ether. Left are 11.25 ether against $500, at a health of 1.11375.
    assert actions.traded[0] == pytest.approx(525.0)
    assert actions.penalty[0] == pytest.approx(25.0)
    assert actions.after[0] == pytest.approx(11.25 * 60 * 0.825 / 500)
    assert path.equity[1] == pytest.approx(11.25 * 90 - 500)
    assert life(case, rule(NO_RULE, 1.65))["liquidations"] == 1


def test_a_loan__below_ninety_five_percent__is_liquidated_whole() -> None:
    case = loan_case(bars((100, 100, 100, 100), (100, 100, 57, 90)), LENDING, Costs(0.0), capital=1_000.0)
    path = case.path(rule(NO_RULE, 1.65))
    assert path.lowest[1] == pytest.approx(0.9405)
    assert path.actions.traded.tolist() == pytest.approx([1_050.0])
    # 20 ether less $1,050 at $57, and no debt.
    assert path.equity[1] == pytest.approx((20 - 1_050 / 57) * 90)
    assert path.measure[1] == math.inf


def test_a_loan__worth_less_than_its_debt_and_bonus__ends_with_nothing() -> None:
    case = loan_case(
        bars((100, 100, 100, 100), (50, 50, 45, 50), (50, 500, 50, 500)), LENDING, Costs(0.0), capital=1_000.0
    )
    told = life(case, rule(NO_RULE, 1.65))
    assert told["final_value"] == 0
    assert told["max_drawdown"] == 1
    # All 20 ether at $45 are $900, of which the bonus is 900 - 900 / 1.05.
    assert told["penalty"] == pytest.approx(900 - 900 / 1.05)


def test_a_close__below_health_one_again_and_again__is_liquidated_until_it_is_not() -> None:
    case = loan_case(bars((100, 100, 100, 100), (60, 60, 60, 60), (58, 58, 40, 50)), LENDING, Costs(0.0))
    told = life(case, rule(NO_RULE, 1.65))
    assert told["liquidations"] >= 2
    assert told["min_health"] < 1


def test_a_rule__that_acts_on_a_close__saves_the_loan_from_the_next_low() -> None:
    falling = bars((100, 100, 100, 100), (100, 100, 75, 75), (75, 75, 60, 70))
    costs = Costs(0.003)
    without, with_rule = (
        life(loan_case(falling, LENDING, costs), rule(floor, 1.65)) for floor in (NO_RULE, 1.3)
    )
    assert without["liquidations"] == 1
    assert with_rule["liquidations"] == 0
    assert with_rule["trades"] == 1
    assert with_rule["min_health"] == pytest.approx(75 / 100 * 1.65)


def test_interest__over_a_gap_in_the_data__runs_on() -> None:
    flat = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 100, 100, 100))
    gapped = replace(flat, time=np.array([0, 3600, 3600 + YEAR], dtype=np.int64))
    case = loan_case(gapped, LENDING, Costs(0.0), supply_rate=0.02, borrow_rate=0.05, capital=1_000.0)
    path = case.path(rule(NO_RULE, 1.65))
    hour = 3600 / YEAR
    owed = 1_000 * math.exp(0.05 * (1 + hour))
    assert path.equity[-1] == pytest.approx(2_000 * math.exp(0.02 * (1 + hour)) - owed)


@given(
    seed=st.integers(0, 10_000),
    band=st.sampled_from([(1.3, 1.65, math.inf), (1.2, 1.4, 1.8), (0.0, 1.5, math.inf), (1.55, 1.6, 1.7)]),
    cooldown=st.sampled_from([0, 7200, 30_000]),
    look=st.sampled_from([1, 4]),
    delay=st.sampled_from([0, 1, 2]),
    premium=st.sampled_from([0.0, 0.0005]),
    speed=st.sampled_from([1.0, 1.0, 0.5, 0.1]),
)
@settings(max_examples=60, deadline=None)
def test_a_random_history__in_the_kernel_and_by_hand__is_the_same_life(
    seed: int,
    band: tuple[float, float, float],
    cooldown: int,
    look: int,
    delay: int,
    premium: float,
    speed: float,
) -> None:
    history = random_history(seed, hourly=0.02)
    costs = Costs(0.003, Impact(0.05, 1.0), 300_000, failures=0.1, delay=delay, premium=premium)
    case = loan_case(history, LENDING, costs, 0.01, 0.06)
    chosen = rule(*band, cooldown=cooldown, look=look, speed=speed)
    path = case.path(chosen)
    kept = case.history
    by_hand = slow.loan(
        kept.moment.tolist(), kept.opens.tolist(), kept.lows.tolist(), kept.closes.tolist(), kept.gas.tolist(),
        kept.supplied.tolist(), kept.borrowed.tolist(), band, cooldown, look, slow.Market(),
        slow.Terms(0.003, 0.05, case.charges.attempts, delay, premium), case.capital, speed,
    )  # fmt: skip
    actions = path.actions
    assert [(bar, side) for bar, side, _, _ in by_hand.actions] == list(
        zip(actions.bar.tolist(), actions.side.tolist(), strict=True)
    )
    assert actions.traded == pytest.approx([float(sold) for _, _, sold, _ in by_hand.actions], rel=1e-7)
    assert actions.cost == pytest.approx([float(cost) for _, _, _, cost in by_hand.actions], rel=1e-7)
    lived = len(by_hand.equity)
    assert path.equity[:lived] == pytest.approx([float(value) for value in by_hand.equity], rel=1e-7)
    assert life(case, chosen)["final_value"] == pytest.approx(float(by_hand.value), rel=1e-7)


@pytest.mark.parametrize("delay", [0, 2])
def test_the_past__under_another_future__is_lived_the_same(delay: int) -> None:
    history, since = random_history(5, 2_000, hourly=0.01), 1_200
    order = np.concatenate((np.arange(since), np.random.default_rng(1).permutation(np.arange(since, 2_000))))
    other = replace(
        history,
        open=history.open[order],
        high=history.high[order],
        low=history.low[order],
        close=history.close[order],
    )
    costs = Costs(0.001, gas_units=100_000, delay=delay)
    first, second = (
        loan_case(each, LENDING, costs).path(rule(1.3, 1.6, 1.9, sigmas=3, highest=1.5))
        for each in (history, other)
    )
    assert (first.equity[:since] == second.equity[:since]).all()
    assert (first.equity[since:] != second.equity[since:]).any()
    assert set(first.actions.side[first.actions.bar < since].tolist()) == {DOWN, UP}


def test_a_rule__on_real_ether_through_its_crashes__is_never_liquidated_where_the_same_loan_without_one_is() -> (
    None
):
    history = ether_history().between("2020-02-15", "2022-12-31")
    case = loan_case(history, LENDING, Costs(0.0005, gas_units=600_000), 0.01, 0.04)
    without, with_rule = life(case, rule(NO_RULE, 1.65)), life(case, rule(1.4, 1.65, 1.9))
    assert without["liquidations"] > 0
    assert with_rule["liquidations"] == 0
    assert with_rule["trades"] > 10


@given(
    health_bps=st.integers(10_050, 16_400),
    target_bps=st.integers(16_500, 30_000),
    fee=st.sampled_from([100, 500, 3000]),
    thousands=st.integers(1, 2_000),
    price=st.integers(50_000_000_00, 5_000_000_000_00),
)
@settings(max_examples=200, deadline=None)
def test_a_repayment__in_the_planners_floats__is_the_live_keepers_to_a_part_in_a_million(
    health_bps: int, target_bps: int, fee: int, thousands: int, price: int
) -> None:
    """The keeper sizes in integers against a pool; the planner against the same fee and a depth fitted to the pool."""
    threshold_bps = 8_250
    debt = thousands * 1_000 * BASE
    collateral = debt * health_bps // threshold_bps
    loan = Loan(collateral, debt, threshold_bps, collateral * threshold_bps * WAD // (debt * 10_000))
    # USDC is token0, 6 decimals; a pool so deep that only its fee is felt.
    root = math.isqrt((10**18 * 10**8 * (1 << 192)) // (price * 10**6))
    pool = PoolState(fee, root, 10**30, collateral_is_token0=False)
    market = LoanMarket(price, BASE, 10**18, 10**6, threshold_bps, 2**255, (pool,))
    anyone = Limits(500, 0, 2**95, 2**39, NOBODY)
    live = LoanRule(
        Address("0x" + "11" * 20), Address("0x" + "22" * 20), Band(10_500, target_bps, 50_000), anyone
    )
    step = deleverage(live, loan, market)
    repay, sell = repayment(
        collateral / BASE,
        debt / BASE,
        target_bps / 1e4,
        threshold_bps / 1e4,
        Charges(fee / 1e6, 0, 1, 0, 1, 0),
    )
    if repay == 0:
        # The planner also refuses to sell more collateral than there is; sizing leaves that to the contract's check.
        assert step is None or step.swapped * price / 10**18 / BASE > collateral / BASE * (1 - 1e-6)
        return
    assert step is not None
    assert repay == pytest.approx(step.amount / 10**6, rel=1e-6)
    assert sell == pytest.approx(step.swapped * price / 10**18 / BASE, rel=1e-6)


@given(
    health_bps=st.integers(20_500, 60_000),
    target_bps=st.integers(11_000, 20_000),
    fee=st.sampled_from([100, 500, 3000]),
    thousands=st.integers(1, 2_000),
    price=st.integers(50_000_000_00, 5_000_000_000_00),
)
@settings(max_examples=100, deadline=None)
def test_a_borrowing__in_the_planners_floats__is_the_live_keepers_to_a_part_in_a_million(
    health_bps: int, target_bps: int, fee: int, thousands: int, price: int
) -> None:
    threshold_bps = 8_250
    debt = thousands * 1_000 * BASE
    collateral = debt * health_bps // threshold_bps
    loan = Loan(collateral, debt, threshold_bps, collateral * threshold_bps * WAD // (debt * 10_000))
    root = math.isqrt((10**18 * 10**8 * (1 << 192)) // (price * 10**6))
    pool = PoolState(fee, root, 10**30, collateral_is_token0=False)
    market = LoanMarket(price, BASE, 10**18, 10**6, threshold_bps, 2**255, (pool,))
    anyone = Limits(500, 0, 2**95, 2**39, NOBODY)
    live = LoanRule(
        Address("0x" + "11" * 20), Address("0x" + "22" * 20), Band(10_500, target_bps, 20_400), anyone,
        Terms(borrow_step=2**95),
    )  # fmt: skip
    step = releverage(live, loan, market)
    assert step is not None
    borrow = borrowing(
        collateral / BASE,
        debt / BASE,
        target_bps / 1e4,
        threshold_bps / 1e4,
        Charges(fee / 1e6, 0, 1, 0, 1, 0),
    )
    assert borrow == pytest.approx(step.amount / 10**6, rel=1e-6)

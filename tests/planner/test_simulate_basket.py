"""Baskets: golden counts on real ether, the slow reference, lanes against one life, and no look ahead."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.planner.bars import History
from keeper.planner.cases import basket_case
from keeper.planner.costs import Costs, Impact, ether_history
from keeper.planner.results import COLUMNS, DOWN, FAILED, UP, Floats
from keeper.planner.sweep import grid, scores_of
from tests.planner import slow
from tests.planner.histories import random_history

FREE = Costs(fee=0.0)


def rule(trigger: float, destination: float = 0.0, **more: float) -> Floats:
    case = basket_case([random_history(0)], [0.5], FREE)
    return grid(case.columns, trigger=[trigger], destination=[destination], **more)[0]


@pytest.mark.parametrize(
    ("trigger", "destination", "trades", "turnover", "rms"),
    [
        (0.05, 0.0, 142, 1.2041, 0.02110),
        (0.05, 0.025, 175, 0.7886, 0.02238),
        (0.10, 0.0, 35, 0.5731, 0.04011),
    ],
)
def test_real_ether__held_half_and_half__trades_what_it_always_traded(
    trigger: float, destination: float, trades: int, turnover: float, rms: float
) -> None:
    case = basket_case([ether_history()], [0.5], FREE)
    rules = rule(trigger, destination)[None, :]
    scores = scores_of(case, rules, case.score(rules))
    assert scores["trades"][0] == trades
    assert scores.turnover_per_year[0] == pytest.approx(turnover, abs=5e-5)
    assert scores.rms_deviation[0] == pytest.approx(rms, abs=5e-6)


def test_real_ether__by_the_closed_form__trades_within_a_fifth_of_it() -> None:
    # n = a^2 / (xi^2 - eta^2) and turnover = a^2 / (xi + eta), a = p (1 - p) s, of which jumps take some trades.
    history = ether_history()
    s = float(np.std(np.diff(np.log(history.close)))) * math.sqrt(8766)
    case = basket_case([history], [0.5], FREE)
    for xi, eta in ((0.05, 0.0), (0.05, 0.025), (0.08, 0.04)):
        scores = scores_of(case, rules := rule(xi, eta)[None, :], case.score(rules))
        a = 0.25 * s
        assert scores.trades_per_year[0] == pytest.approx(a**2 / (xi**2 - eta**2), rel=0.2)
        assert scores.turnover_per_year[0] == pytest.approx(a**2 / (xi + eta), rel=0.1)


def test_real_ether__counted_by_hand_in_a_loop__trades_as_often() -> None:
    for trigger, destination, trades in ((0.05, 0.0, 142), (0.05, 0.025, 175), (0.10, 0.0, 35)):
        ether, money, counted = 0.5, 0.5, 0
        before = float(ether_history().close[0])
        for price in ether_history().close.tolist():
            ether *= price / before
            before, off = price, ether / (ether + money) - 0.5
            if abs(off) > trigger:
                counted += 1
                aim = 0.5 + math.copysign(destination, off)
                ether, money = aim * (ether + money), (1 - aim) * (ether + money)
        assert counted == trades


def test_a_price_without_memory__at_eighty_percent__trades_as_often_as_theory_with_its_correction_says() -> (
    None
):
    # Broadie, Glasserman and Kou widen the band by 0.5826 a sqrt(dt) for a look an hour: 15.23 a year.
    years, bars = 60, 8766 * 60
    step = 0.8 / math.sqrt(8766)
    price = np.exp(np.cumsum(np.random.default_rng(7).normal(-(step**2) / 2, step, bars)))
    history = History("without memory", 3600, 3600 * np.arange(bars), price, price, price, price)
    case = basket_case([history], [0.5], FREE)
    scores = scores_of(case, rules := rule(0.05)[None, :], case.score(rules))
    wider = 0.05 + 0.5826 * 0.2 / math.sqrt(8766)
    assert 0.2**2 / wider**2 == pytest.approx(15.23, abs=0.01)
    assert scores.trades_per_year[0] == pytest.approx(15.23, abs=3 * math.sqrt(15.23 / years))
    assert scores.rms_deviation[0] == pytest.approx(0.05 / math.sqrt(6), rel=0.05)
    assert scores.tracking_error[0] == pytest.approx(0.8 * 0.05 / math.sqrt(6), rel=0.05)


def test_real_ether__with_a_fee_of_ten_basis_points__is_worth_what_it_always_was() -> None:
    case = basket_case([ether_history()], [0.5], Costs(fee=0.001))
    (row,) = case.score(rule(0.05)[None, :])
    assert row[COLUMNS.index("trades")] == 142
    assert row[COLUMNS.index("final_value")] == pytest.approx(632_618.81, abs=0.5)


@given(
    seed=st.integers(0, 10_000),
    target=st.sampled_from([0.2, 0.5, 0.75]),
    trigger=st.sampled_from([0.01, 0.02, 0.05]),
    share=st.sampled_from([0.0, 0.4, 1.0]),
    is_relative=st.booleans(),
    cooldown=st.sampled_from([0, 7200, 40_000]),
    look=st.sampled_from([1, 3]),
    delay=st.sampled_from([0, 1, 2]),
)
@settings(max_examples=40, deadline=None)
def test_a_random_history__in_the_kernel_and_by_hand__is_the_same_life(
    seed: int,
    target: float,
    trigger: float,
    share: float,
    is_relative: bool,
    cooldown: int,
    look: int,
    delay: int,
) -> None:
    history = random_history(seed)
    costs = Costs(fee=0.003, impact=Impact(0.02, 1.0), gas_units=200_000, failures=0.1, delay=delay)
    case = basket_case([history], [target], costs)
    chosen = rule(trigger, trigger * share, is_relative=is_relative, cooldown=cooldown, look=look)
    path = case.path(chosen)
    bars = case.history
    life = slow.basket(
        bars.moment.tolist(),
        bars.opens.tolist(),
        bars.closes.tolist(),
        bars.gas.tolist(),
        case.targets.tolist(),
        chosen[0],
        chosen[1],
        is_relative,
        cooldown,
        look,
        slow.Terms(0.003, 0.02, case.charges.attempts, delay),
        case.capital,
    )
    assert [(bar, side) for bar, side, _, _ in life.actions] == list(
        zip(path.actions.bar.tolist(), path.actions.side.tolist(), strict=True)
    )
    assert path.actions.traded == pytest.approx(
        [float(sold) for _, _, sold, _ in life.actions], rel=1e-9, abs=1e-9
    )
    assert path.actions.cost == pytest.approx([float(cost) for _, _, _, cost in life.actions], rel=1e-9)
    assert path.equity == pytest.approx([float(value) for value in life.equity], rel=1e-9)
    (row,) = case.score(chosen[None, :])
    squared = sum(float(off) ** 2 for off in life.deviations)
    assert row[COLUMNS.index("sum_deviation_squared")] == pytest.approx(squared, rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_a_basket_of_four__in_the_kernel_and_by_hand__is_the_same_life(seed: int) -> None:
    bars = [random_history(100 * seed + at, gap=False) for at in range(3)]
    weights = [0.4, 0.3, 0.2, 0.1]
    case = basket_case(bars, weights, Costs(fee=0.002, gas_units=100_000, delay=seed % 2))
    chosen = rule(0.03, 0.01)
    path = case.path(chosen)
    kept = case.history
    life = slow.basket(
        kept.moment.tolist(), kept.opens.tolist(), kept.closes.tolist(), kept.gas.tolist(), weights, 0.03, 0.01,
        False, 0, 1, slow.Terms(0.002, delay=seed % 2), case.capital,
    )  # fmt: skip
    assert len(life.actions) > 3
    assert path.actions.bar.tolist() == [bar for bar, _, _, _ in life.actions]
    assert path.equity == pytest.approx([float(value) for value in life.equity], rel=1e-9)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_many_rules_abreast__and_each_alone__come_to_the_same_bits(delay: int) -> None:
    history = ether_history().rows(20_000, 26_000)
    case = basket_case(
        [history], [0.35], Costs(0.0005, Impact(0.002, 0.6), 250_000, failures=0.1, delay=delay)
    )
    rules = grid(
        case.columns,
        trigger=[0.005, 0.02, 0.05, 0.1],
        destination_share=[0.0, 0.5, 1.0],
        is_relative=[0, 1],
        cooldown=[0, 86_400],
        look=[1, 24],
        scale=[0, 1, 2],
    )
    assert len(rules) > 200
    rows = case.score(rules)
    assert rows[:, COLUMNS.index("trades")].max() > 20
    assert (rows[:, COLUMNS.index("failed")].max() > 0) == (delay > 0)
    for at in range(0, len(rules), 7):
        path = case.path(rules[at])
        of = dict(zip(COLUMNS, rows[at], strict=True))
        assert path.equity[-1] == of["final_value"]
        assert len(path.actions) == of["trades"] + of["failed"]
        assert np.cumsum(path.actions.gas)[-1:].sum() == of["gas"]
        assert (
            np.max(1 - path.equity / np.maximum.accumulate(np.maximum(path.equity, case.capital)))
            == of["max_drawdown"]
        )


def shuffled(history: History, since: int) -> History:
    """The same past, and another future."""
    other = np.random.default_rng(1).permutation(np.arange(since, len(history)))
    order = np.concatenate((np.arange(since), other))
    return replace(
        history,
        open=history.open[order],
        high=history.high[order],
        low=history.low[order],
        close=history.close[order],
        gas_gwei=None if history.gas_gwei is None else history.gas_gwei[order],
    )


@pytest.mark.parametrize("scale", [0, 1, 2])
@pytest.mark.parametrize("delay", [0, 2])
def test_the_past__under_another_future__is_lived_the_same(scale: int, delay: int) -> None:
    history, since = random_history(5, 2_000), 1_200
    costs = Costs(fee=0.001, gas_units=100_000, delay=delay)
    lives = [
        basket_case([bars], [0.5], costs).path(rule(0.02, 0.01, scale=scale))
        for bars in (history, shuffled(history, since))
    ]
    first, second = lives
    assert (first.equity[:since] == second.equity[:since]).all()
    assert (first.equity[since:] != second.equity[since:]).any()
    # What was decided before the futures part is decided alike.
    early = [actions.bar[actions.bar < since].tolist() for actions in (first.actions, second.actions)]
    assert early[0] == early[1]
    assert len(early[0]) > 10


def test_an_action__that_found_its_breach_gone__costs_gas_and_moves_nothing() -> None:
    close = np.array([100.0, 100.0, 150.0, 150.0, 100.0, 100.0])
    history = replace(
        random_history(0, 6, gap=False), open=np.array([100.0, 100, 100, 101, 100, 100]), close=close,
        high=np.full(6, 200.0), low=np.full(6, 50.0), gas_gwei=np.full(6, 100.0),
    )  # fmt: skip
    path = basket_case([history], [0.5], Costs(gas_units=100_000, delay=1), capital=1_000.0).path(rule(0.05))
    assert path.actions.side.tolist()[0] == FAILED
    assert path.actions.bar.tolist()[0] == 3
    # 100 gwei of 100,000 gas is a hundredth of an ether, at the bar's open of 101; four tenths of it until it reverts.
    assert path.actions.gas[0] == pytest.approx(0.404)
    assert path.actions.traded[0] == 0


def test_a_band__left_upwards_and_downwards__is_told_so_with_the_weights_around() -> None:
    path = basket_case([random_history(3)], [0.5], FREE).path(rule(0.03, 0.01))
    actions = path.actions
    assert set(actions.side.tolist()) == {UP, DOWN}
    up = actions.side == UP
    assert (actions.before[up] > 0.53).all()
    assert (actions.before[~up] < 0.47).all()
    assert actions.after[up] == pytest.approx(0.51)
    assert actions.after[~up] == pytest.approx(0.49)


def test_a_basket__so_small_that_gas_would_eat_it__is_left_alone() -> None:
    case = basket_case([random_history(3)], [0.5], Costs(gas_units=10**9), capital=10.0)
    (row,) = case.score(rule(0.03)[None, :])
    assert row[COLUMNS.index("trades")] == 0
    assert row[COLUMNS.index("final_value")] > 0

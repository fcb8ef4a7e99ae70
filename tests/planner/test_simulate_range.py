"""Ranges: what liquidity holds, the slow reference, the loss against rebalancing, and no look ahead."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.ranges import Direction, Edges, Leaving, Placement, RangeRule
from keeper.domain.units import NOBODY
from keeper.judge.range_exit import case_of
from keeper.planner.bars import History
from keeper.planner.cases import range_case
from keeper.planner.costs import Costs, Impact
from keeper.planner.judgements import has_left
from keeper.planner.results import COLUMNS, DOWN, FAILED, UP, Floats
from keeper.planner.simulate_range import lay, share_in_range, tokens_of
from keeper.planner.sweep import grid, scores_of
from tests.planner import slow
from tests.planner.histories import random_history

COLUMNS_OF_A_RULE = range_case(random_history(0), Costs(), 0.1).columns


def rule(width: float, trigger_share: float = 1.0, **more: float) -> Floats:
    return grid(COLUMNS_OF_A_RULE, width=[width], trigger_share=[trigger_share], **more)[0]


def test_liquidity__laid_around_a_price__holds_half_in_each_token_and_all_in_one_beyond_its_edges() -> None:
    laid = lay(1_000.0, 100.0, math.log(100.0), 0.2)
    risky, money = tokens_of(laid, 10.0)
    assert risky * 100.0 == pytest.approx(500.0)
    assert money == pytest.approx(500.0)
    above, below = math.exp(0.3), math.exp(-0.3)
    assert tokens_of(laid, math.sqrt(100.0 * above))[0] == pytest.approx(0.0, abs=1e-12)
    assert tokens_of(laid, math.sqrt(100.0 * below))[1] == pytest.approx(0.0, abs=1e-12)


def test_a_wide_range__when_the_price_doubles__loses_what_the_constant_product_loses() -> None:
    laid = lay(1_000.0, 100.0, math.log(100.0), 60.0)
    risky, money = tokens_of(laid, math.sqrt(200.0))
    held = 500.0 + 5.0 * 200.0
    assert (risky * 200.0 + money) / held - 1 == pytest.approx(-0.05719, abs=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "share"),
    [
        (-0.1, 0.1, 1.0),
        (-0.3, -0.1, 0.5),
        (0.3, 0.5, 0.0),
        (-0.4, 0.4, 0.5),
        (0.1, 0.1, 1.0),
        (0.3, 0.3, 0.0),
    ],
)
def test_a_bar__partly_in_range__counts_by_its_share(low: float, high: float, share: float) -> None:
    assert share_in_range(low, high, 0.0, 0.2) == pytest.approx(share)


@given(
    seed=st.integers(0, 10_000),
    width=st.sampled_from([0.03, 0.1, 0.4]),
    trigger_share=st.sampled_from([0.8, 1.0, 1.5]),
    hold=st.sampled_from([1, 6]),
    cooldown=st.sampled_from([0, 20_000]),
    look=st.sampled_from([1, 2]),
    delay=st.sampled_from([0, 1, 2]),
    deviation=st.sampled_from([0.02, 0.05]),
)
@settings(max_examples=25, deadline=None)
def test_a_random_history__in_the_kernel_and_by_hand__is_the_same_life(
    seed: int,
    width: float,
    trigger_share: float,
    hold: int,
    cooldown: int,
    look: int,
    delay: int,
    deviation: float,
) -> None:
    history = random_history(seed)
    case = range_case(history, Costs(0.003, Impact(0.02, 1.0), 900_000, failures=0.1, delay=delay), 0.2)
    chosen = rule(width, trigger_share, hold=hold, cooldown=cooldown, look=look, deviation=deviation)
    path = case.path(chosen)
    life, earned, lost = slow.liquidity(
        case.moment.tolist(), history.open.tolist(), history.high.tolist(), history.low.tolist(),
        history.close.tolist(), case.history.growth.tolist(), case.history.gas.tolist(), width, chosen[1], hold,
        cooldown, look, deviation, slow.Terms(0.003, 0.02, case.charges.attempts, delay), case.capital,
    )  # fmt: skip
    actions = path.actions
    assert [(bar, side) for bar, side, _, _ in life.actions] == list(
        zip(actions.bar.tolist(), actions.side.tolist(), strict=True)
    )
    assert actions.traded == pytest.approx([float(sold) for _, _, sold, _ in life.actions], rel=1e-8)
    assert actions.cost == pytest.approx([float(cost) for _, _, _, cost in life.actions], rel=1e-8)
    assert path.equity == pytest.approx([float(value) for value in life.equity], rel=1e-8)
    assert path.earned[-1] == pytest.approx(float(earned), rel=1e-8)
    assert path.lost[-1] == pytest.approx(float(lost), rel=1e-6)


def test_a_range__kept_around_a_price_without_memory__loses_what_theory_says_and_resets_as_often() -> None:
    # r = 1.25 at 80% a year: loss versus rebalancing of 9.472 s^2 / 8 at the centre, exits every 28.4 days.
    years, a_year = 20, 52_596
    step = 0.8 / math.sqrt(a_year)
    price = 1_000 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, step, years * a_year)))
    history = History("without memory", 600, 600 * np.arange(len(price)), price, price, price, price)
    case = range_case(history, Costs(0.0), 0.1)
    scores = scores_of(case, rules := rule(math.log(1.25))[None, :], case.score(rules))
    assert scores.trades_per_year[0] == pytest.approx(12.85, rel=0.15)
    path = case.path(rules[0])
    lost = np.diff(path.lost) / path.equity[:-1]
    # With the share of value that fees not yet laid have, and the price off the centre: within a tenth.
    assert lost.sum() / years == pytest.approx(0.758, rel=0.1)
    assert scores["bars_in_range"][0] == pytest.approx(len(price), rel=0.01)


def test_net_worth__bar_by_bar__is_the_rebalanced_portfolios_and_fees_less_losses_and_costs() -> None:
    case = range_case(random_history(11), Costs(0.003, gas_units=900_000), 0.3)
    path = case.path(rule(0.08))
    hedged = np.concatenate(([0.0], (path.ideal[1:] / path.ideal[:-1] - 1.0) * path.equity[:-1]))
    kept = case.capital + np.cumsum(hedged) + path.earned - path.lost
    spent = np.zeros(len(kept))
    np.add.at(spent, path.actions.bar, path.actions.cost)
    assert path.equity == pytest.approx(kept - np.cumsum(spent), rel=1e-9)
    assert len(path.actions) > 5


def test_a_price__that_only_passes_through__does_not_move_a_range_that_holds() -> None:
    close = np.full(60, 100.0)
    close[30] = 130.0
    close[45:] = 130.0
    history = replace(random_history(0, 60, gap=False), open=close, high=close, low=close, close=close)
    hasty, patient = (
        range_case(history, Costs(0.0), 0.1).path(rule(0.2, hold=hold)).actions for hold in (1, 8)
    )
    assert hasty.bar.tolist()[0] == 30
    # ln 1.3 is 0.262, and its mean over 8 bars is beyond 0.2 with the seventh of them.
    assert patient.bar.tolist() == [51]
    assert patient.side.tolist() == [UP]


@pytest.mark.parametrize("delay", [0, 2])
def test_the_past__under_another_future__is_lived_the_same(delay: int) -> None:
    history, since = random_history(5, 2_000), 1_200
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
        range_case(each, costs, 0.2).path(rule(0.1, hold=6, scale=1)) for each in (history, other)
    )
    assert (first.equity[:since] == second.equity[:since]).all()
    assert (first.equity[since:] != second.equity[since:]).any()
    assert {UP, DOWN} <= set(first.actions.side[first.actions.bar < since].tolist()) <= {UP, DOWN, FAILED}


@given(
    lower=st.integers(-5_000, 5_000),
    width=st.integers(1, 3_000),
    buffer=st.integers(0, 500),
    tick=st.integers(-12_000, 12_000),
    mean=st.integers(-12_000, 12_000),
)
@settings(max_examples=300, deadline=None)
def test_a_range__out_of_its_band_in_ticks_for_the_live_judge__is_out_in_logarithms_for_the_planner(
    lower: int, width: int, buffer: int, tick: int, mean: int
) -> None:
    """Below its band for both or for neither; above, the judge's upper edge is excluded and so one tick nearer."""
    edges = Edges(lower, lower + 2 * width)
    live = RangeRule(
        token_id=1, below=width, above=width, buffer=buffer, cutoff_low=-800_000, cutoff_high=800_000,
        exit_low=Leaving.AS_IT_LIES, exit_high=Leaving.AS_IT_LIES, direction=Direction.BOTH,
        placement=next(iter(Placement)), hold=3_600, deviation=100, slippage_bps=50, placed_bps=9_000, compound_at=0,
        cooldown=0, expiry=2**39, daily=9, budget_bps=100, refill=86_400, keeper=NOBODY,
    )  # fmt: skip
    case = case_of(live, edges, tick, mean)
    off, mean_off = tick - lower - width, mean - lower - width
    out = min(abs(off), abs(mean_off)) if off * mean_off > 0 else 0
    breached = has_left(1, 0, 0, float(out), float(width + buffer))
    at_the_edge = out == width + buffer and off > 0
    assert (case.measure > 0) == (breached or at_the_edge)


def test_volume_and_liquidity__in_the_file__are_what_a_range_earns_by() -> None:
    history = random_history(2)
    traded = replace(history, volume=np.full(300, 1e6), liquidity=np.full(300, 1e5))
    case = range_case(traded, Costs(0.0), pool_fee=0.003)
    assert case.history.growth == pytest.approx(np.full(300, 1e6 * 0.003 / 1e5))
    (row,) = case.score(rule(0.5)[None, :])
    assert row[COLUMNS.index("earned")] > 0

"""The closed forms for leverage, liquidation and liquidity, to the digits their sources and simulations give."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import Misconfigured
from keeper.planner.theory.leverage import (
    leverage_decay,
    lowest_for,
    rebalancing_trade,
    recentred_leverage,
)
from keeper.planner.theory.liquidity import (
    arbitrage_per_block,
    arbitrage_share,
    best_ratio,
    break_even_turnover,
    centred_loss,
    efficiency,
    exit_time,
    impermanent_loss,
    loss_versus_rebalancing,
    net_yield,
    range_loss,
)
from keeper.planner.theory.passage import (
    drop_to_liquidation,
    health_for_probability,
    health_of,
    leverage_of,
    passage_probability,
)

DAY = 1 / 365
"""Of a year: the published figures have 365 of them."""


@pytest.mark.parametrize(
    ("leverage", "volatility", "left"), [(2, 0.8, 0.52729), (3, 0.8, 0.14661), (2, 0.2, 0.96079)]
)
def test_a_leverage_held__while_the_price_ends_where_it_began__has_decayed(
    leverage: float, volatility: float, left: float
) -> None:
    assert round(leverage_decay(leverage, 1.0, volatility**2), 5) == left


@pytest.mark.parametrize(
    ("leverage", "price_ratio", "variance", "predicted", "compounded"),
    [
        (2, 5.0435, 1.1832, 7.791, 7.393),
        (2, 0.3177, 0.7651, 0.04695, 0.04557),
        (-1, 0.3177, 0.7651, 1.4648, 1.4790),
        (2, 1.4191, 0.4108, 1.3355, 1.3422),
        (3, 5.0435, 1.1832, 3.687, 2.119),
    ],
)
def test_leverage_decay__over_years_of_eth__is_the_published_and_not_the_compounded(
    leverage: float, price_ratio: float, variance: float, predicted: float, compounded: float
) -> None:
    found = leverage_decay(leverage, price_ratio, variance)
    # Price ratio and variance are published to four digits, which leaves so much open.
    assert found == pytest.approx(predicted, rel=4e-4)
    assert abs(found / compounded - 1) > 5e-3


def test_leverage_decay__with_a_rate_on_its_debt__pays_it() -> None:
    assert leverage_decay(3, 1.0, 0.0, safe_rate=0.05, years=2) == pytest.approx(math.exp(-0.2))
    assert leverage_decay(1, 1.7, 0.64, safe_rate=0.05, years=2) == pytest.approx(1.7)


@pytest.mark.parametrize(("leverage", "trade"), [(2, 0.2), (3, 0.6), (-1, 0.2), (1, 0.0)])
def test_the_daily_trade__of_a_leverage__goes_with_the_market(leverage: float, trade: float) -> None:
    assert rebalancing_trade(leverage, 0.1) == pytest.approx(trade)


def test_the_daily_trade__done_after_a_return__restores_the_leverage() -> None:
    equity, held = 1.0, 2.0
    held *= 1.07
    equity += 2.0 * 0.07
    assert (held + rebalancing_trade(2, 0.07)) / equity == pytest.approx(2)


def test_a_flexible_leverage__recentred_once__goes_five_per_cent_of_the_way_within_its_band() -> None:
    assert recentred_leverage(2.2, 2.0) == pytest.approx(2.19)
    assert recentred_leverage(2.6, 2.0) == 2.3
    assert recentred_leverage(1.2, 2.0) == 1.7


def test_the_lower_bound__of_published_bands__is_target_squared_over_the_upper() -> None:
    assert round(lowest_for(2, 2.3), 3) == 1.739
    assert round(lowest_for(2, 2.2), 3) == 1.818


@pytest.mark.parametrize(
    ("leverage", "threshold", "health", "drop"),
    [(2, 0.825, 1.65, 0.3939), (3, 0.825, 1.2375, 0.1919), (5, 0.93, 1.1625, 0.1398)],
)
def test_a_leverage__as_health__is_so_far_from_liquidation(
    leverage: float, threshold: float, health: float, drop: float
) -> None:
    assert health_of(leverage, threshold) == pytest.approx(health, abs=1e-12)
    assert round(drop_to_liquidation(health), 4) == drop
    assert leverage_of(health, threshold) == pytest.approx(leverage)
    assert health_of(1, threshold) == math.inf


@pytest.mark.parametrize(
    ("health", "days", "without_drift", "still"),
    [
        (1.1, 7, 0.408346, 0.389627),
        (1.25, 30, 0.368359, 0.330590),
        (1.5, 30, 0.093968, 0.077083),
        (1.65, 30, 0.037068, 0.029004),
        (2.0, 90, 0.112981, 0.081009),
    ],
)
def test_a_passage__from_a_health__has_the_published_chance(
    health: float, days: int, without_drift: float, still: float
) -> None:
    assert round(passage_probability(health, 0.8, days * DAY), 6) == without_drift
    assert round(passage_probability(health, 0.8, days * DAY, drift=0.32), 6) == pytest.approx(
        still, abs=1.1e-6
    )


@pytest.mark.parametrize(
    ("health", "days", "chance"), [(1.5, 30, 0.143), (1.65, 30, 0.068), (2.0, 30, 0.0105), (1.5, 7, 0.0015)]
)
def test_a_passage__at_the_volatility_of_eth__has_the_published_chance(
    health: float, days: int, chance: float
) -> None:
    assert passage_probability(health, 0.9037, days * DAY) == pytest.approx(
        chance, abs=5e-4 if chance > 0.02 else 5e-5
    )


def test_a_passage__looked_for_once_an_hour__is_missed_more_often() -> None:
    month = 30 * DAY
    hourly = passage_probability(1.25, 0.8, month, step=DAY / 24)
    assert round(hourly, 4) == 0.3573
    draw, hours, hit = np.random.default_rng(3), 30 * 24, np.zeros(20_000, bool)
    way = np.full(len(hit), math.log(1.25))
    for _ in range(hours):
        way += -0.32 * DAY / 24 + 0.8 * math.sqrt(DAY / 24) * draw.standard_normal(len(way))
        hit |= way <= 0
    assert hit.mean() == pytest.approx(hourly, abs=3 * math.sqrt(0.23 / len(hit)))


def test_a_passage__by_carry__is_a_drift_of_the_debt() -> None:
    assert passage_probability(1.5, 0.8, 0.1, carry=0.06) == pytest.approx(
        passage_probability(1.5, 0.8, 0.1, drift=-0.06)
    )


def test_a_passage__at_its_ends__is_certain_or_impossible() -> None:
    assert passage_probability(1.0, 0.8, 0.1) == 1.0
    assert passage_probability(1.5, 0.8, 0.0) == 0.0
    # A drift strong enough that the reflection's factor alone would overflow.
    assert passage_probability(5.0, 0.01, 1.0, drift=-3.0) == pytest.approx(1.0)
    assert passage_probability(5.0, 0.01, 1.0, drift=3.0) == pytest.approx(0.0)


@pytest.mark.parametrize(("chance", "health"), [(0.05, 1.5676), (0.01, 1.8054)])
def test_a_health__for_a_tolerated_chance__is_the_published_one(chance: float, health: float) -> None:
    assert round(health_for_probability(chance, 0.8, 30 * DAY), 4) == health


@given(
    chance=st.floats(1e-4, 0.9),
    volatility=st.floats(0.1, 2.0),
    years=st.floats(1 / 365, 1.0),
    drift=st.floats(-0.5, 0.5),
    carry=st.floats(-0.1, 0.3),
)
def test_a_health__for_a_tolerated_chance__has_that_chance(
    chance: float, volatility: float, years: float, drift: float, carry: float
) -> None:
    health = health_for_probability(chance, volatility, years, drift, carry)
    assert passage_probability(health, volatility, years, drift, carry) == pytest.approx(chance, rel=1e-6)


def test_a_pool__of_constant_product__loses_an_eighth_of_its_variance() -> None:
    assert loss_versus_rebalancing(0.05) == pytest.approx(3.125e-4)
    assert break_even_turnover(0.05, 0.003) == pytest.approx(0.104, abs=5e-4)
    assert loss_versus_rebalancing(0.8, 0.8) == pytest.approx(0.64 * 0.8 * 0.2 / 2)


def test_a_range__of_all_prices__loses_what_the_pool_does() -> None:
    # Full-range liquidity L at price P is worth 2 L sqrt(P).
    assert range_loss(7.0, 0.8, 1600.0) == pytest.approx(loss_versus_rebalancing(0.8) * 2 * 7.0 * 40)
    assert centred_loss(1e12, 0.8) == pytest.approx(loss_versus_rebalancing(0.8), rel=1e-5)


@pytest.mark.parametrize(
    ("fee_bps", "at_twelve_seconds", "at_two"),
    [(1, 0.80645, 0.62977), (5, 0.45455, 0.25385), (30, 0.12195, 0.05366), (100, 0.04000, 0.01673)],
)
def test_a_fee__against_random_blocks__leaves_arbitrage_its_published_share(
    fee_bps: int, at_twelve_seconds: float, at_two: float
) -> None:
    assert round(arbitrage_share(0.05, 12 / 86_400, fee_bps / 1e4), 5) == at_twelve_seconds
    assert round(arbitrage_share(0.05, 2 / 86_400, fee_bps / 1e4), 5) == at_two


@pytest.mark.parametrize(("fee_bps", "profit", "share"), [(5, 1.00457e-7, 0.5786), (30, 3.23344e-8, 0.1862)])
def test_a_fee__against_fixed_blocks__leaves_arbitrage_its_published_profit(
    fee_bps: int, profit: float, share: float
) -> None:
    block = 12 / 86_400
    found = arbitrage_per_block(0.05, block, fee_bps / 1e4)
    assert found == pytest.approx(profit, rel=1e-5)
    assert round(found / (0.05**2 * block / 2), 4) == share
    assert arbitrage_per_block(0.05, block, 0.0) == pytest.approx(0.05**2 * block / 2)


@pytest.mark.parametrize(
    ("ratio", "times"),
    [(1.01, 201.5), (1.05, 41.494), (1.1, 21.488), (1.25, 9.472), (1.5, 5.449), (2, 3.414)],
)
def test_a_range__against_all_prices__has_so_many_times_the_liquidity(ratio: float, times: float) -> None:
    assert efficiency(ratio) == pytest.approx(times, abs=5e-4 if ratio > 1.01 else 5e-2)


@pytest.mark.parametrize(("ratio", "days"), [(1.05, 1.358), (1.1, 5.181), (1.25, 28.40)])
def test_a_range__left_alone__is_left_after_the_published_time(ratio: float, days: float) -> None:
    assert exit_time(ratio, 0.8) / DAY == pytest.approx(days, abs=5e-4 if days < 10 else 5e-3)


def test_a_range_recentred__on_a_simulated_walk__loses_and_resets_as_the_forms_say() -> None:
    ratio, volatility, step = 1.25, 0.8, 1 / (365.25 * 144)
    root, draw, lanes, steps = math.sqrt(ratio), np.random.default_rng(11), 2_000, 9_000
    way = math.log(ratio)
    # Per unit of liquidity placed at price 1: worth 2 - 2/root; between 1/ratio and ratio.
    value = 2 * (1 - 1 / root)
    # Where a walk that starts again at the centre is found at any moment: a triangle's density.
    at, lost, resets = draw.triangular(-way, 0.0, way, lanes), 0.0, 0
    for _ in range(steps):
        before = np.exp(at / 2)
        # A still logarithm, so that exits are even.
        at += volatility * math.sqrt(step) * draw.standard_normal(lanes)
        after = np.exp(np.clip(at, -way, way) / 2)
        # The rebalancing portfolio held the range's tokens over the step; the range ended worth less.
        held = before * (after / before) ** 2 - 2 * after + before
        lost += float(np.sum(held)) / value
        out = np.abs(at) >= way
        resets += int(out.sum())
        at[out] = 0.0
    years = lanes * steps * step
    assert lost / years == pytest.approx(centred_loss(ratio, volatility), rel=0.04)
    # Looked at every ten minutes an exit is noticed late, as published: 11.9 a year for 12.85.
    late = math.log(ratio) + 0.5826 * volatility * math.sqrt(step)
    assert resets / years == pytest.approx((volatility / late) ** 2, rel=0.04)
    assert 1 / exit_time(ratio, volatility) == pytest.approx(12.85, abs=0.01)
    assert round(centred_loss(ratio, volatility), 3) == 0.758


@pytest.mark.parametrize(
    ("advantage", "cost", "width"),
    [(0.005, 0.002, 0.2564), (0.02, 0.002, 0.0640), (0.02, 0.01, 0.3207), (0.05, 0.01, 0.1280)],
)
def test_the_best_width__of_a_recentred_range__is_the_published_one(
    advantage: float, cost: float, width: float
) -> None:
    assert round(math.log(best_ratio(advantage, cost, 0.8)), 4) == width
    assert width == pytest.approx(cost * 0.64 / advantage, rel=3e-3)


@given(
    advantage=st.floats(1e-3, 0.3),
    cost=st.floats(1e-4, 0.05),
    volatility=st.floats(0.2, 1.5),
    other=st.floats(1.01, 50),
)
def test_the_best_width__against_any_other__yields_most(
    advantage: float, cost: float, volatility: float, other: float
) -> None:
    best = best_ratio(advantage, cost, volatility)
    # All prices yield the advantage itself, and are never left.
    top = advantage if math.isinf(best) else net_yield(best, advantage, cost, volatility)
    assert top >= net_yield(other, advantage, cost, volatility) * (1 - 1e-12) - 1e-12


def test_holding_instead__of_a_full_range__was_better_by_the_published_loss() -> None:
    assert round(impermanent_loss(2), 5) == -0.05719
    assert impermanent_loss(4) == pytest.approx(-0.2)
    assert impermanent_loss(0.25) == pytest.approx(-0.2)
    assert impermanent_loss(1) == 0


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: leverage_decay(2, 0.0, 0.1), "theory: price_ratio must be a number above zero, not 0.0"),
        (lambda: health_of(0.9, 0.8), "theory: a leverage of 0.9 is no loan"),
        (lambda: leverage_of(0.8, 0.8), "theory: at a health of 0.8 the debt is no less than the collateral"),
        (lambda: health_for_probability(1.0, 0.8, 0.1), "theory: a probability of 1.0 lies outside 0 to 1"),
        (
            lambda: efficiency(1.0),
            "theory: a range reaches from P / ratio to P × ratio, so not with a ratio of 1.0",
        ),
        (lambda: loss_versus_rebalancing(0.8, 1.2), "theory: a pool cannot hold a weight of 1.2"),
        (lambda: best_ratio(-0.01, 0.002, 0.8), "theory: fees of 0.0700 do not pay for arbitrage of 0.0800"),
    ],
)
def test_theory__asked_what_has_no_answer__says_why(ask: Callable[[], float], sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence):
        ask()

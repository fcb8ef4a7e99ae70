"""The figures a path is scored by: by hand on small paths, by theory on long ones."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from keeper.domain.errors import Misconfigured
from keeper.planner import metrics
from keeper.planner.results import DOWN, FAILED, LIQUIDATED, UP, YEAR, Actions, Floats, Path
from keeper.planner.theory.bands import Band, yearly_loss

HOUR = 3_600


def some_actions(*rows: tuple[float, ...]) -> Actions:
    """Bar, side, traded, fee, impact, gas, premium, penalty of each."""
    columns = np.array(rows, np.float64).reshape(len(rows), 8).T
    bar, side = columns[0].astype(np.int64), columns[1].astype(np.int64)
    nothing = np.zeros(len(rows))
    return Actions(bar, side, nothing, nothing, *columns[2:])


def a_path(equity: Floats, ideal: Floats | None = None, actions: Actions | None = None) -> Path:
    still = np.zeros(len(equity))
    return Path(
        kind="basket",
        seconds=HOUR,
        time=np.arange(len(equity), dtype=np.int64) * HOUR,
        price=equity,
        equity=equity,
        ideal=equity if ideal is None else ideal,
        measure=still + 0.5,
        lowest=still + 0.5,
        exposure=still + 0.5,
        target=still + 0.5,
        low=still + 0.45,
        high=still + 0.55,
        earned=still,
        lost=still,
        actions=actions if actions is not None else some_actions(),
    )


def test_a_path__with_one_of_every_cost__splits_them_by_net_worth() -> None:
    years = 3 * HOUR / YEAR
    path = a_path(
        np.array([1000.0, 2000.0, 1990.0]),
        actions=some_actions((1, UP, 400, 1, 2, 3, 4, 0), (2, LIQUIDATED, 100, 0, 0, 0, 0, 10)),
    )
    found = metrics.measure(path, risk_aversion=5)
    # Net worth before paying was 2010 and 2000.
    assert found.fee_bps * years == pytest.approx(1e4 * 1 / 2010)
    assert found.impact_bps * years == pytest.approx(1e4 * 2 / 2010)
    assert found.gas_bps * years == pytest.approx(1e4 * 3 / 2010)
    assert found.premium_bps * years == pytest.approx(1e4 * 4 / 2010)
    assert found.penalty_bps * years == pytest.approx(1e4 * 10 / 2000)
    assert found.cost_bps * years == pytest.approx(1e4 * (10 / 2010 + 10 / 2000))
    assert found.turnover * years == pytest.approx(400 / 2010)
    assert found.trades * years == pytest.approx(1)
    assert found.days_between_trades == pytest.approx(3 / 24)
    assert (found.failed, found.liquidations) == (0, 1)


def test_a_failed_attempt__that_only_burnt_gas__is_no_trade() -> None:
    actions = some_actions((1, FAILED, 0, 0, 0, 5, 0, 0), (2, DOWN, 10, 0, 0, 0, 0, 0))
    found = metrics.measure(a_path(np.full(4, 1000.0), actions=actions), 5)
    assert found.failed == 1
    assert found.trades == pytest.approx(YEAR / (4 * HOUR))
    assert found.gas_bps > 0


def test_a_path__without_any_action__costs_nothing_and_waits_for_ever() -> None:
    found = metrics.measure(a_path(np.array([1.0, 1.1, 1.05])), 5)
    assert (found.cost_bps, found.trades, found.turnover, found.certainty_fee_bps) == (0, 0, 0, 0)
    assert found.days_between_trades == math.inf
    assert found.min_health == math.inf
    assert found.time_within == 1.0


def test_a_loans_path__with_a_deep_bar__tells_its_lowest_health() -> None:
    path = replace(
        a_path(np.full(4, 1000.0)),
        kind="loan",
        measure=np.array([1.6, 1.5, math.inf, 1.6]),
        lowest=np.array([1.6, 1.2, math.inf, 1.5]),
        target=np.full(4, 1.6),
        low=np.full(4, 1.55),
        high=np.full(4, math.inf),
    )
    found = metrics.measure(path, 5)
    assert found.min_health == 1.2
    # The bar without debt has no deviation.
    assert found.max_deviation == pytest.approx(0.1)
    assert found.rms_deviation == pytest.approx(0.1 / math.sqrt(3))
    assert found.time_within == 0.75


def test_a_ranges_path__with_fees_and_losses__tells_them_by_net_worth() -> None:
    path = replace(
        a_path(np.array([100.0, 200.0, 200.0])),
        kind="range",
        earned=np.array([0.0, 1.0, 5.0]),
        lost=np.array([0.0, 2.0, 3.0]),
    )
    found = metrics.measure(path, 5)
    assert found.earned_bps * path.years == pytest.approx(1e4 * (1 / 100 + 4 / 200))
    assert found.lvr_bps * path.years == pytest.approx(1e4 * (2 / 100 + 1 / 200))


def test_a_drawdown__of_a_path_with_two_falls__is_the_deeper() -> None:
    assert metrics.max_drawdown(np.array([1.0, 2.0, 1.5, 3.0, 1.2, 2.9])) == pytest.approx(0.6)
    assert metrics.max_drawdown(np.array([1.0, 2.0])) == 0.0


def test_losses_of_a_stretch__overlapping_or_not__are_those_of_its_ends() -> None:
    equity = np.array([1.0, 2.0, 1.0, 4.0, 2.0])
    assert metrics.horizon_losses(equity, 2) == pytest.approx([0.0, -1.0, -1.0])
    # A day of two bars: from what was put in to the second close, and from there to the fourth.
    assert metrics.day_losses(equity, 2) == pytest.approx([-1.0, -1.0])
    assert metrics.day_losses(equity, 1) == pytest.approx([0.0, -1.0, 0.5, -3.0, 0.5])
    assert len(metrics.day_losses(equity, 6)) == 0
    assert len(metrics.horizon_losses(equity, 5)) == 0
    assert metrics.value_at_risk(metrics.horizon_losses(equity, 5), 0.05) == 0.0
    assert metrics.tail_mean(metrics.horizon_losses(equity, 5), 0.05) == 0.0


def test_a_tail__of_a_hundred_losses__is_its_worst_five_and_their_mean() -> None:
    losses = np.arange(100, dtype=np.float64)[np.random.default_rng(0).permutation(100)]
    assert metrics.value_at_risk(losses, 0.05) == 94
    assert metrics.tail_mean(losses, 0.05) == pytest.approx((99 + 98 + 97 + 96 + 95) / 5)
    # Half a case at the edge.
    assert metrics.tail_mean(losses, 0.025) == pytest.approx((99 + 98 + 97 / 2) / 2.5)
    assert metrics.tail_mean(losses[:10], 0.05) == np.max(losses[:10])


def test_a_tail__of_normal_losses__is_the_textbooks() -> None:
    losses = np.random.default_rng(1).standard_normal(1_000_000)
    assert metrics.value_at_risk(losses, 0.05) == pytest.approx(1.645, abs=0.01)
    assert metrics.tail_mean(losses, 0.05) == pytest.approx(2.063, abs=0.01)
    assert metrics.tail_mean(losses, 0.01) == pytest.approx(2.665, abs=0.02)


def test_ratios__of_a_known_walk__are_its_drift_over_its_risk() -> None:
    returns = 0.5 / 365 + 0.8 / math.sqrt(365) * np.random.default_rng(2).standard_normal(400_000)
    assert metrics.volatility(returns, 365) == pytest.approx(0.8, rel=0.01)
    assert metrics.sharpe(returns, 365) == pytest.approx(0.625, abs=0.07)
    assert metrics.sharpe(returns, 365, safe_rate=0.5) == pytest.approx(0.0, abs=0.07)
    # Of a walk with little drift, half of the variance is below zero.
    assert metrics.sortino(returns, 365) == pytest.approx(
        math.sqrt(2) * metrics.sharpe(returns, 365), rel=0.05
    )


def test_ratios__of_what_does_not_move__are_no_division_by_zero() -> None:
    flat = np.zeros(10)
    assert (metrics.sharpe(flat, 365), metrics.sortino(flat, 365)) == (0, 0)
    assert metrics.sortino(flat + 0.01, 365) == math.inf


def test_ruin__once_suffered__is_not_undone() -> None:
    equity = np.array([1.0, 0.5, -0.1, 0.0, 2.0])
    returns = metrics.returns_of(equity)
    assert returns.tolist() == [-0.5, -1.0, 0.0, 0.0]
    assert metrics.certainty_growth(returns, 5, 365) == -math.inf
    assert metrics.realised_fee(returns, np.zeros(4), 5, 365) == math.inf
    found = metrics.measure(a_path(equity[:3], ideal=np.ones(3)), 5)
    assert (found.growth, found.shortfall_bps, found.max_drawdown) == (
        -math.inf,
        math.inf,
        pytest.approx(1.1),
    )


def test_ruin__that_the_ideal_suffered_too__leaves_nothing_behind_it() -> None:
    both = np.array([1.0, 0.5, 0.0])
    assert metrics.measure(a_path(both, ideal=both), 5).shortfall_bps == 0
    saved = metrics.measure(a_path(np.ones(3), ideal=both), 5)
    assert saved.shortfall_bps == -math.inf


def test_a_certain_growth__of_returns_without_risk__is_their_growth() -> None:
    returns = np.full(1_000, math.expm1(0.1 / 365))
    for aversion in (0.0, 1.0, 5.0, 20.0):
        assert metrics.certainty_growth(returns, aversion, 365) == pytest.approx(0.1)


def test_a_certain_growth__of_a_known_walk__gives_up_half_aversion_times_variance() -> None:
    logs = 0.2 / 365 + 0.8 / math.sqrt(365) * np.random.default_rng(3).standard_normal(2_000_000)
    returns = np.expm1(logs)
    sample = float(np.mean(logs)) * 365
    for aversion in (0.5, 1.0, 3.0):
        expected = sample + (1 - aversion) / 2 * 0.64
        assert metrics.certainty_growth(returns, aversion, 365) == pytest.approx(expected, abs=0.004)


def test_a_realised_fee__of_a_fee_actually_paid__is_that_fee() -> None:
    ideal = 0.02 * np.random.default_rng(4).standard_normal(5_000)
    paid = (1 + ideal) * math.exp(-0.01 / 365) - 1
    assert metrics.realised_fee(paid, ideal, 5, 365) == pytest.approx(0.01, rel=1e-6)


def test_the_fees__of_a_simulated_band__are_what_theory_says_it_loses() -> None:
    """A band at an investor's own target: both fees, one on average, are its yearly loss."""
    volatility, aversion, cost, band = 0.8, 5.0, 0.003, Band(0.0724, 0.0173)
    lanes, steps, step = 4_000, 365 * 8, 1 / 365 / 4
    draw = np.random.default_rng(12)
    drift = aversion * volatility**2 * 0.5
    risky = np.full(lanes, 0.5)
    cash = np.full(lanes, 0.5)
    errors, paid = 0.0, 0.0
    here, there = 0.0, 0.0
    for _ in range(steps):
        shock = volatility * math.sqrt(step) * draw.standard_normal(lanes)
        gain = np.expm1((drift - volatility**2 / 2) * step + shock)
        before = risky + cash
        risky = risky * (1 + gain)
        worth = risky + cash
        off = risky / worth - 0.5
        out = np.abs(off) >= band.trigger
        sold = np.where(out, (np.abs(off) - band.destination) * worth, 0.0)
        risky -= np.sign(off) * sold
        cash += np.sign(off) * sold - cost * sold
        ours = (risky + cash) / before - 1
        errors += float(np.sum((ours - 0.5 * gain) ** 2))
        paid += float(np.sum(cost * sold / worth))
        here += float(np.sum((1 + ours) ** (1 - aversion)))
        there += float(np.sum((1 + 0.5 * gain) ** (1 - aversion)))
    years = lanes * steps * step
    ranked = metrics.certainty_fee(paid / years, math.sqrt(errors / years), aversion)
    realised = math.log(here / there) / (aversion - 1) / step
    theory = yearly_loss(0.5, volatility, aversion, band, cost)
    assert ranked == pytest.approx(theory, rel=0.12)
    assert realised == pytest.approx(theory, abs=6e-4)


def test_a_path__of_one_bar__has_no_metrics() -> None:
    with pytest.raises(Misconfigured, match="metrics: 1 bars have no return between them"):
        metrics.measure(a_path(np.ones(1)), 5)


def test_a_tail__of_more_than_all__is_refused() -> None:
    with pytest.raises(Misconfigured, match="metrics: a tail of 1.5 is no share of cases"):
        metrics.tail_mean(np.ones(3), 1.5)


def test_the_table__of_a_path__has_every_figure_by_name() -> None:
    table = metrics.measure(a_path(np.array([1.0, 1.1, 1.05])), 5).table()
    assert {"certainty_fee_bps", "cvar_99_month", "lvr_bps", "min_health"} <= set(table)
    assert not any(math.isnan(value) for value in table.values())

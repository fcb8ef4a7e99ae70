"""The band's closed forms, to the digits their sources and earlier simulations give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize

from keeper.domain.errors import Misconfigured
from keeper.planner.theory import assets
from keeper.planner.theory.bands import (
    OVERSHOOT,
    Band,
    band_statistics,
    best_band,
    edge_trigger,
    fixed_cost_trigger,
    reset_trigger,
    trigger_for_tracking_error,
    trigger_for_trades,
    trigger_for_turnover,
    weight_volatility,
    yearly_loss,
)
from keeper.planner.theory.crra import (
    growth_optimal_leverage,
    half_width_at_leading_order,
    merton_weight,
    no_trade_band,
    wealth_turnover_at_leading_order,
)

HOUR = 1 / 8766


@pytest.mark.parametrize(
    ("trigger", "destination", "trades", "turnover", "rms"),
    [(0.05, 0.0, 178, 1.021, 0.0204), (0.05, 0.025, 237, 0.681, 0.0228), (0.10, 0.0, 45, 0.510, 0.0408)],
)
def test_a_band__at_the_volatility_of_eth__trades_and_deviates_as_published(
    trigger: float, destination: float, trades: float, turnover: float, rms: float
) -> None:
    done = band_statistics(0.5, 0.9037, trigger, destination)
    assert round(done.trades * 8.72) == trades
    assert round(done.turnover, 3) == turnover
    assert round(done.rms_deviation, 4) == rms
    assert done.tracking_error == pytest.approx(0.9037 * done.rms_deviation)


def test_a_band__looked_at_once_an_hour__acts_less_often_than_one_watched() -> None:
    assert band_statistics(0.5, 0.8, 0.05).trades == pytest.approx(16.00, abs=5e-3)
    assert band_statistics(0.5, 0.8, 0.05, step=HOUR).trades == pytest.approx(15.23, abs=5e-3)
    assert pytest.approx(0.5826, abs=5e-5) == OVERSHOOT


def test_a_band__that_trades_to_its_edge__has_the_reflected_walks_turnover() -> None:
    done = band_statistics(0.5, 0.8, 0.05, 0.05)
    assert done.turnover == pytest.approx(0.2**2 / (2 * 0.05))
    assert done.rms_deviation == pytest.approx(0.05 / math.sqrt(3))
    assert done.trades == math.inf
    assert done.days_between_trades == 0


def simulated_weight(trigger: float, destination: float, years: int) -> tuple[float, float, float]:
    """Trades and turnover a year and rms deviation of a 50/50 basket at 80 %, looked at once an hour, by hand."""
    draw = np.random.default_rng(5)
    step, lanes = 0.8 * math.sqrt(HOUR), years * 4
    log_odds, odds_back = np.zeros(lanes), math.log((0.5 + destination) / (0.5 - destination))
    out = math.log((0.5 + trigger) / (0.5 - trigger))
    acts, sold, squares, hours = 0, 0.0, 0.0, 8766 // 4
    for _ in range(hours):
        # Without a drift of the weight: d logit(w) = (mu - s²/2) dt + s dB, and mu = s² w.
        weight = 1 / (1 + np.exp(-log_odds))
        log_odds += (weight - 0.5) * 0.8**2 * HOUR + step * draw.standard_normal(lanes)
        weight = 1 / (1 + np.exp(-log_odds))
        squares += float(np.sum((weight - 0.5) ** 2))
        left = np.abs(log_odds) >= out
        acts += int(left.sum())
        sold += float(np.sum(np.abs(weight[left] - 0.5) - destination))
        log_odds[left] = np.sign(log_odds[left]) * odds_back
    return acts / years, sold / years, math.sqrt(squares / (hours * lanes))


@pytest.mark.parametrize(("trigger", "destination"), [(0.05, 0.0), (0.05, 0.025), (0.03, 0.02)])
def test_band_statistics__against_a_simulated_walk__agree_within_its_error(
    trigger: float, destination: float
) -> None:
    trades, turnover, rms = simulated_weight(trigger, destination, 600)
    theory = band_statistics(0.5, 0.8, trigger, destination, HOUR)
    assert trades == pytest.approx(theory.trades, rel=0.06)
    assert turnover == pytest.approx(theory.turnover, rel=0.06)
    assert rms == pytest.approx(theory.rms_deviation, rel=0.03)


@pytest.mark.parametrize(
    ("target", "aversion", "cost", "fixed", "edge", "reset", "only_fixed"),
    [
        (0.5, 5, 0.003, 0.0001, 0.03832, 0.06082, 0.06223),
        (0.5, 2, 0.001, 0.0005, 0.03606, 0.05724, 0.11702),
        (0.6, 5, 0.005, 0.0002, 0.04421, 0.07018, 0.07251),
        (2, 5, 0.003, 0.0002, 0.15326, 0.24329, 0.20933),
        (3, 5, 0.003, 0.0002, 0.31880, 0.50606, 0.36257),
    ],
)
def test_a_trigger__for_one_kind_of_cost__is_the_published_root(
    target: float, aversion: float, cost: float, fixed: float, edge: float, reset: float, only_fixed: float
) -> None:
    assert round(edge_trigger(target, aversion, cost), 5) == edge
    assert round(reset_trigger(target, aversion, cost), 5) == reset
    assert round(fixed_cost_trigger(target, aversion, fixed), 5) == only_fixed
    assert reset_trigger(target, aversion, cost) == pytest.approx(
        4 ** (1 / 3) * edge_trigger(target, aversion, cost)
    )
    assert best_band(target, aversion, cost).destination == best_band(target, aversion, cost).trigger
    assert best_band(target, aversion, 0.0, fixed) == Band(fixed_cost_trigger(target, aversion, fixed), 0.0)


@pytest.mark.parametrize(
    ("cost", "fixed", "trigger", "destination", "loss", "days"),
    [
        (0.003, 1e-5, 0.05315, 0.02655, 0.002636, 19.35),
        (0.003, 1e-4, 0.07241, 0.01732, 0.003625, 45.10),
        (0.003, 1e-3, 0.11486, 0.00797, 0.007559, 119.81),
        (5e-4, 1e-4, 0.06445, 0.00424, 0.002371, 37.74),
    ],
)
def test_the_best_band__for_both_kinds_of_cost__is_the_published_optimum(
    cost: float, fixed: float, trigger: float, destination: float, loss: float, days: float
) -> None:
    band = best_band(0.5, 5, cost, fixed)
    assert (round(band.trigger, 5), round(band.destination, 5)) == (trigger, destination)
    assert round(yearly_loss(0.5, 0.8, 5, band, cost, fixed), 6) == loss
    # The published figures reckon a year of 365 days.
    assert 365 / band_statistics(0.5, 0.8, band.trigger, band.destination).trades == pytest.approx(
        days, abs=0.02
    )
    assert yearly_loss(0.5, 0.4, 5, band, cost, fixed) == pytest.approx(loss / 4, rel=3e-4)


@given(
    target=st.sampled_from([0.2, 0.5, 0.8, 2.0, 3.0]),
    aversion=st.floats(0.5, 10),
    cost=st.floats(1e-5, 1e-2),
    fixed=st.floats(1e-7, 1e-3),
    widen=st.floats(0.8, 1.25),
    shift=st.floats(0.0, 1.0),
)
def test_the_best_band__against_any_other__loses_least(
    target: float, aversion: float, cost: float, fixed: float, widen: float, shift: float
) -> None:
    best = best_band(target, aversion, cost, fixed)
    other = Band(best.trigger * widen, best.trigger * widen * shift * 0.999)
    loss = yearly_loss(target, 0.8, aversion, best, cost, fixed)
    assert loss <= yearly_loss(target, 0.8, aversion, other, cost, fixed) * (1 + 1e-9)


def test_the_best_band__as_one_cost_vanishes__becomes_the_other_costs_trigger() -> None:
    only_fixed = best_band(0.5, 5, 1e-12, 1e-4)
    assert only_fixed.trigger == pytest.approx(fixed_cost_trigger(0.5, 5, 1e-4), rel=1e-6)
    nearly_edge = best_band(0.5, 5, 0.003, 1e-13)
    assert nearly_edge.trigger == pytest.approx(edge_trigger(0.5, 5, 0.003), rel=1e-2)
    assert nearly_edge.destination > 0.98 * nearly_edge.trigger


def test_a_trigger__by_its_objective__scales_with_volatility_as_the_objective_says() -> None:
    assert round(trigger_for_trades(0.5, 0.8, 12), 4) == 0.0577
    assert round(trigger_for_tracking_error(0.8, 0.02), 4) == 0.0612
    assert trigger_for_trades(0.5, 1.6, 12) == pytest.approx(2 * trigger_for_trades(0.5, 0.8, 12))
    assert trigger_for_tracking_error(1.6, 0.02) == pytest.approx(trigger_for_tracking_error(0.8, 0.02) / 2)
    assert trigger_for_turnover(0.5, 1.6, 1.0) == pytest.approx(4 * trigger_for_turnover(0.5, 0.8, 1.0))


@pytest.mark.parametrize("to_edge", [False, True])
def test_a_trigger__for_a_budget__spends_exactly_that_budget(to_edge: bool) -> None:
    tracking = trigger_for_tracking_error(0.8, 0.02, to_edge)
    spent = band_statistics(0.5, 0.8, tracking, tracking if to_edge else 0.0)
    assert spent.tracking_error == pytest.approx(0.02)
    turning = trigger_for_turnover(0.5, 0.8, 0.5, to_edge)
    assert band_statistics(0.5, 0.8, turning, turning if to_edge else 0.0).turnover == pytest.approx(0.5)
    assert band_statistics(0.5, 0.8, trigger_for_trades(0.5, 0.8, 12)).trades == pytest.approx(12)


@pytest.mark.parametrize(
    ("spread", "low", "high", "half", "leading", "shares", "wealth", "safe"),
    [
        (1e-4, 0.61563, 0.63437, 0.009370, 0.009375, 0.12103, 0.07585, 0.024994),
        (1e-3, 0.60485, 0.64515, 0.020148, 0.020198, 0.05788, 0.03662, 0.024974),
        (1e-2, 0.58194, 0.66806, 0.043058, 0.043515, 0.03030, 0.01986, 0.024881),
        # The published 0.024665 is 0.0246645 rounded twice.
        (5e-2, 0.55259, 0.69741, 0.072407, 0.074409, 0.02183, 0.01510, 0.024664),
    ],
)
def test_the_exact_band__for_the_papers_investor__is_the_published_one(
    spread: float,
    low: float,
    high: float,
    half: float,
    leading: float,
    shares: float,
    wealth: float,
    safe: float,
) -> None:
    band = no_trade_band(0.08, 0.16, 5, spread)
    assert (round(band.low, 5), round(band.high, 5)) == (low, high)
    assert round(band.half_width, 6) == half
    assert round(half_width_at_leading_order(0.625, 5, spread), 6) == leading
    assert round(band.share_turnover, 5) == shares
    assert round(band.wealth_turnover, 5) == wealth
    assert round(band.safe_rate_gain, 6) == safe


@pytest.mark.parametrize(
    ("spread", "half", "turnover"), [(0.001, 0.03677, 0.538), (0.006, 0.06655, 0.290), (0.02, 0.09882, 0.187)]
)
def test_the_exact_band__at_the_volatility_of_a_token__is_the_published_one(
    spread: float, half: float, turnover: float
) -> None:
    band = no_trade_band(0.3, 0.8, 0.9375, spread)
    assert round(band.half_width, 5) == half
    assert round(band.wealth_turnover, 3) == turnover


@pytest.mark.parametrize(
    ("excess", "volatility", "aversion", "spread"),
    [(0.08, 0.16, 5.0, 0.01), (0.3, 0.8, 0.9375, 0.02), (6.4, 0.8, 5.0, 0.006), (0.3, 0.8, 1.0, 0.006)],
)
def test_the_exact_band__shot_at_through_the_papers_equation__hits_its_upper_boundary(
    excess: float, volatility: float, aversion: float, spread: float
) -> None:
    """The same free boundary, solved the other way: step the equation for w and aim with the gap."""
    scale = aversion * volatility**2

    def missed(gap: float) -> float:
        ratio = (
            (excess + gap) * (excess - gap - scale) / ((excess - gap) * (excess + gap - scale)) / (1 - spread)
        )

        def slope(_: float, w: np.ndarray) -> np.ndarray:
            fixed = aversion * (excess**2 - gap**2) / scale**2
            return -(1 - aversion) * w**2 - (2 * excess / volatility**2 - 1) * w + fixed

        way = integrate.solve_ivp(
            slope, (0, math.log(ratio)), [(excess - gap) / scale], rtol=1e-11, atol=1e-13
        )
        return float(way.y[0, -1]) - (excess + gap) / scale

    band = no_trade_band(excess, volatility, aversion, spread)
    shot = optimize.brentq(missed, band.gap * 0.9, band.gap * 1.1, xtol=1e-14)
    assert shot == pytest.approx(band.gap, rel=1e-7)


def test_the_exact_band__for_a_vanishing_spread__is_its_leading_order() -> None:
    band = no_trade_band(0.08, 0.16, 5, 1e-8)
    assert band.half_width == pytest.approx(half_width_at_leading_order(0.625, 5, 1e-8), rel=1e-4)
    assert band.wealth_turnover == pytest.approx(
        wealth_turnover_at_leading_order(0.625, 0.16, 5, 1e-8), rel=1e-2
    )
    assert band.liquidity_premium == pytest.approx(0.75 * 1e-8 * band.share_turnover, rel=1e-2)
    # The paper's spread is twice the one-way cost of the band that trades to its edge.
    assert half_width_at_leading_order(0.625, 5, 0.006) == pytest.approx(edge_trigger(0.625, 5, 0.003))


def test_a_leveraged_band__of_two__is_the_published_one() -> None:
    edge = edge_trigger(2, 5, 0.003)
    assert (round(2 - edge, 3), round(2 + edge, 3)) == (1.847, 2.153)
    exact = no_trade_band(merton_weight(6.4, 0.8, 5) * 5 * 0.8**2, 0.8, 5, 0.006)
    assert exact.low < 2 < exact.high
    assert exact.half_width == pytest.approx(edge, rel=0.02)
    assert growth_optimal_leverage(0.32, 0.8) == pytest.approx(0.5)


def test_one_against_the_rest__of_two_assets__is_the_pairs_relative_volatility() -> None:
    covariance = np.array([[0.64, 0.24], [0.24, 0.36]])
    relative = math.sqrt(0.64 + 0.36 - 2 * 0.24)
    assert assets.volatility_against_the_rest([0.3, 0.7], covariance) == pytest.approx([relative, relative])


def test_one_against_the_rest__of_three_assets__weighs_the_others_by_their_shares() -> None:
    draw = np.random.default_rng(1)
    returns = draw.standard_normal((400, 3)) @ np.array([[0.05, 0.02, 0], [0, 0.03, 0.01], [0, 0, 0.02]])
    rest = (0.5 * returns[:, 0] + 0.2 * returns[:, 2]) / 0.7
    found = assets.volatility_against_the_rest([0.5, 0.3, 0.2], np.cov(returns.T))
    assert found[1] == pytest.approx(float(np.std(returns[:, 1] - rest, ddof=1)))


def test_bands_of_a_basket__one_per_asset__know_no_volatility() -> None:
    bands = assets.best_bands([0.5, 0.3, 0.2], 5, [0.003, 0.003, 0.001])
    assert bands[0] == best_band(0.5, 5, 0.003)
    assert bands[2].trigger == pytest.approx(edge_trigger(0.2, 5, 0.001))


def test_rules_of_thumb__as_practitioners_state_them__are_reproduced() -> None:
    band = assets.relative_band(0.6)
    assert (0.6 - band.trigger, 0.6 + band.trigger, 0.6 + band.destination) == pytest.approx(
        (0.48, 0.72, 0.66)
    )
    assert assets.masters_trigger(1, 0.003, 0.8, 0.0, 0.0) == pytest.approx(2 * 0.003 / 0.64)
    assert assets.masters_trigger(1, 0.003, 1.6, 0.0, 0.0) == pytest.approx(2 * 0.003 / 0.64 / 4)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda: band_statistics(0.5, 0.8, 0.05, 0.06),
            "theory: a destination of 0.06 lies beyond the trigger 0.05",
        ),
        (lambda: band_statistics(0.5, 0.8, 0.0), "theory: trigger must be a number above zero, not 0.0"),
        (lambda: weight_volatility(0.5, math.nan), "theory: volatility must be a number above zero, not nan"),
        (lambda: best_band(0.5, 5, 0.0), "theory: without any cost the best band has no width"),
        (lambda: best_band(1.0, 5, 0.003), "theory: a target of 1.0 never drifts and needs no band"),
        (lambda: edge_trigger(0.5, 5, -0.1), "theory: cost must be a number of at least zero, not -0.1"),
        (lambda: no_trade_band(0.0256, 0.16, 1, 0.01), "around a target of 1.0"),
        (lambda: no_trade_band(0.08, 0.16, 5, 1.0), "theory: no band for a spread of 1.0"),
        (lambda: no_trade_band(5e-5, 0.1, 0.5, 0.99), "theory: no band solves excess return 5e-05"),
        (
            lambda: assets.volatility_against_the_rest([0.5, 0.6], np.eye(2)),
            "theory: weights must lie between",
        ),
        (lambda: assets.volatility_against_the_rest([0.5, 0.5], np.eye(3)), "do not fit a covariance"),
        (lambda: assets.best_bands([0.5], 5, []), "theory: 1 weights and 0 costs"),
    ],
)
def test_theory__asked_what_has_no_answer__says_why(ask: object, sentence: str) -> None:
    assert callable(ask)
    with pytest.raises(Misconfigured, match=sentence.replace("(", "\\(")):
        ask()

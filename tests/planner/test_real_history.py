"""Theory and scores beside the years that ether lived through: where they agree, and where the forms are unsafe."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.planner import bootstrap, metrics, volatility
from keeper.planner.cases import basket_case, loan_case
from keeper.planner.costs import Costs, ether_history
from keeper.planner.crashes import CRASHES, during
from keeper.planner.frontier import frontier, theory_point
from keeper.planner.results import YEAR
from keeper.planner.simulate_loan import Lending
from keeper.planner.sweep import grid, sweep
from keeper.planner.theory.bands import band_statistics
from keeper.planner.theory.leverage import leverage_decay
from keeper.planner.theory.passage import passage_probability

COSTS = Costs(fee=0.001, gas_units=200_000)
HOUR = 3_600


@pytest.mark.parametrize(
    ("year", "leverage", "ratio", "variance", "compounded", "predicted"),
    [
        (2021, 2, 5.0435, 1.1832, 7.393, 7.791),
        (2022, 2, 0.3177, 0.7651, 0.04557, 0.04695),
        (2022, -1, 0.3177, 0.7651, 1.4790, 1.4648),
        (2021, 3, 5.0435, 1.1832, 2.119, 3.687),
    ],
)
def test_a_leverage_held__over_a_year_of_ether__is_the_published_and_its_form_is_off(
    year: int, leverage: float, ratio: float, variance: float, compounded: float, predicted: float
) -> None:
    history = ether_history().between(f"{year}-01-01", f"{year}-12-31")
    daily = history.close[history.time % 86_400 == 86_400 - HOUR]
    found = float(np.sum(np.diff(np.log(daily)) ** 2))
    assert (round(daily[-1] / daily[0], 4), round(found, 4)) == (ratio, variance)
    held = float(np.prod(1 + leverage * (daily[1:] / daily[:-1] - 1)))
    assert held == pytest.approx(compounded, rel=2e-4)
    assert leverage_decay(leverage, daily[-1] / daily[0], found) == pytest.approx(predicted, rel=4e-4)


@pytest.mark.parametrize(("health", "days", "times"), [(1.25, 1, 100), (1.5, 7, 5), (2.0, 30, 2)])
def test_liquidation__of_ether_loans_in_the_tail__is_many_times_likelier_than_the_form_says(
    health: float, days: int, times: float
) -> None:
    history = ether_history()
    yearly = volatility.realised(history.close, HOUR)
    formula = passage_probability(health, yearly, days * 86_400 / YEAR)
    lows = bootstrap.observed_lows(history.low, history.close, 24 * days)
    assert bootstrap.passage_share(lows, health) > times * formula
    drawn = bootstrap.resampled_lows(
        history.low, history.close, 24 * days, bootstrap.block_for(history.close), seed=1, paths=3_000
    )
    assert bootstrap.passage_share(drawn, health) > times / 2 * formula


def test_liquidation__of_ether_loans_near_the_money__is_as_likely_as_the_form_says() -> None:
    history = ether_history()
    yearly = volatility.realised(history.close, HOUR)
    lows = bootstrap.observed_lows(history.low, history.close, 24 * 30)
    formula = passage_probability(1.5, yearly, 30 * 86_400 / YEAR)
    assert bootstrap.passage_share(lows, 1.5) == pytest.approx(formula, rel=0.15)


def test_a_path_scored__beside_the_row_of_its_sweep__has_the_same_figures() -> None:
    case = basket_case([ether_history()], [0.5], COSTS)
    rules = grid(case.columns, trigger=[0.05], destination=[0.0, 0.025])
    scores = sweep(case, rules, backend="serial")
    for at, rule in enumerate(rules):
        found, row = metrics.measure(case.path(rule), 5), scores.row(at)
        assert found.certainty_fee_bps == pytest.approx(scores.certainty_fee_bps(5)[at], rel=1e-9)
        assert found.cost_bps == pytest.approx(scores.cost_bps_per_year[at], rel=1e-9)
        assert found.tracking_error == pytest.approx(scores.tracking_error[at], rel=1e-9)
        assert found.rms_deviation == pytest.approx(scores.rms_deviation[at], rel=1e-9)
        assert found.max_deviation == pytest.approx(row["max_deviation"], rel=1e-9)
        assert found.trades == pytest.approx(scores.trades_per_year[at], rel=1e-9)
        assert found.turnover == pytest.approx(scores.turnover_per_year[at], rel=1e-9)
        assert found.max_drawdown == pytest.approx(row["max_drawdown"], rel=1e-9)
        # The sweep sorts its days into bins of 25 basis points.
        assert found.var_95_day == pytest.approx(row["var_95"], abs=0.0025)
        assert found.cvar_95_day == pytest.approx(row["cvar_95"], abs=0.0003)
        assert found.cvar_99_day == pytest.approx(row["cvar_99"], abs=0.0003)


def test_a_loans_path_scored__beside_the_row_of_its_sweep__has_the_same_figures() -> None:
    history = ether_history().between("2021-05-01", "2021-06-30")
    case = loan_case(history, Lending(0.83, 0.5, 0.95, 0.05), COSTS)
    rules = grid(case.columns, floor=[0.0, 1.3], target=[1.5])
    scores = sweep(case, rules, backend="serial")
    for at, rule in enumerate(rules):
        found, row = metrics.measure(case.path(rule), 5), scores.row(at)
        assert found.min_health == pytest.approx(row["min_health"], rel=1e-9)
        assert found.liquidations == row["liquidations"]
        assert found.trades == pytest.approx(scores.trades_per_year[at], rel=1e-9)
        assert found.tracking_error == pytest.approx(scores.tracking_error[at], rel=1e-9)
    assert scores["liquidations"][0] > 0
    assert scores["liquidations"][1] == 0


def test_theorys_band__on_the_frontier_of_ether__lies_close_to_it() -> None:
    history = ether_history()
    case = basket_case([history], [0.5], Costs(fee=0.003))
    rules = grid(
        case.columns, trigger=np.linspace(0.01, 0.15, 29), destination_share=[0.0, 0.25, 0.5, 0.75, 1.0]
    )
    scores = sweep(case, rules, backend="serial")
    lived = frontier(scores.cost_bps_per_year, scores.tracking_error)
    yearly = volatility.realised(history.close, HOUR)
    theory = theory_point(0.5, yearly, 5, 0.003, step=HOUR / YEAR)
    assert abs(lived.excess(theory.cost_bps, theory.tracking_error)) < 0.25 * theory.cost_bps
    # Trading to the edge is the better policy where a trade's size is all it costs.
    assert np.mean(rules[lived.members, 1] / rules[lived.members, 0] >= 0.75) > 0.6


def test_a_band__by_its_form_and_on_ether__trades_about_as_often() -> None:
    history = ether_history()
    case = basket_case([history], [0.5], Costs(fee=0.0))
    rules = grid(case.columns, trigger=[0.05, 0.1], destination=[0.0, 0.025])
    scores = sweep(case, rules, backend="serial")
    yearly = volatility.realised(history.close, HOUR)
    for at, rule in enumerate(rules):
        theory = band_statistics(0.5, yearly, rule[0], rule[1], HOUR / YEAR)
        assert scores.trades_per_year[at] == pytest.approx(theory.trades, rel=0.12)
        assert scores.turnover_per_year[at] == pytest.approx(theory.turnover, rel=0.12)
        assert scores.rms_deviation[at] == pytest.approx(theory.rms_deviation, rel=0.12)


def test_a_path__through_all_crashes_in_its_data__tells_each_apart() -> None:
    case = basket_case([ether_history()], [0.5], COSTS)
    path = case.path(grid(case.columns, trigger=[0.05])[0])
    told = {crash.name: part for crash in CRASHES if (part := during(path, crash)) is not None}
    # The packaged history ends with 2023.
    assert list(told) == ["2020-03-12", "2021-05-19", "2022-06", "2022-11", "2023-03"]
    falls = {name: metrics.measure(part, 5).max_drawdown for name, part in told.items()}
    assert falls["2020-03-12"] > 0.25
    assert all(fall > 0.05 for fall in falls.values())

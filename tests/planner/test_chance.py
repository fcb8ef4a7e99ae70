"""Bounds held over histories that might have been: intervals that cover, and paths that chose nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
from scipy import stats

from keeper.domain.errors import Misconfigured
from keeper.planner.bars import History
from keeper.planner.cases import LoanCase, loan_case
from keeper.planner.chance import (
    Bound,
    Held,
    bars_of,
    fewest_paths,
    first_that_keeps,
    paths_for,
    share_interval,
)
from keeper.planner.costs import Costs
from keeper.planner.ensemble import Ensemble, ensemble, live_through, resampled_history
from keeper.planner.objectives import objective
from keeper.planner.plan import Effort, plan
from keeper.planner.questions import AAVE_WETH, basket_question, loan_question
from keeper.planner.results import Floats
from keeper.planner.simulate_loan import Lending
from keeper.planner.sweep import grid
from keeper.planner.workers import Backend
from tests.planner.histories import random_history

COSTS = Costs(fee=0.001, gas_units=0)
FLOORS = (0.0, 1.02, 1.1, 1.2, 1.3, 1.4)


def a_loan(histories: Sequence[History]) -> LoanCase:
    return loan_case(histories[0], Lending(0.83, 0.5, 0.95, 0.05), COSTS)


def drawn_from(bars: int = 900, hourly: float = 0.012) -> Ensemble:
    return ensemble([random_history(4, bars, hourly=hourly, gap=False)], a_loan, seed=3, mean_block=24)


def floors(drawn: Ensemble) -> Floats:
    return grid(a_loan(drawn.histories).columns, floor=FLOORS, target=[1.6])


def kept(bound: Bound, paths: int = 80, drawn: Ensemble | None = None) -> tuple[int, Held] | None:
    drawn = drawn or drawn_from()
    return first_that_keeps(bound, drawn, floors(drawn), paths, backend="serial")


@pytest.mark.parametrize(("count", "level"), [(12, 0.9), (72, 0.95)])
def test_the_interval_of_a_share__whatever_the_true_one_is__covers_it_as_often_as_it_says(
    count: int, level: float
) -> None:
    told = [share_interval(hits, count, level) for hits in range(count + 1)]
    assert told[0] == (0.0, pytest.approx(1 - ((1 - level) / 2) ** (1 / count)))
    assert told[-1][1] == 1.0
    for true in (0.001, 0.02, 0.05, 0.2, 0.5, 0.9):
        chance = stats.binom.pmf(np.arange(count + 1), count, true)
        covered = sum(each for each, (low, high) in zip(chance, told, strict=True) if low <= true <= high)
        assert covered >= level


def test_the_fewest_paths__for_a_chance__are_those_that_show_it_with_none_liquidated_and_no_fewer() -> None:
    bound = Bound("liquidations", 0.05)
    least = fewest_paths(bound, 0.95)
    assert least == 72
    assert share_interval(0, least, 0.95)[1] <= 0.05 < share_interval(0, least - 1, 0.95)[1]
    assert paths_for(bound, None) == 3 * least
    assert paths_for(bound, 72) == 72
    with pytest.raises(Misconfigured, match=r"71 histories cannot show a bound of 0.05 .* 72 or more can"):
        paths_for(bound, 71)
    with pytest.raises(
        Misconfigured, match="takes 368,887 histories to show; allow more, or ask for as many"
    ):
        paths_for(Bound("liquidations", 1e-5), None)
    # Where a plan chooses twice, each choice has half of the error.
    assert paths_for(bound, None, families=2) > 3 * least


def test_the_first_rule__that_keeps_to_a_chance__is_told_on_paths_that_chose_nothing() -> None:
    drawn, bound = drawn_from(), Bound("liquidations", 0.25, days=30)
    found = kept(bound, 80, drawn)
    assert found is not None
    at, held = found
    assert at > 0
    short = Ensemble(drawn.histories, a_loan, 24, 3, 720)
    for rule in range(at):
        # What ranked before it did not keep to it on the paths that screen.
        screen = live_through(short, floors(drawn)[rule : rule + 1], 80, "serial")
        hits = int(np.sum(screen.figures["liquidations"] > 0))
        assert share_interval(hits, 80, 0.95)[1] > 0.25 or held.attempts > 1
    fresh = live_through(short, floors(drawn)[at : at + 1], 80, "serial", first=80 * held.attempts)
    hits = int(np.sum(fresh.figures["liquidations"] > 0))
    assert held.estimate == hits / 80
    assert (held.low, held.high) == share_interval(hits, 80, held.level)
    assert held.low <= held.estimate <= held.high <= 0.25
    assert (held.paths, held.days) == (80, 30.0)
    assert f"{held.estimate:.2%} of 80 histories of 30 days" in held.said


def test_a_tighter_bound__on_the_same_paths__takes_a_higher_floor() -> None:
    loose, tight = (kept(Bound("liquidations", most, days=30)) for most in (0.9, 0.06))
    assert loose is not None
    assert tight is not None
    assert loose[0] < tight[0]
    assert kept(Bound("liquidations", 0.06, days=30), drawn=drawn_from(hourly=0.2)) is None


def test_a_bound__that_fails_where_it_is_confirmed__is_tried_again_with_half_the_error() -> None:
    bound = Bound("liquidations", 0.3, 0.8, days=20)
    found = [kept(bound, 16, Ensemble(drawn_from().histories, a_loan, 24, seed)) for seed in range(12)]
    again = [held for each in found if each is not None for held in [each[1]] if held.attempts > 1]
    assert again
    for held in again:
        assert held.level == pytest.approx(1 - 0.2 / 2 ** (held.attempts - 1))


def test_a_bound_on_cvar__over_paths__is_on_the_upper_end_of_their_figures() -> None:
    drawn = drawn_from()
    short = Ensemble(drawn.histories, a_loan, 24, 3, 720)
    every = live_through(short, floors(drawn), 60, "serial").figures["cvar_95"]
    # Between what the middle path has and what the upper end has: the middle alone would take the first rule.
    most = float(np.quantile(every[:, -1], 0.99)) * 1.05
    found = first_that_keeps(Bound("cvar_95", most, days=30), drawn, floors(drawn), 60, backend="serial")
    assert found is not None
    at, held = found
    fresh = live_through(short, floors(drawn)[at : at + 1], 60, "serial", first=60 * held.attempts)
    values = fresh.figures["cvar_95"][:, 0]
    assert held.estimate == np.median(values)
    assert held.high == np.quantile(values, (1 + held.level) / 2) <= most


@pytest.mark.parametrize("backend", ["serial", "threading"])
def test_a_bound__whatever_lives_its_paths__comes_to_the_same(backend: Backend) -> None:
    drawn = drawn_from()
    assert first_that_keeps(
        Bound("liquidations", 0.25, days=30), drawn, floors(drawn), 80, backend=backend, workers=2
    ) == kept(Bound("liquidations", 0.25, days=30))


def test_a_path__of_fewer_bars__is_drawn_from_the_whole_history() -> None:
    history = random_history(3, 400, gap=False)
    path = resampled_history(history, 5, seed=1, path=2, length=100)
    assert len(path) == len(path.close) == 100
    gained, drawn = np.diff(np.log(history.close)), np.diff(np.log(path.close))
    source = np.array([int(np.argmin(np.abs(gained - each))) for each in drawn])
    assert gained[source] == pytest.approx(drawn, abs=1e-12)
    assert source.max() > 300


def test_a_horizon__unsaid__is_a_year_or_the_history_and_never_longer() -> None:
    drawn = drawn_from()
    assert bars_of(Bound("cvar_95", 0.1), drawn) == 900
    with pytest.raises(Misconfigured, match="a horizon of 90 days is 2160 bars, and the history has 900"):
        bars_of(Bound("cvar_95", 0.1, days=90), drawn)


def test_a_plan_of_a_loan__with_a_chance_to_keep_to__is_safer_than_one_that_knows_one_history() -> None:
    # A lucky one: its floors were hardly ever tried. A keeper six bars late needs room.
    history = random_history(5, 2_000, hourly=0.01, gap=False)
    costs = Costs(fee=0.01, gas_units=0, delay=6)
    question = partial(loan_question, history, AAVE_WETH, 1.65)
    quick = Effort(trials=0, paths=4, folds=0, bound_paths=90)
    once = plan(question(objective("liquidations", 0, 0.02), costs, (0.01, 0.04), 100_000.0), quick)
    sure = plan(
        question(objective("p-liquidation", 0.05, 0.02, 0.95, 80), costs, (0.01, 0.04), 100_000.0), quick
    )
    assert once.held is None
    assert sure.held is not None
    assert sure.held.high <= 0.05
    assert sure.held.days == 80
    assert (
        "chance of liquidation at most 0.05 in 80 days that might have been, at 0.95 confidence"
        in sure.objective
    )
    assert sure.chosen.rule["floor"] > once.chosen.rule["floor"]
    # What ranked better and does not keep to it is ranked no more.
    assert sure.chosen.metrics.certainty_fee_bps >= once.chosen.metrics.certainty_fee_bps
    assert math.isinf(sure.fee[int(np.argmin(once.fee))])


@pytest.mark.parametrize(
    ("most", "confidence", "sentence"),
    [
        (0.0, 0.95, "a chance of liquidation of 0 cannot be shown to be kept"),
        (1.0, 0.95, "a chance of liquidation of 1 cannot be shown"),
        (0.05, 1.0, "a confidence of 1 is not from 0.5 to below 1"),
        (None, 0.95, "p-liquidation needs a bound on chance of liquidation"),
    ],
)
def test_a_chance__that_nothing_could_show__is_refused(
    most: float | None, confidence: float, sentence: str
) -> None:
    with pytest.raises(Misconfigured, match=sentence):
        objective("p-liquidation", most, 2, confidence)


def test_a_wish__about_this_history_alone__has_no_horizon() -> None:
    with pytest.raises(Misconfigured, match="liquidations is of this history, and has no horizon"):
        objective("liquidations", 0, 2, days=30)


def test_a_basket__asked_for_its_chance_of_liquidation__has_none() -> None:
    question = basket_question(
        [random_history(1)], [0.5], objective("p-liquidation", 0.05, 2), COSTS, 100_000.0
    )
    with pytest.raises(Misconfigured, match="a basket has no chance of liquidation to bound"):
        plan(question, Effort(trials=0, paths=0, folds=0))

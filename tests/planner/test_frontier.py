"""Rules none beats, their knee, theory's place among them, and the storms told apart."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import Misconfigured
from keeper.planner import metrics
from keeper.planner.crashes import CRASHES, Crash, cut, during
from keeper.planner.frontier import frontier, point_of, theory_point
from keeper.planner.results import UP, Actions, Path
from keeper.planner.theory.bands import Band, best_band, yearly_loss

DAY = 86_400


def test_the_frontier__of_five_rules__leaves_out_who_is_beaten() -> None:
    cost = np.array([3.0, 1.0, 2.0, 2.0, 5.0])
    risk = np.array([1.0, 5.0, 3.0, 4.0, 1.0])
    found = frontier(cost, risk)
    assert found.members.tolist() == [1, 2, 0]
    assert found.cost.tolist() == [1.0, 2.0, 3.0]
    assert found.risk.tolist() == [5.0, 3.0, 1.0]


def test_the_frontier__of_equals_and_of_rules_that_failed__takes_the_first_that_did_not() -> None:
    cost = np.array([math.nan, 1.0, 1.0, math.inf])
    risk = np.array([0.0, 2.0, 2.0, 1.0])
    assert frontier(cost, risk).members.tolist() == [1]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40),
)
def test_the_frontier__of_any_rules__holds_one_no_worse_than_each_and_none_beaten(
    rules: list[tuple[int, int]],
) -> None:
    cost, risk = np.array(rules, np.float64).T
    found = frontier(cost, risk)
    assert all(np.any((found.cost <= c) & (found.risk <= r)) for c, r in rules)
    assert all(a < b for a, b in pairwise(found.cost))
    assert all(a > b for a, b in pairwise(found.risk))
    assert cost[found.members].tolist() == found.cost.tolist()


def test_the_knee__of_a_hyperbola__is_where_it_bends() -> None:
    width = np.linspace(0.1, 10, 400)
    found = frontier(1 / width, width)
    # Between ends (0.1, 10) and (10, 0.1) the chord is farthest at (1, 1).
    assert found.cost[found.knee] == pytest.approx(1.0, rel=0.05)
    assert found.risk[found.knee] == pytest.approx(1.0, rel=0.05)


def test_the_knee__of_two_rules__is_the_cheaper() -> None:
    assert frontier(np.array([2.0, 1.0]), np.array([1.0, 2.0])).knee == 0


def test_a_rules_excess__over_the_frontier__is_what_it_pays_too_much() -> None:
    found = frontier(np.array([1.0, 2.0, 3.0]), np.array([5.0, 3.0, 1.0]))
    assert found.excess(4.0, 3.5) == 2.0
    assert found.excess(2.0, 3.0) == 0.0
    assert found.excess(0.5, 5.0) == -0.5
    assert found.excess(9.0, 0.5) == -math.inf
    assert found.least_cost(0.5) == math.inf


def test_theorys_band__on_its_own_frontier__lies_where_its_owner_loses_least() -> None:
    best = theory_point(0.5, 0.8, 5, 0.003, 1e-4)
    assert best.band == best_band(0.5, 5, 0.003, 1e-4)
    loss = best.cost_bps / 1e4 + 5 * best.tracking_error**2 / 2
    assert loss == pytest.approx(yearly_loss(0.5, 0.8, 5, best.band, 0.003, 1e-4))
    grid = [
        point_of(Band(trigger, trigger * share), 0.5, 0.8, 0.003, 1e-4)
        for trigger in np.linspace(0.02, 0.2, 60)
        for share in (0.0, 0.15, 0.239, 0.35, 0.6, 0.9)
    ]
    cost = np.array([point.cost_bps for point in grid])
    risk = np.array([point.tracking_error for point in grid])
    lived = frontier(cost, risk)
    # The grid is coarse in risk, so that the cheapest no riskier may be a step dearer, and never much cheaper.
    assert lived.excess(best.cost_bps, best.tracking_error) < 0.01 * best.cost_bps
    ranked = cost / 1e4 + 2.5 * risk**2
    assert loss <= float(ranked.min()) * (1 + 1e-9)
    assert int(np.argmin(ranked)) in lived.members


def test_theorys_band__looked_at_once_a_day__costs_less_and_strays_farther() -> None:
    watched, daily = theory_point(0.5, 0.8, 5, 0.003), theory_point(0.5, 0.8, 5, 0.003, step=1 / 365)
    assert daily.cost_bps < watched.cost_bps
    assert daily.tracking_error > watched.tracking_error


@pytest.mark.parametrize(
    ("cost", "risk", "sentence"),
    [
        (np.ones(2), np.ones(3), "frontier: 2 costs and 3 risks"),
        (np.array([math.inf]), np.ones(1), "frontier: none of 1 rules has a finite cost and risk"),
    ],
)
def test_a_frontier__of_nothing_sound__is_refused(cost: np.ndarray, risk: np.ndarray, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence):
        frontier(cost, risk)


def a_path(start: int, days: int) -> Path:
    """Daily bars, one act on each."""
    days_in = np.arange(days)
    still = np.zeros(days)
    flat = still + 1.0
    return Path(
        kind="basket",
        seconds=DAY,
        time=start + days_in * DAY,
        price=flat,
        equity=100.0 + days_in,
        ideal=100.0 + days_in,
        measure=flat,
        lowest=flat,
        exposure=flat,
        target=flat,
        low=flat,
        high=flat,
        earned=still,
        lost=still,
        actions=Actions(days_in, np.full(days, UP), still, still, flat, flat, still, still, still, still),
    )


def test_a_window__out_of_a_longer_path__holds_its_bars_and_its_acts() -> None:
    path = a_path(CRASHES[0].start - 10 * DAY, 40)
    window = during(path, CRASHES[0])
    assert window is not None
    assert len(window.time) == 7
    assert window.time[0] == CRASHES[0].start
    assert window.equity.tolist() == [110.0 + day for day in range(7)]
    assert window.actions.bar.tolist() == list(range(7))
    assert len(window.actions.fee) == 7
    assert metrics.measure(window, 5).trades == pytest.approx(365.25)


def test_a_window__not_lived_through_whole__is_not_told() -> None:
    crash = CRASHES[0]
    assert during(a_path(crash.start + DAY, 40), crash) is None
    assert during(a_path(crash.start - 10 * DAY, 16), crash) is None
    assert during(a_path(crash.start, 7), crash) is not None
    assert during(a_path(crash.start, 0), crash) is None


def test_a_cut__beyond_a_path__is_empty() -> None:
    assert len(cut(a_path(0, 5), 10 * DAY, 20 * DAY).time) == 0


def test_the_crashes__as_named__lie_in_their_own_windows_in_order() -> None:
    assert [crash.name for crash in CRASHES] == [
        "2020-03-12",
        "2021-05-19",
        "2022-06",
        "2022-11",
        "2023-03",
        "2024-08-05",
        "2025-10-10",
    ]
    assert all(a.end < b.start for a, b in pairwise(CRASHES))
    for crash in CRASHES:
        day = crash.name if crash.name.count("-") == 2 else f"{crash.name}-10"
        named = Crash("", "", day, day)
        assert crash.start <= named.start < named.end <= crash.end

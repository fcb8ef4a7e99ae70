"""Few points with every extreme, distributions, and heat maps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keeper.planner.sketch import drawdown, extremes, heat_map, shares_of


def test_the_points_to_draw__of_a_long_life__hold_its_extremes_and_its_ends() -> None:
    values = np.random.default_rng(1).standard_normal(50_000).cumsum()
    values[31_234] = 1e4
    kept = extremes(values, 1_000)
    assert len(kept) <= 1_002
    assert {0, 49_999, 31_234, int(np.argmin(values))} <= set(kept.tolist())
    assert np.all(np.diff(kept) > 0)


def test_the_points_to_draw__of_a_short_life__are_all() -> None:
    assert extremes(np.zeros(5), 10).tolist() == [0, 1, 2, 3, 4]


def test_the_points_to_draw__of_a_health_that_is_infinite__are_still_found() -> None:
    values = np.full(10_000, math.inf)
    values[77] = 1.1
    assert 77 in extremes(values, 100)
    assert len(extremes(np.full(10_000, math.inf), 100)) > 0


def test_a_drawdown__bar_by_bar__is_the_distance_from_the_peak() -> None:
    assert drawdown(np.array([1.0, 2.0, 1.5, 3.0])) == pytest.approx([0, 0, 0.25, 0])


def test_a_distribution__of_a_measure__counts_every_finite_bar() -> None:
    values = np.concatenate((np.random.default_rng(2).standard_normal(10_000), [math.inf] * 50, [40.0]))
    found = shares_of(values)
    assert found.share.sum() == pytest.approx(1.0)
    assert found.edges[-1] < 5
    assert shares_of(np.full(4, 2.0)).share.sum() == pytest.approx(1.0)
    assert shares_of(np.full(4, math.inf)).share.tolist() == [0.0]


def test_a_heat_map__of_a_grid__holds_the_best_of_each_cell() -> None:
    x = np.array([1.0, 1.0, 2.0, 2.0, 2.0])
    y = np.array([5.0, 6.0, 5.0, 5.0, 6.0])
    found = heat_map(x, y, np.array([3.0, 1.0, 9.0, 4.0, math.nan]))
    assert found.x.tolist() == [1.0, 2.0]
    assert found.y.tolist() == [5.0, 6.0]
    assert found.best[0].tolist() == [3.0, 4.0]
    assert found.best[1][0] == 1.0
    assert math.isnan(found.best[1][1])


def test_a_heat_map__of_parameters_drawn_at_random__has_as_many_cells_as_asked() -> None:
    draw = np.random.default_rng(3)
    x, y = draw.random(5_000), draw.random(5_000)
    found = heat_map(x, y, x + y, cells=10)
    assert found.best.shape == (10, 10)
    assert np.all(np.diff(found.x) > 0)
    assert np.all(np.diff(found.best, axis=0) > 0)

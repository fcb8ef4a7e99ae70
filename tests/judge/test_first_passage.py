"""The time to a breach, against the reflection principle told by the error function and against walks of chance."""

from __future__ import annotations

from math import erfc, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.foresight import Horizon
from keeper.judge.first_passage import EARLY, farthest, log_distance, reach

YEAR = 365 * 86_400
HUGE = 2**40


def passed(distance: float, sigma: float, seconds: float) -> float:
    """How likely a motion without drift has come so far by then."""
    return erfc(distance / (sigma * sqrt(2 * seconds / YEAR)))


@given(st.floats(0.001, 3), st.floats(0.05, 5))
def test_a_reach__at_any_distance_and_volatility__is_met_one_time_in_twenty_and_one_in_two(
    distance: float, sigma: float
) -> None:
    told = reach(distance, sigma)
    for seconds, likely in ((told.early, EARLY), (told.median, 0.5)):
        if 1_000 < seconds < HUGE:
            assert passed(distance, sigma, seconds) == pytest.approx(likely, rel=5e-3)


def test_a_reach__of_five_percent_at_eighty_percent_a_year__is_eight_hours_and_three_days() -> None:
    told = reach(0.05, 0.8)
    assert (told.early / 3_600, told.median / 86_400) == (
        pytest.approx(8.9, abs=0.05),
        pytest.approx(3.13, abs=0.01),
    )


def test_a_reach__beside_walks_of_chance__is_where_half_of_them_have_arrived() -> None:
    rng = np.random.default_rng(7)
    told, steps = reach(0.03, 0.8), 2_000
    lows = np.cumsum(rng.normal(0, 0.8 * sqrt(told.median / YEAR / steps), (2_000, steps)), axis=1).min(
        axis=1
    )
    arrived = float((lows <= -0.03).mean())
    assert arrived == pytest.approx(0.5, abs=0.04)


@given(st.integers(60, 30 * 86_400), st.floats(0.05, 5))
def test_the_farthest_within_a_horizon__is_where_the_early_time_is_the_horizons(
    seconds: int, sigma: float
) -> None:
    assert abs(reach(farthest(Horizon(seconds, sigma), sigma), sigma).early - seconds) <= 1


def test_a_distance__of_two_measures__is_the_logarithm_of_their_ratio_whichever_is_higher() -> None:
    assert log_distance(15, 10) == log_distance(10, 15) == pytest.approx(log(1.5))


def test_a_distance_too_far_to_come__is_told_as_a_span_without_an_end() -> None:
    assert reach(1e9, 0.05).early == HUGE
    assert reach(float("inf"), 0.05).median == HUGE

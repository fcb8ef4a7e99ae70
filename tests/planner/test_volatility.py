"""The estimators of volatility: right on walks whose volatility is known, and as precise as published."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from keeper.domain.errors import Misconfigured
from keeper.planner import volatility
from keeper.planner.results import YEAR, Floats

DAY = 86_400


@cache
def bars(count: int, steps: int, drift: float = 0.0) -> tuple[Floats, Floats, Floats, Floats]:
    """Open, high, low and close of bars of variance 1e-4 and of a drift in bars' standard deviations."""
    draw = np.random.default_rng(7)
    ends, highs, lows = np.empty(count), np.empty(count), np.empty(count)
    for first in range(0, count, 500):
        many = min(500, count - first)
        walk = np.cumsum(draw.standard_normal((many, steps)), axis=1) / math.sqrt(steps)
        walk = 0.01 * (walk + drift * np.arange(1, steps + 1) / steps)
        here = slice(first, first + many)
        ends[here] = walk[:, -1]
        highs[here] = np.maximum(walk.max(axis=1), 0)
        lows[here] = np.minimum(walk.min(axis=1), 0)
    opens = np.concatenate(([0.0], np.cumsum(ends)[:-1]))
    return np.exp(opens), np.exp(opens + highs), np.exp(opens + lows), np.exp(opens + ends)


def test_the_estimators_from_extremes__on_simulated_bars__are_as_precise_as_published() -> None:
    open_, high, low, close = bars(20_000, 2_000)
    plain = np.log(close / open_) ** 2
    found = {
        "parkinson": volatility.parkinson_variance(high, low),
        "garman_klass": volatility.garman_klass_variance(open_, high, low, close),
        "rogers_satchell": volatility.rogers_satchell_variance(open_, high, low, close),
    }
    # Each against its own mean: to read low is not to be precise.
    spread = float(np.var(plain / plain.mean()))
    efficiency = {name: spread / float(np.var(each / each.mean())) for name, each in found.items()}
    # As simulated before with as many steps; they read 2.5, 3.4 and 3.3 % low.
    published = {"parkinson": 4.91, "garman_klass": 7.35, "rogers_satchell": 5.85}
    assert efficiency == pytest.approx(published, rel=0.08)
    bias = {name: float(np.mean(each)) / 1e-4 - 1 for name, each in found.items()}
    assert bias == pytest.approx(
        {"parkinson": -0.025, "garman_klass": -0.034, "rogers_satchell": -0.033}, abs=0.02
    )


def test_yang_and_zhang__over_windows_of_ten_bars__are_more_precise_than_all_others() -> None:
    open_, high, low, close = bars(20_000, 2_000)
    windows = [slice(first, first + 11) for first in range(0, 19_989, 11)]
    yang = [volatility.yang_zhang(open_[w], high[w], low[w], close[w], DAY) ** 2 for w in windows]
    plain = [float(np.var(np.diff(np.log(close[w])), ddof=1)) * YEAR / DAY for w in windows]
    # Without jumps between bars the gain is at most the extremes' own; 14 needs equal nights and days.
    assert 5 < np.var(plain) / np.var(yang) < 14


def test_the_estimators__on_a_walk_of_known_volatility__find_it() -> None:
    open_, high, low, close = bars(20_000, 2_000)
    true = 0.01 * math.sqrt(YEAR / DAY)
    assert volatility.realised(close, DAY) == pytest.approx(true, rel=0.02)
    assert volatility.parkinson(high, low, DAY) == pytest.approx(true, rel=0.03)
    for estimator in (volatility.garman_klass, volatility.rogers_satchell, volatility.yang_zhang):
        assert estimator(open_, high, low, close, DAY) == pytest.approx(true, rel=0.03)


def test_a_drift__within_bars__deceives_only_who_assumes_none() -> None:
    open_, high, low, close = bars(4_000, 1_000, drift=1.5)
    true = 0.01 * math.sqrt(YEAR / DAY)
    assert volatility.parkinson(high, low, DAY) > 1.2 * true
    assert volatility.rogers_satchell(open_, high, low, close, DAY) == pytest.approx(true, rel=0.06)
    assert volatility.yang_zhang(open_, high, low, close, DAY) == pytest.approx(true, rel=0.06)


def test_yang_and_zhang__where_bars_open_away_from_the_last_close__count_the_jump() -> None:
    open_, high, low, close = bars(12_000, 200)
    jumps = np.exp(np.cumsum(np.random.default_rng(2).standard_normal(len(open_)) * 0.02))
    moved = volatility.yang_zhang(open_ * jumps, high * jumps, low * jumps, close * jumps, DAY)
    still = volatility.yang_zhang(open_, high, low, close, DAY)
    assert moved**2 - still**2 == pytest.approx(0.02**2 * YEAR / DAY, rel=0.05)


def test_the_smoothed_variance__return_by_return__is_its_recursion() -> None:
    returns = np.random.default_rng(4).standard_normal(200) * 0.02
    expected, now = [], returns[0] ** 2
    for r in returns:
        now = 0.94 * now + 0.06 * r**2
        expected.append(now)
    assert volatility.ewma_variance(returns) == pytest.approx(expected, rel=1e-12)
    assert volatility.ewma_variance(returns, 0.9, start=0.0)[0] == pytest.approx(0.1 * returns[0] ** 2)
    assert len(volatility.ewma_variance(np.zeros(0))) == 0


def test_the_smoothed_volatility__when_the_future_is_shuffled__keeps_its_past() -> None:
    close = bars(12_000, 200)[3][:500]
    other = np.concatenate((close[:300], close[300:][::-1]))
    before, after = volatility.ewma(close, DAY), volatility.ewma(other, DAY)
    assert np.array_equal(before[:300], after[:300])
    assert not np.array_equal(before[300:], after[300:])
    assert len(before) == len(close)


@pytest.mark.parametrize(
    ("price", "sentence"),
    [(1, "1 closes have no return between them"), (3, "3 bars are too few for Yang and Zhang, who need 4")],
)
def test_an_estimator__of_too_few_bars__says_how_many(price: int, sentence: str) -> None:
    few = np.ones(price)
    with pytest.raises(Misconfigured, match=f"volatility: {sentence}"):
        volatility.yang_zhang(few, few, few, few, DAY)


def test_a_decay__of_one__is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"volatility: a decay of 1\.0 lies outside 0 to 1"):
        volatility.ewma_variance(np.ones(3), 1.0)

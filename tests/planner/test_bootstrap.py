"""Paths that might have been, and how far the best of many tried is to be believed."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import signal

from keeper.domain.errors import Misconfigured
from keeper.planner import bootstrap
from keeper.planner.results import Floats
from keeper.planner.theory.passage import passage_probability

HOURS = 24 * 365


def a_walk(count: int, seed: int = 0, volatility: float = 0.8) -> tuple[Floats, Floats, Floats, Floats]:
    """Hourly open, high, low and close of geometric Brownian motion with a still logarithm, 60 looks an hour."""
    draw = np.random.default_rng(seed)
    minutes = volatility / math.sqrt(HOURS * 60) * np.cumsum(draw.standard_normal(count * 60))
    inside = minutes.reshape(count, 60)
    opens = np.concatenate(([0.0], inside[:-1, -1]))
    high, low = np.maximum(inside.max(axis=1), opens), np.minimum(inside.min(axis=1), opens)
    return np.exp(opens), np.exp(high), np.exp(low), np.exp(inside[:, -1])


def autoregressive(rho: float, count: int, seed: int) -> Floats:
    """A series each of whose values is `rho` times the last, and noise."""
    noise = np.random.default_rng(seed).standard_normal(count + 1_000)
    return np.asarray(signal.lfilter([1], [1, -rho], noise))[1_000:]


def test_a_path__drawn_again_in_any_order_and_thread__is_the_same() -> None:
    def drawn(path: int) -> bytes:
        return bootstrap.stationary_indices(5_000, 48, seed=9, path=path).tobytes()

    serial = [drawn(path) for path in range(32)]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(drawn, reversed(range(32))))
    assert serial == parallel[::-1]
    assert len(set(serial)) == 32
    assert bootstrap.stationary_indices(5_000, 48, seed=10, path=0).tobytes() != serial[0]


def test_a_path__of_a_seed__is_the_one_it_was_when_this_was_written() -> None:
    taken = bootstrap.stationary_indices(100, 4, seed=1, path=2, length=12)
    assert taken.tolist() == [75, 76, 81, 82, 83, 84, 85, 86, 87, 54, 83, 84]


def test_blocks__of_a_mean_length__are_geometric_and_wrap_around() -> None:
    taken = bootstrap.stationary_indices(1_000, 20, seed=3, path=0, length=400_000)
    joins = np.flatnonzero(np.diff(taken) % 1_000 != 1)
    lengths = np.diff(joins)
    # A block may by chance go on where the last ended.
    assert lengths.mean() == pytest.approx(20, rel=0.03)
    assert lengths.std() == pytest.approx(math.sqrt(1 - 1 / 20) * 20, rel=0.04)
    assert np.any((taken[:-1] == 999) & (taken[1:] == 0))
    counts = np.bincount(taken, minlength=1_000)
    assert counts.min() > 0.5 * counts.mean()


def test_blocks__of_one__are_independent_draws() -> None:
    series = autoregressive(0.9, 20_000, 1)
    drawn = series[bootstrap.stationary_indices(len(series), 1, seed=3, path=0)]
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.03


def test_blocks__longer_than_memory__keep_the_correlation_and_short_ones_lose_it() -> None:
    series = autoregressive(0.9, 20_000, 1)
    for block in (5, 100):
        drawn = series[bootstrap.stationary_indices(len(series), block, seed=3, path=0)]
        # A neighbour is still a neighbour unless a block begins between them.
        assert np.corrcoef(drawn[1:], drawn[:-1])[0, 1] == pytest.approx(0.9 * (1 - 1 / block), abs=0.03)


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.7])
def test_the_automatic_block__of_an_autoregressive_series__is_what_theory_asks_for(rho: float) -> None:
    count = 20_000
    found = [bootstrap.automatic_block(autoregressive(rho, count, seed)) for seed in range(30)]
    asked = (2 * rho / (1 - rho**2)) ** (2 / 3) * count ** (1 / 3)
    assert np.median(found) == pytest.approx(asked, rel=0.12)


def test_the_automatic_block__of_noise_and_of_a_constant__is_about_one() -> None:
    noise = np.random.default_rng(5).standard_normal(20_000)
    assert bootstrap.automatic_block(noise) < 5
    assert bootstrap.automatic_block(np.full(100, 0.1)) == 1.0


def test_the_block_of_a_history__with_storms__is_that_of_its_storms() -> None:
    calm = np.repeat(np.random.default_rng(6).random(100) < 0.3, 200)
    returns = np.where(calm, 0.03, 0.003) * np.random.default_rng(7).standard_normal(len(calm))
    close = np.exp(np.cumsum(returns))
    assert bootstrap.automatic_block(np.diff(np.log(close))) < 20
    assert bootstrap.block_for(close) > 100


def test_resampled_bars__each_beside_where_it_came_from__has_the_same_shape() -> None:
    open_, high, low, close = a_walk(2_000)
    path = bootstrap.resampled_bars(open_, high, low, close, 24, seed=1, path=5)
    taken = path.taken
    assert (path.close[0], path.low[0], len(path.close)) == (close[0], low[0], len(close))
    assert taken[0] == 0
    assert np.all(taken[1:] >= 1)
    for found, source in ((path.open, open_), (path.high, high), (path.low, low), (path.close, close)):
        assert found[1:] / path.close[:-1] == pytest.approx(source[taken[1:]] / close[taken[1:] - 1])
    for inside in (path.open, path.close):
        assert np.all((path.low <= inside) & (inside <= path.high))


def test_resampled_bars__of_two_assets_with_one_seed__stay_in_step() -> None:
    first, second = a_walk(500, 1), a_walk(500, 2)
    one = bootstrap.resampled_bars(*first, 24, seed=1, path=5, length=900)
    two = bootstrap.resampled_bars(*second, 24, seed=1, path=5, length=900)
    assert np.array_equal(one.taken, two.taken)
    assert len(one.close) == 900


def test_observed_lows__of_a_small_history__are_those_seen_by_eye() -> None:
    close = np.array([10.0, 8.0, 10.0, 5.0, 10.0])
    low = np.array([1.0, 7.0, 9.0, 4.0, 6.0])
    assert bootstrap.observed_lows(low, close, 2) == pytest.approx([7 / 10, 4 / 8, 4 / 10])
    assert bootstrap.observed_lows(low, close, 3) == pytest.approx([4 / 10, 4 / 8])
    assert bootstrap.observed_lows(low, close, 1) == pytest.approx([7 / 10, 9 / 8, 4 / 10, 6 / 5])
    assert bootstrap.observed_lows(low, close, 4) == pytest.approx([4 / 10])


def test_a_passage__observed_and_resampled_on_brownian_motion__is_the_formulas() -> None:
    _, _, low, close = a_walk(60_000, 4)
    month = 30 * 24
    formula = passage_probability(1.25, 0.8, month / HOURS, drift=0.32)
    # Sixty thousand hours are eighty independent months.
    observed = bootstrap.observed_lows(low, close, month)
    assert bootstrap.passage_share(observed, 1.25) == pytest.approx(formula, abs=0.11)
    resampled = bootstrap.resampled_lows(low, close, month, 24, seed=2, paths=3_000)
    assert bootstrap.passage_share(resampled, 1.25) == pytest.approx(formula, abs=0.05)
    for health in (1.5, 2.0):
        expected = passage_probability(health, 0.8, month / HOURS, drift=0.32)
        assert bootstrap.passage_share(resampled, health) == pytest.approx(expected, abs=0.03)


def test_a_passage__in_a_history_with_storms__is_likelier_than_the_formula_at_its_volatility() -> None:
    storm = np.repeat(np.random.default_rng(8).random(400) < 0.05, 48)
    returns = np.where(storm, 0.025, 0.003) * np.random.default_rng(9).standard_normal(len(storm))
    close = np.exp(np.cumsum(returns - returns.mean()))
    volatility = float(np.std(returns)) * math.sqrt(HOURS)
    formula = passage_probability(1.3, volatility, 48 / HOURS, drift=volatility**2 / 2)
    found = bootstrap.passage_share(bootstrap.observed_lows(close, close, 48), 1.3)
    again = bootstrap.resampled_lows(close, close, 48, bootstrap.block_for(close), seed=1, paths=4_000)
    assert formula < 1e-4
    assert found > 10 * formula
    assert bootstrap.passage_share(again, 1.3) > 10 * formula


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.5])
def test_a_health__for_a_share_of_cases__is_the_least_that_keeps_it(share: float) -> None:
    lows = np.random.default_rng(2).uniform(0.3, 1.0, 1_000)
    health = bootstrap.health_for_share(lows, share)
    kept = bootstrap.passage_share(lows, health * (1 + 1e-12))
    assert kept <= share
    assert bootstrap.passage_share(lows, health * (1 - 1e-6)) > share


def test_an_interval__of_a_mean__covers_it_as_often_as_it_says() -> None:
    draw, covered = np.random.default_rng(3), 0
    for trial in range(60):
        rows = 1.0 + draw.standard_normal(200)
        means = bootstrap.resampled(lambda each: float(np.mean(each)), rows, 2, seed=trial, paths=150)
        low, high = bootstrap.interval(means, 0.9)
        covered += low <= 1.0 <= high
    assert 46 <= covered <= 59


def test_resampling__of_several_series__keeps_their_rows_together() -> None:
    rows = np.column_stack((np.arange(50.0), -np.arange(50.0)))
    sums = bootstrap.resampled(lambda each: float(np.abs(each.sum(axis=1)).max()), rows, 5, seed=1, paths=20)
    assert sums.tolist() == [0.0] * 20


@pytest.mark.parametrize(("trials", "chance"), [(100, 0.9004), (46, 0.9505)])
def test_a_deflated_sharpe__of_the_papers_example__is_the_papers(trials: int, chance: float) -> None:
    # A yearly 2.5 over five years of 250 days, ratios tried that vary by a half a year.
    tried = np.tile([1.0, -1.0], trials // 2)
    tried *= math.sqrt(0.5 / 250) / np.std(tried, ddof=1)
    best = bootstrap.best_of_chance(tried)
    if trials == 100:
        assert best == pytest.approx(0.1132, abs=5e-5)
    found = bootstrap.deflated_sharpe(2.5 / math.sqrt(250), best, 1_250, skew=-3, kurtosis=10)
    assert found == pytest.approx(chance, abs=5e-5)


def test_the_best_of_chance__of_one_rule__is_nothing() -> None:
    assert bootstrap.best_of_chance(np.array([0.3])) == 0.0


def test_the_best_of_chance__of_many_worthless_rules__is_about_their_best() -> None:
    draw = np.random.default_rng(1)
    best = [float(np.max(draw.standard_normal(500))) for _ in range(200)]
    assert bootstrap.best_of_chance(draw.standard_normal(500)) == pytest.approx(np.mean(best), rel=0.07)


def test_a_reality_check__of_worthless_rules__is_seldom_impressed() -> None:
    draw = np.random.default_rng(4)
    found = [
        bootstrap.reality_check(draw.standard_normal((30, 150)), 2, seed=trial, paths=100)
        for trial in range(50)
    ]
    # A tenth of the time by right; the check errs on the sceptical side.
    assert np.mean(np.array(found) < 0.1) < 0.25
    assert np.median(found) > 0.3


def test_a_reality_check__of_one_good_rule_among_many__finds_it() -> None:
    gains = np.random.default_rng(5).standard_normal((30, 400))
    gains[17] += 0.4
    assert bootstrap.reality_check(gains, 3, seed=1, paths=400) < 0.01


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: bootstrap.stationary_indices(10, 0.5, 1, 1), "no blocks of 0.5 out of 10 observations"),
        (lambda: bootstrap.stationary_indices(0, 5, 1, 1), "no blocks of 5 out of 0 observations"),
        (lambda: bootstrap.automatic_block(np.ones(3)), "3 bars are too few, 8 are needed"),
        (lambda: bootstrap.observed_lows(np.ones(5), np.ones(5), 5), "5 bars are too few, 6 are needed"),
        (lambda: bootstrap.health_for_share(np.ones(5), 1.0), "1.0 is no share of cases to tolerate"),
        (lambda: bootstrap.interval(np.ones(5), 1.0), "an interval of 1.0 is no share"),
        (lambda: bootstrap.deflated_sharpe(0.1, 0.0, 1), "1 bars of skew"),
        (lambda: bootstrap.reality_check(np.ones((2, 1)), 2, 1, 9), "2 rules over 1 days cannot be checked"),
    ],
)
def test_bootstrap__asked_what_has_no_answer__says_why(ask: Callable[[], object], sentence: str) -> None:
    with pytest.raises(Misconfigured, match=f"bootstrap: {sentence}"):
        ask()

"""Histories that might have been, and how far to trust what was best on one of them.

The stationary bootstrap glues blocks of random length out of what happened, so that calm and storm stay together. Path
`k` of a seed is the same whoever draws it, in whatever order and on however many machines.

Assumes: what happened is as good a guess as any of what might have; the past holds the storms that matter. A history
is taken as a ring, its end followed by its beginning.
Source: Politis and Romano 1994; block length of Politis and White 2004 with the correction of Patton, Politis and White
2009; White 2000, "A Reality Check for Data Snooping"; Bailey and López de Prado 2014, "The Deflated Sharpe Ratio".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage, special

from keeper.domain.errors import Misconfigured
from keeper.planner.results import Floats, Ints

_EULER: Final = 0.5772156649015329


def stationary_indices(
    count: int, mean_block: float, seed: int, path: int, length: int | None = None
) -> Ints:
    """Which of `count` observations to take, in order, for one path; as many as there are unless `length` says."""
    if count < 1 or not mean_block >= 1:
        raise Misconfigured(f"bootstrap: no blocks of {mean_block} out of {count} observations")
    size = count if length is None else length
    # Its own stream per path, so that no path depends on who drew before it.
    draw = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(path,))))
    starts = draw.random(size) * mean_block < 1
    if size:
        starts[0] = True
    at = np.flatnonzero(starts)
    first = draw.integers(count, size=len(at))
    # Each place continues the latest block begun at or before it.
    block = np.cumsum(starts) - 1
    return np.asarray((first[block] + np.arange(size) - at[block]) % count, np.int64)


@dataclass(frozen=True, slots=True)
class Resampled:
    """Bars of one path; `taken` says which of the history's bars each came from, for gas and other assets."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    taken: Ints


def resampled_bars(
    open_: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    mean_block: float,
    seed: int,
    path: int,
    length: int | None = None,
) -> Resampled:
    """One path of bars, each as far from the close before it as where it came from; starts at the first close.

    As long as the history unless `length` says. Several assets drawn with the same seed and path stay in step.
    """
    _require_bars(close, 2)
    bars = len(close) if length is None else length
    taken = 1 + stationary_indices(len(close) - 1, mean_block, seed, path, bars - 1)
    before = close[taken - 1]
    ends = close[0] * np.concatenate(([1.0], np.cumprod(close[taken] / before)))
    moved = ends[:-1] / before

    def glued(column: Floats) -> Floats:
        return np.concatenate((column[:1], column[taken] * moved))

    opens = glued(open_)
    # Rounding must not put a close a last digit beyond its own bar.
    highs = np.maximum(glued(high), np.maximum(opens, ends))
    lows = np.minimum(glued(low), np.minimum(opens, ends))
    return Resampled(opens, highs, lows, ends, np.concatenate(([0], taken)))


def automatic_block(series: Floats) -> float:
    """The mean block length that best keeps the series' own dependence, at least 1.

    Of returns it is short, since returns hardly depend on each other; ask it of their squares or sizes too, or storms
    are torn apart (`block_for`).
    """
    count = len(series)
    _require_bars(series, 8)
    off = np.asarray(series, np.float64) - np.mean(series)
    variance = float(off @ off) / count
    # A constant's mean is off by rounding alone.
    if variance <= (1e-12 * max(1e-300, float(np.max(np.abs(series))))) ** 2:
        return 1.0
    run = max(5, math.ceil(math.sqrt(math.log10(count))))
    most = min(math.ceil(math.sqrt(count)) + run, count - 1)
    covariance = np.array([float(off[lag:] @ off[: count - lag]) / count for lag in range(most + 1)])
    small = np.abs(covariance[1:]) < 2 * math.sqrt(math.log10(count) / count) * variance
    lags = np.arange(1, _dependent_lags(small, run, most) + 1)
    window = np.minimum(1.0, 2 * (1 - lags / len(lags)))
    spectrum = covariance[0] + 2 * float(np.sum(window * covariance[lags]))
    slope = 2 * float(np.sum(window * lags * covariance[lags]))
    if spectrum <= 0:
        return 1.0
    block = math.cbrt((slope / spectrum) ** 2 * count)
    return min(max(block, 1.0), float(math.ceil(min(3 * math.sqrt(count), count / 3))))


def _dependent_lags(small: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], run: int, most: int) -> int:
    """Twice the lag after which `run` correlations in a row are negligible, or else the last that is not."""
    for lag in range(len(small) - run + 1):
        if small[lag : lag + run].all():
            return min(max(2 * lag, 1), most)
    large = np.flatnonzero(~small)
    return min(2 * int(large[-1] + 1), most) if len(large) else 1


def block_for(close: Floats) -> float:
    """The block length for a history of prices: the longer of what its returns and their sizes ask for."""
    returns = np.diff(np.log(close))
    return max(automatic_block(returns), automatic_block(np.abs(returns)))


def observed_lows(low: Floats, close: Floats, bars: int) -> Floats:
    """From each close, the lowest low of the next `bars` over it; overlapping, so neighbours tell much the same."""
    _require_bars(close, bars + 1)
    deepest = ndimage.minimum_filter1d(np.asarray(low, np.float64)[1:], bars, mode="nearest")
    # The filter's window is centred; from here on it begins at its place.
    after = deepest[bars // 2 :][: len(close) - bars]
    return np.asarray(after / close[: len(after)])


def resampled_lows(low: Floats, close: Floats, bars: int, mean_block: float, seed: int, paths: int) -> Floats:
    """The same of paths that might have been, one figure each and independent."""
    _require_bars(close, 2)
    before = np.asarray(close, np.float64)[:-1]
    steps, dips = np.log(close[1:] / before), np.log(low[1:] / before)
    lows = np.empty(paths)
    for path in range(paths):
        taken = stationary_indices(len(steps), mean_block, seed, path, bars)
        at = np.cumsum(steps[taken])
        lows[path] = np.min(at - steps[taken] + dips[taken])
    return np.exp(lows)


def passage_share(lows: Floats, health: float) -> float:
    """The share of cases in which a loan of this health would have reached liquidation."""
    return float(np.mean(lows * health <= 1))


def health_for_share(lows: Floats, share: float) -> float:
    """The least health that no more than this share of cases would have brought to liquidation."""
    if not 0 <= share < 1:
        raise Misconfigured(f"bootstrap: {share} is no share of cases to tolerate")
    tolerated = np.sort(lows)[int(share * len(lows) + 1e-9)]
    # Just this side of the first case that is not tolerated.
    return float(np.nextafter(1 / tolerated, 0))


def resampled(
    statistic: Callable[[Floats], float], rows: Floats, mean_block: float, seed: int, paths: int
) -> Floats:
    """A statistic of each path, where a path takes whole `rows` (one observation each, of one series or several)."""
    return np.array(
        [statistic(rows[stationary_indices(len(rows), mean_block, seed, path)]) for path in range(paths)]
    )


def interval(values: Floats, level: float = 0.9) -> tuple[float, float]:
    """Between which two values the middle share of all lies."""
    if not 0 < level < 1:
        raise Misconfigured(f"bootstrap: an interval of {level} is no share")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def best_of_chance(sharpes: Floats) -> float:
    """The Sharpe ratio the best of so many worthless rules would show, from how much those tried differ."""
    if len(sharpes) < 2:
        return 0.0
    n = len(sharpes)
    top = (1 - _EULER) * special.ndtri(1 - 1 / n) + _EULER * special.ndtri(1 - 1 / (n * math.e))
    return float(np.std(sharpes, ddof=1)) * float(top)


def deflated_sharpe(
    sharpe: float, best_by_chance: float, bars: int, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """The chance that a rule is better than the luckiest worthless one; ratios per bar, not per year."""
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if bars < 2 or spread <= 0:
        raise Misconfigured(
            f"bootstrap: {bars} bars of skew {skew} and kurtosis {kurtosis} bear no Sharpe ratio"
        )
    return float(special.ndtr((sharpe - best_by_chance) * math.sqrt((bars - 1) / spread)))


def reality_check(gains: Floats, mean_block: float, seed: int, paths: int) -> float:
    """The chance that the best of all rules tried is no better than the rule they are compared with.

    `gains` has one row per rule and one column per day: how much better it did that day. Small means real.
    """
    rules, days = gains.shape
    if rules < 1 or days < 2:
        raise Misconfigured(f"bootstrap: {rules} rules over {days} days cannot be checked")
    means = gains.mean(axis=1)
    best = float(np.max(means))
    beaten = 0
    for path in range(paths):
        taken = stationary_indices(days, mean_block, seed, path)
        # By how often each day was taken, so that nothing of the size of `gains` is copied.
        drawn = gains @ (np.bincount(taken, minlength=days) / days)
        beaten += float(np.max(drawn - means)) >= best
    return (beaten + 1) / (paths + 1)


def _require_bars(series: Floats, least: int) -> None:
    if len(series) < least:
        raise Misconfigured(f"bootstrap: {len(series)} bars are too few, {least} are needed")

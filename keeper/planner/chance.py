"""A bound kept over histories that might have been, at a stated confidence, and not on the one that was.

Rules are taken in the order of their rank on the history. Some paths screen them: what is past the bound there is
dropped as soon as the paths still to come cannot bring it back. The best-ranked that is left is then held against the
bound on paths that chose nothing; where it fails, so is the next, on others again and with half the error. So, however
many rules are tried, the chance that a plan calls a chance of liquidation kept which is not is at most one less the
confidence. The interval of a share is exact; that of a figure is of its paths' own quantiles, as good as they are many.

Assumes: the bootstrap's, that what happened is as good a guess as any of what might have; the confidence is about the
number of paths drawn, and not about a history that misses the storms to come.
Source: Clopper and Pearson 1934 for the interval of a share; Efron 1979 for that of a figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from scipy import special

from keeper.domain.errors import Misconfigured
from keeper.planner import bootstrap
from keeper.planner.ensemble import Ensemble, live_through
from keeper.planner.results import Floats, Ints
from keeper.planner.sweep import OnProgress
from keeper.planner.workers import Backend

_ABREAST: Final = 64
_WAVE: Final = 8
_MANIFOLD: Final = 3
"""How many times the fewest paths that could show a chance are taken: with the fewest, one liquidation is too many."""
_FIGURES_PATHS: Final = 200
_MOST_PATHS: Final = 20_000

Figure = Literal["liquidations", "cvar_95"]


@dataclass(frozen=True, slots=True)
class Bound:
    """What must hold, and how surely: of `liquidations` the share of paths that have any, of others each path's own.

    A path is `days` long; None is a year, or as long as a shorter history.
    """

    figure: Figure
    most: float
    confidence: float = 0.95
    days: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A bound that a rule was held against and kept to, on `paths` paths of `days` that had no part in choosing it.

    `estimate` is the share of paths liquidated, or the median figure; `low` to `high` its interval at `level`, whose
    upper end is within the bound. `attempts` counts the rules held against it, this one the last.
    """

    bound: Bound
    estimate: float
    low: float
    high: float
    level: float
    paths: int
    days: float
    attempts: int

    @property
    def said(self) -> str:
        """In one sentence, with its interval."""
        what = "is liquidated" if self.bound.figure == "liquidations" else "has a CVaR of a day"
        shares = [f"{value:.2%}" for value in (self.estimate, self.low, self.high)]
        told = (
            f"on {shares[0]} of {self.paths} histories"
            if self.bound.figure == "liquidations"
            else f"of {shares[0]} (the median of {self.paths} histories)"
        )
        return (
            f"The rule {what} {told} of {self.days:.0f} days that might have been, {shares[1]} to {shares[2]} at "
            f"{self.level:.4g} confidence, which keeps to {self.bound.most:g}; none of them had a part in choosing it."
        )


def share_interval(hits: int, count: int, level: float) -> tuple[float, float]:
    """Between which two shares the true one lies, whatever it is, at least this surely."""
    miss = (1.0 - level) / 2.0
    low = float(special.betaincinv(hits, count - hits + 1, miss)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, count - hits, 1.0 - miss)) if hits < count else 1.0
    return low, high


def fewest_paths(bound: Bound, level: float) -> int:
    """How many paths could show the bound kept, if none of them was past it."""
    miss = (1.0 - level) / 2.0
    if bound.figure == "liquidations":
        return math.ceil(math.log(miss) / math.log1p(-bound.most))
    return math.ceil(1.0 / miss)


def paths_for(bound: Bound, asked: int | None, families: int = 1) -> int:
    """How many to draw at a time: those asked for, if they can show anything, or else as many as show it well."""
    least = fewest_paths(bound, _level(bound, families, 1))
    if asked is None and least > _MOST_PATHS:
        raise Misconfigured(
            f"plan: a bound of {bound.most:g} at a confidence of {bound.confidence:g} takes {least:,} histories to "
            "show; allow more, or ask for as many (--bound-paths)"
        )
    if asked is None:
        return _MANIFOLD * least if bound.figure == "liquidations" else max(_FIGURES_PATHS, least)
    if asked < least:
        raise Misconfigured(
            f"plan: {asked} histories cannot show a bound of {bound.most:g} kept at a confidence of "
            f"{bound.confidence:g}; {least} or more can (--bound-paths)"
        )
    return asked


def bars_of(bound: Bound, drawn: Ensemble) -> int:
    """How many bars a path has; `Misconfigured` where that is more than the history."""
    history = drawn.histories[0]
    whole = len(drawn.build(drawn.histories).moment)
    if bound.days is None:
        return min(round(365 * 86_400 / history.seconds), whole)
    bars = round(bound.days * 86_400 / history.seconds)
    if not 2 <= bars <= whole:
        raise Misconfigured(
            f"plan: a horizon of {bound.days:g} days is {bars} bars, and the history has {whole}"
        )
    return bars


def first_that_keeps(
    bound: Bound,
    drawn: Ensemble,
    rules: Floats,
    paths: int,
    families: int = 1,
    backend: Backend = "threading",
    workers: int = -1,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[int, Held] | None:
    """The first of `rules` (best first) that keeps to the bound, and by how much; None where none does.

    `families` is how many such choices the plan makes, among which the error is divided.
    """
    bars = bars_of(bound, drawn)
    short = replace(drawn, length=bars)
    days = bars * drawn.histories[0].seconds / 86_400

    def figures(at: Ints, first: int, count: int) -> Floats:
        lives = live_through(short, rules[at], count, backend, workers, (bound.figure,), folder, first=first)
        return lives.figures[bound.figure]

    def screened() -> Iterator[int]:
        """Those that the first paths do not rule out, in order."""
        most = _most_past(bound, paths, _level(bound, families, 1))
        for start in range(0, len(rules), _ABREAST):
            alive = np.arange(start, min(start + _ABREAST, len(rules)))
            past = np.zeros(len(alive), np.int64)
            for first in range(0, paths, _WAVE):
                found = figures(alive, first, min(_WAVE, paths - first))
                past += np.sum(found > (0.0 if bound.figure == "liquidations" else bound.most), axis=0)
                kept = past <= most
                alive, past = alive[kept], past[kept]
                if len(alive) == 0:
                    break
            if on_progress is not None:
                on_progress(min(start + _ABREAST, len(rules)), len(rules))
            yield from (int(each) for each in alive)

    for attempt, at in enumerate(screened(), 1):
        level = _level(bound, families, attempt)
        if fewest_paths(bound, level) > paths:
            return None
        found = figures(np.array([at]), attempt * paths, paths)[:, 0]
        if bound.figure == "liquidations":
            hits = int(np.sum(found > 0))
            estimate, (low, high) = hits / paths, share_interval(hits, paths, level)
        else:
            estimate, (low, high) = float(np.median(found)), bootstrap.interval(found, level)
        if high <= bound.most:
            return at, Held(bound, estimate, low, high, level, paths, days, attempt)
    return None


def _level(bound: Bound, families: int, attempt: int) -> float:
    """The interval's at each attempt: two-sided, so that the halves add up to no more than the error allowed."""
    return 1.0 - (1.0 - bound.confidence) / (families * 2.0 ** (attempt - 1))


def _most_past(bound: Bound, paths: int, level: float) -> int:
    """How many of so many paths may be past the bound."""
    if bound.figure != "liquidations":
        return math.floor((1.0 - level) / 2.0 * (paths - 1))
    hits = 0
    while share_interval(hits + 1, paths, level)[1] <= bound.most:
        hits += 1
    return hits

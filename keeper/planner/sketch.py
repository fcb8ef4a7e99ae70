"""What of a life, or of many rules, a page can draw: few enough points, and every extreme among them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from keeper.planner.results import Floats, Ints

DRAWN = 3_000


def extremes(values: Floats, most: int = DRAWN) -> Ints:
    """Which bars to draw: of each stretch its lowest and highest, the first bar and the last; all if they are few."""
    count = len(values)
    if count <= most:
        return np.arange(count)
    # An infinite health is no extreme worth a point, and hides none.
    sound = np.isfinite(values)
    low, high = np.where(sound, values, np.inf), np.where(sound, values, -np.inf)
    spans = list(pairwise(np.linspace(0, count, max(most // 2, 2), dtype=np.int64)))
    lowest = [first + int(np.argmin(low[first:last])) for first, last in spans]
    highest = [first + int(np.argmax(high[first:last])) for first, last in spans]
    return np.unique(np.array([0, *lowest, *highest, count - 1], dtype=np.int64))


def drawdown(equity: Floats) -> Floats:
    """At each bar, how far below the highest so far, as a fraction of it."""
    return np.asarray(1 - equity / np.maximum.accumulate(equity))


@dataclass(frozen=True, slots=True)
class Shares:
    """How often a measure lay between neighbouring edges: a share of all bars in which it was finite."""

    edges: Floats
    share: Floats


def shares_of(values: Floats, bins: int = 60) -> Shares:
    """How a measure is distributed; its farthest thousandth on either side goes into the outermost bins."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Shares(np.array([0.0, 1.0]), np.array([0.0]))
    low, high = np.quantile(finite, [0.001, 0.999])
    if high <= low:
        low, high = low - 0.5e-6, high + 0.5e-6
    counts, edges = np.histogram(np.clip(finite, low, high), bins=bins, range=(low, high))
    return Shares(edges, counts / len(finite))


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The best value among rules in each cell of two parameters; NaN where there is none. `best` is rows of `y`."""

    x: Floats
    y: Floats
    best: Floats


def heat_map(x: Floats, y: Floats, value: Floats, cells: int = 24) -> HeatMap:
    """The least value per cell; a parameter of more values than cells is put into as many equal parts of its rank."""
    across, columns = _cells(x, cells)
    down, rows = _cells(y, cells)
    best = np.full((len(rows), len(columns)), np.inf)
    sound = np.isfinite(value)
    np.minimum.at(best, (down[sound], across[sound]), value[sound])
    return HeatMap(columns, rows, np.where(np.isinf(best), np.nan, best))


def _cells(values: Floats, cells: int) -> tuple[Ints, Floats]:
    """Each value's cell, and what every cell stands for."""
    known, at = np.unique(values, return_inverse=True)
    if len(known) <= cells:
        return np.asarray(at, np.int64), known
    part = np.minimum(at * cells // len(known), cells - 1)
    middle = np.array(
        [
            float(np.median(known[np.arange(len(known)) * cells // len(known) == cell]))
            for cell in range(cells)
        ]
    )
    return np.asarray(part, np.int64), middle

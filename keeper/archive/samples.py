"""From prices at moments to bars, of which only whole ones are kept and none is made up.

A bar opens at the price that stood when it began, and knows whatever came within it. A bar in which nothing came is
left out, unless it is asked for as standing: then it is the price that stood, which a feed or a pool really had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner.bars import History
from keeper.planner.results import Floats, Ints

_LEAST_BARS: Final = 2


@dataclass(frozen=True, slots=True)
class Samples:
    """Prices in the order they came, at unix seconds; with each what was traded, in money, and the liquidity after."""

    moment: Ints
    price: Floats
    volume: Floats | None = None
    liquidity: Floats | None = None


def bars_of(name: str, samples: Samples, seconds: int, until: int, standing: bool = False) -> History:
    """Bars of `seconds`, multiples of it from 1970 on; the last one has ended by `until`."""
    moment, price = samples.moment, samples.price
    if seconds <= 0 or len(moment) == 0:
        raise Misconfigured(f"data: {name} has {len(moment)} prices to make bars of {seconds} s of")
    if (np.diff(moment) < 0).any():
        row = int(np.argmax(np.diff(moment) < 0)) + 1
        raise Misconfigured(
            f"data: {name} tells a price of {int(moment[row])} after one of {int(moment[row - 1])}"
        )
    # A bar that began before the first price has no open.
    first, last = -(-int(moment[0]) // seconds), until // seconds
    edges = np.arange(first, last + 1, dtype=np.int64) * seconds
    at = np.searchsorted(moment, edges)
    rows = [
        (int(edges[n]), int(begin), int(end))
        for n, (begin, end) in enumerate(pairwise(at))
        if end > begin or standing
    ]
    if len(rows) < _LEAST_BARS:
        raise Misconfigured(
            f"data: {name} makes {len(rows)} whole bars of {seconds} s, and a history needs {_LEAST_BARS}; "
            "ask for shorter bars or a longer time"
        )
    quiet = sum(begin == end for _, begin, end in rows)
    spans = [price[_opening(moment, edge, begin) : end] for edge, begin, end in rows]
    return History(
        name=name,
        seconds=seconds,
        time=np.array([edge for edge, _, _ in rows], dtype=np.int64),
        open=np.array([span[0] for span in spans]),
        high=np.array([span.max() for span in spans]),
        low=np.array([span.min() for span in spans]),
        close=np.array([span[-1] for span in spans]),
        volume=_sums(samples.volume, rows),
        liquidity=_lasts(samples.liquidity, rows),
        notes=(f"in {quiet} bars nothing happened: they are the price that stood",) if quiet else (),
    )


def _opening(moment: Ints, edge: int, begin: int) -> int:
    """Where the price stands that a bar opens at: the first within it if it came just as it began, else that before."""
    came_with_it = begin < len(moment) and int(moment[begin]) == edge
    return begin if came_with_it else begin - 1


def _sums(values: Floats | None, rows: Sequence[tuple[int, int, int]]) -> Floats | None:
    return None if values is None else np.array([values[begin:end].sum() for _, begin, end in rows])


def _lasts(values: Floats | None, rows: Sequence[tuple[int, int, int]]) -> Floats | None:
    return None if values is None else np.array([values[end - 1] for _, _, end in rows])

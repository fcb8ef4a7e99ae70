"""The storms a rule must have lived through, told apart from the years around them.

A window runs from the last quiet day to the first quiet one after, so that what a rule did before, during and after
the fall is in it.

Source: hourly Binance prices; the dates are those of the falls, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from keeper.planner.results import Actions, Path


@dataclass(frozen=True, slots=True)
class Crash:
    """A named span: `first` and `last` are days, both included."""

    name: str
    what: str
    first: str
    last: str

    @property
    def start(self) -> int:
        """Unix seconds of its beginning."""
        return _midnight(self.first)

    @property
    def end(self) -> int:
        """Unix seconds of its end, itself no longer in the window."""
        return _midnight(self.last) + 86_400


CRASHES: Final = (
    Crash("2020-03-12", "pandemic: ETH halved in a day, gas at 78 gwei", "2020-03-11", "2020-03-17"),
    Crash("2021-05-19", "leverage unwound: gas at 299 gwei", "2021-05-17", "2021-05-24"),
    Crash("2022-06", "lenders failed: stETH at 0.93 ETH", "2022-06-09", "2022-06-20"),
    Crash("2022-11", "FTX failed", "2022-11-06", "2022-11-14"),
    Crash("2023-03", "USDC at 0.88 dollars", "2023-03-08", "2023-03-14"),
    Crash("2024-08-05", "yen carry unwound", "2024-08-01", "2024-08-08"),
    Crash("2025-10-10", "USDe at 0.65 on one venue, above 0.99 on chain", "2025-10-09", "2025-10-14"),
)
"""In order of time."""


def during(path: Path, crash: Crash) -> Path | None:
    """What of a path lies in the window; None when not all of it was lived through, for half a storm tells little."""
    if not len(path.time) or path.time[0] > crash.start or path.time[-1] < crash.end - path.seconds:
        return None
    return cut(path, crash.start, crash.end)


def cut(path: Path, start: int, end: int) -> Path:
    """The bars from `start` to before `end`, in unix seconds, with what was decided on them."""
    first, last = (int(at) for at in np.searchsorted(path.time, (start, end)))
    acts = path.actions
    kept = (acts.bar >= first) & (acts.bar < last)
    actions = Actions(**{field.name: getattr(acts, field.name)[kept] for field in fields(Actions)})
    bars = {
        field.name: getattr(path, field.name)[first:last]
        for field in fields(Path)
        if isinstance(getattr(path, field.name), np.ndarray)
    }
    return replace(path, actions=replace(actions, bar=actions.bar - first), **bars)


def _midnight(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())

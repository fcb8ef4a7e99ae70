"""The rows a kernel writes of one life: one per bar, one per action, and how they become a `Path`."""

from __future__ import annotations

from typing import Final

import numpy as np

from keeper.planner.compiled import compiled
from keeper.planner.results import Actions, Floats, Ints, Kind, Path

EQUITY: Final = 0
IDEAL: Final = 1
MEASURE: Final = 2
LOWEST: Final = 3
EXPOSURE: Final = 4
AIM: Final = 5
LOW: Final = 6
HIGH: Final = 7
EARNED: Final = 8
LOST: Final = 9
BAR_WIDTH: Final = 10

ACTION_WIDTH: Final = 10


@compiled
def write(
    entry: Floats,
    bar: int,
    side: int,
    before: float,
    after: float,
    traded: float,
    fee: float,
    impact: float,
    gas: float,
    premium: float,
    penalty: float,
) -> None:
    """One action, into its row of the log."""
    entry[0], entry[1], entry[2], entry[3], entry[4] = bar, side, before, after, traded
    entry[5], entry[6], entry[7], entry[8], entry[9] = fee, impact, gas, premium, penalty


def path_of(kind: Kind, seconds: int, moment: Ints, price: Floats, bars: Floats, log: Floats) -> Path:
    """The life that a kernel recorded."""
    column = np.ascontiguousarray(bars.T)
    action = np.ascontiguousarray(log.T)
    return Path(
        kind=kind,
        seconds=seconds,
        time=moment,
        price=price,
        equity=column[EQUITY],
        ideal=column[IDEAL],
        measure=column[MEASURE],
        lowest=column[LOWEST],
        exposure=column[EXPOSURE],
        target=column[AIM],
        low=column[LOW],
        high=column[HIGH],
        earned=column[EARNED],
        lost=column[LOST],
        actions=Actions(
            action[0].astype(np.int64),
            action[1].astype(np.int64),
            *action[2:],
        ),
    )

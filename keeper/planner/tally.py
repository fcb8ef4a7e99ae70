"""What every kernel counts bar by bar, for whatever kind of position: value, risk, distance to the ideal.

A tally is a dozen numbers, so that a rule costs the same memory over a day and over ten years. Losses of a
day are sorted into bins of 25 basis points that remember their sum: a tail's mean is exact but for the one bin it cuts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from keeper.planner.compiled import compiled
from keeper.planner.results import COLUMNS, Floats

BINS: Final = 512
_EDGE: Final = 0.64
_WIDTH: Final = 2 * _EDGE / BINS

FINAL_VALUE: Final = COLUMNS.index("final_value")
TRADES: Final = COLUMNS.index("trades")
TURNOVER: Final = COLUMNS.index("turnover")
FEE: Final = COLUMNS.index("fee")
IMPACT: Final = COLUMNS.index("impact")
GAS: Final = COLUMNS.index("gas")
PREMIUM: Final = COLUMNS.index("premium")
PENALTY: Final = COLUMNS.index("penalty")
FAILURES: Final = COLUMNS.index("failed")
DEVIATION_SQUARED: Final = COLUMNS.index("sum_deviation_squared")
MAX_DEVIATION: Final = COLUMNS.index("max_deviation")
DIFFERENCE: Final = COLUMNS.index("sum_difference")
DIFFERENCE_SQUARED: Final = COLUMNS.index("sum_difference_squared")
RETURN: Final = COLUMNS.index("sum_return")
RETURN_SQUARED: Final = COLUMNS.index("sum_return_squared")
DOWNSIDE_SQUARED: Final = COLUMNS.index("sum_downside_squared")
MAX_DRAWDOWN: Final = COLUMNS.index("max_drawdown")
VAR_95: Final = COLUMNS.index("var_95")
CVAR_95: Final = COLUMNS.index("cvar_95")
CVAR_99: Final = COLUMNS.index("cvar_99")
MIN_HEALTH: Final = COLUMNS.index("min_health")
LIQUIDATIONS: Final = COLUMNS.index("liquidations")
BARS_IN_RANGE: Final = COLUMNS.index("bars_in_range")
EARNED: Final = COLUMNS.index("earned")
LOST: Final = COLUMNS.index("lost")
COST_SHARE: Final = COLUMNS.index("cost_share")


class Tally(NamedTuple):
    """What is counted at every bar, in registers: immutable, and so a new one per bar."""

    previous: float
    peak: float
    morning: float
    bars_of_day: int
    difference: float
    difference_squared: float
    gained: float
    gained_squared: float
    downside_squared: float
    deviation_squared: float
    max_deviation: float
    max_drawdown: float


@compiled
def begin(row: Floats, bins: Floats, value: float) -> Tally:
    """An empty tally, for a life that starts with `value`."""
    row[:] = 0.0
    row[MIN_HEALTH] = np.inf
    bins[:] = 0.0
    return Tally(value, value, value, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@compiled
def count_bar(
    tally: Tally, bins: Floats, value: float, ideal_return: float, deviation: float, day: int
) -> Tally:
    """One bar more: net worth at its end, the ideal's return over it, the measure less its target; `day` in bars."""
    gained = value / tally.previous - 1.0
    difference = gained - ideal_return
    squared = gained * gained
    peak = max(tally.peak, value)
    morning, bars_of_day = tally.morning, tally.bars_of_day + 1
    if bars_of_day == day:
        sort_day(bins, 1.0 - value / morning)
        morning, bars_of_day = value, 0
    return Tally(
        value,
        peak,
        morning,
        bars_of_day,
        tally.difference + difference,
        tally.difference_squared + difference * difference,
        tally.gained + gained,
        tally.gained_squared + squared,
        tally.downside_squared + (squared if gained < 0.0 else 0.0),
        tally.deviation_squared + deviation * deviation,
        max(tally.max_deviation, abs(deviation)),
        max(tally.max_drawdown, 1.0 - value / peak),
    )


@compiled
def sort_day(bins: Floats, loss: float) -> None:
    """Put a day's loss into its bin."""
    at = min(max(int((loss + _EDGE) / _WIDTH), 0), BINS - 1)
    bins[at, 0] += 1.0
    bins[at, 1] += loss


@compiled
def count_cost(
    row: Floats, worth: float, fee: float, impact: float, gas: float, premium: float, penalty: float
) -> None:
    """Count what one action cost, beside the net worth before it."""
    row[FEE] += fee
    row[IMPACT] += impact
    row[GAS] += gas
    row[PREMIUM] += premium
    row[PENALTY] += penalty
    if worth > 0.0:
        row[COST_SHARE] += (fee + impact + gas + premium + penalty) / worth


@compiled
def end(tally: Tally, row: Floats, bins: Floats) -> None:
    """Write the tally into its row, and what the tail of the days lost."""
    row[FINAL_VALUE] = tally.previous
    row[DIFFERENCE] = tally.difference
    row[DIFFERENCE_SQUARED] = tally.difference_squared
    row[RETURN] = tally.gained
    row[RETURN_SQUARED] = tally.gained_squared
    row[DOWNSIDE_SQUARED] = tally.downside_squared
    row[DEVIATION_SQUARED] = tally.deviation_squared
    row[MAX_DEVIATION] = tally.max_deviation
    row[MAX_DRAWDOWN] = tally.max_drawdown
    row[VAR_95], row[CVAR_95] = _tail(bins, 0.05)
    _, row[CVAR_99] = _tail(bins, 0.01)


@compiled
def _tail(bins: Floats, share: float) -> tuple[float, float]:
    """Loss at the edge of the worst `share` of days, and the mean loss in it."""
    days = 0.0
    for at in range(BINS):
        days += bins[at, 0]
    wanted = days * share
    if wanted <= 0.0:
        return 0.0, 0.0
    taken = 0.0
    lost = 0.0
    for at in range(BINS - 1, -1, -1):
        held = bins[at, 0]
        if held == 0.0:
            continue
        mean = bins[at, 1] / held
        part = min(held, wanted - taken)
        taken += part
        lost += part * mean
        if taken >= wanted:
            return mean, lost / wanted
    return 0.0, lost / wanted

"""What a simulation leaves: a `Path`, one rule's life bar by bar, and `Scores`, one number per rule and column.

A path is for looking at one rule closely; scores are what a sweep keeps of each of its many rules, so that memory grows
with the number of rules and never with rules × bars. Both come out of the same kernels.

Assumes: money is in the quote currency of the prices; fractions are plain numbers (0.05 is five percent); a bar's
numbers are those at its close, after what was done there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Kind = Literal["basket", "loan", "range"]

YEAR: Final = 31_557_600
"""Seconds in a year of 365.25 days, by which everything told "a year" is reckoned."""

DOWN: Final = -1
UP: Final = 1
FAILED: Final = 0
LIQUIDATED: Final = 2


@dataclass(frozen=True, slots=True)
class Actions:
    """What was done along a path, in order; every array has one entry per action.

    `bar` is the index of the bar it was decided on. `side` is `UP` when the measure was above its band (a weight too
    high, a health above the ceiling, a price above the range), `DOWN` when below, `FAILED` for an attempt that found
    nothing left to do and only cost gas, `LIQUIDATED` for a liquidator's act. `before` and `after` are the measure.
    `traded` is the value sold; `fee`, `impact`, `gas`, `premium` (flash loans) and `penalty` (liquidation) are its
    costs, each in money.
    """

    bar: Ints
    side: Ints
    before: Floats
    after: Floats
    traded: Floats
    fee: Floats
    impact: Floats
    gas: Floats
    premium: Floats
    penalty: Floats

    def __len__(self) -> int:
        return len(self.bar)

    @property
    def cost(self) -> Floats:
        """All costs of each action together, in money."""
        return np.asarray(self.fee + self.impact + self.gas + self.premium + self.penalty)


@dataclass(frozen=True, slots=True)
class Path:
    """One rule's life over one history; every array has one entry per bar.

    `time` is unix seconds of the close, `seconds` the bar's length. `equity` is net worth. `ideal` is the net worth of
    the same start held at its target without cost at every bar (a basket at its weights, a loan at its target leverage,
    a range's rebalancing portfolio), the yardstick of tracking error and decay. `measure` is what the rule judges,
    before any action of the bar: the farthest asset's weight, the health factor, ln(price / centre of the range); and
    `lowest` the same at the bar's adverse extreme. `target`, `low` and `high` are the band, in the measure's units.
    `price` is the price the rule follows. `exposure` is the share of equity in the risky asset (leverage, for a loan).
    `earned` (fees) and `lost` (loss versus rebalancing) are a range's, cumulated, in money; zeros elsewhere.
    """

    kind: Kind
    seconds: int
    time: Ints
    price: Floats
    equity: Floats
    ideal: Floats
    measure: Floats
    lowest: Floats
    exposure: Floats
    target: Floats
    low: Floats
    high: Floats
    earned: Floats
    lost: Floats
    actions: Actions

    @property
    def years(self) -> float:
        """Time observed: bars times their length, so that a gap in the data counts for nothing."""
        return len(self.time) * self.seconds / YEAR


COLUMNS: Final[tuple[str, ...]] = (
    "final_value",
    "trades",
    "turnover",
    "fee",
    "impact",
    "gas",
    "premium",
    "penalty",
    "failed",
    "sum_deviation_squared",
    "max_deviation",
    "sum_difference",
    "sum_difference_squared",
    "sum_return",
    "sum_return_squared",
    "sum_downside_squared",
    "max_drawdown",
    "var_95",
    "cvar_95",
    "cvar_99",
    "min_health",
    "liquidations",
    "bars_in_range",
    "earned",
    "lost",
    "cost_share",
)
"""The columns every kernel fills, in the order it fills them.

`final_value` net worth at the last close, from 1 at the start times the capital given; `trades` actions done (failures
and liquidations apart); `turnover` the sum over trades of value sold / net worth; `fee` … `penalty` costs in money;
`cost_share` the sum over actions of cost / net worth then (so that it adds up over years of growth); `deviation` is
measure - target; `difference` a bar's return less the ideal's; `downside` a bar's return where negative; `var_95`,
`cvar_95` and `cvar_99` losses of a day as positive fractions; what a kind does not know stays 0 (`min_health`: inf).
"""


@dataclass(frozen=True, slots=True)
class Scores:
    """One row per rule of a sweep: its parameters, and what `COLUMNS` tells of its life.

    `parameters` and `columns` hold arrays of equal length. `bars` of `seconds` each were lived.
    """

    kind: Kind
    bars: int
    seconds: int
    parameters: Mapping[str, Floats]
    columns: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, column: str) -> Floats:
        return self.columns[column]

    @property
    def years(self) -> float:
        """Time observed, as a path counts it."""
        return self.bars * self.seconds / YEAR

    @property
    def trades_per_year(self) -> Floats:
        """Actions a year."""
        return np.asarray(self["trades"] / self.years)

    @property
    def turnover_per_year(self) -> Floats:
        """One-way: the share of net worth sold in a year."""
        return np.asarray(self["turnover"] / self.years)

    @property
    def rms_deviation(self) -> Floats:
        """Root mean square of measure - target over the bars."""
        return np.asarray(np.sqrt(self["sum_deviation_squared"] / self.bars))

    @property
    def tracking_error(self) -> Floats:
        """A year's standard deviation of the difference to the ideal."""
        return np.asarray(np.sqrt(self["sum_difference_squared"] / self.years))

    @property
    def cost_bps_per_year(self) -> Floats:
        """All costs, in basis points of net worth a year."""
        return np.asarray(self["cost_share"] / self.years * 1e4)

    @property
    def shortfall_bps_per_year(self) -> Floats:
        """By how much the rule earned less than the ideal, in basis points a year; negative where it earned more."""
        return np.asarray(-self["sum_difference"] / self.years * 1e4)

    def certainty_fee_bps(self, risk_aversion: float) -> Floats:
        """What the rule costs its owner beside the ideal, as a yearly fee that would hurt as much, in basis points.

        Half the risk aversion times the squared tracking error, and costs. Of a range not its costs alone but all that
        it fell short by, since what it earns and loses beside its ideal is what it is held for.
        """
        paid = self.shortfall_bps_per_year if self.kind == "range" else self.cost_bps_per_year
        return np.asarray(paid + 0.5e4 * risk_aversion * self.tracking_error**2)

    def row(self, at: int) -> dict[str, Any]:
        """One rule's parameters and columns, as plain numbers."""
        told = {name: float(values[at]) for name, values in self.parameters.items()}
        return told | {name: float(values[at]) for name, values in self.columns.items()}

"""What acting costs, from what is known of a chain: pool fee, depth, gas history, flash premium, failures, latency.

Assumes: gas is paid in ether at the day's average price (Etherscan's, of what was paid and not of the base fee), for a
bar on that day; that average knows the day's later hours, and no rule decides by it.
Source: keeper/data/PROVENANCE.md for the histories that come with the package.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner.bars import History, iso, read_history
from keeper.planner.charges import Charges
from keeper.planner.results import Floats, Ints, Kind

GAS_UNITS: Final[dict[Kind, int]] = {"basket": 200_000, "loan": 510_000, "range": 710_000}
"""Gas of one action where nothing else is said, as measured on the devnet (`tests/planner/test_parity.py`): a swap
behind a rule's checks; a flash swap, repayment and withdrawal behind them; collecting, withdrawing, a swap and a new
range."""

_DAY: Final = 86_400
_GWEI: Final = 1e-9
_LEAST_BINS: Final = 3
_PER_DECADE: Final = 4


@dataclass(frozen=True, slots=True)
class Impact:
    """The share of a sale of v that a pool's depth takes: `scale` · (v / 1,000,000) ^ `exponent`."""

    scale: float
    exponent: float

    def share(self, value: float) -> float:
        """The share that a sale of `value` loses, at most all of it."""
        return min(self.scale * (value / 1e6) ** self.exponent, 1.0) if value > 0 and self.scale > 0 else 0.0


NO_IMPACT: Final = Impact(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Costs:
    """What one action is charged. `fee` and `premium` are shares, `gas_units` of one action that succeeds.

    `gas_gwei` is None for the history's own; `ether` is a price of ether for all bars, None where the history's own
    price is ether's. Of all attempts the share `failures` reverts, and so does one that finds its breach gone, after
    `failed_gas` of the gas of one that succeeds. `delay` is in bars.
    """

    fee: float = 0.0005
    impact: Impact = NO_IMPACT
    gas_units: int = 0
    gas_gwei: float | None = None
    ether: float | None = None
    premium: float = 0.0
    failures: float = 0.0
    failed_gas: float = 0.4
    delay: int = 0

    def __post_init__(self) -> None:
        for name, value, most in (
            ("fee", self.fee, 1),
            ("premium", self.premium, 1),
            ("failures", self.failures, 1),
            ("failed_gas", self.failed_gas, 1),
        ):
            if not 0 <= value < most:
                raise Misconfigured(f"costs: {name} of {value} is no share between 0 and 1")
        if self.gas_units < 0 or self.delay < 0 or (self.gas_gwei is not None and self.gas_gwei < 0):
            raise Misconfigured("costs: gas and delay cannot be negative")

    @property
    def charges(self) -> Charges:
        """As the kernels take them."""
        attempts = 1.0 + self.failures / (1.0 - self.failures) * self.failed_gas
        return Charges(
            self.fee,
            self.impact.scale,
            self.impact.exponent,
            self.premium,
            attempts,
            self.delay,
            self.failed_gas,
        )

    def gas_money(self, history: History) -> tuple[Floats, tuple[str, ...]]:
        """Money for one action's gas at each bar, and what a reader must know of it."""
        if self.gas_units == 0:
            return np.zeros(len(history)), ("gas costs nothing, as asked",)
        notes: tuple[str, ...] = ()
        if self.gas_gwei is not None:
            gwei = np.full(len(history), self.gas_gwei)
        elif history.gas_gwei is not None:
            gwei = history.gas_gwei
        else:
            gwei, notes = gas_at(history.time)
        ether = self.ether if self.ether is not None else history.open if self.delay else history.close
        if self.ether is None:
            notes = (*notes, "gas is paid in ether at the history's own price")
        return np.asarray(gwei * _GWEI * self.gas_units * ether), notes


def fit_impact(values: Floats, shares: Floats) -> Impact:
    """The power law through quotes: sizes in money against the share each lost to depth.

    Quotes are put into bins of equal ratio, and the bins' medians into a straight line of logarithms, so that a stray
    quote bends nothing. Sizes that lose nothing tell nothing of depth and are left out.
    """
    good = (values > 0) & (shares > 0) & np.isfinite(values) & np.isfinite(shares)
    at = np.floor(np.log10(values[good]) * _PER_DECADE)
    bins = np.unique(at)
    if len(bins) < _LEAST_BINS:
        raise Misconfigured(f"costs: quotes of {len(bins)} sizes make no impact curve; {_LEAST_BINS} do")
    sizes = np.array([np.median(values[good][at == each]) for each in bins])
    lost = np.array([np.median(shares[good][at == each]) for each in bins])
    exponent, level = np.polyfit(np.log(sizes / 1e6), np.log(lost), 1)
    if not 0 < exponent < 3:
        raise Misconfigured(f"costs: quotes lose a share that goes with size to the power {exponent:.2f}")
    return Impact(float(np.exp(level)), float(exponent))


def read_quotes(path: Path, least: float = 0.0) -> Impact:
    """The impact curve of a CSV of quotes: value_usd, share_lost; quotes below `least` of value are left out."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        quotes = np.array([(float(row["value_usd"]), float(row["share_lost"])) for row in rows])
    except OSError as error:
        raise Misconfigured(f"costs: {path} cannot be read ({error.strerror or error})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise Misconfigured(
            f"costs: {path} must have numbers under value_usd and share_lost ({error})"
        ) from error
    if not len(quotes):
        raise Misconfigured(f"costs: {path} has no quotes")
    kept = quotes[quotes[:, 0] >= least]
    return fit_impact(kept[:, 0], kept[:, 1])


@cache
def ether_impact() -> Impact:
    """Of WETH against USDC on Ethereum, by an aggregator's quotes of one day of 2023, from $30,000 upwards.

    Below that the quotes move by the noise between two of them, and not by depth.
    """
    with as_file(_packaged("weth_usdc_quotes.csv")) as path:
        return read_quotes(path, least=30_000)


@cache
def ether_history() -> History:
    """Hourly bars of ether in US dollars (tether's), from 2017-08-17 to 2023-12-31."""
    with as_file(_packaged("eth_usdt_1h.csv.gz")) as path:
        return read_history(path)


@cache
def _gas_days() -> tuple[Ints, Floats]:
    with (
        as_file(_packaged("ethereum_gas_daily.csv.gz")) as path,
        gzip.open(path, "rt", encoding="utf-8") as file,
    ):
        rows = list(csv.DictReader(file))
    days = [
        int(datetime.combine(date.fromisoformat(row["day"]), datetime.min.time(), UTC).timestamp())
        for row in rows
    ]
    return np.array(days, dtype=np.int64), np.array([float(row["gas_gwei"]) for row in rows])


def gas_at(times: Sequence[int] | Ints) -> tuple[Floats, tuple[str, ...]]:
    """Gas prices in gwei at some moments, by day, and a note where the packaged history does not reach.

    Beyond its ends the nearest year's median is taken.
    """
    days, gwei = _gas_days()
    moments = np.asarray(times, dtype=np.int64)
    at = np.clip(np.searchsorted(days, moments, side="right") - 1, 0, len(days) - 1)
    found = gwei[at]
    notes: list[str] = []
    early, late = moments < days[0], moments >= days[-1] + _DAY
    for beyond, year in ((early, gwei[:365]), (late, gwei[-365:])):
        if beyond.any():
            median = float(np.median(year))
            found = np.where(beyond, median, found)
            notes.append(
                f"the gas history runs from {iso(int(days[0]))[:10]} to {iso(int(days[-1]))[:10]}; "
                f"{int(beyond.sum())} bars beyond it pay the nearest year's median of {median:.1f} gwei"
            )
    return np.asarray(found), tuple(notes)


def _packaged(name: str) -> Traversable:
    return files("keeper").joinpath("data", name)

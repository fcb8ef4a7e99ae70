"""What can be played: three stretches of history that ship, a made-up path, or a file; each with where it is from.

Source: keeper/data/PROVENANCE.md for all that ships. The made-up path is a geometric Brownian motion, drawn minute by
minute from a seed and gathered into hourly bars, so that its extremes are of the path and not beside it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from keeper.demo.stage import DEFAULT_GAS_GWEI, bars_of
from keeper.devnet.bars import HOUR, Bar, read_bars, read_column
from keeper.domain.errors import Misconfigured
from keeper.domain.texts import count_text
from keeper.report.texts import clock_text

BLACK_THURSDAY: Final = "black-thursday"
JUNE_2022: Final = "june-2022"
USDC_DEPEG: Final = "usdc-depeg"
GBM: Final = "gbm"
NAMED: Final = (BLACK_THURSDAY, JUNE_2022, USDC_DEPEG, GBM)
MOST_HOURS: Final = 24 * 366

_WINDOWS: Final = {
    JUNE_2022: ("2022-06-10T00:00", "2022-06-18T23:00"),
    USDC_DEPEG: ("2023-03-10T18:00", "2023-03-13T17:00"),
}
_SPAN: Final = "<span>"
_ETHER: Final = (
    f"Prices: hourly ETH/USDT bars of Binance spot, {_SPAN} (UTC); USDT is taken for dollars, and no hour is missing.",
    "Gas: Etherscan's average gas price paid on each day, which stands in for the base fee.",
)
_DOLLAR: Final = (
    "USDC: its price in dollars as each hour begins, from bars of a quarter of an hour; between two hours it moves "
    "evenly, and the hour before 2023-03-11 12:00, which has no bar, stays where the one before ended."
)
_MINUTES: Final = 60
_YEAR_SECONDS: Final = 31_557_600
_GBM_USD: Final = 2_000.0
_GBM_DEFAULTS: Final = (0.8, 0.0, 24, 1)
_GBM_BEGINS: Final = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
_MOST_A_YEAR: Final = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person asks to have played; `hours` cuts a history short, and the last three are a made-up path's.

    `volatility` and `drift` are a year's, as shares: 0.8 is 80 %.
    """

    scenario: str = BLACK_THURSDAY
    start: str | None = None
    end: str | None = None
    hours: int | None = None
    volatility: float | None = None
    drift: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Hours to be played, what to call them, and where they are from."""

    title: str
    bars: tuple[Bar, ...]
    sources: tuple[str, ...]


def history(wanted: Wanted) -> History:
    """The history that is asked for; `Misconfigured`, in a sentence, where there is none such."""
    if wanted.hours is not None and not 1 <= wanted.hours <= MOST_HOURS:
        raise Misconfigured(f"simulate: --hours {wanted.hours} is none of 1 to {MOST_HOURS:,}")
    if wanted.scenario == GBM:
        return _made_up(wanted)
    made = {"--volatility": wanted.volatility, "--drift": wanted.drift, "--seed": wanted.seed}
    if said := [name for name, value in made.items() if value is not None]:
        raise Misconfigured(
            f"simulate: only --scenario gbm takes {' and '.join(said)}; {wanted.scenario} is as it was"
        )
    if wanted.scenario in NAMED:
        bars, sources = _shipped(wanted)
    else:
        bars, sources = _of_file(Path(wanted.scenario), wanted)
    if wanted.hours is not None and wanted.hours > len(bars):
        held = count_text(len(bars), "hour")
        raise Misconfigured(f"simulate: --hours {wanted.hours} of {wanted.scenario}, which has {held} in all")
    bars = bars[: wanted.hours]
    sources = tuple(each.replace(_SPAN, _span(bars)) for each in sources)
    name = wanted.scenario if wanted.scenario in NAMED else Path(wanted.scenario).name
    return History(f"{name}, {_span(bars)}", bars, sources)


def _shipped(wanted: Wanted) -> tuple[tuple[Bar, ...], tuple[str, ...]]:
    if wanted.scenario == BLACK_THURSDAY:
        return bars_of(None, wanted.start, wanted.end)
    first, last = _WINDOWS[wanted.scenario]
    data = files("keeper").joinpath("data")
    with as_file(data.joinpath("eth_usdt_1h.csv.gz")) as path:
        asked = read_bars(path, wanted.start or first, wanted.end or last)
    begins, ends = (datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp() for each in (first, last))
    window = tuple(bar for bar in asked if begins <= bar.open_time <= ends)
    if not window:
        raise Misconfigured(
            f"simulate: {wanted.scenario} is {first} to {last}, and none of it is in the time asked for"
        )
    with as_file(data.joinpath("ethereum_gas_daily.csv.gz")) as path:
        paid = read_column(path, "day", "gas_gwei")
    bars = tuple(replace(bar, gas_gwei=paid[bar.open_time // 86_400 * 86_400]) for bar in window)
    if wanted.scenario != USDC_DEPEG:
        return bars, _ETHER
    with as_file(data.joinpath("usdc_depeg.csv")) as path:
        worth = read_column(path, "open_time", "usdc")
    return tuple(replace(bar, usdc=worth[bar.open_time]) for bar in bars), (*_ETHER, _DOLLAR)


def _of_file(path: Path, wanted: Wanted) -> tuple[tuple[Bar, ...], tuple[str, ...]]:
    if not path.is_file():
        raise Misconfigured(f"simulate: {wanted.scenario} is no scenario ({', '.join(NAMED)}), and no file")
    return bars_of(path, wanted.start, wanted.end)


def _made_up(wanted: Wanted) -> History:
    if wanted.start is not None or wanted.end is not None:
        raise Misconfigured(
            "simulate: gbm is of no date, so that --from and --to cut nothing; --hours says how long"
        )
    volatility, drift, hours, seed = (
        default if said is None else said
        for said, default in zip(
            (wanted.volatility, wanted.drift, wanted.hours, wanted.seed), _GBM_DEFAULTS, strict=True
        )
    )
    if not 0 <= volatility <= _MOST_A_YEAR:
        raise Misconfigured(f"simulate: --volatility {volatility:g} is none of 0 to {_MOST_A_YEAR:g} a year")
    if not abs(drift) <= _MOST_A_YEAR:
        most = f"{_MOST_A_YEAR:g}"
        raise Misconfigured(f"simulate: --drift {drift:g} is none of -{most} to {most} a year")
    bars = tuple(_walk(random.Random(seed), volatility, drift, int(hours)))
    told = f"volatility {volatility:g} and drift {drift:g} a year, seed {seed}"
    made = f"Prices: made up, a geometric Brownian motion of {told}, drawn every minute; no history."
    gas = f"Gas: {DEFAULT_GAS_GWEI:g} gwei throughout."
    return History(f"gbm, {count_text(len(bars), 'hour')}: {told}", bars, (made, gas))


def _walk(luck: random.Random, volatility: float, drift: float, hours: int) -> list[Bar]:
    step = HOUR / _MINUTES / _YEAR_SECONDS
    mean, deviation = (drift - volatility**2 / 2) * step, volatility * math.sqrt(step)
    usd, bars = _GBM_USD, []
    for hour in range(hours):
        path = [usd]
        for _ in range(_MINUTES):
            path.append(path[-1] * math.exp(mean + deviation * luck.gauss()))
        usd = path[-1]
        opened = _GBM_BEGINS + hour * HOUR
        bars.append(Bar(opened, path[0], max(path), min(path), usd, DEFAULT_GAS_GWEI))
    return bars


def _span(bars: tuple[Bar, ...]) -> str:
    form = "%d %B %Y %H:%M"
    return f"{clock_text(bars[0].open_time, form)} to {clock_text(bars[-1].open_time + HOUR, form)}"

"""Histories: bars of a price, read from CSV or Parquet, judged row by row, and never filled in.

What is merely worth knowing of a file (gaps, times without a zone, jumps) becomes a note that every report shows; what
is wrong with it is one error that names the row and the column.

Assumes: a bar's time is when it opens; times without a zone are UTC; a file has prices as open, high, low and close, or
one price column, of which all four are then made.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from keeper.domain.errors import Misconfigured
from keeper.planner.results import YEAR, Floats, Ints

_PRICES: Final = ("open", "high", "low", "close")
_ALONE: Final = ("price", "close", "price_usd", "usd", "value")
_TIMES: Final = (
    "open_time", "open_time_utc", "opentime", "time", "timestamp", "datetime", "date", "unix", "time_utc",
    "timestamp_utc", "minute_utc", "index", "__index_level_0__", "",
)  # fmt: skip
_EXTRAS: Final = {
    "gas_gwei": ("gas_gwei", "gas_price_gwei", "avg_gas_price_gwei", "base_fee_gwei"),
    "volume": ("volume_usd", "volume_quote", "quote_volume"),
    "liquidity": ("liquidity",),
}
_JUMP: Final = 0.25


@dataclass(frozen=True, slots=True)
class History:
    """Bars of one asset's price in money, `seconds` long each; arrays of equal length, one entry per bar.

    `time` is unix seconds of the open. `gas_gwei`, `volume` (money traded through the pool) and `liquidity` (in the
    pool's range, in the square root of token × money) are None where the file has none. `notes` tell what a reader of
    any result must know of the data.
    """

    name: str
    seconds: int
    time: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    gas_gwei: Floats | None = None
    volume: Floats | None = None
    liquidity: Floats | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.time)

    @property
    def years(self) -> float:
        """Time observed, gaps not counted."""
        return len(self) * self.seconds / YEAR

    @property
    def moment(self) -> Ints:
        """When each bar closes."""
        return np.asarray(self.time + self.seconds)

    @property
    def day(self) -> int:
        """Bars in a day, at least one."""
        return max(86_400 // self.seconds, 1)

    def rows(self, first: int, last: int) -> History:
        """The bars from `first` up to and without `last`."""
        cut = slice(first, last)
        return replace(
            self,
            time=self.time[cut],
            open=self.open[cut],
            high=self.high[cut],
            low=self.low[cut],
            close=self.close[cut],
            gas_gwei=None if self.gas_gwei is None else self.gas_gwei[cut],
            volume=None if self.volume is None else self.volume[cut],
            liquidity=None if self.liquidity is None else self.liquidity[cut],
        )

    def between(self, start: str | None, end: str | None) -> History:
        """The bars that open from `start` to `end`, both included; a bare date as `end` takes its whole day in."""
        first = 0 if start is None else int(np.searchsorted(self.time, instant(start, self.name, time.min)))
        last = len(self)
        if end is not None:
            last = int(np.searchsorted(self.time, instant(end, self.name, time.max), side="right"))
        if first >= last:
            held = f"{iso(int(self.time[0]))} to {iso(int(self.time[-1]))}"
            raise Misconfigured(f"history: {self.name} has no bars in the time asked for; it holds {held}")
        cut = self.rows(first, last)
        # What is told of the bars is told of those that are left.
        told = set(_told(self))
        return replace(cut, notes=(*(note for note in self.notes if note not in told), *_told(cut)))

    def require(self, bars: int, wanted_for: str) -> None:
        """Refuse a history that is too short for what is asked of it."""
        if len(self) < bars:
            raise Misconfigured(
                f"history: {self.name} has {len(self)} bars of {self.seconds} s, and {wanted_for} needs {bars}"
            )


def read_history(
    path: Path, start: str | None = None, end: str | None = None, column: str | None = None
) -> History:
    """The bars of a `.csv`, `.csv.gz` or `.parquet` file; `column` names its price where a file holds several."""
    columns = _read(path)
    prices = _prices(path, columns, column)
    times_name = next((name for name in _TIMES if name in columns), None)
    if times_name is None:
        raise Misconfigured(
            f"history: {path} has no time column such as open_time; it has {', '.join(columns)}"
        )
    if not len(columns[times_name]):
        raise Misconfigured(f"history: {path} has no rows")
    moments, notes = _times(path, times_name, columns[times_name])
    seconds = _step(path, times_name, moments)
    extra = {field: _extra(path, columns, names) for field, names in _EXTRAS.items()}
    history = History(
        name=path.name,
        seconds=seconds,
        time=moments,
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        gas_gwei=extra["gas_gwei"],
        volume=extra["volume"],
        liquidity=extra["liquidity"],
    )
    return replace(history, notes=notes).between(start, end)


def aligned(histories: Sequence[History]) -> tuple[History, ...]:
    """The same bars of several assets: those that all of them have."""
    lengths = {history.seconds for history in histories}
    if len(lengths) > 1:
        told = ", ".join(f"{history.name} {history.seconds} s" for history in histories)
        raise Misconfigured(f"history: bars must be equally long, and are not: {told}")
    common = histories[0].time
    for history in histories[1:]:
        common = np.intersect1d(common, history.time, assume_unique=True)
    if len(common) < 2:
        raise Misconfigured("history: the files have no bars in common")
    found = []
    for history in histories:
        at = np.searchsorted(history.time, common)
        dropped = len(history) - len(common)
        note = (f"{dropped} bars of {history.name} stand in no other file and are left out",)
        cut = _take(history, at)
        found.append(replace(cut, notes=cut.notes + (note if dropped else ())))
    return tuple(found)


def walked(history: History) -> History:
    """The same history four bars to one: open, low, high, close where a bar rose, open, high, low, close where it fell.

    A rule that is judged on closes then sees a bar's extremes too, in the order that hurts least to guess.
    """
    if history.seconds % 4:
        raise Misconfigured(f"history: bars of {history.seconds} s cannot be walked in four")
    rose = history.close >= history.open
    points = np.column_stack(
        (
            history.open,
            np.where(rose, history.low, history.high),
            np.where(rose, history.high, history.low),
            history.close,
        )
    ).ravel()
    step = history.seconds // 4
    times = (history.time[:, None] + step * np.arange(4)).ravel()
    before = np.concatenate((points[:1], points[:-1]))

    def spread(values: Floats | None, by: float) -> Floats | None:
        return None if values is None else np.asarray(np.repeat(values / by, 4))

    return replace(
        history,
        seconds=step,
        time=times,
        open=before,
        high=np.maximum(before, points),
        low=np.minimum(before, points),
        close=points,
        gas_gwei=spread(history.gas_gwei, 1.0),
        volume=spread(history.volume, 4.0),
        liquidity=spread(history.liquidity, 1.0),
        notes=(*history.notes, "every bar is walked in four: open, its extremes, close"),
    )


def iso(seconds: int) -> str:
    """A moment for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _take(history: History, at: npt.NDArray[np.intp]) -> History:
    """Some of a history's bars."""
    return replace(
        history,
        time=history.time[at],
        open=history.open[at],
        high=history.high[at],
        low=history.low[at],
        close=history.close[at],
        gas_gwei=None if history.gas_gwei is None else history.gas_gwei[at],
        volume=None if history.volume is None else history.volume[at],
        liquidity=None if history.liquidity is None else history.liquidity[at],
    )


def _read(path: Path) -> dict[str, Sequence[Any]]:
    try:
        return _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    except OSError as error:
        raise Misconfigured(f"history: {path} cannot be read ({error.strerror or error})") from error


def _csv(path: Path) -> dict[str, Sequence[Any]]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
        try:
            header, *rows = [row for row in csv.reader(file) if row]
        except (ValueError, csv.Error, EOFError) as error:
            raise Misconfigured(f"history: {path} is not CSV with a header row") from error
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise Misconfigured(
                f"history: {path} row {number} has {len(row)} fields under a header of {len(header)}"
            )
    return {name.strip().lower(): [row[at] for row in rows] for at, name in enumerate(header)}


def _parquet(path: Path) -> dict[str, Sequence[Any]]:
    try:
        # Slow to import, and CSV does without.
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise Misconfigured(
            f"history: reading {path.name} needs pyarrow; install the extra `plan`, or use CSV ({error})"
        ) from error
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise Misconfigured(f"history: {path} is not Parquet ({error})") from error
    columns: dict[str, Sequence[Any]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            zone = getattr(column.type, "tz", None)
            unix = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_pylist()
            stamps: list[Any] = [
                None
                if at is None
                else datetime(1970, 1, 1, tzinfo=UTC if zone else None) + timedelta(microseconds=at)
                for at in unix
            ]
            columns[name.strip().lower()] = stamps
        else:
            columns[name.strip().lower()] = column.to_pylist()
    return columns


def _prices(path: Path, columns: dict[str, Sequence[Any]], column: str | None) -> list[Floats]:
    """Open, high, low and close."""
    if column is None:
        found = [next((name for name in (price, price[0]) if name in columns), None) for price in _PRICES]
        if all(found):
            bars = [_numbers(path, str(name), columns[str(name)]) for name in found]
            _require_bars(path, bars)
            return bars
        column = next((name for name in _ALONE if name in columns), None)
        if column is None:
            missing = ", ".join(price for price, name in zip(_PRICES, found, strict=True) if name is None)
            raise Misconfigured(
                f"history: {path} has no column {missing}, and no other that is surely its price; "
                f"name one of {', '.join(columns)}"
            )
    if column.lower() not in columns:
        raise Misconfigured(f"history: {path} has no column {column}; it has {', '.join(columns)}")
    price = _numbers(path, column.lower(), columns[column.lower()])
    return [price] * 4


def _extra(path: Path, columns: dict[str, Sequence[Any]], names: Sequence[str]) -> Floats | None:
    name = next((name for name in names if name in columns), None)
    return None if name is None else _numbers(path, name, columns[name], least=0.0)


def _numbers(path: Path, name: str, values: Sequence[Any], least: float | None = None) -> Floats:
    """A column as numbers above zero, or at `least`; `Misconfigured` names the row that has none."""
    try:
        column = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        column = np.array([_float(value) for value in values], dtype=np.float64)
    wrong = ~np.isfinite(column)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise Misconfigured(
            f"history: {path} row {row + 1} column {name} has {values[row]!r} where a number belongs"
        )
    below = column <= 0 if least is None else column < least
    if below.any():
        row = int(np.argmax(below))
        raise Misconfigured(f"history: {path} row {row + 1} column {name} has {column[row]}, which cannot be")
    return column


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _require_bars(path: Path, bars: Sequence[Floats]) -> None:
    opened, high, low, close = bars
    for name, wrong, why in (
        ("high", high < low, "below the low"),
        ("open", (opened < low) | (opened > high), "outside low to high"),
        ("close", (close < low) | (close > high), "outside low to high"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            value = bars[_PRICES.index(name)][row]
            raise Misconfigured(
                f"history: {path} row {row + 1} column {name} has {value}, {why} ({low[row]} to {high[row]})"
            )


def _times(path: Path, name: str, values: Sequence[Any]) -> tuple[Ints, tuple[str, ...]]:
    """Unix seconds, rising; and whether they had to be taken for UTC."""
    found = np.empty(len(values), dtype=np.int64)
    without_zone = 0
    for row, value in enumerate(values):
        found[row], has_zone = _epoch(path, name, row + 1, value)
        without_zone += not has_zone
    apart = np.diff(found)
    if (apart <= 0).any():
        row = int(np.argmax(apart <= 0)) + 1
        why = "the same time as" if apart[row - 1] == 0 else "a time before that of"
        raise Misconfigured(
            f"history: {path} row {row + 1} column {name} has {iso(int(found[row]))}, {why} row {row}"
        )
    note = f"its times carry no zone and are taken for UTC ({name})"
    return found, ((note,) if without_zone else ())


def _epoch(path: Path, name: str, row: int, value: Any) -> tuple[int, bool]:
    """Unix seconds, and whether the value says which zone it is of."""
    if isinstance(value, datetime):
        return int(_utc(value).timestamp()), value.tzinfo is not None
    number = _float(value)
    if math.isnan(number):
        try:
            moment = datetime.fromisoformat(str(value).strip().removesuffix(" UTC"))
        except ValueError:
            raise Misconfigured(
                f"history: {path} row {row} column {name} has {value!r} where a time belongs"
            ) from None
        return int(_utc(moment).timestamp()), moment.tzinfo is not None or str(value).endswith(" UTC")
    # Seconds stay below 10^11 until the year 5138; what is larger counts thousandths, millionths, billionths.
    for unit, limit in ((1, 1e11), (10**3, 1e14), (10**6, 1e17), (10**9, 1e20)):
        if 0 <= number < limit:
            return int(number) // unit, True
    raise Misconfigured(f"history: {path} row {row} column {name} has {value!r} where a time belongs")


def _step(path: Path, name: str, moments: Ints) -> int:
    """The length of a bar: what most bars stand apart, and all others by a multiple of it."""
    if len(moments) < 2:
        raise Misconfigured(f"history: {path} has {len(moments)} row, and two make a history")
    apart = np.diff(moments)
    step = int(np.median(apart))
    odd = apart % step != 0
    if odd.any():
        row = int(np.argmax(odd)) + 2
        raise Misconfigured(
            f"history: {path} row {row} column {name} comes {apart[row - 2]} s after the row before, "
            f"and bars are {step} s apart"
        )
    return step


def _told(history: History) -> list[str]:
    """What a reader must know of the bars themselves."""
    notes = []
    apart = np.diff(history.time)
    missing = int((apart // history.seconds - 1).sum())
    if missing:
        gaps = int((apart > history.seconds).sum())
        widest = int(np.argmax(apart))
        notes.append(
            f"{missing} bars are missing in {gaps} gaps, the longest of {apart[widest] / 3600:.0f} h after "
            f"{iso(int(history.time[widest]))}; nothing is filled in and no time counted for them"
        )
    jumps = np.abs(history.open[1:] / history.close[:-1] - 1.0)
    if len(jumps) and jumps.max() > _JUMP:
        at = int(np.argmax(jumps)) + 1
        notes.append(
            f"the price jumps {jumps.max():.0%} between bars at {iso(int(history.time[at]))}, "
            f"from {history.close[at - 1]:g} to {history.open[at]:g}; it is taken as it stands"
        )
    return notes


def instant(asked: str, name: str, bare: time) -> int:
    """A date or a time, as a person writes it to cut `name` at, in unix seconds; of a bare date the time is `bare`."""
    try:
        return int(datetime.combine(date.fromisoformat(asked), bare, tzinfo=UTC).timestamp())
    except ValueError:
        pass
    try:
        return int(_utc(datetime.fromisoformat(asked)).timestamp())
    except ValueError:
        raise Misconfigured(
            f"history: {asked!r} is no time to cut {name} at; write 2020-03-12T00:00"
        ) from None


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

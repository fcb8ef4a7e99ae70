"""Hourly price bars, read from CSV or Parquet as exchanges and data vendors write them.

Assumes: a bar's time is when it opens; times without a zone are UTC.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from keeper.domain.errors import Misconfigured

HOUR: Final = 3600

_PRICES: Final = ("open", "high", "low", "close")
_TIMES: Final = (
    "open_time",
    "open_time_utc",
    "opentime",
    "time",
    "timestamp",
    "datetime",
    "date",
    "unix",
    "time_utc",
    "timestamp_utc",
    "index",
    "__index_level_0__",
    "",
)
_GASES: Final = ("gas_gwei", "gas_price_gwei", "avg_gas_price_gwei", "base_fee_gwei")
_USDC: Final = "usdc"


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour from `open_time` (unix seconds): prices in US dollars; `gas_gwei` is None where the file has none.

    `usdc` is what one USDC costs when the hour begins, None where it is worth what it was.
    """

    open_time: int
    open: float
    high: float
    low: float
    close: float
    gas_gwei: float | None = None
    usdc: float | None = None


def read_bars(
    path: Path, start: str | datetime | None = None, end: str | datetime | None = None
) -> tuple[Bar, ...]:
    """The hourly bars of a `.csv`, `.csv.gz` or `.parquet` file, from `start` to `end`, both included.

    A bare date as `end` takes that whole day in. `Misconfigured` names the row when bars are unsorted, missing or
    impossible; only the bars asked for are judged.
    """
    try:
        columns = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    except OSError as error:
        raise Misconfigured(f"scenario: {path} cannot be read ({error.strerror or error})") from error
    times, prices, gas = _columns(path, columns)
    dollars = columns.get(_USDC)
    opened = [_epoch(path, row, value) for row, value in enumerate(times, 1)]
    first, last = _instant(start, path, time.min), _instant(end, path, time.max)
    if first is not None and last is not None and first > last:
        raise Misconfigured(f"scenario: from {_iso(first)} to {_iso(last)} is no span of time")
    bars, rows = [], []
    for row, seconds in enumerate(opened):
        if (first is None or seconds >= first) and (last is None or seconds <= last):
            open_, high, low, close = (_number(path, row + 1, column[row]) for column in prices)
            paid, usdc = (
                None if each is None else _number(path, row + 1, each[row]) for each in (gas, dollars)
            )
            rows.append(row + 1)
            bars.append(_checked(path, Bar(seconds, open_, high, low, close, paid, usdc)))
    if not bars:
        held = f"it holds {_iso(min(opened))} to {_iso(max(opened))}" if opened else "it has no rows"
        raise Misconfigured(f"scenario: {path} has no bars in the time asked for; {held}")
    for row, (before, after) in zip(rows[1:], pairwise(bars), strict=True):
        _require_later(
            path, row, before, after
        )  # of all first: what comes too early leaves a gap where it belongs
    for before, after in pairwise(bars):
        _require_next_hour(path, before, after)
    return tuple(bars)


def read_column(path: Path, times: str, values: str) -> dict[int, float]:
    """One column of a CSV file by another of times, in unix seconds."""
    columns = _csv(path)
    return {
        _epoch(path, row, when): _number(path, row, value)
        for row, (when, value) in enumerate(zip(columns[times], columns[values], strict=True), 1)
    }


def _csv(path: Path) -> dict[str, Sequence[Any]]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
        try:
            header, *rows = [row for row in csv.reader(file) if row]
        except (ValueError, csv.Error, EOFError) as error:
            raise Misconfigured(f"scenario: {path} is not CSV with a header row") from error
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise Misconfigured(
                f"scenario: {path} row {number} has {len(row)} fields under a header of {len(header)}"
            )
    return {name.strip().lower(): [row[at] for row in rows] for at, name in enumerate(header)}


def _parquet(path: Path) -> dict[str, Sequence[Any]]:
    try:
        # An extra that a keeper does not need, and that takes a while to import.
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise Misconfigured(
            f"scenario: reading {path.name} needs pyarrow; install the extra `sim`, or use CSV ({error})"
        ) from error
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise Misconfigured(f"scenario: {path} is not Parquet ({error})") from error
    columns: dict[str, Sequence[Any]] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            # Nanoseconds would come back as pandas' own type.
            column = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())  # noqa: PLW2901
        columns[name.strip().lower()] = column.to_pylist()
    return columns


def _columns(
    path: Path, columns: Mapping[str, Sequence[Any]]
) -> tuple[Sequence[Any], list[Sequence[Any]], Sequence[Any] | None]:
    prices = [_first_of((name, name[0]), columns) for name in _PRICES]
    for name, column in zip(_PRICES, prices, strict=True):
        if column is None:
            raise Misconfigured(f"scenario: {path} has no column {name}; it has {', '.join(columns)}")
    times = _first_of(_TIMES, columns)
    if times is None:
        raise Misconfigured(
            f"scenario: {path} has no time column such as open_time; it has {', '.join(columns)}"
        )
    return times, [column for column in prices if column is not None], _first_of(_GASES, columns)


def _first_of(names: Iterable[str], columns: Mapping[str, Sequence[Any]]) -> Sequence[Any] | None:
    return next((columns[name] for name in names if name in columns), None)


def _number(path: Path, row: int, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise Misconfigured(f"scenario: {path} row {row} has {value!r} where a number belongs")
    return number


def _epoch(path: Path, row: int, value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        try:
            return int(_utc(datetime.fromisoformat(str(value).strip())).timestamp())
        except ValueError:
            raise Misconfigured(f"scenario: {path} row {row} has {value!r} where a time belongs") from None
    # Seconds stay below 10^11 until the year 5138; what is larger counts thousandths, millionths, billionths.
    for unit, limit in ((1, 1e11), (10**3, 1e14), (10**6, 1e17), (10**9, 1e20)):
        if 0 <= number < limit:
            return int(number) // unit
    raise Misconfigured(f"scenario: {path} row {row} has {value!r} where a time belongs")


def _instant(asked: str | datetime | None, path: Path, bare: time) -> int | None:
    if asked is None:
        return None
    if isinstance(asked, datetime):
        return int(_utc(asked).timestamp())
    try:
        day = date.fromisoformat(asked)
    except ValueError:
        try:
            return int(_utc(datetime.fromisoformat(asked)).timestamp())
        except ValueError:
            raise Misconfigured(
                f"scenario: {asked!r} is no time to cut {path.name} at; write 2020-03-12T00:00"
            ) from None
    return int(datetime.combine(day, bare, tzinfo=UTC).timestamp())


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _checked(path: Path, bar: Bar) -> Bar:
    where = f"scenario: {path} at {_iso(bar.open_time)}"
    for name in _PRICES:
        if (price := getattr(bar, name)) <= 0:
            raise Misconfigured(f"{where} has {name} {price}, which is no price")
    if bar.high < bar.low:
        raise Misconfigured(f"{where} has high {bar.high} below low {bar.low}")
    for name in ("open", "close"):
        if not bar.low <= (price := getattr(bar, name)) <= bar.high:
            raise Misconfigured(f"{where} has {name} {price} outside low {bar.low} to high {bar.high}")
    if bar.usdc is not None and bar.usdc <= 0:
        raise Misconfigured(f"{where} has usdc {bar.usdc}, which is no price")
    if bar.gas_gwei is not None and bar.gas_gwei < 0:
        raise Misconfigured(f"{where} has a gas price of {bar.gas_gwei} gwei")
    return bar


def _require_later(path: Path, row: int, before: Bar, after: Bar) -> None:
    if after.open_time <= before.open_time:
        raise Misconfigured(
            f"scenario: {path} is not in order of time: row {row}, {_iso(after.open_time)}, comes after "
            f"{_iso(before.open_time)}"
        )


def _require_next_hour(path: Path, before: Bar, after: Bar) -> None:
    apart = after.open_time - before.open_time
    if apart == HOUR:
        return
    pair = f"{_iso(before.open_time)} and {_iso(after.open_time)}"
    if apart < HOUR:
        raise Misconfigured(f"scenario: {path} is not hourly: {pair} are {apart} s apart")
    raise Misconfigured(f"scenario: {path} has a gap: {pair} are {apart / HOUR:g} hours apart")

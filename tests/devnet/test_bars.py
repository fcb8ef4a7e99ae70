"""Reading hourly bars: every sensible way to write them, and one sentence for every way to get them wrong."""

from __future__ import annotations

import gzip
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keeper.devnet.bars import Bar, read_bars
from keeper.domain.errors import Misconfigured

START = 1_583_971_200  # 2020-03-12 00:00 UTC
FIRST, SECOND = Bar(START, 195, 196, 190, 192), Bar(START + 3600, 192, 193, 180, 181)


def csv(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def rows(*times: Any) -> list[str]:
    prices = ("195,196,190,192", "192,193,180,181", "181,182,170,171")
    return [f"{when},{price}" for when, price in zip(times, prices, strict=False)]


@pytest.mark.parametrize(
    "times",
    [
        (START, START + 3600),
        (START * 1000, (START + 3600) * 1000),
        (START * 10**6, (START + 3600) * 10**6),
        (START * 10**9, (START + 3600) * 10**9),
        (f"{START}.0", f"{START + 3600}.0"),
        ("2020-03-12T00:00:00Z", "2020-03-12T01:00:00Z"),
        ("2020-03-12 00:00:00", "2020-03-12 01:00:00"),
        ("2020-03-12 00:00:00+00:00", "2020-03-12 01:00:00+00:00"),
        ("2020-03-12T02:00:00+02:00", "2020-03-12T03:00:00+02:00"),
    ],
)
def test_a_time__in_seconds_to_nanoseconds_or_iso__is_read(tmp_path: Path, times: tuple[Any, Any]) -> None:
    assert read_bars(csv(tmp_path, "time,open,high,low,close", *rows(*times))) == (FIRST, SECOND)


@pytest.mark.parametrize(
    "header",
    [
        "open_time,open,high,low,close",
        "Date,Open,High,Low,Close",
        " TIMESTAMP , OPEN , HIGH , LOW , CLOSE ",
        ",open,high,low,close",
        "datetime,o,h,l,c",
        "\ufeffunix,open,high,low,close",
    ],
)
def test_a_header__in_any_case_or_a_pandas_index__is_understood(tmp_path: Path, header: str) -> None:
    assert read_bars(csv(tmp_path, header, *rows(START, START + 3600))) == (FIRST, SECOND)


def test_csv__compressed__is_read_and_what_only_claims_to_be_is_refused(tmp_path: Path) -> None:
    plain, packed = (
        csv(tmp_path, "time,open,high,low,close", *rows(START, START + 3600)),
        tmp_path / "b.csv.gz",
    )
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert read_bars(packed) == (FIRST, SECOND)
    packed.write_bytes(plain.read_bytes())
    with pytest.raises(Misconfigured, match=r"scenario: .*b.csv.gz cannot be read \(Not a gzipped file"):
        read_bars(packed)
    packed.write_bytes(gzip.compress(plain.read_bytes())[:40])
    with pytest.raises(Misconfigured, match="scenario: .*b.csv.gz is not CSV"):
        read_bars(packed)


def test_columns__in_another_order_with_others_between__are_found(tmp_path: Path) -> None:
    path = csv(tmp_path, "close,volume,low,high,open,gas_gwei,time", f"192,7,190,196,195,77.9,{START}")
    assert read_bars(path) == (Bar(START, 195, 196, 190, 192, 77.9),)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", None])
def test_parquet__with_timestamps_of_any_unit__is_read(tmp_path: Path, unit: str, zone: str | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    opened = [datetime(2020, 3, 12, tzinfo=UTC) + timedelta(hours=hour) for hour in range(2)]
    columns = {
        "open_time_utc": pa.array([int(t.timestamp()) for t in opened], pa.int64())
        .cast(pa.timestamp("s", tz=zone))
        .cast(pa.timestamp(unit, tz=zone)),
        "Open": [195.0, 192.0],
        "High": [196.0, 193.0],
        "Low": [190.0, 180.0],
        "Close": [192.0, 181.0],
    }
    pq.write_table(pa.table(columns), tmp_path / "bars.parquet")
    assert read_bars(tmp_path / "bars.parquet") == (FIRST, SECOND)


def test_parquet__without_pyarrow__names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Misconfigured, match=r"needs pyarrow; install the extra `sim`, or use CSV"):
        read_bars(tmp_path / "bars.parquet")


def test_parquet__that_is_none__is_refused(tmp_path: Path) -> None:
    (tmp_path / "bars.parquet").write_bytes(b"time,open\n")
    with pytest.raises(Misconfigured, match="is not Parquet"):
        read_bars(tmp_path / "bars.parquet")


def day_of_bars(tmp_path: Path, hours: int = 72) -> Path:
    lines = (
        f"{START + hour * 3600},{100 + hour},{101 + hour},{99 + hour},{100 + hour}" for hour in range(hours)
    )
    return csv(tmp_path, "time,open,high,low,close", *lines)


@pytest.mark.parametrize(
    ("start", "end", "first", "count"),
    [
        (None, None, 0, 72),
        ("2020-03-13", None, 24, 48),
        ("2020-03-13", "2020-03-13", 24, 24),
        ("2020-03-12T05:00", "2020-03-12T07:00", 5, 3),
        ("2020-03-12T05:30:00Z", "2020-03-12T07:30:00Z", 6, 2),
        (datetime(2020, 3, 12, 1), datetime(2020, 3, 12, 1, tzinfo=UTC), 1, 1),  # noqa: DTZ001
    ],
)
def test_a_cut__by_dates_or_times__takes_both_ends_in(
    tmp_path: Path, start: str | None, end: str | None, first: int, count: int
) -> None:
    bars = read_bars(day_of_bars(tmp_path), start, end)
    assert (bars[0].open_time, len(bars)) == (START + first * 3600, count)


def test_a_cut__outside_the_file__says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"it holds 2020-03-12 00:00 to 2020-03-14 23:00"):
        read_bars(day_of_bars(tmp_path), "2021-01-01", "2021-01-02")


def test_a_cut__that_ends_before_it_begins__is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"from 2020-03-13 00:00 to 2020-03-12 23:59 is no span of time"):
        read_bars(day_of_bars(tmp_path), "2020-03-13", "2020-03-12")


def test_a_cut__that_is_no_time__is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="'yesterday' is no time"):
        read_bars(day_of_bars(tmp_path), "yesterday")


def test_a_gap__outside_the_cut__is_nobodys_business(tmp_path: Path) -> None:
    path = csv(
        tmp_path, "time,open,high,low,close", f"{START - 9 * 3600},0,0,0,0", *rows(START, START + 3600)
    )
    assert len(read_bars(path, "2020-03-12")) == 2


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (rows(START, START + 7200), r"has a gap: 2020-03-12 00:00 and 2020-03-12 02:00 are 2 hours apart"),
        (rows(START, START), r"not in order of time"),
        (rows(START + 3600, START), r"not in order of time"),
        (
            rows(START, START + 7200, START + 3600),
            r"not in order of time: row 3, 2020-03-12 01:00, comes after 2020-03-12 02:00",
        ),
        (rows(START, START + 900), r"is not hourly: .* are 900 s apart"),
        ([f"{START},195,190,196,192"], r"at 2020-03-12 00:00 has high 190\.0 below low 196\.0"),
        ([f"{START},195,196,0,192"], r"has low 0\.0, which is no price"),
        ([f"{START},-1,196,190,192"], r"has open -1\.0, which is no price"),
        ([f"{START},197,196,190,192"], r"has open 197\.0 outside low 190\.0 to high 196\.0"),
        ([f"{START},195,196,190,189"], r"has close 189\.0 outside"),
        ([f"{START},195,nan,190,192"], r"row 1 has 'nan' where a number belongs"),
        ([f"{START},195,,190,192"], r"row 1 has '' where a number belongs"),
        (["noon,195,196,190,192"], r"row 1 has 'noon' where a time belongs"),
        (["-5,195,196,190,192"], r"row 1 has '-5' where a time belongs"),
        ([f"{START},195,196,190"], r"row 1 has 4 fields under a header of 5"),
        ([], r"has no bars in the time asked for; it has no rows"),
    ],
)
def test_bad_bars__when_read__are_refused_with_the_place(
    tmp_path: Path, lines: list[str], complaint: str
) -> None:
    with pytest.raises(Misconfigured, match=rf"^scenario: .*{complaint}"):
        read_bars(csv(tmp_path, "time,open,high,low,close", *lines))


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("time,open,high,close,volume", "has no column low; it has time, open, high, close, volume"),
        ("open,high,low,close,volume", "has no time column such as open_time"),
    ],
)
def test_a_missing_column__when_read__is_named(tmp_path: Path, header: str, complaint: str) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        read_bars(csv(tmp_path, header, "1,2,3,4,5"))


def test_a_missing_file__when_read__is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot be read \(No such file or directory\)"):
        read_bars(tmp_path / "none.csv")


def test_an_empty_file__when_read__is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is not CSV with a header row"):
        read_bars(csv(tmp_path, ""))


def test_a_file_of_bytes__when_read__is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(Misconfigured, match="is not CSV with a header row"):
        read_bars(path)

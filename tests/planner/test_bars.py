"""Histories: what is read from files of several makes, what is refused and how it is told, what is only noted."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from keeper.domain.errors import Misconfigured
from keeper.planner.bars import aligned, read_history, walked
from tests.planner.histories import random_history

HEAD = "open_time,open,high,low,close\n"


def written(folder: Path, text: str, name: str = "eth.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv__with_zoned_times__is_read_without_a_note(tmp_path: Path) -> None:
    text = HEAD + "2020-03-12T00:00:00Z,10,12,9,11\n2020-03-12T01:00:00Z,11,13,10,12\n"
    history = read_history(written(tmp_path, text))
    assert history.seconds == 3600
    assert history.time[0] == datetime(2020, 3, 12, tzinfo=UTC).timestamp()
    assert history.low.tolist() == [9, 10]
    assert history.notes == ()


@pytest.mark.parametrize("scale", [1, 10**3, 10**6, 10**9])
def test_a_compressed_csv__with_unix_times_of_any_unit__is_read(tmp_path: Path, scale: int) -> None:
    path = tmp_path / "eth.csv.gz"
    rows = "".join(f"{(1_600_000_000 + 60 * at) * scale},1,1,1,1\n" for at in range(3))
    path.write_bytes(gzip.compress((HEAD + rows).encode()))
    history = read_history(path)
    assert (history.seconds, int(history.time[0])) == (60, 1_600_000_000)


def test_a_parquet__of_one_price_beside_others__is_read_by_its_columns_name(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    times = pa.array([datetime(2021, 1, 1, hour, tzinfo=UTC) for hour in range(3)])
    path = tmp_path / "many.parquet"
    pq.write_table(
        pa.table({"time_utc": times, "WETH": [700.0, 710, 705], "WBTC": [29e3, 29.1e3, 29.2e3]}), path
    )
    history = read_history(path, column="WETH")
    assert history.close.tolist() == [700, 710, 705]
    assert (history.open == history.close).all()
    with pytest.raises(
        Misconfigured, match=r"no other that is surely its price; name one of time_utc, weth, wbtc"
    ):
        read_history(path)
    with pytest.raises(Misconfigured, match="has no column LINK"):
        read_history(path, column="LINK")


def test_times__without_a_zone__are_taken_for_utc_and_noted(tmp_path: Path) -> None:
    history = read_history(written(tmp_path, HEAD + "2020-03-12 00:00,1,1,1,1\n2020-03-12 01:00,1,1,1,1\n"))
    assert history.notes == ("its times carry no zone and are taken for UTC (open_time)",)


def test_a_gap__in_the_bars__is_counted_noted_and_not_filled(tmp_path: Path) -> None:
    rows = "".join(f"2020-03-12T{hour:02}:00:00Z,1,1,1,1\n" for hour in (0, 1, 2, 6, 7))
    history = read_history(written(tmp_path, HEAD + rows))
    assert len(history) == 5
    assert history.years == pytest.approx(5 / 8766)
    (note,) = history.notes
    assert note.startswith("3 bars are missing in 1 gaps, the longest of 4 h after 2020-03-12 02:00")


def test_a_jump__between_bars__is_noted(tmp_path: Path) -> None:
    rows = "2020-03-12T00:00Z,10,10,10,10\n2020-03-12T01:00Z,5,5,5,5\n"
    (note,) = read_history(written(tmp_path, HEAD + rows)).notes
    assert "jumps 50% between bars at 2020-03-12 01:00" in note


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("0,1,1,1,1\n7200,1,1,1,1\n3600,1,1,1,1\n", "row 3 column open_time .* a time before that of row 2"),
        ("0,1,1,1,1\n3600,1,1,1,1\n3600,1,1,1,1\n", "row 3 column open_time .* the same time as row 2"),
        ("0,1,1,1,1\n3600,1,1,1,nan\n", "row 2 column close has 'nan' where a number belongs"),
        ("0,1,1,1,1\n3600,1,1,,1\n", "row 2 column low has '' where a number belongs"),
        ("0,1,1,1,1\n3600,-1,1,-1,1\n", r"row 2 column open has -1\.0, which cannot be"),
        ("0,1,1,1,1\n3600,1,1,1,0\n", r"row 2 column close has 0\.0, which cannot be"),
        ("0,1,1,1,1\n3600,5,4,3,3\n", r"row 2 column open has 5\.0, outside low to high \(3\.0 to 4\.0\)"),
        ("0,1,1,1,1\n3600,3,2,4,3\n", r"row 2 column high has 2\.0, below the low"),
        ("0,1,1,1,1\n3600,1,1,1\n", "row 2 has 4 fields under a header of 5"),
        ("0,1,1,1,1\nsoon,1,1,1,1\n", "row 2 column open_time has 'soon' where a time belongs"),
        (
            "0,1,1,1,1\n3600,1,1,1,1\n7200,1,1,1,1\n9000,1,1,1,1\n",
            "row 4 column open_time comes 1800 s after the row before, and bars are 3600 s apart",
        ),
        ("0,1,1,1,1\n", "has 1 row, and two make a history"),
        ("", "has no rows"),
    ],
)
def test_a_row__that_cannot_be__is_named_with_its_column(tmp_path: Path, rows: str, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=f"history: .*eth.csv.* ?{sentence}"):
        read_history(written(tmp_path, HEAD + rows))


def test_a_file__without_what_a_history_needs__is_refused_in_one_sentence(tmp_path: Path) -> None:
    for text, sentence in (
        ("", "is not CSV with a header row"),
        ("open,high,low,close\n1,1,1,1\n", "has no time column"),
        ("open_time,open,high\n0,1,1\n", "has no column low, close"),
    ):
        with pytest.raises(Misconfigured, match=sentence):
            read_history(written(tmp_path, text))
    with pytest.raises(Misconfigured, match="cannot be read"):
        read_history(tmp_path / "none.csv")
    with pytest.raises(Misconfigured, match="is not Parquet"):
        read_history(written(tmp_path, "no", "eth.parquet"))


def test_a_cut__by_days__takes_both_in_and_refuses_what_is_not_there() -> None:
    history = random_history(1, 100, gap=False)
    day = datetime.fromtimestamp(int(history.time[30]), UTC).date().isoformat()
    cut = history.between(day, day)
    assert len(cut) == 24
    assert {datetime.fromtimestamp(int(at), UTC).date().isoformat() for at in cut.time} == {day}
    with pytest.raises(Misconfigured, match="has no bars in the time asked for; it holds 2020-09-13"):
        history.between("2030-01-01", None)
    with pytest.raises(Misconfigured, match="'soon' is no time to cut"):
        history.between("soon", None)
    with pytest.raises(Misconfigured, match="has 100 bars of 3600 s, and a year of days needs 8766"):
        history.require(8_766, "a year of days")


def test_histories__that_overlap__are_aligned_on_the_bars_they_share() -> None:
    first, second = random_history(1, 100, gap=False), random_history(2, 100, gap=False)
    later = replace(second, time=second.time + 36_000)
    one, two = aligned((first, later))
    assert one.time.tolist() == two.time.tolist() == first.time[10:].tolist()
    assert one.close.tolist() == first.close[10:].tolist()
    assert "10 bars of random 1 stand in no other file and are left out" in one.notes
    with pytest.raises(Misconfigured, match="have no bars in common"):
        aligned((first, replace(second, time=second.time + 10**8)))
    with pytest.raises(Misconfigured, match="bars must be equally long"):
        aligned((first, replace(second, seconds=60)))


def test_a_walk__through_bars__meets_open_extremes_and_close_in_order() -> None:
    history = random_history(4, 50, gap=False)
    walk = walked(history)
    assert walk.seconds == 900
    points = walk.close.reshape(-1, 4)
    assert points[:, 0].tolist() == history.open.tolist()
    assert points[:, 3].tolist() == history.close.tolist()
    assert points.min(axis=1).tolist() == history.low.tolist()
    assert points.max(axis=1).tolist() == history.high.tolist()
    rose = history.close >= history.open
    assert (points[rose, 1] == history.low[rose]).all()
    assert (points[~rose, 1] == history.high[~rose]).all()
    assert (np.diff(walk.time) == 900).all()

"""One short crash, played once for all tests of this room, and a record of a play that never was."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from keeper.demo.stage import demo, write
from keeper.report.record import Act, Cost, Hour, Reason, Record, Seizure, Side, Terms
from keeper.report.stories import (
    BasketAct,
    BasketHour,
    BasketSide,
    BasketStory,
    RangeAct,
    RangeHour,
    RangeSide,
    RangeStory,
    Span,
)
from tests.test_progress import terminal_of

CRASH = """open_time,open,high,low,close,gas_gwei
2020-03-12T10:00:00Z,167.97,168.89,125.00,132.91,77.90
2020-03-12T11:00:00Z,132.91,133.50,101.20,107.82,84.76
"""


@dataclass(frozen=True)
class Played:
    """A play's record, the folder it left its files in, and what a terminal was shown meanwhile."""

    record: Record
    out: Path
    shown: str


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The worst hour of March 2020 and another as bad, against a real keeper."""
    out = tmp_path_factory.mktemp("demo")
    bars = out / "crash.csv"
    bars.write_text(CRASH)
    terminal = io.StringIO()
    record = demo(bars, None, None, out, terminal_of(terminal))
    write(record, out)
    return Played(record, out, terminal.getvalue())


@pytest.fixture
def told() -> Record:
    """A record with one of everything, and text in it that a page must not take for markup."""
    start = 1_583_971_200
    return Record(
        title="12 March 2020",
        sources=("Prices: <b>made up</b>.",),
        owner="0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        max_move_bps=200,
        terms=Terms(100, 10_000.0, 1.6, 1.4, 1.6, 100, 300, 5_000.0),
        hours=tuple(
            Hour(
                start + n * 3600,
                190.0,
                180.0,
                170.0,
                195.0,
                1.5,
                1.45,
                8_000.0 - n,
                None,
                0.9999,
                7_000.0 - n,
            )
            for n in range(3)
        ),
        acts=(
            Act(
                57,
                start + 60,
                180.0,
                2_000.0,
                11.2,
                1.39,
                1.6,
                Cost(1.0, -0.25, 7.5),
                "health: </script> low",
                "0xab",
            ),
        ),
        seizures=(Seizure(False, 58, start + 120, 170.0, 4_000.0, 24.7, 200.0, "0xcd"),),
        reasons=(Reason(56, start + 48, "barred", "1.3900", "rule: [red]<i>cooling</i> down", ""),),
        guarded=Side(0, 1.38999, 9_000.0, 8_000.0, 0.0),
        twin=Side(1, 0.99999, 9_000.0, 7_000.0, 200.0),
        failed=1,
        failed_gas=2.5,
        turns=60,
        quiet=59,
        late=0,
        blocks=59,
        wall_s=1.5,
        ranges=RangeStory(
            hours=tuple(
                RangeHour(start + n * 3600, 180.0, Span(150.0, 210.0), 5_000.0, 4_900.0) for n in range(3)
            ),
            acts=(
                RangeAct(
                    60,
                    start + 90,
                    149.0,
                    Span(150.0, 210.0),
                    Span(120.0, 180.0),
                    12.5,
                    3.25,
                    "range: </script> left",
                    "0xef",
                ),
            ),
            still=Span(150.0, 210.0),
            guarded=RangeSide(0.93, 5_000.0, 4_800.0),
            twin=RangeSide(0.41, 5_000.0, 4_700.0),
        ),
        baskets=BasketStory(
            target=0.5,
            band=0.05,
            hours=tuple(BasketHour(start + n * 3600, 180.0, 0.49, 0.41, 6_000.0, 5_900.0) for n in range(3)),
            acts=(
                BasketAct(61, start + 95, 160.0, 0.449, 0.5, 1.75, 2.5, "weight: </script> drifted", "0x01"),
            ),
            guarded=BasketSide(0.061, 6_000.0, 5_900.0),
            twin=BasketSide(0.173, 6_000.0, 5_800.0),
        ),
    )

"""The page's facts of any kind of position: whatever is measured, in whatever units, with a band to draw or without."""

from __future__ import annotations

import json
from pathlib import Path

from keeper.domain.blocks import Block
from keeper.domain.ranges import tick_measure
from keeper.domain.rules import RuleKey
from keeper.domain.units import NO_DEBT, WAD, Address
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.journal.annals import Annals, Newest
from keeper.journal.journal import Journal
from keeper.positions.port import Look, Marks
from keeper.watch.facts import course_json, position_json, state_json
from keeper.watch.outlook import View
from tests.postgres import NewDatabase

THRESHOLDS, OWNER = Address("0x" + "Aa" * 20), Address("0x" + "Bb" * 20)


def block(number: int, salt: str = "") -> Block:
    return Block(number, f"0x{number:x}{salt}", "0x0", 1_700_000_000 + number, 0)


def verdict(measure: Measure, kind: Kind = Kind.WITHIN, id: int = 0) -> Verdict:
    return Verdict(RuleKey(THRESHOLDS, OWNER, id), kind, "range: as it should be", measure)


def look(of: Verdict, marks: Marks | None) -> Look:
    return Look(of, "-60 … 60", {"buffer": 10}, (), marks)


def test_a_range__measured_in_ticks_without_a_scale__tells_its_band_as_text() -> None:
    of = verdict(tick_measure(-42))
    told = position_json(of, look(of, None))
    assert told["measure"] == {"name": "ticks", "text": "-42", "at": -42.0}
    assert (told["marks"], told["band"], told["fields"]) == (None, "-60 … 60", {"buffer": "10"})


def test_a_measure__not_taken_or_without_bound__is_drawn_nowhere() -> None:
    assert position_json(verdict(tick_measure(None)), None)["measure"]["at"] is None
    endless = position_json(verdict(Measure("health", NO_DEBT, 18, NO_DEBT)), None)
    assert endless["measure"] == {"name": "health", "text": "∞", "at": None}
    assert endless["now"] is None


def test_a_band__with_one_side_only__leaves_the_other_out() -> None:
    of = verdict(Measure("weight", 6 * 10**17, 18))
    told = position_json(of, look(of, Marks(None, WAD // 2, 3 * WAD // 4)))
    assert [told["marks"][name]["at"] for name in ("low", "target", "high")] == [None, 0.5, 0.75]


def test_positions__of_several_kinds__stand_breached_first_and_the_nearest_before_the_others() -> None:
    of = [
        verdict(Measure("health", 3 * WAD, 18), id=0),
        verdict(tick_measure(5), Kind.BARRED, id=1),
        verdict(Measure("health", WAD, 18), Kind.BREACHED, id=2),
        verdict(tick_measure(None), Kind.BLIND, id=3),
        verdict(Measure("health", 2 * WAD, 18), id=4),
    ]
    looks = {each.key: look(each, Marks(WAD, None, None)) for each in of if each.measure.name == "health"}
    told = state_json(1, Newest(block(7), "", tuple(of)), (), View(looks=looks))
    assert [position["rule"] for position in told["positions"]] == ["2", "3", "1", "4", "0"]
    assert told["counts"] == {"breached": 1, "blind": 1, "barred": 1, "within": 2}
    json.dumps(told, allow_nan=False)


def test_more_positions__than_a_page_holds__are_counted() -> None:
    of = tuple(verdict(tick_measure(n), Kind.BREACHED if n == 599 else Kind.WITHIN, n) for n in range(600))
    told = state_json(1, Newest(block(7), "", of), (), View())
    assert (len(told["positions"]), told["unshown"], told["positions"][0]["rule"]) == (500, 100, "599")


def test_a_course__of_many_blocks__is_thinned_without_losing_its_extremes(tmp_path: Path) -> None:
    with Journal(tmp_path / "keeper.db") as journal:
        for number in range(1, 1_001):
            value = {500: -9_000, 777: 9_000}.get(number, number % 10)
            journal.write_turn(block(number), [verdict(tick_measure(value))])
        with Annals(tmp_path / "keeper.db") as annals:
            points = course_json(annals, RuleKey(THRESHOLDS, OWNER, 0), 7_200)["points"]
    assert len(points) <= 240
    assert (points[0]["block"], points[-1]["block"]) == (1, 1_000)
    assert {(point["block"], point["at"]) for point in points} >= {(500, -9_000.0), (777, 9_000.0)}
    assert [point["block"] for point in points] == sorted(point["block"] for point in points)


def test_a_block__that_another_replaced__is_in_no_course(tmp_path: Path) -> None:
    holds_its_blocks(str(tmp_path / "keeper.db"))


def test_a_journal_on_a_server__asked_the_same__answers_the_same(new_database: NewDatabase) -> None:
    holds_its_blocks(new_database())


def holds_its_blocks(place: str) -> None:
    """Write three blocks and a rival, and ask for all that annals tell."""
    with Journal(place) as journal:
        for at, value in ((block(1), 1), (block(2), 2), (block(2, "b"), 20), (block(3), 3)):
            journal.write_turn(at, [verdict(tick_measure(value))])
        with Annals(place) as annals:
            before = annals.mark()
            journal.latch("gas", 3, "breaker: tried")
            assert annals.mark() == before
            journal.write_turn(block(4), [])
            assert annals.mark() != before
            told = course_json(annals, RuleKey(THRESHOLDS, OWNER, 0), 100)
            newest = annals.newest()
            spans, flights = annals.search("within", 10)
            tally = annals.tally()
    assert [point["at"] for point in told["points"]] == [1.0, 20.0, 3.0]
    assert newest is not None
    assert (newest.block.number, newest.verdicts) == (4, ())
    assert (tally.turns, tally.senders, dict(tally.gas_wei), flights) == (5, (), {}, ())
    assert [(span.first, span.last) for span in spans] == [(1, 3)]

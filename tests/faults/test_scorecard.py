"""The keeper beside models of how others send: each does well on a quiet chain, and has a fault it cannot bear."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign.draws import Draw, Drawn
from tests.faults.campaign.episode import Outcome, play
from tests.faults.campaign.many import summed
from tests.faults.campaign.parties import SCORED
from tests.faults.campaign.scorecard import COLUMNS, table
from tests.faults.campaign.works import Counting, counting

SCORECARD = (Path(__file__).resolve().parents[2] / "docs" / "scorecard.md").read_text(encoding="utf-8")
LEFT_OUT = Drawn("B11 left out of every block", 0, 10, 1)
UNBEARABLE = {
    "send, then record": ("I1", Drawn("A1 killed as it sends", 0, 8, 3), LEFT_OUT),
    "upward-only counter": ("I3", Drawn("B2 never arrived", 0, 8, 1)),
    "web3.py as it comes": ("I1", Drawn("B1 taken, and the answer lost", 0, 6, 1), LEFT_OUT),
}


@pytest.fixture(scope="module")
def work() -> Iterator[Counting]:
    with counting() as ready:
        yield ready


@pytest.mark.parametrize("name", SCORED)
def test_a_sender__on_a_quiet_chain__carries_out_every_order_once(work: Counting, name: str) -> None:
    outcome = play(Draw(0, 1, 0, (1, 2, 9), ()), work, SCORED[name])
    assert outcome.violations == ()


@pytest.mark.parametrize("name", UNBEARABLE)
def test_a_habit__under_the_fault_it_cannot_bear__is_found_out_and_the_keeper_bears_it(
    work: Counting, name: str
) -> None:
    broken, *faults = UNBEARABLE[name]
    drawn = Draw(0, 1, 0, (1, 1, 1), tuple(faults))
    assert broken in {said[:2] for said in play(drawn, work, SCORED[name]).violations}
    assert play(drawn, work, SCORED["keeper"]).violations == ()


def test_a_table__of_outcomes__tells_in_how_many_episodes_each_went_wrong() -> None:
    good = [Outcome(n, (), (), 1.0) for n in range(3)]
    bad = Outcome(3, (), ("I1: twice", "I1: and twice", "I2: never"), None)
    told = table({"one": summed([*good, bad]), "other": summed(good)}).splitlines()
    assert told[2] == "| one | 75.0 % | 25.0 % | 25.0 % | 0.0 % | 0.0 % | 1.0 s, 1.0 s |"
    assert told[3] == "| other | 100.0 % | 0.0 % | 0.0 % | 0.0 % | 0.0 % | 1.0 s, 1.0 s |"


def test_the_table__in_the_document__is_the_command_s_own() -> None:
    head = re.search(r"^\|  \| all well \|.*\|$", SCORECARD, re.MULTILINE)
    assert head is not None
    assert all(column in head[0] for column in COLUMNS.values())
    assert [name for name in SCORED if f"\n| {name} | " not in SCORECARD] == []

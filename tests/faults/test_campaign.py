"""The campaign's short form: a few episodes of the whole keeper; and that a keeper which is no good is found out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign.crews import forgetful
from tests.faults.campaign.draws import BLOCKS, MOST_FAULTS, Draw, Drawn, draw
from tests.faults.campaign.episode import Outcome, play
from tests.faults.campaign.faults import WEIGHTS
from tests.faults.campaign.many import INVARIANTS, summed
from tests.faults.campaign.parties import WHOLE_KEEPER, Party
from tests.faults.campaign.works import Loans, loans

ROOT = Path(__file__).resolve().parents[2]
MATRIX = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def work() -> Iterator[Loans]:
    with loans() as ready:
        yield ready


def test_a_seed__drawn_again__is_the_same_episode() -> None:
    for seed in range(300):
        drawn = draw(seed, WEIGHTS)
        assert drawn == draw(seed, dict(WEIGHTS))
        names = [fault.name for fault in drawn.faults]
        assert 1 <= len(set(names)) == len(names) <= MOST_FAULTS
        assert all(0 <= fault.begin < fault.end <= BLOCKS for fault in drawn.faults)
        assert 0 <= drawn.worst < drawn.endpoints
        assert all(0 <= order < BLOCKS for order in drawn.orders)
    assert {fault.name for seed in range(300) for fault in draw(seed, WEIGHTS).faults} == set(WEIGHTS)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_fault__of_the_catalogue__is_named_after_its_row(name: str) -> None:
    assert f"\n| {name.split(maxsplit=1)[0]} | " in MATRIX


@pytest.mark.parametrize("seed", range(1000, 1003))
def test_a_keeper__under_the_faults_of_a_seed__breaks_no_invariant(work: Loans, seed: int) -> None:
    outcome = play(draw(seed, WEIGHTS), work, WHOLE_KEEPER)
    assert outcome.violations == ()
    assert outcome.recovery_s is not None


@pytest.mark.parametrize("endpoints", [1, 3])
def test_a_keeper__under_four_faults_at_once__breaks_no_invariant(work: Loans, endpoints: int) -> None:
    names = ("A1 killed as it sends", "C2 a reorganisation that loses it", "B9 the base fee leaps", "D6 lies")
    faults = tuple(Drawn(name, 1 + n, BLOCKS - n, n) for n, name in enumerate(names))
    outcome = play(Draw(0, endpoints, 0, (1, 2, 6), faults), work, WHOLE_KEEPER)
    assert (outcome.violations, outcome.faults) == ((), names)
    assert outcome.kills >= 1


def test_a_keeper__that_loses_its_journal_when_it_starts__is_found_out(work: Loans) -> None:
    worse = Party(forgetful, WHOLE_KEEPER.judge, WHOLE_KEEPER.person)
    killed = Draw(0, 1, 0, (1, 1, 1), (Drawn("A1 killed as it sends", 0, 4, 1),))
    first, again = (play(killed, work, worse) for _ in range(2))
    assert "I1" in {said[:2] for said in first.violations}
    assert {said[:2] for said in first.violations} == {said[:2] for said in again.violations}
    assert play(killed, work, WHOLE_KEEPER).violations == ()


def test_a_sum__of_outcomes__counts_episodes_that_broke_each_invariant() -> None:
    told = summed(
        [
            Outcome(7, ("B2 never arrived",), ("I1: twice", "I1: and again", "I3: a hole"), None, 2),
            Outcome(8, ("B2 never arrived", "D4 lags"), (), 1.0),
            Outcome(9, ("A4 paused",), (), 3.0, 1),
        ]
    )
    assert told["violations"] == {**dict.fromkeys(INVARIANTS, 0), "I1": 1, "I3": 1}
    assert (told["episodes"], told["faults"], told["kills"], told["seeds_failed"]) == (3, 4, 3, [7])
    assert told["recovery_s"] == {"p50": 2.0, "p95": 2.9}


def test_the_command__for_one_episode__leaves_what_it_promises(tmp_path: Path) -> None:
    out = tmp_path / "build" / "campaign.json"
    command = [sys.executable, "-m", "tests.faults.campaign", "--seed", "1003", "--episodes", "1"]
    done = subprocess.run(
        [*command, "--workers", "1", "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["episodes"] == 1
    assert told["violations"] == dict.fromkeys(INVARIANTS, 0)
    assert told["seeds_failed"] == []
    assert told["recovery_s"].keys() == {"p50", "p95"}
    assert told["faults"] == len(draw(1003, WEIGHTS).faults)

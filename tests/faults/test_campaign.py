"""The campaign's short form: a few episodes of the whole keeper; and that a keeper which is no good is found out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.faults.campaign.crews import forgetful
from tests.faults.campaign.draws import BLOCKS, MOST_FAULTS, Draw, Drawn, draw
from tests.faults.campaign.episode import Outcome, play
from tests.faults.campaign.faults import WEIGHTS
from tests.faults.campaign.many import INVARIANTS, Unplayed, play_all, summed
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


@contextmanager
def ill(folder: Path) -> Iterator[Callable[[int], Outcome]]:
    """A stage on which episode 2 errs, and 3 and 4 die or hang the first time, 4 with a process it has started."""

    def played(seed: int) -> Outcome:
        first = folder / str(seed)
        if seed == 2:
            raise ValueError("no such chain")
        if seed > 2 and not first.exists():
            first.touch()
            if seed == 3:
                os._exit(9)
            sleeper = subprocess.Popen(["sleep", "1000"])
            first.write_text(str(sleeper.pid), encoding="utf-8")
            time.sleep(1_000)
        return Outcome(seed, (), (), 1.0)

    yield played


def test_an_episode__that_errs_dies_or_hangs__is_played_once_more_and_holds_up_no_other(
    tmp_path: Path,
) -> None:
    told = list(play_all(partial(ill, tmp_path), 1, 5, workers=2, seconds=6.0))
    assert sorted(each.seed for each in told if isinstance(each, Outcome)) == [1, 3, 4, 5]
    (never,) = [each for each in told if isinstance(each, Unplayed)]
    assert never.seed == 2
    assert "no such chain" in never.why
    assert not _lives(int((tmp_path / "4").read_text(encoding="utf-8")))
    assert summed([], [never])["seeds_unplayed"] == [2]


def _lives(pid: int) -> bool:
    """Whether there is such a process, one that is dead and not yet buried being none."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip().rstrip("+<NLs") not in ("", "Z")


def test_the_command__told_to_end__leaves_what_it_has_played(tmp_path: Path) -> None:
    out = tmp_path / "campaign.json"
    command = [sys.executable, "-m", "tests.faults.campaign", "--seed", "1003", "--episodes", "500"]
    with subprocess.Popen(
        [*command, "--workers", "1", "--out", str(out)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as playing:
        give_up_at = time.monotonic() + 120
        while not out.exists() and time.monotonic() < give_up_at:
            time.sleep(0.05)
        playing.send_signal(signal.SIGTERM)
        said, _ = playing.communicate(timeout=60)
    assert playing.returncode == 2, said
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["wanted"] == 500
    assert 1 <= told["episodes"] < 500
    assert told["seeds_failed"] == told["seeds_unplayed"] == []


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
    assert told["episodes"] == told["wanted"] == 1
    assert told["violations"] == dict.fromkeys(INVARIANTS, 0)
    assert told["seeds_failed"] == []
    assert told["recovery_s"].keys() == {"p50", "p95"}
    assert told["faults"] == len(draw(1003, WEIGHTS).faults)

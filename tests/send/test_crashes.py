"""`kill -9` at each step and at any instant: no number is counted twice, no intent is left behind, no nonce is lost."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import get_args

import pytest

from keeper.devnet.anvil import Anvil
from keeper.domain.flights import Purpose, State
from keeper.journal.journal import Journal
from keeper.send.failpoints import Name
from tests.send.flights_given import COUNTER, KEEPER
from tests.send.pilot import counted, fly

CRASHED = 137
WEATHER = {"bump": "dear", "cancel": "late"}

ROOT = str(Path(__file__).resolve().parents[2])
STABLE = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def stable() -> Iterator[None]:
    """A server that has loaded the keeper once, and forks the processes to be killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", ROOT)
        STABLE.set_forkserver_preload(["pytest", "tests.send.pilot"])
        forkserver.ensure_running()
        yield


def start(anvil: Anvil, path: Path, numbers: int, weather: str, crash_at: str = "") -> BaseProcess:
    """A pilot about to take off."""
    listening, telling = STABLE.Pipe(duplex=False)
    process = STABLE.Process(target=fly, args=(anvil.url, path, numbers, weather, crash_at, telling))
    process.start()
    telling.close()
    assert listening.recv() == "ready"
    listening.close()
    return process


def run(anvil: Anvil, path: Path, numbers: int, weather: str, crash_at: str = "") -> int | None:
    process = start(anvil, path, numbers, weather, crash_at)
    process.join(200)
    process.kill()
    process.join()
    return process.exitcode


def counts(anvil: Anvil, numbers: int) -> list[int]:
    slots = [("eth_getStorageAt", [COUNTER, hex(n), "latest"]) for n in range(1, numbers + 1)]
    return [int(answer, 16) for answer in anvil.node.ask_many(slots)]


def all_is_well(anvil: Anvil, path: Path, numbers: int, ended: State) -> None:
    """Judge by the chain: every number once, or not at all if cancelled; every nonce used, once, by one intent."""
    with Journal(path) as journal:
        flights = journal.actions()
        assert journal.flights() == (), "no intent is left behind"
    flown = [flight for flight in flights if flight.state is not State.ABANDONED]
    assert [counted(flight) for flight in flown] == list(range(1, numbers + 1))
    assert {flight.state for flight in flown} == {ended}
    assert [flight.nonce for flight in flown] == list(range(numbers)), (
        "no nonce is lost, and none is used twice"
    )
    assert int(anvil.node.ask("eth_getTransactionCount", KEEPER, "latest"), 16) == numbers
    assert counts(anvil, numbers) == [int(ended is State.FINAL)] * numbers
    for flight in flown:
        assert flight.receipt is not None
        mined = anvil.node.ask("eth_getTransactionByHash", flight.receipt.hash)
        assert int(mined["nonce"], 16) == flight.nonce
        assert flight.attempt(flight.receipt.hash).purpose is (
            Purpose.ACT if ended is State.FINAL else Purpose.CANCEL
        )
    for flight in set(flights) - set(flown):
        assert flight.attempts == (), "only what was never signed is abandoned"


@pytest.mark.parametrize("step", get_args(Name))
def test_a_keeper__killed_at_a_step__goes_on_where_it_was(anvil: Anvil, tmp_path: Path, step: str) -> None:
    weather = WEATHER.get(step.split("_")[1], "calm")
    path = tmp_path / "keeper.db"
    assert run(anvil, path, 2, weather, crash_at=step) == CRASHED
    assert run(anvil, path, 2, weather, crash_at=step) == CRASHED, (
        "and again, somewhere in the second flight or the first"
    )
    assert run(anvil, path, 2, weather) == 0
    all_is_well(anvil, path, 2, State.CANCELLED if weather == "late" else State.FINAL)


def highest(path: Path) -> int:
    """The highest number ever launched: a keeper that was killed before it did anything proves nothing."""
    with Journal(path) as journal:
        return max((counted(flight) for flight in journal.actions()), default=0)


def kill_often(anvil: Anvil, path: Path, kills: int, weather: str, seed: int) -> None:
    chance = random.Random(seed)
    killed = 0
    while killed < kills or highest(path) < 3:
        process = start(anvil, path, 10_000, weather)
        time.sleep(chance.uniform(0.01, 0.4))
        process.kill()
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        killed += 1
    numbers = highest(path) + 1
    assert run(anvil, path, numbers, weather) == 0
    all_is_well(anvil, path, numbers, State.FINAL)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("weather", ["calm", "dear"])
def test_a_keeper__killed_at_any_instant_again_and_again__goes_on_where_it_was(
    anvil: Anvil, tmp_path: Path, weather: str
) -> None:
    kill_often(anvil, tmp_path / "keeper.db", 15, weather, seed=20200312)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(5))
def test_a_keeper__killed_a_thousand_times__goes_on_where_it_was(
    anvil: Anvil, tmp_path: Path, seed: int
) -> None:
    kill_often(anvil, tmp_path / "keeper.db", 200, "calm" if seed % 2 else "dear", seed)

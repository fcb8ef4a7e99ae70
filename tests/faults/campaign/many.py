"""Many episodes, several devnets at a time: each is told as soon as it is over, and none holds up the rest.

An episode is played in a process of its devnet's own. One that dies, errs or comes to no end is killed with all it
started, its episode played once more on a new devnet, and then told as one that could not be played.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from statistics import quantiles
from typing import Any

from tests.faults.campaign.draws import draw
from tests.faults.campaign.episode import Outcome, play
from tests.faults.campaign.faults import WEIGHTS
from tests.faults.campaign.parties import SCORED, WHOLE_KEEPER
from tests.faults.campaign.works import counting, loans

INVARIANTS = tuple(f"I{n}" for n in range(1, 8))
A_DEVNET_S_WORTH = 20
"""Episodes on one chain, which grows a little slower with each."""
EPISODE_SECONDS = 420.0
"""More than an episode takes whose every block is waited for in vain, on a busy machine, and its devnet's founding."""
_TRIES = 2
_GO = multiprocessing.get_context("forkserver")

Stage = Callable[[], AbstractContextManager[Callable[[int], Outcome]]]
"""A devnet, and how the episode of a seed is played on it."""


@dataclass(frozen=True)
class Unplayed:
    """An episode that nothing can be said of: not the keeper erred, but whoever played it."""

    seed: int
    why: str


@contextmanager
def on_loans() -> Iterator[Callable[[int], Outcome]]:
    """The keeper, whole, on a devnet."""
    with loans() as work:
        yield lambda seed: play(draw(seed, WEIGHTS), work, WHOLE_KEEPER)


@contextmanager
def on_the_counter(name: str) -> Iterator[Callable[[int], Outcome]]:
    """One of those who are compared, before a single endpoint: none but the keeper knows several."""
    with counting() as work:
        yield lambda seed: play(replace(draw(seed, WEIGHTS), endpoints=1, worst=0), work, SCORED[name])


def play_all(
    stage: Stage, seed: int, episodes: int, workers: int, seconds: float = EPISODE_SECONDS
) -> Generator[Outcome | Unplayed, None, None]:
    """Every episode as it is done, in whatever order; nothing that was started outlives this."""
    ahead = deque(range(seed, seed + episodes))
    tries = Counter[int]()
    lanes: list[_Lane] = []
    try:
        while ahead or lanes:
            while ahead and len(lanes) < workers:
                lanes.append(_Lane(stage, ahead.popleft(), seconds))
            wait(
                [lane.told for lane in lanes], max(0.0, min(lane.until for lane in lanes) - time.monotonic())
            )
            for lane in list(lanes):
                heard = lane.hear()
                if heard is None:
                    continue
                if isinstance(heard, Unplayed):
                    lanes.remove(lane)
                    lane.kill()
                    tries[heard.seed] += 1
                    if tries[heard.seed] < _TRIES:
                        ahead.append(heard.seed)
                        continue
                elif ahead:
                    lane.play(ahead.popleft(), seconds)
                else:
                    lanes.remove(lane)
                    lane.kill()
                yield heard
    finally:
        for lane in lanes:
            lane.kill()


class _Lane:
    """A process that plays one episode after the other; `told` is where it says how each went."""

    def __init__(self, stage: Stage, seed: int, seconds: float) -> None:
        self.told, theirs = _GO.Pipe()
        self._process = _GO.Process(target=_work, args=(stage, theirs))
        self._process.start()
        theirs.close()
        self.play(seed, seconds)

    def play(self, seed: int, seconds: float) -> None:
        self._seed, self._seconds = seed, seconds
        self.until = time.monotonic() + seconds
        with suppress(OSError):  # it died: `hear` will tell
            self.told.send(seed)

    def hear(self) -> Outcome | Unplayed | None:
        """What came of its episode; None while it is being played and may yet end."""
        if self.told.poll():
            try:
                heard: Outcome | Unplayed = self.told.recv()
                return heard
            except (EOFError, OSError):
                self._process.join(1)
                return Unplayed(self._seed, f"its process died, with {self._process.exitcode}")
        if time.monotonic() > self.until:
            return Unplayed(self._seed, f"it came to no end in {self._seconds:.0f} s")
        return None

    def kill(self) -> None:
        """End the process and whatever it started; its Anvil goes when it does."""
        self.told.close()
        if self._process.pid is not None:
            for what in (os.killpg, os.kill):  # it may not have come to lead a group yet
                with suppress(ProcessLookupError):
                    what(self._process.pid, signal.SIGKILL)
        self._process.join()


def _work(stage: Stage, orders: Connection) -> None:
    os.setsid()  # whoever kills this kills all it starts, and Ctrl-C is for the one who waits
    with suppress(EOFError):
        while True:
            with stage() as played:
                for _ in range(A_DEVNET_S_WORTH):
                    seed = orders.recv()
                    try:
                        orders.send(played(seed))
                    except Exception:  # noqa: BLE001 - whatever it was, it is told, and the next has a new devnet
                        orders.send(Unplayed(seed, traceback.format_exc()))
                        return


def summed(outcomes: Sequence[Outcome], unplayed: Sequence[Unplayed] = ()) -> dict[str, Any]:
    """What is written down of a campaign; `faults` are those that were drawn, and seconds are real ones."""
    broken = Counter(name for each in outcomes for name in {said[:2] for said in each.violations})
    drawn = Counter(name for each in outcomes for name in each.faults)
    took = sorted(each.recovery_s for each in outcomes if each.recovery_s is not None)
    cuts = quantiles(took, n=20, method="inclusive") if len(took) > 1 else took * 19 or [0.0] * 19
    return {
        "episodes": len(outcomes),
        "faults": sum(drawn.values()),
        "violations": {name: broken[name] for name in INVARIANTS},
        "recovery_s": {"p50": round(cuts[9], 2), "p95": round(cuts[18], 2)},
        "seeds_failed": sorted(each.seed for each in outcomes if each.violations),
        "seeds_unplayed": sorted(each.seed for each in unplayed),
        "kills": sum(each.kills for each in outcomes),
        "by_fault": dict(sorted(drawn.items())),
    }

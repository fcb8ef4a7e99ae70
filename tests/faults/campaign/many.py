"""Many episodes, several at a time, and what is written down of them."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
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


def on_loans(seeds: Sequence[int]) -> list[Outcome]:
    """Some episodes of the keeper one after the other, on a devnet of their own."""
    with loans() as work:
        return [play(draw(seed, WEIGHTS), work, WHOLE_KEEPER) for seed in seeds]


def on_the_counter(name: str, seeds: Sequence[int]) -> list[Outcome]:
    """The same of one of those who are compared, before a single endpoint: none but the keeper knows several."""
    with counting() as work:
        drawn = (replace(draw(seed, WEIGHTS), endpoints=1, worst=0) for seed in seeds)
        return [play(each, work, SCORED[name]) for each in drawn]


def play_all(
    some: Callable[[Sequence[int]], list[Outcome]], seed: int, episodes: int, workers: int
) -> Iterator[Outcome]:
    """Every episode as it is done, in the order of the seeds, as `some` plays a share of them."""
    every = range(seed, seed + episodes)
    share = max(1, min(A_DEVNET_S_WORTH, -(-episodes // workers)))
    shares = [every[n : n + share] for n in range(0, episodes, share)]
    if workers == 1:
        for seeds in shares:
            yield from some(seeds)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("forkserver")) as pool:
        for done in pool.map(some, shares):
            yield from done


def summed(outcomes: Sequence[Outcome]) -> dict[str, Any]:
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
        "seeds_failed": [each.seed for each in outcomes if each.violations],
        "kills": sum(each.kills for each in outcomes),
        "by_fault": dict(sorted(drawn.items())),
    }

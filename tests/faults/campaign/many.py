"""Many episodes, several at a time, and what is written down of them."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from statistics import quantiles
from typing import Any

from tests.faults.campaign.draws import draw
from tests.faults.campaign.episode import Outcome, play
from tests.faults.campaign.faults import WEIGHTS
from tests.faults.campaign.parties import WHOLE_KEEPER
from tests.faults.campaign.works import loans

INVARIANTS = tuple(f"I{n}" for n in range(1, 8))
A_DEVNET_S_WORTH = 20
"""Episodes on one chain, which grows a little slower with each."""


def play_seeds(seeds: Sequence[int]) -> list[Outcome]:
    """Some episodes one after the other, on a devnet of their own."""
    with loans() as work:
        return [play(draw(seed, WEIGHTS), work, WHOLE_KEEPER) for seed in seeds]


def play_all(seed: int, episodes: int, workers: int) -> Iterator[Outcome]:
    """Every episode as it is done, in the order of the seeds."""
    seeds = range(seed, seed + episodes)
    share = max(1, min(A_DEVNET_S_WORTH, -(-episodes // workers)))
    shares = [seeds[n : n + share] for n in range(0, episodes, share)]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("forkserver")) as pool:
        for done in pool.map(play_seeds, shares):
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

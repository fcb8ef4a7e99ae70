"""How soon the devnet stands: Anvil started, real Aave and Uniswap founded on it, the thresholds contract placed."""

from __future__ import annotations

import time
from statistics import median
from typing import Final

from bench.rows import Row
from keeper.devnet.anvil import Anvil
from keeper.devnet.founding import deploy_thresholds, deploy_world

GOAL_MS: Final = 1000.0


def devnet_ready(quick: bool) -> list[Row]:
    """Milliseconds from nothing to a world with its contract, after the interpreter's imports."""
    figures = [_once() for _ in range(2 if quick else 9)]
    return [Row("devnet_ready_ms", median(figures), "ms", GOAL_MS, {})]


def _once() -> float:
    begun = time.perf_counter()
    with Anvil() as anvil:
        deploy_thresholds(deploy_world(anvil.url))
        return (time.perf_counter() - begun) * 1e3

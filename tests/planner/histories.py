"""Random histories, seeded: bars whose extremes hold their ends, an hour long."""

from __future__ import annotations

import numpy as np

from keeper.planner.bars import History


def random_history(seed: int, bars: int = 300, hourly: float = 0.03, gap: bool = True) -> History:
    """A drifting, jumping price; by default with a gap of ten hours, and opens that miss the close before."""
    draw = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(draw.normal(0.0, hourly, bars)))
    open_ = np.concatenate(([100.0], close[:-1])) * np.exp(draw.normal(0.0, hourly / 5, bars))
    high = np.maximum(open_, close) * np.exp(np.abs(draw.normal(0.0, hourly / 2, bars)))
    low = np.minimum(open_, close) * np.exp(-np.abs(draw.normal(0.0, hourly / 2, bars)))
    time = 1_600_000_000 // 3600 * 3600 + 3600 * np.arange(bars, dtype=np.int64)
    if gap:
        time[bars // 2 :] += 36_000
    gas = draw.uniform(10.0, 200.0, bars)
    return History(f"random {seed}", 3600, time, open_, high, low, close, gas_gwei=gas)

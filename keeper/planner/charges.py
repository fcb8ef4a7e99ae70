"""What a fill is charged, as the kernels take it: plain numbers that compile."""

from __future__ import annotations

from typing import NamedTuple

from keeper.planner.compiled import compiled


class Charges(NamedTuple):
    """`fee` and `premium` are shares of the value sold and of the value borrowed; a sale of value v loses the share
    `impact_scale` · (v / 1,000,000) ^ `impact_exponent` to the depth of the pool; `attempts` is how often an action is
    paid gas for until it succeeds, 1 being never in vain; `delay` in bars; `failed` is what an attempt that finds its
    breach gone costs, as a share of an action's gas.
    """

    fee: float
    impact_scale: float
    impact_exponent: float
    premium: float
    attempts: float
    delay: int
    failed: float = 1.0


@compiled
def impact_share(value: float, scale: float, exponent: float) -> float:
    """The share of a sale of `value` that the pool's depth takes."""
    if scale == 0.0 or value <= 0.0:
        return 0.0
    return float(min(scale * (value * 1e-6) ** exponent, 1.0))

"""The judges' own functions, compiled: the same code that the keeper runs live, over numbers instead of snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from keeper.judge.basket_drift import DRIFTED, drift_code
from keeper.judge.loan_health import HIGH, LOW, health_code
from keeper.judge.range_exit import BEYOND, exit_code
from keeper.planner.compiled import compiled

loan_code: Final[Callable[..., int]] = compiled(health_code)
LOAN_LOW: Final = LOW
LOAN_HIGH: Final = HIGH

_basket_code: Final[Callable[..., int]] = compiled(drift_code)
_range_code: Final[Callable[..., int]] = compiled(exit_code)


@compiled
def has_drifted(now: int, last_acted: int, cooldown: int, distance: float, trigger: float) -> bool:
    """Whether a rule without a count or a budget is to act on a weight this far from its target."""
    return _basket_code(now, last_acted, cooldown, distance, trigger, False, False) == DRIFTED


@compiled
def has_left(now: int, last_acted: int, cooldown: int, distance: float, trigger: float) -> bool:
    """Whether a rule without a count is to act on a price this far from its range's centre, both in ln price."""
    return _range_code(now, last_acted, cooldown, distance, trigger, False) == BEYOND

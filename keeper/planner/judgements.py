"""The judge's own functions, compiled: the same code that the keeper runs live, over numbers instead of snapshots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from keeper.judge.loan_health import HIGH, LOW, health_code
from keeper.planner.compiled import compiled

loan_code: Final[Callable[..., int]] = compiled(health_code)
LOAN_LOW: Final = LOW
LOAN_HIGH: Final = HIGH

WITHIN: Final = 0
COOLING: Final = 1
BREACHED: Final = 2


@compiled
def weight_code(now: int, last_acted: int, cooldown: int, distance: float, trigger: float) -> int:
    """Whether a weight stands farther from its target than its trigger allows."""
    if distance <= trigger:
        return WITHIN
    if now < last_acted + cooldown:
        return COOLING
    return BREACHED


@compiled
def range_code(now: int, last_acted: int, cooldown: int, distance: float, trigger: float) -> int:
    """Whether a price stands farther from its range's centre than its trigger allows, both in ln price."""
    if distance <= trigger:
        return WITHIN
    if now < last_acted + cooldown:
        return COOLING
    return BREACHED

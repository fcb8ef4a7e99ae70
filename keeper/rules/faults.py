"""What may be wrong with a rule, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keeper.domain.rules import RuleKey
from keeper.domain.verdicts import Kind

MOST_STEPS: Final = 10
"""A way from trigger to destination that takes more actions than this is not gone in time."""
_OBSTACLES: Final = ("allowance", "approval", "delegation", "oracle")
"""The rooms of a reason why a rule within its band could not be acted on."""
_PASSING: Final = (
    "rule: cooling down",
    "rule: the day's count is used up",
    "rule: it has acted as often as it may in a day",
)


class Fault(StrEnum):
    """What may be wrong with a rule."""

    NEVER = "never fires"
    NOW = "fires now"
    BARRED = "cannot act"
    LOOP = "loops"
    CONTRADICTION = "contradicts"
    UNREACHABLE = "unreachable target"
    SLIPPAGE = "slippage too tight"
    BUDGET = "budget too small"
    DRIFT = "floor inside the interest drift"
    BUFFER = "buffer beyond cutoff"
    WIDTH = "width under tick spacing"
    BAND = "band wider than weight"


@dataclass(frozen=True, slots=True)
class Lint:
    """One fault: which rules it is about, and a sentence with the numbers."""

    keys: tuple[RuleKey, ...]
    fault: Fault
    why: str


def obstacle(kind: Kind, why: str) -> str:
    """What its contract says is in the way of a rule; empty when it is nothing, or passes by itself."""
    if kind is Kind.BREACHED or why in _PASSING:
        return ""
    is_in_the_way = kind is not Kind.WITHIN or why.partition(":")[0] in _OBSTACLES
    return f"its contract says {why}" if is_in_the_way else ""

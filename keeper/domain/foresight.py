"""What is foreseen of a position near its trigger: when it may get there, and what would stop the action then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from keeper.domain.rules import RuleKey
from keeper.domain.verdicts import Measure

GAS_CAP: Final = "gas: the price is above the rule's cap"
"""What a contract says of it; a node may ask it at a price of 0, and then it says nothing."""


class Cause(StrEnum):
    """Whose move it is: what has to change before the action can be taken."""

    GRANT = "grant"
    """The owner's: an allowance, an approval or credit is missing or too small."""
    POOL = "pool"
    """Too thin for the step within the rule's slippage."""
    PROTOCOL = "protocol"
    """Aave's caps and flags, and what it has left to withdraw or lend."""
    PRICE = "price"
    """A feed that is silent, or about to be too old."""
    MEMORY = "memory"
    """A pool that may not remember the rule's window."""
    GAS_PRICE = "gas_price"
    """Gas is dearer than the rule, or the operator, lets it be."""
    GAS_MONEY = "gas_money"
    """The operator's: the sender cannot pay for the actions that may come."""
    EXPIRY = "expiry"
    """The rule ends before it is likely to be breached."""
    REST = "rest"
    """The rule's cooldown, count or loss budget is still used up."""
    POSITION = "position"
    """The rule and its position do not fit: whatever else the contract says."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Positions are within reach of a trigger if one in twenty gets there in `seconds`.

    `sigma` is the volatility of what they measure, a year, where nothing says better: 0.8 is 80 %.
    """

    seconds: int
    sigma: float


@dataclass(frozen=True, slots=True)
class Reach:
    """Seconds until a trigger: `early` is met or undercut one time in twenty, `median` one time in two."""

    early: int
    median: int


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What would stop an action, and in which words: the contract's own where it has any."""

    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class Foresight:
    """A rule within reach of its trigger, the likeliest time until then, and every obstacle found; none is good."""

    key: RuleKey
    measure: Measure
    reach: Reach
    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Everything within reach at one block, the soonest first; `untold` is why a contract could not be asked."""

    block: int
    foresights: tuple[Foresight, ...]
    untold: tuple[str, ...] = ()


def each_once(obstacles: Sequence[Obstacle]) -> tuple[Obstacle, ...]:
    """The first of each cause."""
    first: dict[Cause, Obstacle] = {}
    for obstacle in obstacles:
        first.setdefault(obstacle.cause, obstacle)
    return tuple(first.values())

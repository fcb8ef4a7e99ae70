"""A range of concentrated liquidity, the rule its owner wrote for it, and what the keeper sees of both at one block.

Ticks are the pool's own, one of which is a basis point of price; prices are square roots in Q64.96, and worth is told
in 2**-64 units of token1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, Address
from keeper.domain.verdicts import Measure

WHOLE: Final = 10**8
"""The scale of losses and budgets: hundred-millionths of what was at stake."""
WHOLE_PER_BPS: Final = WHOLE // BPS
UNBOUNDED_LOW: Final = -887272
UNBOUNDED_HIGH: Final = 887272
"""The cutoffs of a rule that has none."""
_DAY: Final = 86_400
_URGENT: Final = 4


class Action(IntEnum):
    """What a rule may ask for, numbered as the contract numbers it."""

    NOTHING = 0
    RECENTRE = 1
    EXIT = 2
    COMPOUND = 3


class Leaving(IntEnum):
    """What an owner wants in hand after an exit."""

    AS_IT_LIES = 0
    ALL_IN_TOKEN0 = 1
    ALL_IN_TOKEN1 = 2


class Direction(IntEnum):
    """Which way a range follows the price."""

    BOTH = 0
    UP_ONLY = 1
    DOWN_ONLY = 2


class Placement(IntEnum):
    """Where a new range stands: around the price, swapping to the ratio, or beside it, swapping nothing."""

    AROUND = 0
    BESIDE = 1


@dataclass(frozen=True, slots=True)
class RangeRule:
    """An owner's on-chain threshold for one position, field by field as contracts/interfaces/IRangeThresholds.vyi."""

    token_id: int
    below: int
    above: int
    buffer: int
    cutoff_low: int
    cutoff_high: int
    exit_low: Leaving
    exit_high: Leaving
    direction: Direction
    placement: Placement
    hold: int
    deviation: int
    slippage_bps: int
    placed_bps: int
    compound_at: int
    cooldown: int
    expiry: int
    daily: int
    budget_bps: int
    refill: int
    keeper: Address

    def leaving(self, case: Case) -> Leaving:
        """What the owner wants beyond the cutoff of a case."""
        return self.exit_low if case.from_below else self.exit_high


@dataclass(frozen=True, slots=True)
class Past:
    """What a rule has done: unix seconds, the number of the day (UTC) and of actions in it, and what it has lost."""

    last_acted: int
    today: int
    acted_today: int
    spent: int

    def acted_on_the_day_of(self, now: int) -> int:
        """How often, on the day that `now` lies in."""
        return self.acted_today if self.today == now // _DAY else 0

    def budget_left_down(self, rule: RangeRule, now: int) -> int:
        """What may still be lost, in hundred-millionths of the position."""
        budget = rule.budget_bps * WHOLE_PER_BPS
        refilled = budget * (now - self.last_acted) // rule.refill
        return budget - min(budget, max(self.spent - refilled, 0))


@dataclass(frozen=True, slots=True)
class Edges:
    """The ticks between which liquidity stands, the upper excluded."""

    lower: int
    upper: int

    def hold_tick(self, tick: int) -> bool:
        """Whether a price at the tick trades against the liquidity."""
        return self.lower <= tick < self.upper


@dataclass(frozen=True, slots=True)
class Range:
    """One position as the manager and the pool have it; `fees` are those a collection would bring now."""

    holder: Address
    token0: Address
    token1: Address
    fee: int
    edges: Edges
    liquidity: int
    fees: tuple[int, int]
    approved: bool


@dataclass(frozen=True, slots=True)
class RangeMarket:
    """A pool's price, its mean over the rule's hold (None when it remembers less), and the liquidity in range."""

    pool: Address
    price: int
    tick: int
    mean: int | None
    spacing: int
    liquidity: int


@dataclass(frozen=True, slots=True)
class RangeSight:
    """One rule and its position at one block; None where there is no rule, no position, or no pool."""

    key: RuleKey
    rule: RangeRule | None
    past: Past
    range: Range | None
    market: RangeMarket | None
    fees_worth: int


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule says of a price and its mean: ticks beyond the nearest of what it acts on, positive in breach.

    `cutoff` are the ticks beyond the nearer cutoff, `from_below` says that what is nearest lies below the price's old
    place, `leaves` that it is a cutoff.
    """

    measure: int
    cutoff: int
    from_below: bool
    leaves: bool

    def urgent(self, allowed: int) -> int:
        """What an exit may use of a guard: the owner's number, and one more for each tick beyond the cutoff."""
        return min(allowed + max(self.cutoff, 0), _URGENT * allowed)


def tick_measure(ticks: int | None) -> Measure:
    """Ticks beyond the trigger as the measure of a range."""
    return Measure("ticks", ticks, 0)

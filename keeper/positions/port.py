"""What the turn asks of every kind of position, so that it need not know what it holds.

A kind is one file beside this one, with a class that is `Positions`; its name there is its name in keeper.toml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from keeper.domain.blocks import Block
from keeper.domain.flights import Receipt
from keeper.domain.foresight import Foresight, Horizon
from keeper.domain.plans import Call, Move, Plan, Stake
from keeper.domain.quotes import Quote
from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, Address, mul_div_down, mul_div_up
from keeper.domain.verdicts import Kind, Measure, Verdict

UNHURRIED: Final = 2**128
"""A nearness that comes after every position which can be liquidated."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """What the operator does not take for granted: prices older than `max_price_age` seconds, and that nothing moves.

    `drift_bps` is how far an amount may drift between the block decided on and the one that holds the action.
    """

    max_price_age: int
    drift_bps: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A sized plan and the exact call that carries it out; `outcome` reads what that call returned.

    `otherwise` drafts with more questions, for when the rehearsal fails or `outcome` says `Unsafe` of a quick draft.
    Without a `stake` nobody can say what it is worth. `most_gas_price`, in wei, is what the rule lets a unit of
    gas cost now, where it says so.
    """

    plan: Plan
    call: Call
    outcome: Callable[[bytes], tuple[tuple[Move, ...], Measure]]
    otherwise: Callable[[], Draft] | None = None
    stake: Stake | None = None
    most_gas_price: int | None = None


class Breach(Protocol):
    """A rule that asks to be acted on at one block."""

    @property
    def verdict(self) -> Verdict:
        """The breached verdict."""

    @property
    def keeper(self) -> Address:
        """Who the rule lets act; `NOBODY` for anyone."""

    @property
    def nearness(self) -> int:
        """Where it stands in the queue, the nearest to harm being the lowest."""

    def draft(self, deadline: int) -> Draft:
        """What to do, to be included by `deadline` in unix seconds; `Refused` with the reason when there is nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Every verdict of one contract at a block, and those breached.

    The verdicts may first be made when they are read, to be written down; what is to be acted on does not wait for it.
    `said` is what the kind found wrong with its own view, and mended.
    """

    verdicts: Sequence[Verdict]
    breaches: tuple[Breach, ...]
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Marks:
    """Where a band lies on the scale of its measure, in the measure's own units; None where it has no such mark."""

    low: int | None
    target: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """One rule as it stands now: the verdict with the contract's last word, its band and fields, what it would move.

    `marks` is the band as numbers, to be drawn; None where the measure has no one scale to draw it on. `told` is how
    a person reads those fields that are addresses of tokens or amounts in their smallest units.
    """

    verdict: Verdict
    band: str
    rule: Mapping[str, str | int]
    moves: tuple[Move, ...]
    marks: Marks | None = None
    told: Mapping[str, str] = field(default_factory=dict)


def gas_price_down(cap: int, urgency: int) -> int | None:
    """What a rule with this cap lets a unit of gas cost, in wei; None where nothing bounds it.

    The cap yields to urgency, in basis points; of what it yields a sixteenth is left, for urgency may fall a little
    before the action is included.
    """
    if cap == 0 or urgency >= BPS:
        return None
    yielded = mul_div_down(cap, BPS, BPS - urgency) - cap
    return cap + yielded - mul_div_up(yielded, 1, 16)


def beyond(key: RuleKey, unmeasured: Measure) -> Verdict:
    """The verdict on an owner's first rule that is not held, which stands for every one after it."""
    why = f"rule: only the first {key.id} of an owner are held, not this or any after it"
    return Verdict(key, Kind.BARRED, why, unmeasured)


class Positions(Protocol):
    """The rules in one thresholds contract, and the positions they are about."""

    def observe(self, block: Block) -> Seen:
        """Judge every rule at `block`; `Blind` when the contract as a whole could not be read."""

    def look(self, block: Block) -> tuple[Look, ...]:
        """Every rule for a person to see, the contract asked about each."""

    def lost_bps_up(self, key: RuleKey, receipt: Receipt, before: Block, at: Block) -> int | None:
        """What share of its worth a position lost in the block `at` of an action, whose parent is `before`.

        In basis points; None where it cannot be told, and the market's own move of that block counted in.
        """

    def quotes(self, keys: Sequence[RuleKey], block: Block, seconds: int) -> tuple[Quote, ...]:
        """The prices that these rules go by beside those of the pools they would trade in; none where no feed is."""

    def foresee(self, block: Block, horizon: Horizon) -> tuple[Foresight, ...]:
        """Those within their bands and within reach of a trigger, the soonest first, and what would stop the action."""


def share_lost_up(before: int, after: int) -> int | None:
    """What share of a worth is gone, in basis points; None where there was none to lose."""
    if before <= 0:
        return None
    return max(mul_div_up(before - after, BPS, before), 0)

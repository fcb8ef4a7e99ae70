"""What to bid for a transaction, and what to bid so that it replaces an earlier one, in integers.

Source: geth `core/txpool/legacypool/list.go` refuses a replacement unless fee cap and tip both rise, each by at least
10 %; reth refuses exactly 10 % (paradigmxyz/reth#13160). Hence an eighth, rounded up, on both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keeper.domain.errors import Misconfigured, Unsafe
from keeper.domain.flights import Fees
from keeper.domain.plans import Intent
from keeper.domain.units import GWEI, Address, mul_div_down, mul_div_up

BUMP = (9, 8)
"""A replacement's bid over the bid it replaces."""


@dataclass(frozen=True, slots=True)
class Discretion:
    """The relays an action is given to first, by name, and when it is given to the public pool after all.

    That is `public_after_blocks` later, 0 being never, or when it is as pressing as `public_urgency`, 3 being never.
    """

    relays: tuple[str, ...] = ()
    public_after_blocks: int = 0
    public_urgency: int = 2


@dataclass(frozen=True, slots=True)
class SendLimits:
    """The operator's bounds on sending.

    No bid exceeds `max_fee_wei` per unit of gas; actions stop an eighth short of it, so that one which is stuck there
    can still be cancelled. `tip_wei` is the first bid's tip. A transaction not mined `stuck_blocks` after it was sent
    is replaced by a higher bid, and sooner and with more tip as less is left of the `deadline_seconds` it was given.
    `final_depth` stands in for finality where a node knows no `finalized` block. An action for a contract named in
    `worth_wei` bids no more than leaves its gas within that sum, nor than within what the intent says it is worth.
    """

    max_fee_wei: int
    tip_wei: int
    stuck_blocks: int = 3
    final_depth: int = 64
    deadline_seconds: int = 300
    worth_wei: Mapping[Address, int] = field(default_factory=dict)
    discretion: Discretion = Discretion()

    def __post_init__(self) -> None:
        if not 0 <= self.tip_wei <= self.action_fee_wei:
            raise Misconfigured(
                f"send: a tip of {gwei_text(self.tip_wei)} gwei does not fit under the fee ceiling of "
                f"{gwei_text(self.max_fee_wei)} gwei, of which an eighth is kept for cancelling"
            )
        if self.stuck_blocks < 1 or self.final_depth < 1:
            raise Misconfigured(
                f"send: stuck_blocks ({self.stuck_blocks}) and final_depth ({self.final_depth}) must be at least 1"
            )

    @property
    def action_fee_wei(self) -> int:
        """The most an action may bid: its replacement still fits under `max_fee_wei`."""
        return mul_div_down(self.max_fee_wei, BUMP[1], BUMP[0])

    def ceiling(self, intent: Intent) -> int:
        """The most this action may bid: neither more than any, nor than it is worth, should it use all its gas."""
        worths = (self.worth_wei.get(intent.plan.key.thresholds), intent.worth.wei if intent.worth else None)
        bids = (mul_div_down(worth, 1, intent.gas_limit) for worth in worths if worth is not None)
        return min([self.action_fee_wei, *bids])


def first_fees(base_fee: int, limits: SendLimits, ceiling: int, why: str = "") -> Fees:
    """A bid that five full blocks in a row do not outgrow; `Unsafe` when the base fee is above `ceiling` already."""
    if base_fee > ceiling:
        raise Unsafe(
            f"send: the base fee of {gwei_text(base_fee)} gwei is above the {gwei_text(ceiling)} gwei an action may bid"
            f"{f': {why}' if why else ''}"
        )
    max_fee = min(market_fee(base_fee, limits.tip_wei), ceiling)
    return Fees(max_fee, min(limits.tip_wei, max_fee))


def replacement_fees(old: Fees, base_fee: int, tip: int, ceiling: int) -> Fees | None:
    """The bid that replaces `old` on every client and meets the market; None when `ceiling` leaves no room for one."""
    floor = raised(old.max_fee)
    if floor > ceiling:
        return None
    max_fee = min(max(floor, market_fee(base_fee, tip)), ceiling)
    return Fees(max_fee, min(max(raised(old.tip), tip), max_fee))


def urgency(left: int, limits: SendLimits) -> int:
    """How pressing an action is with `left` seconds to its deadline: 1 in the second half, 2 in the last quarter, or 0.

    With none left the next block comes too late, and nothing is pressing any more.
    """
    if left <= 0:
        return 0
    return (2 * left < limits.deadline_seconds) + (4 * left < limits.deadline_seconds)


def patience(pressing: int, limits: SendLimits) -> int:
    """After how many blocks an action of this urgency is replaced: half as many with each step, and at least one."""
    return max(limits.stuck_blocks >> pressing, 1)


def market_fee(base_fee: int, tip: int) -> int:
    """Twice the base fee, and the tip: a full block raises the base fee by an eighth, five in a row by four fifths."""
    return 2 * base_fee + tip


def raised(bid: int) -> int:
    """The least bid that replaces `bid`, which must rise even from nothing."""
    return max(mul_div_up(bid, *BUMP), bid + 1)


def gwei_text(wei: int) -> str:
    """A fee for people: gwei, to the third decimal, rounded down."""
    whole, rest = divmod(wei, GWEI)
    return f"{whole}.{rest // 10**6:03d}".rstrip("0").rstrip(".")

"""What stands in the way of an action that is not due yet, of what no `check` tells, and whose move it is of what does.

All of it pure. What the contract itself would say is asked of the contract (`keeper/chain/as_if.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from keeper.domain.foresight import GAS_CAP, Cause, Obstacle, Reach
from keeper.domain.texts import date_text, span_text

_ROOMS: Final = {
    "allowance": Cause.GRANT,
    "approval": Cause.GRANT,
    "delegation": Cause.GRANT,
    "pool": Cause.POOL,
    "aave": Cause.PROTOCOL,
    "oracle": Cause.PRICE,
    "gas": Cause.GAS_PRICE,
}
_REASONS: Final = {
    "rule: cooling down": Cause.REST,
    "rule: it has acted as often as it may in a day": Cause.REST,
    "rule: the day's count is used up": Cause.REST,
    "rule: the loss budget is spent": Cause.REST,
    "rule: the loss is above what is left of the budget": Cause.REST,
    "rule: expired": Cause.EXPIRY,
    "pool: it remembers less than the hold": Cause.MEMORY,
    "loan: the value lost is above the rule's slippage": Cause.POOL,
    "range: the value lost is above the rule's slippage": Cause.POOL,
    "range: less is placed than the rule's share": Cause.POOL,
    "basket: the value lost is above the rule's slippage": Cause.POOL,
    "rule: the sale and its bounty would cost more than the slippage": Cause.POOL,
}
"""The contracts' own words, where their room alone does not tell."""
_NEARLY: Final = (49, 50)
"""Of an allowed age. Feeds that speak once a day are allowed 25 hours, and are no news at 24."""


def obstacle(why: str) -> Obstacle:
    """A reason `room: sentence` with its cause."""
    cause = _REASONS.get(why) or _ROOMS.get(why.partition(":")[0], Cause.POSITION)
    return Obstacle(cause, why)


def by_expiry(expiry: int, reach: Reach, now: int) -> Iterator[Obstacle]:
    """A rule that ends before the breach is likely; all in unix seconds."""
    if expiry < now + reach.median:
        yield Obstacle(
            Cause.EXPIRY, f"rule: it expires at {date_text(expiry)}, in {span_text(max(expiry - now, 0))}"
        )


def by_cooldown(last_acted: int, cooldown: int, reach: Reach, now: int) -> Iterator[Obstacle]:
    """A rule that may be breached while it still rests."""
    over = last_acted + cooldown
    if last_acted and now + reach.early < over:
        yield Obstacle(Cause.REST, f"rule: cooling down for another {span_text(over - now)}")


def by_gas_cap(cap: int, base_fee: int) -> Iterator[Obstacle]:
    """A cap in wei, of a breach that is not urgent yet, below the fee that a block takes; 0 is none."""
    if 0 < cap < base_fee:
        yield Obstacle(Cause.GAS_PRICE, GAS_CAP)


def by_price_age(age: int | None, limit: int) -> Iterator[Obstacle]:
    """A price about to be too old to be believed, in seconds; None for a feed that tells no time."""
    part, whole = _NEARLY
    if age is not None and age * whole >= limit * part:
        yield Obstacle(
            Cause.PRICE, f"oracle: a price is {age} s old, and none is believed that is over {limit} s"
        )


def by_memory(observations: int, seconds_a_block: int, hold: int) -> Iterator[Obstacle]:
    """A pool that would forget the hold, were it traded in with every block until the breach."""
    kept = (observations - 1) * seconds_a_block
    if kept < hold:
        yield Obstacle(
            Cause.MEMORY,
            f"pool: traded in every block it remembers {max(kept, 0)} s, and the hold is {hold} s",
        )


def by_gas_money(balance: int, cost: int, actions: int) -> Iterator[Obstacle]:
    """A sender who cannot pay, in wei, for as many actions as may come until this one is over."""
    if balance < cost * actions:
        yield Obstacle(
            Cause.GAS_MONEY,
            f"gas: the sender can pay for {balance // cost if cost else actions} of the {actions} actions up to this",
        )

"""A basket, the rule its owner wrote for it, and how far from that it has drifted.

    drift    distance of an asset's value from its target's share of the whole
    room     the drift its rule allows on that side
    aim      the drift at which a drifted asset should land
    slack    how far from the aim, or past the target, it may land
    measure  drift in basis points of room, rounded up, so that above 10,000 is just what is drifted

Values are dollars in WAD.
Source: contracts/weights.vy, mirrored rounding by rounding (`tests/size` holds the two equal).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, WAD, Address, mul_div_down, mul_div_up
from keeper.domain.verdicts import Measure
from keeper.domain.volatility import move_down

TOLERANCE_BPS: Final = 500
LEAST_WORTH: Final = WAD
MOST_MEASURE: Final = 2**128
_WIDTH: Final = 10**8


@dataclass(frozen=True, slots=True)
class BasketAsset:
    """One asset of a rule: its feed in dollars, believed for `max_age` seconds and within bounds of 8 decimals."""

    token: Address
    feed: Address
    max_age: int
    low: int
    high: int
    target_bps: int
    band_bps: int
    widest_bps: int


@dataclass(frozen=True, slots=True)
class BasketLimits:
    """Who may act, how often and at what cost; money in dollars of 8 decimals, `gas_cap` in wei, times in seconds."""

    keeper: Address
    expiry: int
    cooldown: int
    daily: int
    slippage_bps: int
    slippage_urgent_bps: int
    gas_cap: int
    public_bps: int
    bounty_bps: int
    bounty_cap: int
    budget: int
    window: int


@dataclass(frozen=True, slots=True)
class BasketRule:
    """An owner's on-chain threshold for the tokens in their account; `max_step` in whole dollars."""

    assets: tuple[BasketAsset, ...]
    relative: bool
    destination_bps: int
    cap_bps: int
    max_step: int
    spot_bps: int
    full_bps: int
    sigmas_bps: int
    horizon: int
    limits: BasketLimits


@dataclass(frozen=True, slots=True)
class BasketState:
    """When a rule last acted, what of its budget was spent then, and how often it acted in that UTC day."""

    last_acted: int
    spent: int
    count: int


@dataclass(frozen=True, slots=True)
class Line:
    """One asset as read, and what follows for it from all of them together; `width` in hundred-millionths."""

    token: Address
    price: int
    unit: int
    target_bps: int
    width: int
    balance: int
    value: int = 0
    over: bool = False
    drift: int = 0
    room: int = 0
    aim: int = 0
    slack: int = 0


@dataclass(frozen=True, slots=True)
class BasketSight:
    """One rule and its basket at one block; `lines` are empty and `blind` says why when it could not be valued.

    `price_age` is that of the oldest price, in seconds.
    """

    key: RuleKey
    rule: BasketRule | None
    state: BasketState
    lines: tuple[Line, ...]
    blind: str
    price_age: int


def drift_measure(measure_bps: int | None) -> Measure:
    """The largest drift in its own room: above 1 the rule is breached."""
    return Measure("drift", measure_bps, 4)


def width(asset: BasketAsset, rule: BasketRule, sigma: int) -> int:
    """An asset's band in hundred-millionths of the whole; `sigma` in WAD a year, 0 where it is not known."""
    band = asset.band_bps
    if rule.sigmas_bps:
        band = asset.widest_bps
        if sigma:
            move = move_down(rule.sigmas_bps, sigma, rule.horizon)
            band = min(max(move // (WAD // BPS), asset.band_bps), asset.widest_bps)
    return band * (asset.target_bps if rule.relative else BPS)


def weighed(lines: Sequence[Line], cap_bps: int, destination_bps: int) -> tuple[Line, ...]:
    """The lines with what follows from their balances."""
    total = sum(mul_div_down(line.balance, line.price, line.unit) for line in lines)
    return tuple(_weighed(line, total, cap_bps, destination_bps) for line in lines)


def _weighed(line: Line, total: int, cap_bps: int, destination_bps: int) -> Line:
    value = mul_div_down(line.balance, line.price, line.unit)
    target = mul_div_down(total, line.target_bps, BPS)
    over = value > target
    share = min(line.width, (cap_bps - line.target_bps) * BPS) if over else line.width
    room = mul_div_down(total, share, _WIDTH)
    return Line(
        token=line.token,
        price=line.price,
        unit=line.unit,
        target_bps=line.target_bps,
        width=line.width,
        balance=line.balance,
        value=value,
        over=over,
        drift=abs(value - target),
        room=room,
        aim=mul_div_down(room, min(destination_bps, BPS - 2 * TOLERANCE_BPS), BPS),
        slack=mul_div_down(room, TOLERANCE_BPS, BPS),
    )


def worth(lines: Sequence[Line]) -> int:
    """Of the whole basket."""
    return sum(line.value for line in lines)


def measure_up(lines: Sequence[Line]) -> int:
    """Of the worst line, in basis points of its room; 0 for a basket worth less than a dollar."""
    if worth(lines) < LEAST_WORTH:
        return 0
    return min(max(mul_div_up(line.drift, BPS, line.room) for line in lines), MOST_MEASURE)


def urgency_down(measure: int, full_bps: int) -> int:
    """How deep a breach is, in basis points: 0 at the trigger, 10,000 at `full_bps`."""
    return min((measure - BPS) * BPS // (full_bps - BPS), BPS) if measure > BPS else 0


def spent_up(limits: BasketLimits, state: BasketState, now: int) -> int:
    """What of the loss budget is still spent."""
    elapsed = now - state.last_acted
    if elapsed >= limits.window:
        return 0
    return max(state.spent - mul_div_down(limits.budget, elapsed, limits.window), 0)

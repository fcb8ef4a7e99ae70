"""Which trades bring a drifted basket back to where its rule says.

What one side drifted more than the other goes to, or comes from, assets that did not drift, up to their targets. Flows
above and below are paired in the order of the rule's assets, and each pair goes to the pool that gives most.

Source: contracts/weights.vy and reweigh.vy, mirrored rounding by rounding (`tests/size` holds the two equal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.baskets import BasketRule, Line
from keeper.domain.units import BPS, WAD, Address, mul_div_down
from keeper.protocols.liquidity import Venue, sell

_MOST_TRADES: Final = 7
_CRUMB: Final = 10_000
_Q96: Final = 2**96
_COARSEST: Final = 10**6
_WIDEST: Final = 2**240


@dataclass(frozen=True, slots=True)
class Trade:
    """One swap, exact in; `out` is what the liquidity in range gives."""

    sell: Address
    buy: Address
    fee: int
    amount_in: int
    out: int


Venues = Mapping[frozenset[Address], Sequence[Venue]]


def reweigh(rule: BasketRule, lines: Sequence[Line], venues: Venues) -> tuple[Trade, ...] | None:
    """The trades, none when nothing is worth one; None when a pair that must trade has no fair pool in range."""
    left = flows_down(lines, rule.max_step * WAD)
    crumb = 1 + sum(flow // _CRUMB for line, flow in zip(lines, left, strict=True) if line.over)
    trades: list[Trade] = []
    for _ in range(_MOST_TRADES):
        sold = _next(lines, left, True, crumb)
        bought = _next(lines, left, False, crumb)
        if sold is None or bought is None:
            break
        value = min(left[sold], left[bought])
        left[sold] -= value
        left[bought] -= value
        trade = _best(lines[sold], lines[bought], value, venues, rule.spot_bps)
        if trade is None:
            return None
        trades.append(trade)
    return tuple(trades)


def flows_down(lines: Sequence[Line], max_step: int) -> list[int]:
    """What is to be sold of each line above its target, or bought of each below, in value; as much of both."""
    flows = [line.drift - line.aim if line.drift > line.room else 0 for line in lines]
    above = sum(flow for line, flow in zip(lines, flows, strict=True) if line.over)
    below = sum(flows) - above
    _fill(lines, flows, above <= below, abs(above - below))
    whole = max(above, below)
    return flows if whole <= max_step else [mul_div_down(flow, max_step, whole) for flow in flows]


def _fill(lines: Sequence[Line], flows: list[int], over: bool, missing: int) -> None:
    """Spread what is missing on one side over it, most to whoever is furthest from its target."""
    for _ in lines:
        side = [at for at, line in enumerate(lines) if line.over == over]
        if not missing or not side:
            return
        best = max(side, key=lambda at: (lines[at].drift - flows[at], -at))
        taken = min(lines[best].drift - flows[best], missing)
        flows[best] += taken
        missing -= taken


def _next(lines: Sequence[Line], left: Sequence[int], over: bool, crumb: int) -> int | None:
    found = (at for at, line in enumerate(lines) if line.over == over and left[at] > crumb)
    return next(found, None)


def _best(sold: Line, bought: Line, value: int, venues: Venues, spot_bps: int) -> Trade | None:
    amount_in = mul_div_down(value, sold.unit, sold.price)
    best: Trade | None = None
    for venue in venues.get(frozenset((sold.token, bought.token)), ()):
        out, after = sell(sells_token0(sold.token, bought.token), amount_in, venue) or (0, 0)
        if out <= (best.out if best else 0):
            continue
        if agrees(venue.price, sold, bought, spot_bps) and agrees(after, sold, bought, spot_bps):
            best = Trade(sold.token, bought.token, venue.fee, amount_in, out)
    return best


def sells_token0(sell: Address, buy: Address) -> bool:
    """Whether the token sold is the first of its pool with the other."""
    return int(sell, 16) < int(buy, 16)


def agrees(sqrt_price: int, one: Line, other: Line, bps: int) -> bool:
    """Whether a pool of two assets prices them as their feeds do, to within `bps`."""
    low, high = (one, other) if sells_token0(one.token, other.token) else (other, one)
    fair = mul_div_down(low.price * high.unit, _Q96, high.price * low.unit)
    if not _COARSEST <= fair < _WIDEST:
        return False
    spot = mul_div_down(sqrt_price, sqrt_price, _Q96)
    return fair * (BPS - bps) <= spot * BPS <= fair * (BPS + bps)


def balances_after(lines: Sequence[Line], trades: Sequence[Trade]) -> dict[Address, int]:
    """What is held of each token once all trades are done."""
    held = {line.token: line.balance for line in lines}
    for trade in trades:
        held[trade.sell] -= trade.amount_in
        held[trade.buy] += trade.out
    return held

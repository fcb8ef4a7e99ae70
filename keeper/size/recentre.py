"""Where a range goes, what to swap for it, and what would be lost: for recentring, leaving and compounding alike.

What the new range takes of each token depends on the price after the swap, and that on the swap; selling more of what
is in excess always brings the two closer, so the amount is found by halving.

Source: contracts/recentre.vy, contracts/RangeCheck.vy and contracts/range_bars.vy, mirrored rounding by rounding
(`tests/size` holds the two equal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keeper.domain.ranges import (
    WHOLE,
    WHOLE_PER_BPS,
    Action,
    Case,
    Edges,
    Leaving,
    Past,
    Placement,
    Range,
    RangeMarket,
    RangeRule,
)
from keeper.domain.units import BPS, mul_div_down, mul_div_up
from keeper.protocols.liquidity import Venue, for_amounts_down, held_down, sell, taken_up, worth_down
from keeper.protocols.ticks import MAX_TICK, MIN_TICK, sqrt_price_at, tick_down, tick_up

_ROUNDS: Final = 40
_Q96: Final = 2**96


@dataclass(frozen=True, slots=True)
class Step:
    """One swap in the position's own pool, and the price after it (None: the pool cannot carry it)."""

    sells_token0: bool
    amount: int
    bought: int
    price: int | None


@dataclass(frozen=True, slots=True)
class Prospect:
    """What acting would come to: the range to be (None after an exit), the swap, the loss in hundred-millionths.

    `bar` is why the contract would refuse it, empty if nothing speaks against it.
    """

    edges: Edges | None
    step: Step
    lost: int
    bar: str


def half_widths(rule: RangeRule) -> tuple[int, int]:
    """How far the new range reaches to either side of the mean; the one place that knows what widths depend on."""
    return rule.below, rule.above


def new_edges(rule: RangeRule, case: Case, market: RangeMarket) -> Edges:
    """Where the range goes, by the rule and the mean alone."""
    assert market.mean is not None
    below, above = half_widths(rule)
    spacing = market.spacing
    if rule.placement is Placement.AROUND:
        return Edges(
            tick_down(max(market.mean - below, MIN_TICK), spacing),
            tick_up(min(market.mean + above, MAX_TICK), spacing),
        )
    width = tick_up(min(below + above, MAX_TICK), spacing)
    if case.from_below:
        lower = tick_up(max(market.tick, market.mean) + 1, spacing)
        return Edges(lower, tick_up(min(lower + width, MAX_TICK), spacing))
    upper = tick_down(min(market.tick, market.mean), spacing)
    return Edges(tick_down(max(upper - width, MIN_TICK), spacing), upper)


def stands(rule: RangeRule, case: Case, market: RangeMarket, old: Edges, new: Edges) -> bool:
    """Whether the new range is one: not the old one again, not empty, and not in breach where it is."""
    assert market.mean is not None
    if new.lower >= new.upper or new == old:
        return False
    if rule.placement is Placement.AROUND:
        return True
    if case.from_below:
        return new.lower - rule.buffer - min(market.tick, market.mean) <= 0
    return max(market.tick, market.mean) - new.upper - rule.buffer + 1 <= 0


def prospect(
    rule: RangeRule,
    past: Past,
    held: Range,
    market: RangeMarket,
    case: Case,
    action: Action,
    now: int,
    elsewhere: Venue | None = None,
) -> Prospect | None:
    """What `action` would come to at the block whose time is `now`; None when there is no range to go to.

    The swap is reckoned with the liquidity in range, unless another venue is given.
    """
    assert market.mean is not None
    mean, amounts = sqrt_price_at(market.mean), held.fees
    liquidity = market.liquidity
    if action is not Action.COMPOUND:
        inside = _edge_prices(held.edges)
        out0, out1 = held_down(held.liquidity, market.price, *inside)
        amounts = (out0 + held.fees[0], out1 + held.fees[1])
        if held.edges.hold_tick(market.tick):
            liquidity -= held.liquidity
    venue = elsewhere or Venue(market.price, liquidity, held.fee)
    before = worth_down(*amounts, mean)
    if action is Action.EXIT:
        return _exit(rule, amounts, before, case, market, venue, mean)

    edges = held.edges if action is Action.COMPOUND else new_edges(rule, case, market)
    if edges.lower >= edges.upper:
        return None
    prices = _edge_prices(edges)
    if action is Action.RECENTRE and rule.placement is Placement.BESIDE:
        step = selling(False, 0, venue)
    else:
        step = swap_to_ratio(amounts, *prices, venue)
    lost, bar = 0, "pool: too thin for the swap"
    if step.price is not None:
        placed, kept = outcome(amounts, step, *prices, mean)
        lost = lost_up(before, kept)
        bar = _bar_to_result(rule, rule.slippage_bps, before, placed, lost)
        if not bar and action is Action.RECENTRE and lost > past.budget_left_down(rule, now):
            bar = "rule: the loss is above what is left of the budget"
        bar = bar or _bar_to_price(step, market.mean, rule.deviation)
    if action is Action.RECENTRE and not stands(rule, case, market, held.edges, edges):
        bar = "rule: the new range would be the old one or in breach"
    return Prospect(edges, step, lost, bar)


def _exit(
    rule: RangeRule,
    amounts: tuple[int, int],
    before: int,
    case: Case,
    market: RangeMarket,
    venue: Venue,
    mean: int,
) -> Prospect:
    assert market.mean is not None
    to = rule.leaving(case)
    sells_token0 = to is Leaving.ALL_IN_TOKEN1
    sold = 0 if to is Leaving.AS_IT_LIES else amounts[0] if sells_token0 else amounts[1]
    step = selling(sells_token0, sold, venue)
    if step.price is None:
        return Prospect(None, step, 0, "pool: too thin for the swap")
    lost = lost_up(before, worth_down(*_after(amounts, step), mean))
    bar = _bar_to_result(rule, case.urgent(rule.slippage_bps), before, before, lost)
    return Prospect(None, step, lost, bar or _bar_to_price(step, market.mean, case.urgent(rule.deviation)))


def swap_to_ratio(amounts: tuple[int, int], lower: int, upper: int, venue: Venue) -> Step:
    """What to sell so that what is then held is what a range between two prices takes."""
    sells_token0 = _has_too_much_0(amounts, lower, upper, venue.price)
    few, enough = 0, amounts[0] if sells_token0 else amounts[1]
    for _ in range(_ROUNDS):
        if enough - few <= 1:
            break
        amount = (few + enough) // 2
        step = selling(sells_token0, amount, venue)
        over = (
            step.price is None
            or _has_too_much_0(_after(amounts, step), lower, upper, step.price) != sells_token0
        )
        few, enough = (few, amount) if over else (amount, enough)
    return selling(sells_token0, few, venue)


def selling(sells_token0: bool, amount: int, venue: Venue) -> Step:
    """The swap of exactly so much, as far as the liquidity in range tells."""
    swapped = sell(sells_token0, amount, venue)
    bought, price = swapped if swapped is not None else (0, None)
    return Step(sells_token0, amount, bought, price)


def outcome(amounts: tuple[int, int], step: Step, lower: int, upper: int, mean: int) -> tuple[int, int]:
    """The new range's worth at the mean, and that with what is given back; the amounts are those before the step."""
    assert step.price is not None
    held0, held1 = _after(amounts, step)
    minted = for_amounts_down(step.price, lower, upper, held0, held1)
    used0, used1 = taken_up(minted, step.price, lower, upper)
    inside0, inside1 = held_down(minted, mean, lower, upper)
    left0, left1 = held0 - min(used0, held0), held1 - min(used1, held1)
    return worth_down(inside0, inside1, mean), worth_down(inside0 + left0, inside1 + left1, mean)


def lost_up(before: int, kept: int) -> int:
    """The loss in hundred-millionths of what was at stake."""
    return 0 if kept >= before else mul_div_up(before - kept, WHOLE, before)


def _after(amounts: tuple[int, int], step: Step) -> tuple[int, int]:
    if step.sells_token0:
        return amounts[0] - step.amount, amounts[1] + step.bought
    return amounts[0] + step.bought, amounts[1] - step.amount


def _has_too_much_0(amounts: tuple[int, int], lower: int, upper: int, price: int) -> bool:
    if price <= lower:
        return False
    if price >= upper:
        return True
    of_0 = mul_div_down(amounts[0], mul_div_down(price, upper, _Q96), upper - price)
    return of_0 > mul_div_down(amounts[1], _Q96, price - lower)


def _edge_prices(edges: Edges) -> tuple[int, int]:
    return sqrt_price_at(edges.lower), sqrt_price_at(edges.upper)


def _bar_to_result(rule: RangeRule, slippage_bps: int, before: int, placed: int, lost: int) -> str:
    if lost > slippage_bps * WHOLE_PER_BPS:
        return "range: the value lost is above the rule's slippage"
    if placed * BPS < before * rule.placed_bps:
        return "range: less is placed than the rule's share"
    return ""


def _bar_to_price(step: Step, mean: int, allowed: int) -> str:
    """A swap may not take the price further from its mean than is allowed."""
    if step.amount == 0:
        return ""
    assert step.price is not None
    lowest = sqrt_price_at(max(mean - allowed, MIN_TICK))
    if lowest <= step.price < sqrt_price_at(min(mean + allowed + 1, MAX_TICK)):
        return ""
    return "pool: the swap takes its price too far from the mean"

"""Whether a price has left the range its owner drew, in integers and without I/O.

The contract's `check` comes to the same verdicts (`tests/size` holds the two equal). What a swap would cost, and
whether the new range could stand, is for `keeper/size/recentre.py` to say of a breached range.
Source: contracts/RangeCheck.vy, contracts/recentre.vy, contracts/range_bars.vy.
"""

from __future__ import annotations

from typing import Final

from keeper.domain.ranges import (
    Action,
    Case,
    Direction,
    Edges,
    Leaving,
    RangeRule,
    RangeSight,
    tick_measure,
)
from keeper.domain.verdicts import Kind, Verdict

NO_RULE: Final = 0
EXPIRED: Final = 1
GONE: Final = 2
ANOTHERS: Final = 3
EMPTY: Final = 4
NO_POOL: Final = 5
FORGETFUL: Final = 6
UNAPPROVED_WITHIN: Final = 7
INSIDE: Final = 8
UNHELD: Final = 9
UNAPPROVED: Final = 10
UNCALM: Final = 11
COOLING: Final = 12
COUNTED_OUT: Final = 13
BEYOND: Final = 14
CUT_OFF: Final = 15
RIPE: Final = 16

_UNAPPROVED: Final = "approval: the owner has not made this contract an operator"
REASONS: Final[tuple[tuple[Kind, str], ...]] = (
    (Kind.BARRED, "rule: none is set"),
    (Kind.BARRED, "rule: expired"),
    (Kind.BARRED, "range: there is no such position"),
    (Kind.BARRED, "range: the position is not the owner's"),
    (Kind.WITHIN, "range: no liquidity"),
    (Kind.BLIND, "pool: the factory has none for this position"),
    (Kind.BLIND, "pool: it remembers less than the hold"),
    (Kind.WITHIN, _UNAPPROVED),
    (Kind.WITHIN, "range: inside its trigger"),
    (Kind.WITHIN, "range: beyond its trigger, but not for the hold"),
    (Kind.BARRED, _UNAPPROVED),
    (Kind.BARRED, "pool: its price is too far from the mean"),
    (Kind.BARRED, "rule: cooling down"),
    (Kind.BARRED, "rule: the day's count is used up"),
    (Kind.BREACHED, "range: the price is beyond its trigger"),
    (Kind.BREACHED, "range: the price is beyond a cutoff"),
    (Kind.BREACHED, "range: its fees are worth compounding"),
)
"""Verdict and sentence of each code, worded as the contract words them."""


def case_of(rule: RangeRule, edges: Edges, tick: int, mean: int) -> Case:
    """What the rule says of a price and its mean; the nearer of the two decides."""
    high, low = max(tick, mean), min(tick, mean)
    left_low, left_high = rule.cutoff_low - high, low - rule.cutoff_high + 1
    cutoff = max(left_low, left_high)
    measure, from_below = cutoff, left_low > left_high
    if cutoff > 0:
        return Case(measure, cutoff, from_below, leaves=True)
    below, above = edges.lower - rule.buffer - high, low - edges.upper - rule.buffer + 1
    if rule.direction is not Direction.UP_ONLY and below > measure:
        measure, from_below = below, True
    if rule.direction is not Direction.DOWN_ONLY and above > measure:
        measure, from_below = above, False
    return Case(measure, cutoff, from_below, leaves=False)


def exit_code(
    now: int, last_acted: int, cooldown: int, measure: float, edge: float, is_counted_out: bool
) -> int:
    """What a range whose pool is calm is judged to be; numbers in, number out, so that it compiles unchanged.

    `measure` is beyond its trigger above `edge`, both in any one unit; `now` in unix seconds of the block judged.
    """
    if measure <= edge:
        return INSIDE
    if now < last_acted + cooldown:
        return COOLING
    return COUNTED_OUT if is_counted_out else BEYOND


def judge(sight: RangeSight, now: int) -> tuple[Verdict, Action, Case | None]:
    """The verdict on one rule at the block whose time is `now`, and what it asks for; None where nothing was measured.

    Breached is a verdict before sizing.
    """
    code = _code_before_measuring(sight, now)
    if code is not None:
        return _verdict(sight, code, None), Action.NOTHING, None
    rule, held, market = sight.rule, sight.range, sight.market
    assert rule is not None
    assert held is not None
    assert market is not None
    assert market.mean is not None
    case = case_of(rule, held.edges, market.tick, market.mean)
    compounds = 0 < rule.compound_at << 64 <= sight.fees_worth
    if case.measure <= 0 and not compounds:
        code = UNAPPROVED_WITHIN if not held.approved else INSIDE
        if code == INSIDE and case_of(rule, held.edges, market.tick, market.tick).measure > 0:
            code = UNHELD
        return _verdict(sight, code, case), Action.NOTHING, case
    action = Action.EXIT if case.leaves else Action.RECENTRE if case.measure > 0 else Action.COMPOUND
    off_mean = abs(market.tick - market.mean)
    code = _code_of(sight, rule, case, action, off_mean, now) if held.approved else UNAPPROVED
    return _verdict(sight, code, case), action, case


def _code_before_measuring(sight: RangeSight, now: int) -> int | None:
    if sight.rule is None:
        return NO_RULE
    if now > sight.rule.expiry:
        return EXPIRED
    if sight.range is None:
        return GONE
    if sight.range.holder != sight.key.owner:
        return ANOTHERS
    if sight.range.liquidity == 0:
        return EMPTY
    if sight.market is None:
        return NO_POOL
    return FORGETFUL if sight.market.mean is None else None


def _code_of(sight: RangeSight, rule: RangeRule, case: Case, action: Action, off_mean: int, now: int) -> int:
    if action is Action.COMPOUND:
        return UNCALM if off_mean > rule.deviation else RIPE
    if action is Action.EXIT:
        sells = rule.leaving(case) is not Leaving.AS_IT_LIES
        return UNCALM if sells and off_mean > case.urgent(rule.deviation) else CUT_OFF
    past = sight.past
    is_counted_out = past.acted_on_the_day_of(now) >= rule.daily
    code = exit_code(now, past.last_acted, rule.cooldown, case.measure, 0, is_counted_out)
    return UNCALM if code == BEYOND and off_mean > rule.deviation else code


def _verdict(sight: RangeSight, code: int, case: Case | None) -> Verdict:
    kind, why = REASONS[code]
    return Verdict(sight.key, kind, why, tick_measure(case.measure if case else None))

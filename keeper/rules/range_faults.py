"""What may be wrong with a rule on a range, and with two of one owner.

Assumes: where the price may go, the pool is as deep as it is where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.ranges import (
    WHOLE_PER_BPS,
    Action,
    Direction,
    Past,
    Range,
    RangeMarket,
    RangeRule,
    RangeSight,
)
from keeper.domain.texts import span_text
from keeper.domain.units import decimal_text, mul_div_up
from keeper.domain.verdicts import Kind
from keeper.judge.range_exit import case_of, judge
from keeper.protocols.range_thresholds import Finding
from keeper.protocols.ticks import MAX_TICK, MIN_TICK, sqrt_price_at
from keeper.rules.faults import Fault, Lint, obstacle
from keeper.size.recentre import prospect

_UNTOUCHED: Final = Past(0, 0, 0, 0)
_SPENT: Final = "rule: the loss is above what is left of the budget"
_NOWHERE: Final = "rule: the new range would be the old one or in breach"
_TOO_MUCH: Final = "range: the value lost is above the rule's slippage"


@dataclass(frozen=True, slots=True)
class RangeCase:
    """One rule as it stands at a block, with its contract's own verdict."""

    sight: RangeSight
    finding: Finding

    @property
    def rule(self) -> RangeRule:
        """The rule, which there is."""
        assert self.sight.rule is not None
        return self.sight.rule


def alone(case: RangeCase, now: int) -> Iterator[Lint]:
    """What is wrong with one rule at unix second `now`."""
    rule, key, held, market = case.rule, (case.sight.key,), case.sight.range, case.sight.market
    if now > rule.expiry:
        yield Lint(key, Fault.NEVER, f"it expired {span_text(now - rule.expiry)} ago")
        return
    if held is None or market is None:
        yield Lint(key, Fault.NEVER, f"there is no position {rule.token_id}")
        return
    if held.holder != case.sight.key.owner:
        yield Lint(key, Fault.NEVER, f"position {rule.token_id} is {held.holder}'s, not the owner's")
        return
    if held.liquidity == 0:
        yield Lint(key, Fault.NEVER, f"position {rule.token_id} has no liquidity")
        return
    judged, *_ = judge(case.sight, now)
    if breached := next((each for each in (judged, case.finding) if each.kind is Kind.BREACHED), None):
        yield Lint(key, Fault.NOW, breached.why)
    if in_the_way := obstacle(case.finding.kind, case.finding.why):
        yield Lint(key, Fault.BARRED, in_the_way)
    width = rule.below + rule.above
    if width < market.spacing:
        why = f"it asks for a range {width} ticks wide, and the pool's edges stand {market.spacing} apart"
        yield Lint(key, Fault.WIDTH, why)
    yield from _on_each_side(case, held, market)


def _on_each_side(case: RangeCase, held: Range, market: RangeMarket) -> Iterator[Lint]:
    """What acting just beyond each trigger would meet, were price and mean there."""
    rule, key = case.rule, (case.sight.key,)
    below, above = held.edges.lower - rule.buffer - 1, held.edges.upper + rule.buffer
    if rule.direction is not Direction.UP_ONLY:
        if below < rule.cutoff_low:
            why = f"it would be moved below tick {below + 1}, but leaves the pool below {rule.cutoff_low} already"
            yield Lint(key, Fault.BUFFER, why)
        elif below > MIN_TICK:
            yield from _moved_at(case, held, market, below)
    if rule.direction is not Direction.DOWN_ONLY:
        if above >= rule.cutoff_high:
            why = f"it would be moved from tick {above} on, but leaves the pool from {rule.cutoff_high} on already"
            yield Lint(key, Fault.BUFFER, why)
        elif above < MAX_TICK:
            yield from _moved_at(case, held, market, above)


def _moved_at(case: RangeCase, held: Range, market: RangeMarket, tick: int) -> Iterator[Lint]:
    rule, key = case.rule, (case.sight.key,)
    others = market.liquidity - (held.liquidity if held.edges.hold_tick(market.tick) else 0)
    # A range with a negative buffer is moved while it still trades, and its own liquidity is then part of the pool's.
    inside = held.liquidity if held.edges.hold_tick(tick) else 0
    there = replace(market, price=sqrt_price_at(tick), tick=tick, mean=tick, liquidity=others + inside)
    gone = case_of(rule, held.edges, tick, tick)
    ahead = prospect(rule, _UNTOUCHED, held, there, gone, Action.RECENTRE, 0)
    where = f"at tick {tick}"
    if others == 0 and ahead is not None and ahead.bar:
        yield Lint(key, Fault.SLIPPAGE, f"{where} its pool holds no liquidity but the position's own")
    elif ahead is None or ahead.bar == _NOWHERE:
        yield Lint(key, Fault.UNREACHABLE, f"{where} the new range would be the old one or in breach")
    elif ahead.bar == _SPENT:
        why = f"{where} it would lose {_bps(ahead.lost)} bps, and its whole budget is {rule.budget_bps}"
        yield Lint(key, Fault.BUDGET, why)
    elif ahead.bar == _TOO_MUCH:
        why = (
            f"{where} it would lose {_bps(ahead.lost)} bps in a pool with a fee of {_fee_bps(held.fee)}, and it allows "
            f"{rule.slippage_bps}"
        )
        yield Lint(key, Fault.SLIPPAGE, why)
    elif ahead.bar:
        yield Lint(key, Fault.SLIPPAGE, f"{where} its contract would say {ahead.bar}")


def together(one: RangeCase, other: RangeCase, now: int) -> Iterator[Lint]:
    """What two rules do to each other; each pair comes in both orders."""
    keys = (one.sight.key, other.sight.key)
    if now > min(one.rule.expiry, other.rule.expiry) or keys[0].id > keys[1].id:
        return
    if keys[0].thresholds == keys[1].thresholds and one.rule.token_id == other.rule.token_id:
        why = f"both are about position {one.rule.token_id}, and whichever acts first leaves the other an empty one"
        yield Lint(keys, Fault.CONTRADICTION, why)


def _bps(lost: int) -> str:
    return decimal_text(mul_div_up(lost, 10, WHOLE_PER_BPS), 1)


def _fee_bps(millionths: int) -> str:
    return decimal_text(millionths, 2)

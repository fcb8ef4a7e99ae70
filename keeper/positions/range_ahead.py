"""Ranges within reach of a trigger, and what would stop the action: the sizing asked of a price that stands there.

It is the contract's own arithmetic (`keeper/size/recentre.py`) on the liquidity that is in range now; the pool's
further ticks are not asked, for no call can bring the price to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Final

from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.chain.thresholds import answered
from keeper.domain.blocks import Block
from keeper.domain.foresight import Foresight, Horizon, Obstacle, Reach, each_once
from keeper.domain.plans import Call
from keeper.domain.ranges import Action, Case, Past, Range, RangeMarket, RangeRule, RangeSight, tick_measure
from keeper.domain.rules import RuleKey
from keeper.domain.verdicts import Kind
from keeper.judge.first_passage import farthest, reach
from keeper.judge.obstacles import by_cooldown, by_expiry, by_memory, obstacle
from keeper.judge.range_exit import REASONS as VERDICTS
from keeper.judge.range_exit import UNAPPROVED, case_of, judge
from keeper.protocols.ticks import MAX_TICK, MIN_TICK, sqrt_price_at
from keeper.protocols.uniswap_v3 import SLOT0
from keeper.size.recentre import prospect

MOST: Final = 50
_TICK: Final = log(1.0001)
_CARDINALITY_NEXT: Final = 4
_BLOCKS: Final = 100
_COUNTED_OUT: Final = "rule: the day's count is used up"
_NOWHERE: Final = "rule: the new range would be the old one or in breach"


@dataclass(frozen=True, slots=True)
class _Near:
    key: RuleKey
    rule: RangeRule
    past: Past
    held: Range
    market: RangeMarket
    case: Case
    reach: Reach


def foresights(
    node: Node, sights: Sequence[RangeSight], block: Block, horizon: Horizon
) -> tuple[Foresight, ...]:
    """The ranges within reach of a trigger, the soonest first."""
    found = [reached for sight in sights if (reached := _near(sight, block, horizon))]
    found = sorted(found, key=lambda each: (each.reach.early, each.key))[:MOST]
    if not found:
        return ()
    slots = ask_together(node, [Call(each.market.pool, SLOT0.call()) for each in found], block.hash)
    before = node.block(max(block.number - _BLOCKS, 0))
    pace = max((block.timestamp - before.timestamp) // max(block.number - before.number, 1), 1)
    told = []
    for each, slot in zip(found, slots, strict=True):
        kept: int = SLOT0.read(answered(slot, "slot0"))[_CARDINALITY_NEXT]
        seen = [*_in_the_way(each, block.timestamp), *by_memory(kept, pace, each.rule.hold)]
        told.append(Foresight(each.key, tick_measure(each.case.measure), each.reach, each_once(seen)))
    return tuple(told)


def _near(sight: RangeSight, block: Block, horizon: Horizon) -> _Near | None:
    verdict, _, case = judge(sight, block.timestamp)
    rule, held, market = sight.rule, sight.range, sight.market
    if verdict.kind is not Kind.WITHIN or not rule or not held or not market or not case:
        return None
    distance = (1 - case.measure) * _TICK
    if distance > farthest(horizon, horizon.sigma):
        return None
    soon = reach(distance, horizon.sigma)
    return _Near(sight.key, rule, sight.past, held, market, case, soon)


def _in_the_way(each: _Near, now: int) -> list[Obstacle]:
    rule, held, then = each.rule, each.held, now + each.reach.early
    market, case = at_the_trigger(rule, held, each.market, each.case)
    action = Action.EXIT if case.leaves else Action.RECENTRE
    seen = [*by_expiry(rule.expiry, each.reach, now)]
    if not held.approved:
        seen.append(obstacle(VERDICTS[UNAPPROVED][1]))
    if action is Action.RECENTRE:
        seen += by_cooldown(each.past.last_acted, rule.cooldown, each.reach, now)
        if each.past.acted_on_the_day_of(then) >= rule.daily:
            seen.append(obstacle(_COUNTED_OUT))
    ahead = prospect(rule, each.past, held, market, case, action, then)
    if ahead is None or ahead.bar:
        seen.append(obstacle(ahead.bar if ahead else _NOWHERE))
    return seen


def at_the_trigger(rule: RangeRule, held: Range, market: RangeMarket, case: Case) -> tuple[RangeMarket, Case]:
    """The pool with its price and mean one tick beyond what the rule acts on, and the rule's word on that."""
    assert market.mean is not None
    more = 1 - case.measure
    if case.from_below:
        tick = max(max(market.tick, market.mean) - more, MIN_TICK)
    else:
        tick = min(min(market.tick, market.mean) + more, MAX_TICK - 1)
    is_in, will_be = held.edges.hold_tick(market.tick), held.edges.hold_tick(tick)
    liquidity = max(market.liquidity + (will_be - is_in) * held.liquidity, 0)
    there = replace(market, price=sqrt_price_at(tick), tick=tick, mean=tick, liquidity=liquidity)
    return there, case_of(rule, held.edges, tick, tick)

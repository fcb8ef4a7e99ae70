"""What is wrong with rules on ranges, each fault shown by rules that have it and by their neighbours that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.domain.ranges import (
    UNBOUNDED_HIGH,
    UNBOUNDED_LOW,
    Action,
    Direction,
    Edges,
    Leaving,
    Past,
    Placement,
    Range,
    RangeMarket,
    RangeRule,
    RangeSight,
)
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.domain.verdicts import Kind
from keeper.protocols.range_thresholds import Finding
from keeper.protocols.ticks import sqrt_price_at
from keeper.rules.faults import Fault
from keeper.rules.lint import Cases, lint
from keeper.rules.range_faults import RangeCase

THRESHOLDS, OWNER = Address("0x" + "Aa" * 20), Address("0x" + "Bb" * 20)
POOL, TOKEN0, TOKEN1 = (Address("0x" + byte * 20) for byte in ("Dd", "0a", "0b"))
NOW = 1_700_000_000
QUIET = Finding(Kind.WITHIN, Action.NOTHING, -600, Edges(0, 0), True, 0, 0, 0, "range: inside its trigger")
HELD = Range(OWNER, TOKEN0, TOKEN1, 500, Edges(-600, 600), 10**18, (0, 0), approved=True)
MARKET = RangeMarket(POOL, sqrt_price_at(0), 0, 0, 10, 10**21)
PLAIN = RangeRule(
    token_id=7, below=600, above=600, buffer=50, cutoff_low=UNBOUNDED_LOW, cutoff_high=UNBOUNDED_HIGH,
    exit_low=Leaving.AS_IT_LIES, exit_high=Leaving.AS_IT_LIES, direction=Direction.BOTH, placement=Placement.AROUND,
    hold=300, deviation=50, slippage_bps=50, placed_bps=9_900, compound_at=0, cooldown=3_600, expiry=NOW + 1_000,
    daily=4, budget_bps=100, refill=86_400, keeper=NOBODY,
)  # fmt: skip


def case(id: int = 0, finding: Finding = QUIET, **changes: Any) -> RangeCase:
    """A rule on a range that is in order; the changes are the sight's, or else the rule's."""
    sight = RangeSight(RuleKey(THRESHOLDS, OWNER, id), PLAIN, Past(0, 0, 0, 0), HELD, MARKET, 0)
    of_sight = {name: changes.pop(name) for name in ("range", "market") if name in changes}
    return RangeCase(replace(sight, rule=replace(PLAIN, **changes), **of_sight), finding)


def faults(*cases: RangeCase) -> list[Fault]:
    return [each.fault for each in lint(Cases(ranges=cases), NOW)]


def test_a_rule__that_is_sound__has_no_fault() -> None:
    assert faults(case()) == []
    assert faults(case(0), case(1, token_id=8)) == []
    assert faults(case(cutoff_low=-2_000, cutoff_high=2_000, direction=Direction.UP_ONLY)) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"expiry": NOW - 3 * 86_400}, "it expired 3 days ago"),
        ({"range": None}, "there is no position 7"),
        ({"range": replace(HELD, holder=POOL)}, f"position 7 is {POOL}'s, not the owner's"),
        ({"range": replace(HELD, liquidity=0)}, "position 7 has no liquidity"),
    ],
)
def test_a_rule__that_can_never_fire__is_told_why(changes: dict[str, Any], why: str) -> None:
    (found,) = lint(Cases(ranges=[case(**changes)]), NOW)
    assert (found.fault, found.why) == (Fault.NEVER, why)


def test_a_rule__breached_already__fires_now() -> None:
    assert faults(case(market=replace(MARKET, tick=700, mean=700))) == [Fault.NOW]
    assert faults(case(market=replace(MARKET, tick=650, mean=649))) == []


@pytest.mark.parametrize(
    ("why", "kind", "found"),
    [
        ("approval: the owner has not made this contract an operator", Kind.WITHIN, [Fault.BARRED]),
        ("pool: it remembers less than the hold", Kind.BLIND, [Fault.BARRED]),
        ("rule: cooling down", Kind.BARRED, []),
        ("range: beyond its trigger, but not for the hold", Kind.WITHIN, []),
    ],
)
def test_a_rule__with_something_in_its_way__cannot_act__unless_it_passes(
    why: str, kind: Kind, found: list[Fault]
) -> None:
    assert faults(case(finding=replace(QUIET, kind=kind, why=why))) == found


def test_a_buffer__that_reaches_a_cutoff__is_told_of_each_side_it_follows() -> None:
    (found,) = lint(Cases(ranges=[case(cutoff_low=-650)]), NOW)
    assert found.fault is Fault.BUFFER
    assert found.why == "it would be moved below tick -650, but leaves the pool below -650 already"
    assert faults(case(cutoff_low=-651)) == []
    (found,) = lint(Cases(ranges=[case(cutoff_high=650)]), NOW)
    assert found.why == "it would be moved from tick 650 on, but leaves the pool from 650 on already"
    assert faults(case(cutoff_high=651)) == []
    assert faults(case(cutoff_low=-600, direction=Direction.UP_ONLY)) == []
    assert faults(case(cutoff_high=600, direction=Direction.DOWN_ONLY)) == []


def test_a_width__under_the_pools_spacing__is_told() -> None:
    (found,) = lint(Cases(ranges=[case(below=4, above=5, deviation=2, slippage_bps=500)]), NOW)
    assert found.fault is Fault.WIDTH
    assert found.why == "it asks for a range 9 ticks wide, and the pool's edges stand 10 apart"
    assert Fault.WIDTH not in faults(case(below=5, above=5))


def test_slippage__below_what_the_swap_costs__is_told_with_the_pools_fee() -> None:
    # Out of range all is of one token, of which half is sold at 5 bps.
    (first, second) = lint(Cases(ranges=[case(slippage_bps=2)]), NOW)
    assert (first.fault, second.fault) == (Fault.SLIPPAGE, Fault.SLIPPAGE)
    assert first.why == "at tick -651 it would lose 2.7 bps in a pool with a fee of 5, and it allows 2"
    assert second.why.startswith("at tick 650 it would lose 2.7 bps")
    assert faults(case(slippage_bps=3)) == []
    assert faults(case(slippage_bps=2, placement=Placement.BESIDE, buffer=60)) == []


def test_a_pool__too_thin_for_the_swap__is_told() -> None:
    alone_in_it = replace(MARKET, liquidity=HELD.liquidity)
    found = lint(Cases(ranges=[case(market=alone_in_it)]), NOW)
    assert {each.fault for each in found} == {Fault.SLIPPAGE}
    assert found[0].why == "at tick -651 its pool holds no liquidity but the position's own"
    thin = replace(MARKET, liquidity=HELD.liquidity + HELD.liquidity // 10)
    (first, _) = lint(Cases(ranges=[case(market=thin)]), NOW)
    assert first.fault is Fault.SLIPPAGE


def test_a_budget__below_what_one_move_costs__is_told() -> None:
    dear = replace(HELD, fee=10_000)
    found = lint(Cases(ranges=[case(range=dear, slippage_bps=100, budget_bps=40)]), NOW)
    assert {each.fault for each in found} == {Fault.BUDGET}
    assert "it would lose 50" in found[0].why
    assert found[0].why.endswith("bps, and its whole budget is 40")
    assert faults(case(range=dear, slippage_bps=100, budget_bps=60)) == []


def test_two_rules__about_one_position__contradict() -> None:
    (found,) = lint(Cases(ranges=[case(0), case(1)]), NOW)
    assert found.fault is Fault.CONTRADICTION
    assert [key.id for key in found.keys] == [0, 1]
    assert faults(case(0), case(1, expiry=NOW - 1)) == [Fault.NEVER]

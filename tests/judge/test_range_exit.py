"""Where a price stands to a rule, by itself; `tests/size/test_recentre.py` holds it beside the contract."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from keeper.judge.range_exit import case_of, judge

OWNER, STRANGER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
NOW = 1_700_000_000
RULE = RangeRule(
    token_id=7,
    below=600,
    above=600,
    buffer=100,
    cutoff_low=UNBOUNDED_LOW,
    cutoff_high=UNBOUNDED_HIGH,
    exit_low=Leaving.ALL_IN_TOKEN1,
    exit_high=Leaving.AS_IT_LIES,
    direction=Direction.BOTH,
    placement=Placement.AROUND,
    hold=300,
    deviation=50,
    slippage_bps=30,
    placed_bps=9_900,
    compound_at=0,
    cooldown=3_600,
    expiry=NOW + 100,
    daily=2,
    budget_bps=100,
    refill=86_400,
    keeper=NOBODY,
)
EDGES = Edges(-600, 600)
HELD = Range(OWNER, NOBODY, NOBODY, 500, EDGES, 10**18, (0, 0), approved=True)
MARKET = RangeMarket(NOBODY, 2**96, 0, 0, 10, 10**20)
SIGHT = RangeSight(RuleKey(NOBODY, OWNER, 0), RULE, Past(0, 0, 0, 0), HELD, MARKET, 0)
FAR = st.integers(-5_000, 5_000)


def at(tick: int, mean: int | None = None) -> RangeMarket:
    return replace(MARKET, tick=tick, mean=tick if mean is None else mean)


def verdict(sight: RangeSight, now: int = NOW) -> tuple[Kind, str, Action]:
    found, action, _ = judge(sight, now)
    return found.kind, found.why, action


@given(tick=FAR, mean=FAR)
def test_case__of_any_price_and_mean__is_that_of_the_nearer(tick: int, mean: int) -> None:
    both = case_of(RULE, EDGES, tick, mean).measure
    # Whichever side: being as far out as both is being as far out as the nearer of them.
    if tick * mean > 0:
        assert both == min(case_of(RULE, EDGES, one, one).measure for one in (tick, mean))
    assert both <= max(case_of(RULE, EDGES, one, one).measure for one in (tick, mean))


@pytest.mark.parametrize(
    ("tick", "measure"), [(699, 0), (700, 1), (-700, 0), (-701, 1), (0, -699), (-1, -699), (1_700, 1_001)]
)
def test_case__of_a_tick__counts_ticks_beyond_the_trigger(tick: int, measure: int) -> None:
    assert case_of(RULE, EDGES, tick, tick).measure == measure


@given(tick=FAR, cutoffs=st.tuples(st.integers(-4_000, -1), st.integers(0, 4_000)))
def test_case__beyond_a_cutoff__leaves_whatever_the_direction(tick: int, cutoffs: tuple[int, int]) -> None:
    low, high = cutoffs
    for direction in Direction:
        rule = replace(RULE, cutoff_low=low, cutoff_high=high, direction=direction)
        assert case_of(rule, EDGES, tick, tick).leaves == (tick < low or tick >= high)


def test_judge__in_the_contracts_order__gives_the_first_reason() -> None:
    out = replace(SIGHT, market=at(800))
    assert verdict(out) == (Kind.BREACHED, "range: the price is beyond its trigger", Action.RECENTRE)
    cooling = replace(out, past=Past(NOW - 10, NOW // 86_400, 2, 0))
    assert verdict(cooling)[1] == "rule: cooling down"
    counted = replace(out, past=Past(NOW - 4_000, NOW // 86_400, 2, 0))
    assert verdict(counted)[1] == "rule: the day's count is used up"
    assert verdict(replace(out, market=at(800, 751)))[0] is Kind.BREACHED
    assert verdict(replace(out, market=at(802, 751)))[1] == "pool: its price is too far from the mean"
    unapproved = replace(cooling, range=replace(HELD, approved=False))
    assert verdict(unapproved)[1] == "approval: the owner has not made this contract an operator"
    assert verdict(replace(out, market=at(800, None)), NOW)[0] is Kind.BREACHED
    assert verdict(replace(out, market=replace(at(800), mean=None)))[0] is Kind.BLIND
    assert verdict(replace(out, market=None))[0] is Kind.BLIND
    assert verdict(replace(out, range=replace(HELD, liquidity=0)))[1] == "range: no liquidity"
    assert verdict(replace(out, range=replace(HELD, holder=STRANGER)))[0] is Kind.BARRED
    assert verdict(replace(out, range=None))[1] == "range: there is no such position"
    assert verdict(out, NOW + 101)[1] == "rule: expired"
    assert verdict(replace(out, rule=None))[1] == "rule: none is set"


@pytest.mark.parametrize(
    ("mean", "kind"), [(-1_100, Kind.BREACHED), (-1_101, Kind.BREACHED), (-1_251, Kind.BARRED)]
)
def test_judge__an_exit_in_a_fall__is_given_more_room_the_further_beyond_the_cutoff(
    mean: int, kind: Kind
) -> None:
    rule = replace(RULE, cutoff_low=-1_000)
    # Both are 100 beyond the cutoff, so that a 150th tick between them is the last that is allowed.
    sight = replace(SIGHT, rule=rule, market=at(-1_100, mean))
    assert verdict(sight)[0] is kind


def test_judge__an_exit_that_sells_nothing__is_held_up_by_nothing() -> None:
    rule = replace(RULE, cutoff_high=1_000)
    market = at(5_000, 1_001)
    sight = replace(SIGHT, rule=rule, market=market, past=Past(NOW, NOW // 86_400, 9, 10**8))
    assert verdict(sight) == (Kind.BREACHED, "range: the price is beyond a cutoff", Action.EXIT)


def test_judge__fees_worth_the_owners_mark__ask_to_be_compounded() -> None:
    rule = replace(RULE, compound_at=1_000)
    ripe, unripe = (
        (replace(SIGHT, rule=rule, fees_worth=worth)) for worth in (1_000 << 64, (1_000 << 64) - 1)
    )
    assert verdict(ripe) == (Kind.BREACHED, "range: its fees are worth compounding", Action.COMPOUND)
    assert verdict(unripe) == (Kind.WITHIN, "range: inside its trigger", Action.NOTHING)
    assert verdict(replace(ripe, market=at(60, 0)))[1] == "pool: its price is too far from the mean"


def test_budget__as_time_passes__refills_in_a_line() -> None:
    past = Past(NOW, 0, 0, 10**6)
    assert [past.budget_left_down(RULE, NOW + seconds) for seconds in (0, 43_200, 86_400, 10**6)] == [
        0,
        500_000,
        10**6,
        10**6,
    ]

"""Rules, findings and rows between the range contract's bytes and the keeper's words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import Blind
from keeper.domain.ranges import Direction, Edges, Leaving, Past, Placement, RangeRule
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.protocols.range_thresholds import CHECK, read_finding, read_sights, rule_fields, unpack_rule
from tests.contracts.range_stage import OWNER, Stage
from tests.contracts.range_stages import any_ranges, range_stages, ranges

__all__ = ["any_ranges", "range_stages", "ranges"]

KEY = RuleKey(NOBODY, OWNER, 0)


def packed(rule: RangeRule, past: Past) -> tuple[int, int, int]:
    """By the drawing in contracts/range_rules.vy, in another way than the contract packs."""
    modes = f"{rule.exit_high:02b}{rule.exit_low:02b}{rule.placement:02b}{rule.direction:02b}"
    ticks = (rule.cutoff_high, rule.cutoff_low, rule.buffer)
    a = bytes([int(modes, 2)]) + rule.deviation.to_bytes(2, "big")
    a += b"".join(field.to_bytes(3, "big") for field in (rule.refill, rule.cooldown, rule.hold))
    a += b"".join(tick.to_bytes(3, "big", signed=True) for tick in ticks)
    a += rule.above.to_bytes(3, "big") + rule.below.to_bytes(3, "big")
    b = bytes.fromhex(rule.keeper[2:]) + b"".join(
        field.to_bytes(2, "big") for field in (rule.slippage_bps, rule.placed_bps, rule.budget_bps)
    )
    b += rule.daily.to_bytes(1, "big") + rule.expiry.to_bytes(5, "big")
    c = rule.token_id.to_bytes(8, "big") + rule.compound_at.to_bytes(12, "big")
    c += past.spent.to_bytes(4, "big") + past.acted_today.to_bytes(1, "big")
    c += past.today.to_bytes(2, "big") + past.last_acted.to_bytes(5, "big")
    return int.from_bytes(a, "big"), int.from_bytes(b, "big"), int.from_bytes(c, "big")


RULE = RangeRule(
    token_id=7,
    below=600,
    above=900,
    buffer=-40,
    cutoff_low=-200_000,
    cutoff_high=-190_000,
    exit_low=Leaving.ALL_IN_TOKEN1,
    exit_high=Leaving.ALL_IN_TOKEN0,
    direction=Direction.DOWN_ONLY,
    placement=Placement.AROUND,
    hold=300,
    deviation=50,
    slippage_bps=30,
    placed_bps=9_900,
    compound_at=10**7,
    cooldown=3_600,
    expiry=2**40 - 1,
    daily=4,
    budget_bps=100,
    refill=86_400,
    keeper=Address("0x" + "Ab" * 2 + "00" * 18),
)


@given(
    buffer=st.integers(-887_272, 887_272),
    low=st.integers(-887_272, 0),
    token_id=st.integers(1, 2**64 - 1),
    past=st.builds(
        Past,
        st.integers(0, 2**40 - 1),
        st.integers(0, 2**16 - 1),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
    ),
)
def test_unpack_rule__of_packed_words__gives_the_rule_and_its_past(
    buffer: int, low: int, token_id: int, past: Past
) -> None:
    rule = replace(RULE, buffer=buffer, cutoff_low=low, token_id=token_id)
    found, then = unpack_rule(*packed(rule, past))
    assert found == replace(rule, keeper=found.keeper if found else NOBODY)
    assert found is not None
    assert found.keeper.lower() == rule.keeper.lower()
    assert then == past


def test_unpack_rule__of_nothing__is_none() -> None:
    assert unpack_rule(0, 0, 0) == (None, Past(0, 0, 0, 0))


def test_words__as_the_contract_packs_them__are_the_rule_as_written(any_ranges: Stage) -> None:
    stage = any_ranges
    rule = stage.rule(9, buffer=-17, cutoff_low=-5, cutoff_high=70, exit_low=1, exit_high=2, direction=1)
    stage.set_rule(replace(rule, keeper=OWNER, compound_at=12_345))
    words = stage.ask(stage.thresholds, "words_of(address,uint256)", "(uint256,uint256,uint256)", OWNER, 0)
    found, past = unpack_rule(*words)
    assert found is not None
    assert rule_fields(found) == replace(rule, keeper=OWNER, compound_at=12_345).values()
    assert past == Past(0, 0, 0, 0)


def test_read_finding__of_what_check_returns__is_in_the_keepers_words(any_ranges: Stage) -> None:
    stage = any_ranges
    stage.set_rule(stage.rule(stage.open()))
    stage.settle(900)
    returned = stage.node.ask_bytes(
        "eth_call", {"to": stage.thresholds, "data": "0x" + CHECK.call(OWNER, 0).hex()}, "latest"
    )
    found, told = read_finding(returned), stage.check()
    assert (found.kind, found.action, found.why) == (told.verdict, told.action, told.why)
    assert found.edges == Edges(told.lower, told.upper)
    assert (found.amount, found.bought, found.lost) == (told.amount, told.bought, told.lost)


def test_read_finding__of_a_verdict_there_is_not__is_blind() -> None:
    words = [4, 0, 0, 0, 0, 0, 0, 0, 0, 320, 0]
    returned = (32).to_bytes(32, "big") + b"".join(word.to_bytes(32, "big") for word in words)
    with pytest.raises(Blind, match="verdict 4 and action 0, which there are not"):
        read_finding(returned)


def test_read_sights__of_fewer_rows_than_were_asked_for__is_blind() -> None:
    none = (32).to_bytes(32, "big") + bytes(32)
    with pytest.raises(Blind, match="the lens told 0 rows of 1 rules"):
        list(read_sights([KEY], none))

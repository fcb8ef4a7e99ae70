"""What an owner writes for a range comes back as written, and what cannot hold is refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import boa
import pytest
from boa.interpret import set_search_paths
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.units import Address
from keeper.protocols.ticks import MAX_TICK, MIN_TICK
from tests.contracts.loan_stage import CONTRACTS, NOW
from tests.contracts.range_stage import DAY, Rule

OWNER = "0x" + "11" * 20
STRANGER = "0x" + "22" * 20

HARNESS = """
# pragma version ==0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
from contracts import range_rules

initializes: range_rules
exports: (
    range_rules.set_rule, range_rules.clear_rule, range_rules.rule_count, range_rules.rule_of,
    range_rules.last_acted, range_rules.words_of,
)

@deploy
def __init__():
    range_rules.__init__()

@external
def act(owner: address, id: uint256, new_id: uint256, lost: uint256):
    words: range_rules.Words = range_rules._words[owner][id]
    range_rules._stamp(
        owner, id, words, range_rules._unpack(words), range_rules._past(words), new_id, lost
    )

@external
@view
def past(owner: address, id: uint256) -> (uint256, uint256, uint256, uint256):
    words: range_rules.Words = range_rules._words[owner][id]
    past: range_rules.Past = range_rules._past(words)
    return past.last_acted, past.acted_today, past.spent, range_rules._budget_left(range_rules._unpack(words), past)
"""


@pytest.fixture(scope="module")
def rules() -> Any:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        boa.env.timestamp = NOW
        yield boa.loads(HARNESS)


def written(rules: Any, rule: Rule, id_: int = 0, owner: str = OWNER) -> None:
    with boa.env.prank(owner):
        rules.set_rule(id_, rule.values())


def refusal(rules: Any, rule: Rule) -> str:
    with boa.env.anchor(), pytest.raises(boa.BoaError) as refused:
        written(rules, rule)
    return str(refused.value)


RULE = Rule(7)


@st.composite
def valid_rules(draw: st.DrawFn) -> Rule:
    deviation = draw(st.integers(1, 500))
    below, above = (draw(st.integers(deviation, MAX_TICK)) for _ in range(2))
    placement = draw(st.integers(0, 1))
    least_buffer = deviation + 1 if placement else deviation - min(below, above) + 1
    low = draw(st.integers(MIN_TICK, MAX_TICK - 1))
    keeper = draw(st.binary(min_size=20, max_size=20))
    return Rule(
        token_id=draw(st.integers(1, 2**64 - 1)),
        below=below,
        above=above,
        buffer=draw(st.integers(least_buffer, MAX_TICK)),
        cutoff_low=low,
        cutoff_high=draw(st.integers(low + 1, MAX_TICK)),
        exit_low=draw(st.integers(0, 2)),
        exit_high=draw(st.integers(0, 2)),
        direction=draw(st.integers(0, 2)),
        placement=placement,
        hold=draw(st.integers(60, 2**24 - 1)),
        deviation=deviation,
        slippage_bps=draw(st.integers(1, 500)),
        placed_bps=draw(st.integers(1, 10_000)),
        compound_at=draw(st.integers(0, 2**96 - 1)),
        cooldown=draw(st.integers(0, 2**24 - 1)),
        expiry=draw(st.integers(NOW + 1, 2**40 - 1)),
        daily=draw(st.integers(1, 255)),
        budget_bps=draw(st.integers(1, 10_000)),
        refill=draw(st.integers(1, 2**24 - 1)),
        keeper=Address("0x" + keeper.hex()),
    )


def test_set_rule__any_valid_rule__comes_back_as_written(rules: Any) -> None:
    @settings(max_examples=100, deadline=None)
    @given(valid_rules())
    def comes_back(rule: Rule) -> None:
        with boa.env.anchor():
            written(rules, rule)
            back = tuple(rules.rule_of(OWNER, 0))
            assert back[:-1] == rule.values()[:-1]
            assert int(str(back[-1]), 16) == int(rule.keeper, 16)
            assert rules.last_acted(OWNER, 0) == 0
            assert rules.words_of(OWNER, 0)[0] != 0

    comes_back()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"token_id": 0}, "rule: token_id is zero"),
        ({"token_id": 2**64}, "rule: token_id does not fit 64 bits"),
        ({"below": 0}, "rule: a half of the new range has no width"),
        ({"above": 0}, "rule: a half of the new range has no width"),
        ({"below": MAX_TICK + 1}, "rule: the new range is wider than all ticks"),
        ({"above": 2**255}, "rule: the new range is wider than all ticks"),
        ({"cutoff_low": MIN_TICK - 1}, "rule: cutoff_low is below all ticks"),
        ({"cutoff_high": MAX_TICK + 1}, "rule: cutoff_high is above all ticks"),
        ({"cutoff_low": 5, "cutoff_high": 5}, "rule: cutoff_low is not below cutoff_high"),
        ({"exit_low": 3}, "rule: an exit is not 0, 1 or 2"),
        ({"exit_high": 3}, "rule: an exit is not 0, 1 or 2"),
        ({"direction": 3}, "rule: direction is not 0, 1 or 2"),
        ({"placement": 2}, "rule: placement is not 0 or 1"),
        ({"hold": 59}, "rule: hold is below 60 seconds"),
        ({"hold": 2**24}, "rule: hold does not fit 24 bits"),
        ({"deviation": 0}, "rule: deviation is zero"),
        ({"deviation": 501}, "rule: deviation is above 500 ticks"),
        ({"buffer": MAX_TICK + 1}, "rule: buffer is wider than all ticks"),
        ({"buffer": -550}, "rule: the new range would be in breach at once"),
        ({"below": 40, "buffer": 10}, "rule: the new range would be in breach at once"),
        ({"buffer": -(2**255)}, ""),
        ({"placement": 1, "buffer": 50}, "rule: the new range would be in breach at once"),
        ({"slippage_bps": 0}, "rule: slippage is zero"),
        ({"slippage_bps": 501}, "rule: slippage is above 500 bps"),
        ({"placed_bps": 0}, "rule: placed_bps is zero"),
        ({"placed_bps": 10_001}, "rule: placed_bps is above the whole"),
        ({"compound_at": 2**96}, "rule: compound_at does not fit 96 bits"),
        ({"cooldown": 2**24}, "rule: cooldown does not fit 24 bits"),
        ({"daily": 0}, "rule: daily is zero"),
        ({"daily": 256}, "rule: daily does not fit 8 bits"),
        ({"budget_bps": 0}, "rule: budget is zero"),
        ({"budget_bps": 10_001}, "rule: budget is above the whole"),
        ({"refill": 0}, "rule: refill is zero"),
        ({"refill": 2**24}, "rule: refill does not fit 24 bits"),
        ({"expiry": NOW}, "rule: expiry is not in the future"),
        ({"expiry": 2**40}, "rule: expiry does not fit 40 bits"),
    ],
)
def test_set_rule__a_field_that_cannot_hold__is_refused(
    rules: Any, changes: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(rules, replace(RULE, **changes))


def test_set_rule__past_the_end__is_refused(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        with pytest.raises(boa.BoaError, match="rule: id is past the end of the owner's rules"):
            written(rules, RULE, 2)
        written(rules, RULE, 1)
        assert rules.rule_count(OWNER) == 2


def test_clear_rule__twice_or_a_strangers__is_refused(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        with pytest.raises(boa.BoaError, match="rule: none is set"), boa.env.prank(STRANGER):
            rules.clear_rule(0)
        with boa.env.prank(OWNER):
            rules.clear_rule(0)
            with pytest.raises(boa.BoaError, match="rule: none is set"):
                rules.clear_rule(0)
        assert rules.words_of(OWNER, 0) == (0, 0, 0)


def test_stamp__acted_on__remembers_and_follows_and_leaves_the_rest(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        rules.act(OWNER, 0, 2**64 - 1, 300_000)
        assert tuple(rules.rule_of(OWNER, 0))[:-1] == replace(RULE, token_id=2**64 - 1).values()[:-1]
        assert rules.past(OWNER, 0) == (NOW, 1, 300_000, 700_000)
        rules.act(OWNER, 0, 9, 100_000)
        assert rules.past(OWNER, 0) == (NOW, 2, 400_000, 600_000)
        with pytest.raises(boa.BoaError, match="rule: the new position's id does not fit 64 bits"):
            rules.act(OWNER, 0, 2**64, 0)


def test_stamp__time_passes__refills_the_budget_in_a_line_and_forgets_the_count_at_midnight(
    rules: Any,
) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        rules.act(OWNER, 0, 8, 700_000)
        boa.env.timestamp = NOW + RULE.refill // 2
        assert rules.past(OWNER, 0) == (NOW, 0, 700_000, 800_000)
        rules.act(OWNER, 0, 9, 0)
        assert rules.past(OWNER, 0)[1:] == (1, 200_000, 800_000)
        boa.env.timestamp = NOW + RULE.refill
        assert rules.past(OWNER, 0)[3] == 10**6
        midnight = NOW + RULE.refill - (NOW + RULE.refill) % DAY + DAY
        boa.env.timestamp = midnight - 1
        rules.act(OWNER, 0, 10, 0)
        assert rules.past(OWNER, 0)[1] == 1
        boa.env.timestamp = midnight
        assert rules.past(OWNER, 0)[1] == 0


def test_set_rule__again__starts_anew(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        rules.act(OWNER, 0, 8, 700_000)
        written(rules, RULE)
        assert rules.past(OWNER, 0) == (0, 0, 0, 10**6)

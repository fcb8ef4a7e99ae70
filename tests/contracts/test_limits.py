"""Who may act, when, how often and at what cost: the contract's limits beside a plain account of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import boa
import pytest
from boa.interpret import set_search_paths
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.loan_stage import CONTRACTS, NOW

KEEPER = "0x" + "33" * 20
STRANGER = "0x" + "22" * 20
NOBODY = "0x" + "00" * 20
DOLLAR = 10**8
DAY = 86_400
GWEI = 10**9

HARNESS = """
# pragma version ==0.4.3
# pragma evm-version cancun
from contracts import limits
from contracts.interfaces import ILimits

@external
@view
def validate(l: ILimits.Limits):
    limits._validate(l)

@external
@pure
def packed(l: ILimits.Limits) -> (uint256, uint256):
    words: limits.Words = limits._pack(l)
    return words.a, words.b

@external
@pure
def unpacked(a: uint256, b: uint256) -> ILimits.Limits:
    return limits._unpack(limits.Words(a=a, b=b))

@external
@pure
def with_state(word: uint256, state: ILimits.State) -> (uint256, ILimits.State):
    changed: uint256 = limits._with_state(word, state)
    return changed, limits._state(changed)

@external
@view
def obstacle(l: ILimits.Limits, state: ILimits.State, urgency: uint256) -> String[64]:
    return limits._obstacle(l, state, urgency)

@external
@view
def may_act(l: ILimits.Limits, state: ILimits.State, who: address, urgency: uint256):
    limits._may_act(l, state, who, urgency)

@external
@pure
def slippage(l: ILimits.Limits, urgency: uint256) -> uint256:
    return limits._slippage(l, urgency)

@external
@pure
def bounty(l: ILimits.Limits, who: address, urgency: uint256, sold: uint256) -> uint256:
    return limits._bounty(l, who, urgency, sold)

@external
@view
def base_fee() -> uint256:
    return block.basefee

@external
@view
def room(l: ILimits.Limits, state: ILimits.State) -> uint256:
    return limits._room(l, state)

@external
@view
def charge(l: ILimits.Limits, state: ILimits.State, loss: uint256) -> ILimits.State:
    return limits._charge(l, state, loss)
"""


@dataclass(frozen=True)
class Limits:
    """The fields in the contract's order."""

    keeper: str = KEEPER
    expiry: int = NOW + 365 * DAY
    cooldown: int = 3_600
    daily: int = 4
    slippage_bps: int = 50
    slippage_urgent_bps: int = 250
    gas_cap: int = 40 * GWEI
    public_bps: int = 5_000
    bounty_bps: int = 10
    bounty_cap: int = 25 * DOLLAR
    budget: int = 1_000 * DOLLAR
    window: int = DAY

    def fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)


LIMITS = Limits()
FRESH = (0, 0, 0)


@pytest.fixture(scope="module")
def harness() -> Iterator[Any]:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        boa.env.timestamp = NOW
        yield boa.loads(HARNESS)
    priced(None)


@pytest.fixture
def limits(harness: Any) -> Iterator[Any]:
    with boa.env.anchor():
        priced(None)
        yield harness


def priced(wei: int | None) -> None:
    """What a transaction pays for gas from now on; titanoboa reads it and has no setter."""
    boa.env._gas_price = wei


addresses = st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex())


@st.composite
def valid_limits(draw: st.DrawFn) -> Limits:
    slippage = draw(st.integers(2, 500))
    public = draw(st.integers(0, 10_000))
    paid = public > 0 and draw(st.booleans())
    return Limits(
        keeper=draw(addresses),
        expiry=draw(st.integers(NOW + 1, 2**40 - 1)),
        cooldown=draw(st.integers(0, 2**24 - 1)),
        daily=draw(st.integers(0, 255)),
        slippage_bps=slippage,
        slippage_urgent_bps=draw(st.integers(slippage, 1_000)),
        gas_cap=draw(st.integers(0, 2**32 - 1)) * 10**6,
        public_bps=public,
        bounty_bps=draw(st.integers(1, slippage - 1)) if paid else 0,
        bounty_cap=draw(st.integers(1, 2**64 - 1)) if paid else 0,
        budget=draw(st.integers(1, 2**64 - 1)),
        window=draw(st.integers(1, 2**24 - 1)),
    )


states = st.tuples(st.integers(0, 2**40 - 1), st.integers(0, 2**64 - 1), st.integers(0, 255))


# What is written is kept


@settings(max_examples=40, deadline=None)
@given(valid_limits())
def test_limits__any_that_are_valid__come_back_as_written(harness: Any, written: Limits) -> None:
    harness.validate(written.fields())
    back = harness.unpacked(*harness.packed(written.fields()))
    assert [f.lower() if isinstance(f, str) else f for f in back] == list(written.fields())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**256 - 1), states)
def test_state__in_any_word__comes_back_and_leaves_the_rest_alone(
    harness: Any, word: int, state: tuple[int, int, int]
) -> None:
    changed, back = harness.with_state(word, state)
    assert tuple(back) == state
    assert changed >> 112 == word >> 112


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expiry": NOW}, "rule: expiry is not in the future"),
        ({"expiry": 2**40}, "rule: a limit does not fit its place"),
        ({"cooldown": 2**24}, "rule: a limit does not fit its place"),
        ({"daily": 256}, "rule: a limit does not fit its place"),
        ({"slippage_bps": 0}, "rule: slippage is zero"),
        ({"slippage_bps": 501}, "rule: slippage is above 500 bps"),
        ({"slippage_urgent_bps": 49}, "rule: urgent slippage is below the ordinary"),
        ({"slippage_urgent_bps": 1_001}, "rule: urgent slippage is above 1000 bps"),
        ({"gas_cap": GWEI + 1}, "rule: a limit does not fit its place"),
        ({"gas_cap": 2**32 * 10**6}, "rule: a limit does not fit its place"),
        ({"public_bps": 10_001}, "rule: public is above full urgency"),
        ({"bounty_bps": 50}, "rule: bounty leaves no slippage to trade with"),
        ({"bounty_cap": 2**64}, "rule: a limit does not fit its place"),
        ({"bounty_bps": 0}, "rule: bounty has only a share or only a cap"),
        ({"bounty_cap": 0}, "rule: bounty has only a share or only a cap"),
        ({"public_bps": 0}, "rule: bounty without a public level"),
        ({"budget": 0}, "rule: budget is zero"),
        ({"budget": 2**64}, "rule: a limit does not fit its place"),
        ({"window": 0}, "rule: window is zero"),
        ({"window": 2**24}, "rule: a limit does not fit its place"),
    ],
)
def test_limits__one_field_is_wrong__are_refused_with_the_reason(
    limits: Any, changes: dict[str, Any], reason: str
) -> None:
    limits.validate(LIMITS.fields())
    with boa.reverts(reason):
        limits.validate(replace(LIMITS, **changes).fields())


# Who and when


def expected_obstacle(rule: Limits, state: tuple[int, int, int], now: int, gas: int, urgency: int) -> str:
    """The same judgement in plain Python, from the documentation."""
    acted, _, count = state
    if now > rule.expiry:
        return "rule: expired"
    if acted and now < acted + rule.cooldown:
        return "rule: cooling down"
    if rule.daily and now // DAY == acted // DAY and count >= rule.daily:
        return "rule: it has acted as often as it may in a day"
    if room(rule, state, now) == 0:
        return "rule: the loss budget is spent"
    if rule.gas_cap and urgency < 10_000 and gas * (10_000 - urgency) > rule.gas_cap * 10_000:
        return "gas: the price is above the rule's cap"
    return ""


def room(rule: Limits, state: tuple[int, int, int], now: int) -> int:
    acted, spent, _ = state
    left = max(spent - rule.budget * (now - acted) // rule.window, 0)
    return max(rule.budget - left, 0)


@settings(max_examples=60, deadline=None)
@given(
    valid_limits(),
    st.integers(0, 3 * DAY),
    st.integers(0, 2 * 10**12),
    st.integers(0, 255),
    st.integers(0, 2**33) | st.integers(0, 10**4).map(lambda n: n * 10**6),
    st.integers(0, 10_000),
)
def test_obstacle__any_rule_and_moment__is_what_the_documentation_says(
    harness: Any, rule: Limits, ago: int, spent: int, count: int, gas: int, urgency: int
) -> None:
    rule = replace(rule, cooldown=rule.cooldown % DAY, window=1 + rule.window % (3 * DAY))
    state = (NOW - ago, min(spent, rule.budget), count)
    with boa.env.anchor():
        priced(gas)
        wanted = expected_obstacle(rule, state, NOW, max(gas, harness.base_fee()), urgency)
        assert harness.obstacle(rule.fields(), state, urgency) == wanted
        if wanted:
            with boa.reverts(wanted):
                harness.may_act(rule.fields(), state, rule.keeper, urgency)
        else:
            harness.may_act(rule.fields(), state, rule.keeper, urgency)


@pytest.mark.parametrize(
    ("keeper", "public", "who", "urgency", "admitted"),
    [
        (KEEPER, 5_000, KEEPER, 0, True),
        (KEEPER, 5_000, STRANGER, 4_999, False),
        (KEEPER, 5_000, STRANGER, 5_000, True),
        (KEEPER, 0, STRANGER, 10_000, False),
        (NOBODY, 0, STRANGER, 0, True),
        (NOBODY, 5_000, STRANGER, 0, True),
    ],
)
def test_stranger__acts_below_or_above_the_public_level__is_refused_or_admitted(
    limits: Any, keeper: str, public: int, who: str, urgency: int, admitted: bool
) -> None:
    rule = replace(LIMITS, keeper=keeper, public_bps=public).fields()
    if admitted:
        limits.may_act(rule, FRESH, who, urgency)
    else:
        with boa.reverts("rule: another keeper is named"):
            limits.may_act(rule, FRESH, who, urgency)


@pytest.mark.parametrize(
    ("urgency", "gas", "fair"),
    [
        (0, 40 * GWEI, True),
        (0, 40 * GWEI + 1, False),
        (5_000, 80 * GWEI, True),
        (5_000, 80 * GWEI + 1, False),
        (9_999, 400_000 * GWEI, True),
        (9_999, 400_000 * GWEI + 1, False),
        (10_000, 10**9 * GWEI, True),
    ],
)
def test_gas_cap__urgency_rises__yields_until_there_is_none(
    limits: Any, urgency: int, gas: int, fair: bool
) -> None:
    priced(gas)
    found = limits.obstacle(LIMITS.fields(), FRESH, urgency)
    assert found == ("" if fair else "gas: the price is above the rule's cap")
    priced(10**9 * GWEI)
    assert limits.obstacle(replace(LIMITS, gas_cap=0).fields(), FRESH, 0) == ""


@pytest.mark.parametrize("urgency", [0, 1, 4_999, 5_000, 9_999, 10_000])
def test_slippage__urgency_rises__widens_on_a_straight_line(limits: Any, urgency: int) -> None:
    assert limits.slippage(LIMITS.fields(), urgency) == 50 + 200 * urgency // 10_000


@pytest.mark.parametrize(
    ("who", "urgency", "sold", "due"),
    [
        (STRANGER, 4_999, 10_000 * DOLLAR, 0),
        (STRANGER, 5_000, 10_000 * DOLLAR, 10 * DOLLAR),
        (STRANGER, 5_000, 10**9 * DOLLAR, 25 * DOLLAR),
        (KEEPER, 10_000, 10_000 * DOLLAR, 0),
    ],
)
def test_bounty__is_for_whoever_is_not_the_keeper__a_share_up_to_the_cap(
    limits: Any, who: str, urgency: int, sold: int, due: int
) -> None:
    assert limits.bounty(LIMITS.fields(), who, urgency, sold) == due


# The budget


def test_charge__loss_above_what_is_left__is_refused(limits: Any) -> None:
    state = limits.charge(LIMITS.fields(), FRESH, 600 * DOLLAR)
    assert tuple(state) == (NOW, 600 * DOLLAR, 1)
    assert limits.room(LIMITS.fields(), state) == 400 * DOLLAR
    with boa.reverts("rule: the loss is above what is left of the budget"):
        limits.charge(LIMITS.fields(), state, 400 * DOLLAR + 1)
    assert tuple(limits.charge(LIMITS.fields(), state, 400 * DOLLAR)) == (NOW, 1_000 * DOLLAR, 2)


def test_charge__next_utc_day__counts_anew(limits: Any) -> None:
    midnight = (NOW // DAY + 1) * DAY
    state = (midnight - 1, 0, 4)
    boa.env.timestamp = midnight - 1
    assert limits.obstacle(replace(LIMITS, cooldown=0).fields(), state, 0) == (
        "rule: it has acted as often as it may in a day"
    )
    boa.env.timestamp = midnight
    assert limits.obstacle(replace(LIMITS, cooldown=0).fields(), state, 0) == ""
    assert limits.charge(LIMITS.fields(), state, 0)[2] == 1


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 10**12),
    st.integers(60, 5 * DAY),
    st.lists(st.tuples(st.integers(1, DAY), st.integers(0, 10**12)), min_size=1, max_size=12),
)
def test_charge__any_series_of_losses__stays_below_budget_and_refill(
    harness: Any, budget: int, window: int, story: list[tuple[int, int]]
) -> None:
    """Within any time t no more is lost than budget * (1 + t / window), however the losses are timed."""
    rule = replace(LIMITS, budget=budget, window=window).fields()
    state, now, lost = FRESH, NOW, []
    with boa.env.anchor():
        for pause, wanted in story:
            now += pause
            boa.env.timestamp = now
            left = harness.room(rule, state)
            loss = min(wanted, left)
            state = tuple(harness.charge(rule, state, loss))
            lost.append((now, loss))
            with boa.reverts("rule: the loss is above what is left of the budget"):
                harness.charge(rule, state, left - loss + 1)
    for first, (since, _) in enumerate(lost):
        for last in range(first, len(lost)):
            total = sum(loss for _, loss in lost[first : last + 1])
            assert total * window <= budget * (window + lost[last][0] - since)

"""What an owner writes comes back as written, and what cannot hold is refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import boa
import pytest
from boa.interpret import set_search_paths
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.loan_band import TOLERANCE_BPS, standing
from keeper.domain.loans import Band, Limits, LoanRule
from keeper.domain.loans import Terms as LoanTerms
from keeper.domain.units import Address
from tests.contracts.loan_stage import CONTRACTS, NOW, Rule, Terms

OWNER = "0x" + "11" * 20
STRANGER = "0x" + "22" * 20
WETH = "0x" + "aa" * 20
USDC = "0x" + "BB" * 20
DAY = 86_400

HARNESS = """
# pragma version ==0.4.3
# pragma evm-version cancun
# pragma nonreentrancy on
from contracts import loan_rules

initializes: loan_rules
exports: (
    loan_rules.set_rule, loan_rules.clear_rule, loan_rules.rule_count, loan_rules.rule_of,
    loan_rules.last_acted, loan_rules.words_of, loan_rules.ledger_of, loan_rules.terms_of, loan_rules.terms_words_of,
    loan_rules.band_of,
)

@deploy
def __init__(sense: address, volatility: address):
    loan_rules.__init__(sense, volatility)

@external
def act(owner: address, id: uint256):
    loan_rules._stamp(owner, id, loan_rules._words[owner][id])
"""


@pytest.fixture(scope="module")
def rules() -> Any:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        boa.env.timestamp = NOW
        sense = boa.load(CONTRACTS / "LoanSense.vy").address
        yield boa.loads(HARNESS, sense, boa.load(CONTRACTS / "Volatility.vy", DAY, 3_600).address)


def written(rules: Any, rule: Rule, id_: int = 0, owner: str = OWNER, terms: Terms | None = None) -> None:
    with boa.env.prank(owner):
        rules.set_rule(id_, rule.fields(), *([terms.fields()] if terms else []))


def refusal(rules: Any, rule: Rule, terms: Terms | None = None) -> str:
    with boa.env.anchor(), pytest.raises(boa.BoaError) as refused:
        written(rules, rule, terms=terms)
    return str(refused.value)


RULE = Rule(WETH, USDC)
FOLLOWING = Terms(highest_bps=13_000, sigmas_bps=20_000, horizon=7 * DAY, feed=Address("0x" + "fe" * 20))
addresses = st.binary(min_size=20, max_size=20).filter(any).map(lambda b: "0x" + b.hex())


@st.composite
def valid_rules(draw: st.DrawFn, most: int = 2**24 - 1) -> Rule:
    collateral = draw(addresses)
    floor = draw(st.integers(10_001, most - 200_000))
    target = draw(st.integers(-(-floor * 10_000 // 9_950) + 1, most - 95_000))
    ceiling = draw(st.integers(-(-target * 10_050 // 10_000) + 1, most))
    return Rule(
        collateral,
        draw(addresses.filter(lambda debt: debt != collateral)),
        floor,
        target,
        ceiling,
        draw(st.integers(1, 500)),
        draw(st.integers(0, 2**24 - 1)),
        draw(st.integers(1, 2**96 - 1)),
        draw(st.integers(NOW + 1, 2**40 - 1)),
        draw(st.one_of(st.just("0x" + "00" * 20), addresses)),
    )


@settings(max_examples=60, deadline=None)
@given(valid_rules())
def test_rule__any_that_is_valid__comes_back_as_written(rules: Any, rule: Rule) -> None:
    with boa.env.anchor():
        written(rules, rule)
        back = rules.rule_of(OWNER, 0)
        assert [f.lower() if isinstance(f, str) else f for f in back] == list(rule.fields())
        assert rules.last_acted(OWNER, 0) == 0
        rules.act(OWNER, 0)
        assert rules.last_acted(OWNER, 0) == boa.env.timestamp
        assert rules.rule_of(OWNER, 0) == back


@settings(max_examples=60, deadline=None)
@given(valid_rules())
def test_words__any_rule__hold_every_field_in_its_place(rules: Any, rule: Rule) -> None:
    with boa.env.anchor():
        written(rules, rule)
        rules.act(OWNER, 0)
        a, b, c = (word.to_bytes(32, "big") for word in rules.words_of(OWNER, 0))
    numbers = [int.from_bytes(part, "big") for part in (a[20:23], a[23:26], a[26:29], a[29:])]
    assert numbers == [rule.floor_bps, rule.target_bps, rule.ceiling_bps, rule.cooldown]
    assert [int.from_bytes(part, "big") for part in (b[20:22], b[22:27])] == [rule.slippage_bps, rule.expiry]
    assert int.from_bytes(c[20:], "big") == rule.max_step
    assert ["0x" + word[:20].hex() for word in (a, b, c)] == [rule.collateral, rule.debt, rule.keeper]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"collateral": "0x" + "00" * 20}, "rule: collateral is the zero address"),
        ({"debt": "0x" + "00" * 20}, "rule: debt is the zero address"),
        ({"debt": WETH}, "rule: collateral and debt are the same asset"),
        ({"floor_bps": 10_000}, "rule: floor is not above a health of 1"),
        ({"floor_bps": 15_000}, "rule: floor is not below the target"),
        ({"floor_bps": 16_000}, "rule: floor is not below the target"),
        ({"floor_bps": 14_925}, "rule: floor is within the tolerance of the target"),
        ({"ceiling_bps": 15_000}, "rule: target is not below the ceiling"),
        ({"ceiling_bps": 15_075}, "rule: ceiling is within the tolerance of the target"),
        ({"ceiling_bps": 2**24}, "rule: ceiling does not fit 24 bits"),
        ({"target_bps": 2**256 - 1}, "rule: target is not below the ceiling"),
        ({"floor_bps": 2**256 - 1}, "rule: floor is not below the target"),
        ({"slippage_bps": 0}, "rule: slippage is zero"),
        ({"slippage_bps": 501}, "rule: slippage is above 500 bps"),
        ({"slippage_bps": 2**16 + 100}, "rule: slippage is above 500 bps"),
        ({"cooldown": 2**24}, "rule: cooldown does not fit 24 bits"),
        ({"max_step": 0}, "rule: max_step is zero"),
        ({"max_step": 2**96}, "rule: max_step does not fit 96 bits"),
        ({"expiry": NOW}, "rule: expiry is not in the future"),
        ({"expiry": 2**40}, "rule: expiry does not fit 40 bits"),
    ],
)
def test_rule__one_field_is_wrong__is_refused_with_the_reason(
    rules: Any, changes: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(rules, replace(RULE, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"floor_bps": 14_924},
        {"ceiling_bps": 15_076},
        {"slippage_bps": 500},
        {"cooldown": 0},
        {"expiry": NOW + 10_000},
    ],
)
def test_rule__on_the_last_number_allowed__is_accepted(rules: Any, changes: dict[str, Any]) -> None:
    with boa.env.anchor():
        written(rules, replace(RULE, **changes))


def test_id__past_the_end__is_refused(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        written(rules, RULE, 1)
        assert rules.rule_count(OWNER) == 2
        with pytest.raises(boa.BoaError, match="past the end"):
            written(rules, RULE, 3)


def test_rule__is_written_again__starts_its_cooldown_anew(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        rules.act(OWNER, 0)
        written(rules, replace(RULE, target_bps=16_000))
        assert rules.last_acted(OWNER, 0) == 0
        assert rules.rule_count(OWNER) == 1


def test_rule__is_cleared__is_empty_and_can_be_written_again(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        written(rules, RULE, 1)
        with boa.env.prank(OWNER):
            rules.clear_rule(0)
            assert rules.words_of(OWNER, 0) == (0, 0, 0)
            assert rules.rule_count(OWNER) == 2
            assert rules.rule_of(OWNER, 1)[0].lower() == WETH
            with pytest.raises(boa.BoaError, match="none is set"):
                rules.clear_rule(0)
        written(rules, RULE)
        assert rules.rule_count(OWNER) == 2


def test_rule__of_another_owner__is_out_of_reach(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        with boa.env.prank(STRANGER):
            with pytest.raises(boa.BoaError, match="none is set"):
                rules.clear_rule(0)
            rules.set_rule(0, replace(RULE, floor_bps=12_000).fields())
        assert rules.rule_of(OWNER, 0)[2] == RULE.floor_bps


def test_events__say_who_wrote_what(rules: Any) -> None:
    with boa.env.anchor():
        written(rules, RULE)
        (event,) = rules.get_logs()
        assert (type(event).__name__, event.owner, event.id, event.rule.floor_bps) == (
            "RuleSet",
            OWNER,
            0,
            11_000,
        )
        with boa.env.prank(OWNER):
            rules.clear_rule(0)
        (event,) = rules.get_logs()
        assert (type(event).__name__, event.owner, event.id) == ("RuleCleared", OWNER, 0)


@pytest.mark.parametrize(
    ("changes", "terms", "reason"),
    [
        ({}, {"highest_bps": 0}, "feed, sigmas_bps and horizon are for a floor with a highest_bps"),
        ({}, {"feed": "0x" + "00" * 20}, "highest_bps needs a feed, sigmas_bps and a horizon"),
        ({}, {"sigmas_bps": 0}, "highest_bps needs a feed, sigmas_bps and a horizon"),
        ({}, {"horizon": 0}, "highest_bps needs a feed, sigmas_bps and a horizon"),
        ({}, {"highest_bps": 11_000}, "highest_bps is not above the floor"),
        ({}, {"sigmas_bps": 2**24}, "sigmas_bps does not fit 24 bits"),
        ({}, {"horizon": 2**32}, "horizon does not fit 32 bits"),
        ({}, {"highest_bps": 2**24}, "highest_bps does not fit 24 bits"),
        ({}, {"highest_bps": 2**256 - 1}, "highest_bps does not fit 24 bits"),
        ({}, {"highest_bps": 10_000_000}, "the band does not fit 24 bits where its floor is highest"),
        ({"ceiling_bps": 15_076}, {}, "ceiling is within the tolerance of the target"),
        (
            {"floor_bps": 20_000, "ceiling_bps": 12_000},
            {"in_leverage": True},
            "a floor that follows volatility is a health, not a leverage",
        ),
    ],
)
def test_a_floor_that_follows_volatility__makes_no_sense__is_refused_with_the_reason(
    rules: Any, changes: dict[str, Any], terms: dict[str, Any], reason: str
) -> None:
    assert f"rule: {reason}" in refusal(rules, replace(RULE, **changes), replace(FOLLOWING, **terms))


def test_a_floor_that_follows_volatility__where_nothing_measures_it__is_refused() -> None:
    with boa.env.anchor():
        boa.env.timestamp = NOW
        sense = boa.load(CONTRACTS / "LoanSense.vy").address
        alone = boa.loads(HARNESS, sense, "0x" + "00" * 20)
        written(alone, RULE)
        assert "rule: nothing here measures volatility" in refusal(alone, RULE, FOLLOWING)
        with pytest.raises(boa.BoaError, match="volatility: no contract at its address"):
            boa.loads(HARNESS, sense, STRANGER)


def test_terms__that_follow_volatility__come_back_as_written_and_are_forgotten_with_the_rule(
    rules: Any,
) -> None:
    with boa.env.anchor():
        written(rules, RULE, terms=FOLLOWING)
        back = rules.terms_of(OWNER, 0)
        assert tuple(back)[:16] == FOLLOWING.fields()[:16]
        assert back[16].lower() == FOLLOWING.feed.lower()
        written(rules, RULE, terms=Terms(hold=600))
        assert rules.terms_words_of(OWNER, 0)[2] == 0
        assert rules.band_of(OWNER, 0) == (11_000, 15_000, 20_000, True)


MEASURE = """
# pragma version ==0.4.3
# pragma evm-version cancun
from contracts import volatility_bands

answer: uint256

@external
def show(answer: uint256):
    self.answer = answer

@external
@view
def floor_health(feed: address, sigmas_bps: uint256, horizon: uint256) -> uint256:
    if self.answer == 0:
        return 0
    return volatility_bands._floor_health(sigmas_bps, self.answer, horizon, 0, max_value(uint256))
"""


@settings(max_examples=150, deadline=None)
@given(
    valid_rules(most=300_000),
    st.integers(1, 100_000),
    st.integers(1, 2**24 - 1),
    st.integers(1, 2**32 - 1),
    st.one_of(st.just(0), st.integers(1, 10**22)),
)
def test_a_band_that_follows_volatility__whatever_is_measured__is_the_keepers_to_the_digit_and_keeps_its_bounds(
    shown: tuple[Any, Any], rule: Rule, above: int, sigmas: int, horizon: int, sigma: int
) -> None:
    rules, measure = shown
    highest = rule.floor_bps + above
    terms = Terms(highest_bps=highest, sigmas_bps=sigmas, horizon=horizon, feed=Address(STRANGER))
    rule = replace(rule, ceiling_bps=max(rule.ceiling_bps, -(-(rule.target_bps + 1) * 10_050 // 10_000)))
    with boa.env.anchor():
        written(rules, rule, terms=terms)
        measure.show(sigma)
        floor, target, ceiling, is_known = rules.band_of(OWNER, 0)
    here = LoanRule(
        Address(WETH),
        Address(USDC),
        Band(rule.floor_bps, rule.target_bps, rule.ceiling_bps),
        Limits(100, 0, 1, NOW, Address(OWNER)),
        LoanTerms(highest_bps=highest, sigmas_bps=sigmas, horizon=horizon, feed=Address(STRANGER)),
        sigma,
    )
    assert (floor, target, ceiling) == tuple(getattr(standing(here), name) for name in Band.__slots__)
    assert is_known == (sigma != 0)
    assert rule.floor_bps <= floor <= highest
    assert is_known or floor == highest
    # Wherever it stands, it is a band that an owner could have written.
    assert floor * 10_000 < target * (10_000 - TOLERANCE_BPS)
    assert target * (10_000 + TOLERANCE_BPS) < ceiling * 10_000


@pytest.fixture(scope="module")
def shown() -> Any:
    """Rules beside something that shows whatever volatility a test wants."""
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        boa.env.timestamp = NOW
        measure = boa.loads(MEASURE)
        yield boa.loads(HARNESS, boa.load(CONTRACTS / "LoanSense.vy").address, measure.address), measure

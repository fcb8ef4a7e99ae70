"""The judgement, by itself and beside the contract's."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.loans import Band, Limits, Loan, LoanRule, RuleKey, Sight, Terms
from keeper.domain.units import HEALTH_WAD_PER_BPS, NO_DEBT, NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.judge.freshness import blind_when_stale
from keeper.judge.loan_health import BETWEEN, HEALTHY, REASONS, judge

KEY = RuleKey(NOBODY, NOBODY, 0)
WETH, USDC = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
NOW = 1_700_000_000


def a_sight(
    health: int = 13 * WAD // 10,
    debt: int = 10**12,
    floor_bps: int = 14_000,
    cooldown: int = 60,
    last_acted: int = 0,
    expiry: int = NOW + 1,
) -> Sight:
    rule = LoanRule(WETH, USDC, Band(floor_bps, 17_000, 25_000), Limits(100, cooldown, 1, expiry, NOBODY))
    return Sight(KEY, rule, last_acted, Loan(2 * 10**12, debt, 8300, health))


def test_judge__a_loan_below_its_floor__is_breached() -> None:
    assert judge(a_sight(health=14_000 * HEALTH_WAD_PER_BPS - 1), NOW).kind is Kind.BREACHED


def test_judge__a_loan_on_its_floor__is_within() -> None:
    assert judge(a_sight(health=14_000 * HEALTH_WAD_PER_BPS), NOW).kind is Kind.WITHIN


@given(st.integers(0, 2**200), st.integers(10_001, 30_000), st.integers(30_001, 2**24 - 1))
def test_judge__a_rule_that_borrows__is_breached_exactly_outside_its_band(
    health: int, floor_bps: int, ceiling_bps: int
) -> None:
    sight = a_sight(health=health, floor_bps=floor_bps)
    assert sight.rule is not None
    borrowing = replace(
        sight.rule, band=replace(sight.rule.band, ceiling_bps=ceiling_bps), terms=Terms(borrow_step=1)
    )
    verdict = judge(replace(sight, rule=borrowing), NOW)
    if floor_bps * WAD <= health * 10_000 <= ceiling_bps * WAD:
        assert verdict.why == "health: between the floor and the ceiling"
    else:
        assert verdict.kind is Kind.BREACHED
        assert ("below" in verdict.why) == (health * 10_000 < floor_bps * WAD)


def test_judge__a_rule_in_leverage__is_judged_by_what_is_held_per_debt_whatever_the_threshold() -> None:
    sight = a_sight(debt=10**12)
    assert sight.rule is not None
    band, terms = Band(25_000, 20_000, 16_000), Terms(in_leverage=True, borrow_step=1)
    rule = replace(sight.rule, band=band, terms=terms)
    for collateral, why in (
        (1_660_000_000_000, "health: below the floor"),
        (1_670_000_000_000, "health: between the floor and the ceiling"),
        (2_660_000_000_000, "health: between the floor and the ceiling"),
        (2_670_000_000_000, "health: above the ceiling"),
    ):
        for threshold in (5_000, 9_000):
            loan = Loan(collateral, 10**12, threshold, collateral * threshold * WAD // 10**16)
            assert judge(replace(sight, rule=rule, loan=loan), NOW).why == why


def test_judge__an_account_without_debt__is_within_whatever_its_health() -> None:
    verdict = judge(a_sight(debt=0, health=NO_DEBT), NOW)
    assert (verdict.kind, verdict.why) == (Kind.WITHIN, "loan: no debt")


def test_judge__a_rule_in_its_last_second__still_holds_and_is_barred_after_it() -> None:
    assert judge(a_sight(expiry=NOW), NOW).kind is Kind.BREACHED
    assert judge(a_sight(expiry=NOW - 1), NOW).why == "rule: expired"


def test_judge__a_cooldown__bars_until_its_last_second_is_over() -> None:
    assert judge(a_sight(last_acted=NOW - 59), NOW).why == "rule: cooling down"
    assert judge(a_sight(last_acted=NOW - 60), NOW).kind is Kind.BREACHED


def test_judge__an_unreadable_account__is_blind_and_never_healthy() -> None:
    sight = a_sight()
    assert judge(Sight(KEY, sight.rule, 0, None), NOW).kind is Kind.BLIND


def test_judge__no_rule__is_barred_whatever_the_account() -> None:
    assert judge(Sight(KEY, None, 0, a_sight().loan), NOW).why == "rule: none is set"


@given(st.integers(0, 2**256 - 1), st.integers(10_001, 2**24 - 1))
def test_judge__any_health_and_floor__is_breached_exactly_below_it(health: int, floor_bps: int) -> None:
    verdict = judge(a_sight(health=health, floor_bps=floor_bps), NOW)
    assert (verdict.kind is Kind.BREACHED) == (health * 10_000 < floor_bps * WAD)


@pytest.mark.parametrize("asset", [WETH, USDC])
def test_freshness__a_feed_silent_for_too_long__blinds_the_rule(asset: Address) -> None:
    sight = a_sight()
    ages: dict[Address, int | None] = {WETH: 10, USDC: 10, asset: 3601}
    verdict = blind_when_stale(judge(sight, NOW), sight, ages, 3600)
    assert verdict.kind is Kind.BLIND
    assert "3601 s old, over 3600 s" in verdict.why


def test_freshness__a_feed_that_tells_no_time__is_taken_at_its_word() -> None:
    sight = a_sight()
    verdict = judge(sight, NOW)
    assert blind_when_stale(verdict, sight, {WETH: None, USDC: 3600}, 3600) == verdict


@pytest.mark.parametrize("kind", [Kind.BARRED, Kind.BLIND])
def test_freshness__what_is_barred_or_blind_already__keeps_its_own_reason(kind: Kind) -> None:
    sight = a_sight()
    verdict = replace(judge(sight, NOW), kind=kind, why="of its own")
    assert blind_when_stale(verdict, sight, {WETH: 10**6, USDC: 10**6}, 3600) == verdict


def test_freshness__a_healthy_loan__is_blinded_too_and_keeps_its_health() -> None:
    sight = a_sight(health=2 * WAD)
    before = judge(sight, NOW)
    after = blind_when_stale(before, sight, {WETH: 3600, USDC: 3601}, 3600)
    assert (before.kind, after.kind, after.measure.value, after.key) == (
        Kind.WITHIN,
        Kind.BLIND,
        2 * WAD,
        KEY,
    )
    assert after.why == "oracle: the debt's price is 3601 s old, over 3600 s"


def test_freshness__an_account_without_a_rule__has_no_prices_to_doubt() -> None:
    sight = Sight(KEY, None, 0, None)
    verdict = judge(sight, NOW)
    assert blind_when_stale(verdict, sight, {WETH: 10**6}, 1) == verdict


def test_judge__several_reasons__gives_the_one_that_stands_first_in_the_table() -> None:
    expired = a_sight(expiry=NOW - 1, last_acted=NOW, debt=0)
    assert judge(replace(expired, rule=None, loan=None), NOW).why == "rule: none is set"
    assert judge(replace(expired, loan=None), NOW).why == "rule: expired"
    live = a_sight(last_acted=NOW, debt=0)
    assert judge(replace(live, loan=None), NOW).why == "oracle: Aave cannot value the account"
    assert judge(live, NOW).why == "loan: no debt"
    assert judge(a_sight(last_acted=NOW, health=2 * WAD), NOW).why == "health: at or above the floor"
    assert judge(a_sight(last_acted=NOW), NOW).why == "rule: cooling down"


def test_reasons__every_one__is_a_verdict_of_the_contracts_in_its_own_words() -> None:
    source = (Path(__file__).resolve().parents[2] / "contracts" / "LoanCheck.vy").read_text("utf-8")
    for kind, why in REASONS:
        assert f'"{why}"' in source
        if kind is not Kind.BREACHED and why not in (REASONS[HEALTHY][1], REASONS[BETWEEN][1]):
            assert re.search(rf'self\._finding\(_{kind.name}, [a-z0-9.]+, "{re.escape(why)}"\)', source), why


def test_reasons__every_one__names_its_room() -> None:
    assert all(": " in why for _, why in REASONS)

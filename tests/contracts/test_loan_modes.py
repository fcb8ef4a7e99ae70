"""Loans in an e-mode and in isolation: judged by what counts there, both ways, and refused only where Aave refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keeper.domain.errors import NodeRefused
from tests.contracts.e_modes import (
    enter,
    found_e_mode,
    isolate,
    list_in_mode,
    open_supplied,
    set_ceiling,
    supply,
)
from tests.contracts.loan_stage import (
    ADMIN,
    BARRED,
    BASE,
    BREACHED,
    DELEVERAGE,
    LENDER,
    NEVER,
    RELEVERAGE,
    STRANGER,
    WAD,
    WITHIN,
    Finding,
    Rule,
    Stage,
    Terms,
)

ETH = WAD
USD = 10**6
BORROWING = Terms(borrow_step=10**12)
LOOPED: dict[str, Any] = {"floor_bps": 10_300, "target_bps": 10_600, "ceiling_bps": 11_000, "cooldown": 0}
LOW = (BREACHED, DELEVERAGE, "health: below the floor")
HIGH = (BREACHED, RELEVERAGE, "health: above the ceiling")
NOT_LENT = "aave: the debt asset is not lent out in the account's e-mode"


def a_loop(stage: Stage, health: float, debt: int = 180_000 * USD, **changes: Any) -> None:
    """100 WETH against so many USDC in an e-mode of both, and a rule as tight as only an e-mode allows."""
    found_e_mode(stage)
    stage.open(100 * ETH, debt)
    stage.delegate()
    enter(stage)
    stage.set_rule(replace(stage.rule, **{**LOOPED, **changes}), terms=BORROWING)
    stage.set_health(health)


def verdict(stage: Stage) -> tuple[int, int, str]:
    found = stage.check()
    return found.verdict, found.action, found.why


def landed(stage: Stage, target_bps: int = LOOPED["target_bps"]) -> float:
    return stage.health() / (target_bps * 10**14)


# In an e-mode


@pytest.mark.parametrize("health", [1.029, 1.01, 1.0001])
def test_deleverage__in_an_e_mode__lands_on_the_target(any_stage: Stage, health: float) -> None:
    a_loop(any_stage, health)
    assert any_stage.account()[3] == 9_300
    assert verdict(any_stage) == LOW
    any_stage.act()
    assert abs(landed(any_stage) - 1) < 1e-5


@pytest.mark.parametrize("health", [1.101, 1.3, 1.5])
def test_releverage__in_an_e_mode__lands_just_above_the_target(any_stage: Stage, health: float) -> None:
    a_loop(any_stage, health, 120_000 * USD)
    assert verdict(any_stage) == HIGH
    any_stage.act()
    assert 1.0 <= landed(any_stage) <= 1.005
    held, owed, *_ = any_stage.account()
    assert owed * 10_000 > held * 8_050, "beyond the collateral's own LTV"


def test_a_rule__in_leverage_and_in_an_e_mode__is_held_both_ways(any_stage: Stage) -> None:
    stage = any_stage
    a_loop(stage, 1.2)
    rule = replace(stage.rule, floor_bps=66_000, target_bps=60_000, ceiling_bps=54_000, cooldown=0)
    stage.set_rule(rule, terms=replace(BORROWING, in_leverage=True))
    for price, action in ((2_400 * BASE, RELEVERAGE), (2_100 * BASE, DELEVERAGE)):
        stage.set_price(price)
        assert stage.check().action == action
        stage.act()
        held, owed, *_ = stage.account()
        assert 5.85 <= held / (held - owed) <= 6.0001


def test_a_rule__once_its_account_is_in_an_e_mode__is_sized_by_the_modes_threshold(any_stage: Stage) -> None:
    stage = any_stage
    stage.open(100 * ETH, 150_000 * USD)
    stage.set_rule(replace(stage.rule, target_bps=13_000))
    found_e_mode(stage)
    stage.set_health(1.05)
    outside = stage.check()
    enter(stage)
    assert verdict(stage)[0] == WITHIN
    stage.set_health(1.05)
    inside = stage.check()
    assert (outside.verdict, inside.verdict) == (BREACHED, BREACHED)
    assert inside.repay > outside.repay, "each dollar sold takes more weight with it"
    stage.act(inside)
    assert abs(landed(stage, 13_000) - 1) < 1e-5


def test_a_collateral__outside_the_accounts_e_mode__counts_by_its_own_threshold(any_stage: Stage) -> None:
    stage = any_stage
    found_e_mode(stage, members=("WBTC",))
    stage.open(100 * ETH, 150_000 * USD)
    stage.delegate()
    enter(stage)
    stage.set_rule(replace(stage.rule, cooldown=0), terms=BORROWING)
    for health, found in ((1.05, LOW), (2.2, HIGH)):
        stage.set_health(health)
        assert stage.account()[3] == 8_300
        assert verdict(stage) == found
        stage.act()
        assert 0.99999 <= landed(stage, 15_000) <= 1.005


def test_two_collaterals__one_of_them_in_the_e_mode__each_counts_by_its_own(any_stage: Stage) -> None:
    stage = any_stage
    found_e_mode(stage)
    stage.open(100 * ETH, 150_000 * USD)
    supply(stage, "WBTC", 10**8)
    stage.delegate()
    enter(stage)
    stage.set_rule(replace(stage.rule, target_bps=13_000, cooldown=0), terms=BORROWING)
    for price, found in ((1_270 * BASE, LOW), (4_000 * BASE, HIGH)):
        stage.set_price(price)
        assert verdict(stage) == found
        stage.act()
        assert 0.9995 <= landed(stage, 13_000) <= 1.005
        assert 7_800 < stage.account()[3] < 9_300


def test_check__a_collateral_without_ltv_beside__bars_unless_its_e_mode_gives_it_one(
    any_stage: Stage,
) -> None:
    stage = any_stage
    a_loop(stage, 1.2, 100_000 * USD)
    supply(stage, "WBTC", 10**7)
    own = (stage.tokens["WBTC"], 0, 7_800, 10_500)
    stage.govern("configureReserveAsCollateral(address,uint256,uint256,uint256)", *own)
    stage.set_price(1_040 * BASE)
    barred = "aave: another enabled collateral has LTV 0, so this one cannot leave"
    assert verdict(stage) == (BARRED, DELEVERAGE, barred)
    refused = stage.refusal(30_000 * USD)
    assert refused == ("error 0x5b263df7" if stage.version == "3.6" else "57")
    if stage.version == "3.6":
        list_in_mode(stage, "Collateral", "WBTC")
        assert verdict(stage) == LOW
        with stage.undone():
            stage.act()
        stage.govern("setAssetLtvzeroInEMode(address,uint8,bool)", stage.tokens["WBTC"], 1, True)
        assert verdict(stage) == (BARRED, DELEVERAGE, barred)
        assert stage.refusal(30_000 * USD) == refused


def test_a_collateral__only_in_its_e_mode__is_held_both_ways(stages: Any) -> None:
    stage: Stage = stages[True, "3.6"]
    with stage.undone():
        nothing = (stage.tokens["WBTC"], NEVER * 2 - 1, LENDER)
        stage.send(LENDER, stage.aave.pool, "withdraw(address,uint256,address)", *nothing)
        none = (stage.tokens["WBTC"], 0, 0, 0)
        stage.govern("configureReserveAsCollateral(address,uint256,uint256,uint256)", *none)
        found_e_mode(stage, members=("WBTC",))
        enter(stage)
        open_supplied(stage, 4 * 10**8, 170_000 * USD, sold="WBTC")
        rule = replace(stage.rule, collateral=stage.tokens["WBTC"], **LOOPED)
        stage.set_rule(rule, terms=BORROWING)
        for price, found in ((46_500 * BASE, LOW), (52_000 * BASE, HIGH)):
            stage.set_price(price, "WBTC")
            assert verdict(stage) == found
            stage.act()
            assert 0.99999 <= landed(stage) <= 1.005


# What Aave refuses in an e-mode


def no_longer_lent(stage: Stage) -> None:
    if stage.version == "3.6":
        list_in_mode(stage, "Borrowable", "USDC", is_listed=False)
    else:
        stage.govern("setAssetEModeCategory(address,uint8)", stage.tokens["USDC"], 0)


def test_check__the_e_mode_does_not_lend_the_debt_asset__bars_borrowing_alone(any_stage: Stage) -> None:
    stage = any_stage
    a_loop(stage, 1.3, 120_000 * USD)
    sized = stage.check()
    no_longer_lent(stage)
    assert verdict(stage) == (BARRED, DELEVERAGE, NOT_LENT)
    refused = stage.refusal(sized.repay, action=RELEVERAGE, max_sell=0)
    assert refused == ("error 0x57db5bba" if stage.version == "3.6" else "58")
    stage.set_health(1.02)
    assert verdict(stage) == LOW
    stage.act()
    assert abs(landed(stage) - 1) < 1e-5


def test_check__an_asset_that_nobody_may_borrow__is_lent_where_its_e_mode_says_so(any_stage: Stage) -> None:
    stage = any_stage
    a_loop(stage, 1.3, 120_000 * USD)
    sized = stage.check()
    stage.govern("setReserveBorrowing(address,bool)", stage.tokens["USDC"], False)
    if stage.version == "3.6":
        assert verdict(stage) == HIGH
        stage.act()
        assert 1.0 <= landed(stage) <= 1.005
    else:
        assert verdict(stage) == (BARRED, DELEVERAGE, NOT_LENT)
        assert stage.refusal(sized.repay, action=RELEVERAGE, max_sell=0) == "30"


def test_check__the_modes_ltv_does_not_reach_the_target__says_so_and_aave_refuses(any_stage: Stage) -> None:
    stage = any_stage
    a_loop(stage, 1.2, 150_000 * USD, floor_bps=10_050, target_bps=10_200)
    found = stage.check()
    assert (found.verdict, found.why) == (BARRED, "aave: the LTV does not allow as much to be borrowed")
    refused = stage.refusal(found.repay, action=RELEVERAGE, max_sell=0)
    assert refused == ("error 0x911ceb81" if stage.version == "3.6" else "36")


# A price of the mode's own, before 3.2


def at_the_modes_price(stage: Stage, price: int) -> None:
    """Quote the mode's source, which here goes by the address of a feed."""
    stage.set_feed("WBTC", price)
    quoted = ([stage.feeds["USDC"]], [stage.feeds["WBTC"]])
    stage.send(ADMIN, stage.aave.oracle, "setAssetSources(address[],address[])", *quoted)


def test_a_mode_with_a_price_of_its_own__is_what_its_collateral_is_sized_and_its_bounty_paid_by(
    stage: Stage,
) -> None:
    found_e_mode(stage, members=("WETH",), lent=("USDC",), source=stage.feeds["USDC"])
    at_the_modes_price(stage, 2_500 * BASE)
    stage.open(100 * ETH, 60 * USD)
    # What is owed leaves the mode, which Aave does not mind, and so has a price of its own again.
    enter(stage)
    stage.govern("setAssetEModeCategory(address,uint8)", stage.tokens["USDC"], 0)
    rule = replace(stage.rule, target_bps=13_000, cooldown=0, slippage_bps=300)
    stage.set_rule(rule)
    # At $2,500, its own price still, the collateral would be beyond every floor.
    at_the_modes_price(stage, BASE * 64 // 100)
    stage.push_pool(BASE * 64 // 100)
    assert verdict(stage) == LOW
    with stage.undone():
        stage.act()
        assert abs(landed(stage, 13_000) - 1) < 1e-5
    cap = BASE // 20
    stage.set_rule(rule, terms=Terms(public_bps=1, bounty_bps=100, bounty_cap=cap))
    stage.act(sender=STRANGER)
    paid = stage.balance(stage.a_token("WETH"), STRANGER) * BASE * 64 // (100 * WAD)
    assert abs(paid - cap) <= 1


# In isolation


def an_isolated_loan(stage: Stage, debt: int, ceiling: int, health: float, **changes: Any) -> None:
    isolate(stage, "WETH", ceiling)
    open_supplied(stage, 100 * ETH, debt)
    stage.set_rule(replace(stage.rule, cooldown=0, **changes), terms=BORROWING)
    stage.set_health(health)


def isolated_debt(stage: Stage) -> int:
    return int(stage.reserve("WETH")[14])


@pytest.mark.parametrize("health", [1.05, 0.99])
def test_deleverage__in_isolation__lands_on_the_target_and_frees_the_ceiling(
    any_stage: Stage, health: float
) -> None:
    stage = any_stage
    an_isolated_loan(stage, 150_000 * USD, 150_000, health)
    assert isolated_debt(stage) == 15_000_000
    found = stage.check()
    assert (found.verdict, found.why) == (BREACHED, "health: below the floor")
    stage.act(found)
    assert abs(landed(stage, 15_000) - 1) < 1e-5
    assert isolated_debt(stage) == 15_000_000 - found.repay // 10**4


def test_releverage__in_isolation__lands_as_far_as_the_debt_ceiling_reaches(any_stage: Stage) -> None:
    stage = any_stage
    an_isolated_loan(stage, 100_000 * USD, 500_000, 2.2)
    found = stage.check()
    assert (found.verdict, found.action) == (BREACHED, RELEVERAGE)
    needed = 10_000_000 + found.repay // 10**4
    set_ceiling(stage, "WETH", needed - 1)
    assert verdict(stage) == (
        BARRED,
        RELEVERAGE,
        "aave: the collateral's debt ceiling leaves too little room",
    )
    refused = stage.refusal(found.repay, action=RELEVERAGE, max_sell=0)
    assert refused == ("error 0xe24734c2" if stage.version == "3.6" else "53")
    set_ceiling(stage, "WETH", needed)
    assert verdict(stage) == HIGH
    stage.act(found)
    assert 1.0 <= landed(stage, 15_000) <= 1.005
    assert isolated_debt(stage) == needed


def test_check__a_debt_that_isolation_does_not_lend__bars_borrowing_and_aave_refuses(
    any_stage: Stage,
) -> None:
    stage = any_stage
    an_isolated_loan(stage, 100_000 * USD, 500_000, 2.2)
    found = stage.check()
    stage.govern("setBorrowableInIsolation(address,bool)", stage.tokens["USDC"], False)
    why = "aave: the account is isolated, and this debt is not lent in isolation"
    assert verdict(stage) == (BARRED, DELEVERAGE, why)
    refused = stage.refusal(found.repay, action=RELEVERAGE, max_sell=0)
    assert refused == ("error 0x30d1eeb9" if stage.version == "3.6" else "60")
    stage.set_health(1.05)
    stage.act()
    assert abs(landed(stage, 15_000) - 1) < 1e-5


def test_a_loan__isolated_and_in_an_e_mode__is_held_both_ways(any_stage: Stage) -> None:
    stage = any_stage
    found_e_mode(stage)
    isolate(stage, "WETH", 500_000)
    open_supplied(stage, 100 * ETH, 150_000 * USD)
    enter(stage)
    stage.set_rule(replace(stage.rule, **LOOPED), terms=BORROWING)
    for health, found in ((1.02, LOW), (1.15, HIGH)):
        stage.set_health(health)
        assert verdict(stage) == found
        stage.act()
        assert 0.99999 <= landed(stage) <= 1.005


# Whatever the market, the rule and the mode


def random_loan(
    stage: Stage,
    health: float,
    rule: Rule,
    terms: Terms,
    beside: int,
    mode: tuple[int, int] | None,
    away: int,
) -> Finding:
    if mode is not None:
        members = [("WETH", "USDC"), ("WBTC",), ("WETH", "WBTC")][away]
        found_e_mode(stage, members=members, ltv=mode[0], threshold=mode[1])
    stage.open(100 * ETH, 100_000 * USD)
    stage.delegate()
    if beside:
        supply(stage, "WBTC", beside)
    if mode is not None:
        enter(stage)
    stage.set_rule(rule, terms=terms)
    collateral, debt, *_, now = stage.account()
    stage.set_price(max(int(stage.price() * health * WAD / now), 100 * BASE))
    assert collateral > debt
    return stage.check()


# LTV and threshold; before 3.2 a mode must be more generous than each of its reserves.
a_mode = st.tuples(st.integers(8_310, 9_200), st.integers(0, 400)).map(
    lambda drawn: (drawn[0], drawn[0] + drawn[1])
)
USUAL: dict[str, Any] = {"gaps": (500, 800), "step": 10**13, "mode": (9_000, 9_300), "away": 0, "beside": 0}


@settings(max_examples=14, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    health=st.floats(0.95, 2.5),
    floor=st.integers(10_100, 13_000),
    gaps=st.tuples(st.integers(150, 3_000), st.integers(150, 3_000)),
    step=st.sampled_from([10**13, 10**13, 20_000 * USD]),
    mode=st.one_of(st.none(), a_mode, a_mode, a_mode),
    away=st.integers(0, 2),
    beside=st.sampled_from([0, 0, 10**8]),
    happens=st.sampled_from(["nothing", "nothing", "leaves", "not lent", "basis"]),
)
@example(health=1.02, floor=10_300, happens="nothing", **USUAL)
@example(health=1.4, floor=10_300, happens="nothing", **USUAL)
@example(health=1.4, floor=10_300, happens="not lent", **USUAL)
@example(health=1.2, floor=11_000, happens="leaves", **USUAL)
def test_check__any_market_rule_and_e_mode__is_breached_exactly_when_rebalance_accepts(
    any_stage: Stage,
    health: float,
    floor: int,
    gaps: tuple[int, int],
    step: int,
    mode: tuple[int, int] | None,
    away: int,
    beside: int,
    happens: str,
) -> None:
    stage = any_stage
    with stage.undone():
        rule = replace(
            *(stage.rule,),
            floor_bps=floor,
            target_bps=floor + gaps[0],
            ceiling_bps=floor + gaps[0] + gaps[1],
            max_step=step,
        )
        random_loan(stage, health, rule, Terms(borrow_step=step), beside, mode, away)
        happening(stage, happens)
        found = stage.check()
        low = found.action == DELEVERAGE and found.health < floor * 10**14
        high = found.health > rule.ceiling_bps * 10**14
        if not (low or high):
            assert found.verdict == WITHIN, found
            return
        action = DELEVERAGE if low else RELEVERAGE
        before = stage.account()
        try:
            wanted = found.repay or 20_000 * USD
            stage.act(found, repay=wanted, max_sell=NEVER if low else 0, fee=500, action=action)
        except NodeRefused:
            assert found.verdict == BARRED, found
        else:
            assert found.verdict == BREACHED, found
            end = stage.account()[5] / 10**14
            if found.repay < step:
                assert 0.995 <= end / rule.target_bps <= 1.005
            assert (end > before[5] / 10**14) == low


def happening(stage: Stage, what: str) -> None:
    deeds: dict[str, Callable[[], None]] = {
        "leaves": lambda: enter(stage, 0),
        "not lent": lambda: no_longer_lent(stage),
        "basis": lambda: stage.push_pool(stage.price() * 1_015 // 1_000),
    }
    if what in deeds:
        try:
            deeds[what]()
        except NodeRefused:
            assert what == "leaves", "who would stand below 1 outside may not leave"

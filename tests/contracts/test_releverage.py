"""Above the ceiling the contract borrows more in the owner's name, up to the target and never past it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.devnet.transactions import decoded
from keeper.domain.errors import NodeRefused
from tests.contracts.loan_stage import (
    ADMIN,
    BARRED,
    BREACHED,
    DELEVERAGE,
    NEVER,
    OWNER,
    RELEVERAGE,
    STRANGER,
    TRADER,
    WAD,
    WITHIN,
    Rule,
    Stage,
    Terms,
)

ETH = WAD
USD = 10**6
TARGET = 15_000
BORROWING = Terms(borrow_step=10**12)
IN_LEVERAGE = Terms(in_leverage=True, borrow_step=10**12)
HIGH = (BREACHED, RELEVERAGE, "health: above the ceiling")


def a_loan(stage: Stage, health: float = 2.2, rule: Rule | None = None, terms: Terms = BORROWING) -> None:
    """100 WETH against 100,000 USDC, a rule that borrows, credit for it, and a price at which health stands there."""
    stage.open(100 * ETH, 100_000 * USD)
    stage.delegate()
    stage.set_rule(rule, terms=terms)
    stage.set_health(health)


def verdict(stage: Stage) -> tuple[int, int, str]:
    found = stage.check()
    return found.verdict, found.action, found.why


def left_behind(stage: Stage) -> tuple[int, ...]:
    thresholds = stage.thresholds
    spent = [stage.balance(stage.tokens[s], thresholds) for s in ("WETH", "USDC")]
    spent += [stage.balance(stage.a_token(s), thresholds) for s in ("WETH", "USDC")]
    granted = [
        stage.ask(stage.tokens[s], "allowance(address,address)", "(uint256)", thresholds, stage.aave.pool)
        for s in ("WETH", "USDC")
    ]
    return (*spent, *granted)


def cover(stage: Stage) -> float:
    held, owed, *_ = stage.account()
    return held / owed


# It lands


@pytest.mark.parametrize("health", [2.001, 2.2, 4.0, 5.0])
def test_releverage__from_above_the_ceiling__lands_just_above_the_target(
    any_stage: Stage, health: float
) -> None:
    a_loan(any_stage, health, terms=replace(BORROWING, borrow_step=10**14))
    assert verdict(any_stage) == HIGH
    any_stage.act()
    assert 1.0 <= any_stage.health() / (TARGET * 10**14) <= 1.005
    assert left_behind(any_stage) == (0,) * 6


def test_releverage__lands__reports_what_it_did(any_stage: Stage) -> None:
    a_loan(any_stage)
    found = any_stage.check()
    held = any_stage.balance(any_stage.a_token("WETH"), OWNER)
    owed = any_stage.balance(any_stage.debt_token("USDC"), OWNER)
    mined = any_stage.act(found)
    (log,) = [log for log in mined.logs if log["address"].lower() == any_stage.thresholds.lower()]
    action, borrowed, bought, before, after = decoded("(uint8,uint256,uint256,uint256,uint256)", log["data"])
    assert (action, borrowed, after) == (RELEVERAGE, found.repay, any_stage.health())
    assert abs(before / found.health - 1) < 1e-6
    assert 0 <= found.sell - bought <= 10**6
    assert any_stage.balance(any_stage.a_token("WETH"), OWNER) - held == pytest.approx(bought, abs=10**12)
    assert any_stage.balance(any_stage.debt_token("USDC"), OWNER) - owed == pytest.approx(borrowed, abs=10**4)


def test_releverage__the_whole_step__may_stop_above_the_target(any_stage: Stage) -> None:
    a_loan(any_stage, 4.0, terms=replace(BORROWING, borrow_step=20_000 * USD))
    found = any_stage.check()
    assert (found.verdict, found.repay) == (BREACHED, 20_000 * USD)
    any_stage.act()
    assert 2.5 * WAD < any_stage.health() < 4 * WAD


def test_releverage__then_the_price_falls__the_same_rule_deleverages(any_stage: Stage) -> None:
    a_loan(any_stage, rule=replace(any_stage.rule, cooldown=0))
    any_stage.act()
    any_stage.set_health(1.05)
    assert verdict(any_stage) == (BREACHED, DELEVERAGE, "health: below the floor")
    any_stage.act()
    assert abs(any_stage.health() / (1.5 * WAD) - 1) < 1e-5


def test_releverage__time_passes_between_sizing_and_landing__still_lands(any_stage: Stage) -> None:
    a_loan(any_stage)
    found = any_stage.check()
    any_stage.pass_time(600)
    any_stage.act(found)
    assert 1.0 <= any_stage.health() / (TARGET * 10**14) <= 1.005


def test_releverage__speed__goes_that_share_of_the_way_and_never_stays_in_breach(any_stage: Stage) -> None:
    a_loan(any_stage, 3.0, replace(any_stage.rule, cooldown=0), replace(BORROWING, speed_bps=7_000))
    any_stage.act()
    assert 1.95 <= any_stage.health() / WAD <= 1.95 * 1.005
    any_stage.set_health(8.0)
    # Seven tenths of the way from 8 would be 3.45, still above the ceiling of 2.
    any_stage.act()
    assert 1.98 < any_stage.health() / WAD < 2.0
    assert any_stage.check().verdict == WITHIN


# In leverage


def in_leverage(stage: Stage, most: int, target: int, least: int, **changes: Any) -> Rule:
    return replace(stage.rule, floor_bps=most, target_bps=target, ceiling_bps=least, cooldown=0, **changes)


def test_leverage__both_edges__are_acted_on_and_land_on_the_target(any_stage: Stage) -> None:
    stage = any_stage
    a_loan(stage, 1.66, in_leverage(stage, 23_000, 20_000, 17_391), IN_LEVERAGE)
    assert verdict(stage) == (WITHIN, DELEVERAGE, "health: between the floor and the ceiling")
    stage.set_health(2.1)
    assert verdict(stage) == HIGH
    stage.act()
    assert 2.0 <= cover(stage) <= 2.01
    stage.set_health(1.4)
    assert verdict(stage) == (BREACHED, DELEVERAGE, "health: below the floor")
    stage.act()
    assert abs(cover(stage) - 2.0) < 1e-5


def test_leverage__aave_changes_the_threshold__changes_nothing_about_it(any_stage: Stage) -> None:
    stage = any_stage
    a_loan(stage, 1.66, in_leverage(stage, 23_000, 20_000, 17_391), IN_LEVERAGE)
    lower = (stage.tokens["WETH"], 7_000, 7_500, 10_500)
    stage.govern("configureReserveAsCollateral(address,uint256,uint256,uint256)", *lower)
    assert verdict(stage)[0] == WITHIN
    stage.set_price(stage.price() * 14 // 10)
    assert verdict(stage) == HIGH
    stage.act()
    assert 2.0 <= cover(stage) <= 2.01


def test_leverage__a_minimum_that_is_not_given__is_the_targets_square_over_the_maximum(
    any_stage: Stage,
) -> None:
    any_stage.set_rule(in_leverage(any_stage, 23_000, 20_000, 0), terms=IN_LEVERAGE)
    fields = f"({','.join(['address'] * 2 + ['uint256'] * 7 + ['address'])})"
    told = any_stage.ask(any_stage.thresholds, "rule_of(address,uint256)", f"({fields})", OWNER, 0)
    assert told[4] == 17_391


@pytest.mark.parametrize(("speed", "leverage"), [(5_000, 2.25), (500, 2.3)])
def test_leverage__speed__recentres_by_leverage_and_stops_inside_the_band(
    any_stage: Stage, speed: int, leverage: float
) -> None:
    stage = any_stage
    rule = in_leverage(stage, 23_000, 20_000, 17_391)
    a_loan(stage, 1.66, rule, replace(IN_LEVERAGE, speed_bps=speed))
    stage.set_health(0.83 * 2.5 / 1.5)
    stage.act()
    landed = cover(stage)
    assert -1e-9 <= leverage - landed / (landed - 1) < 0.035, "twice the tolerance inside the band at most"
    assert stage.check().verdict == WITHIN


# It refuses


def test_releverage__a_rule_without_a_borrow_step__never_borrows_whatever_its_ceiling(
    any_stage: Stage,
) -> None:
    any_stage.open(100 * ETH, 100_000 * USD)
    any_stage.delegate()
    any_stage.set_rule()
    any_stage.set_health(3.0)
    assert verdict(any_stage) == (WITHIN, DELEVERAGE, "health: at or above the floor")
    assert any_stage.refusal(USD, action=RELEVERAGE, max_sell=0) == "rule: nothing is borrowed for it"


def test_rebalance__an_action_there_is_not__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    assert any_stage.refusal(USD, action=2) == "plan: there is no such action"
    assert any_stage.refusal(USD, action=255) == "plan: there is no such action"


def test_releverage__at_or_below_the_ceiling__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage, 1.999)
    assert verdict(any_stage)[0] == WITHIN
    refused = any_stage.refusal(30_000 * USD, action=RELEVERAGE, max_sell=0)
    assert refused == "health: at or below the ceiling"


def test_rebalance__the_other_side__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    assert any_stage.refusal(30_000 * USD) == "health: at or above the floor"


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(0.97, "health: short of the target with step to spare"), (1.02, "health: past the target")],
)
def test_releverage__wrong_size__is_refused(any_stage: Stage, factor: float, reason: str) -> None:
    a_loan(any_stage)
    wrong = int(any_stage.check().repay * factor)
    assert any_stage.refusal(wrong, action=RELEVERAGE, max_sell=0) == reason


def test_releverage__more_than_the_step__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage, 4.0, terms=replace(BORROWING, borrow_step=20_000 * USD))
    refused = any_stage.refusal(20_000 * USD + 1, action=RELEVERAGE, max_sell=0)
    assert refused == "plan: borrows more than the rule's borrow_step"


def test_releverage__buys_less_than_the_plans_bound__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    found = any_stage.check()
    refused = any_stage.refusal(found.repay, action=RELEVERAGE, max_sell=found.sell + 10**9)
    assert refused == "plan: the purchase would fall short of its limit"


def test_releverage__no_debt__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    stage.mint("WETH", OWNER, 100 * ETH)
    stage.set_rule(terms=BORROWING)
    assert verdict(stage) == (WITHIN, DELEVERAGE, "loan: no debt")
    assert stage.refusal(USD, action=RELEVERAGE, max_sell=0) == "loan: no debt"


# What is in the way, said by `check` and borne out by `rebalance`


def configure(signature: str, symbol: str, *values: Any) -> Any:
    return lambda stage: stage.govern(signature, stage.tokens[symbol], *values)


def credit(amount: int) -> Any:
    return lambda stage: stage.delegate(amount=amount)


def cap(kind: str, symbol: str, room: int) -> Any:
    def happen(stage: Stage) -> None:
        token = stage.a_token(symbol) if kind == "Supply" else stage.debt_token(symbol)
        total = int(stage.ask(token, "totalSupply()", "(uint256)"))
        unit = {"WETH": ETH, "USDC": USD}[symbol]
        stage.govern(f"set{kind}Cap(address,uint256)", stage.tokens[symbol], total // unit + room)

    return happen


def no_usdc_left(stage: Stage) -> None:
    free = stage.balance(stage.tokens["USDC"], stage.a_token("USDC"))
    supplied = (stage.tokens["WBTC"], 4_000 * 10**8, TRADER, 0)
    stage.send(TRADER, stage.aave.pool, "supply(address,uint256,address,uint16)", *supplied)
    borrowed = (stage.tokens["USDC"], free - 1_000 * USD, 2, 0, TRADER)
    stage.send(TRADER, stage.aave.pool, "borrow(address,uint256,uint256,uint16,address)", *borrowed)


def pool_above_the_oracle(stage: Stage) -> None:
    stage.push_pool(stage.price() * 1_015 // 1_000)


IN_THE_WAY = [
    (configure("setReserveFreeze(address,bool)", "WETH", True), "aave: the collateral's reserve is frozen"),
    (configure("setReservePause(address,bool)", "WETH", True), "aave: the collateral's reserve is frozen"),
    (configure("setReserveFreeze(address,bool)", "USDC", True), "aave: the debt's reserve is frozen"),
    (configure("setReservePause(address,bool)", "USDC", True), "aave: the debt's reserve is frozen"),
    (configure("setReserveBorrowing(address,bool)", "USDC", False), "aave: the debt asset is not lent out"),
    (cap("Supply", "WETH", 5), "aave: the collateral's supply cap leaves too little room"),
    (cap("Borrow", "USDC", 5_000), "aave: the debt's borrow cap leaves too little room"),
    (credit(0), "delegation: the owner has delegated no credit in the debt asset"),
    (credit(10_000 * USD), "delegation: the credit delegated is short of what must be borrowed"),
    (no_usdc_left, "aave: too little of the debt asset is there to borrow"),
    (pool_above_the_oracle, "pool: the purchase would cost more than the rule's slippage"),
]


@pytest.mark.parametrize(("happen", "why"), IN_THE_WAY)
def test_check__something_is_in_the_way_of_borrowing__says_so_and_rebalance_refuses(
    any_stage: Stage, happen: Any, why: str
) -> None:
    a_loan(any_stage)
    sized = any_stage.check()
    happen(any_stage)
    found = any_stage.check()
    assert found.verdict == BARRED, found
    assert found.why.startswith(why)
    any_stage.refusal(found.repay or sized.repay, action=RELEVERAGE, max_sell=0)


def test_check__the_ltv_does_not_reach_the_target__says_so_and_aave_refuses(any_stage: Stage) -> None:
    rule = replace(any_stage.rule, floor_bps=10_050, target_bps=10_200, ceiling_bps=11_000)
    a_loan(any_stage, 1.2, rule)
    found = any_stage.check()
    assert (found.verdict, found.why) == (BARRED, "aave: the LTV does not allow as much to be borrowed")
    # CollateralCannotCoverNewBorrow, as each version says it.
    expected = "error 0x911ceb81" if any_stage.version == "3.6" else "36"
    refused = any_stage.refusal(found.repay, action=RELEVERAGE, max_sell=0)
    assert refused == expected
    # As much as the LTV allows is another matter.
    any_stage.set_rule(rule, terms=replace(BORROWING, borrow_step=2_000 * USD))
    assert verdict(any_stage) == HIGH
    any_stage.act()


def test_check__collateral_is_not_enabled__says_so(any_stage: Stage) -> None:
    stage = any_stage
    a_loan(stage, terms=replace(BORROWING, borrow_step=60_000 * USD))
    stage.mint("WBTC", OWNER, 10 * 10**8)
    stage.approve(OWNER, stage.tokens["WBTC"], stage.aave.pool)
    supplied = (stage.tokens["WBTC"], 10 * 10**8, OWNER, 0)
    stage.send(OWNER, stage.aave.pool, "supply(address,uint256,address,uint16)", *supplied)
    unused = (stage.tokens["WETH"], False)
    stage.send(OWNER, stage.aave.pool, "setUserUseReserveAsCollateral(address,bool)", *unused)
    assert verdict(stage)[2] == "aave: the rule's collateral is not enabled as collateral"
    refused = stage.refusal(60_000 * USD, action=RELEVERAGE, max_sell=0)
    assert refused == "loan: the asset bought does not count as collateral"


def test_check__the_debt_asset_stands_alone__says_so_beside_another_debt(any_stage: Stage) -> None:
    stage = any_stage
    a_loan(stage, 3.0, replace(stage.rule, debt=stage.tokens["WBTC"]))
    stage.open_pool("WETH", "WBTC", 50_000_000)
    stage.push_pool(stage.price() * 10**8 // stage.price("WBTC"), "WETH", "WBTC")
    stage.delegate("WBTC")
    found = stage.check()
    assert (found.verdict, found.action, found.why) == HIGH
    stage.govern("setSiloedBorrowing(address,bool)", stage.tokens["WBTC"], True)
    assert verdict(stage)[2] == "aave: siloed borrowing forbids this debt beside another"
    stage.refusal(found.repay, action=RELEVERAGE, max_sell=0)


def test_releverage__several_collaterals_and_debts__lands_all_the_same(any_stage: Stage) -> None:
    stage = any_stage
    a_loan(stage, 2.0)
    stage.mint("WBTC", OWNER, 2 * 10**8)
    stage.approve(OWNER, stage.tokens["WBTC"], stage.aave.pool)
    supplied = (stage.tokens["WBTC"], 2 * 10**8, OWNER, 0)
    stage.send(OWNER, stage.aave.pool, "supply(address,uint256,address,uint16)", *supplied)
    more = (stage.tokens["WBTC"], 10**7, 2, 0, OWNER)
    stage.send(OWNER, stage.aave.pool, "borrow(address,uint256,uint256,uint16,address)", *more)
    assert verdict(stage) == HIGH
    stage.act()
    assert 1.0 <= stage.health() / (TARGET * 10**14) <= 1.005


# Check and rebalance agree, whatever the market


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    health=st.floats(1.3, 4.0),
    target=st.integers(10_500, 17_000),
    above=st.integers(100, 8_000),
    whole=st.booleans(),
    speed=st.one_of(st.just(0), st.integers(1, 10_000)),
    step=st.one_of(st.just(10**13), st.integers(1_000 * USD, 60_000 * USD)),
    slippage=st.integers(5, 300),
    basis=st.floats(0.98, 1.03),
    delegated=st.one_of(st.just(NEVER), st.integers(0, 80_000 * USD)),
)
def test_check__any_market_and_rule_that_borrows__is_breached_exactly_when_rebalance_accepts(
    any_stage: Stage,
    health: float,
    target: int,
    above: int,
    whole: bool,
    speed: int,
    step: int,
    slippage: int,
    basis: float,
    delegated: int,
) -> None:
    stage = any_stage
    with stage.undone():
        band = (10_200, target, target * 10_060 // 10_000 + above)
        if whole:
            band = (target * 2, target * 10_100 // 10_000 + above // 4, target)
        rule = replace(
            *(stage.rule,), floor_bps=band[0], target_bps=band[1], ceiling_bps=band[2], slippage_bps=slippage
        )
        a_loan(stage, health, rule, Terms(whole, step, speed))
        stage.push_pool(int(stage.price() * basis))
        stage.delegate(amount=delegated)
        found = stage.check()
        before = stage.account()
        try:
            wanted = found.repay or min(step, 20_000 * USD)
            stage.act(found, repay=wanted, max_sell=0, fee=500, action=RELEVERAGE)
        except NodeRefused:
            assert found.verdict != BREACHED or found.action == DELEVERAGE, found
        else:
            assert (found.verdict, found.action) == (BREACHED, RELEVERAGE), found
            after = stage.account()
            gained, owed = after[0] - before[0], after[1] - before[1]
            assert gained * 10_000 >= owed * (10_000 - slippage) * 0.999999
            aimed = rule.target_bps * 10**14 if not whole else WAD * band[1] // (band[1] - 10_000)
            assert (after[0] * WAD // after[1] if whole else after[5]) >= aimed
            assert left_behind(stage) == (0,) * 6


def test_version__of_the_check__is_the_contracts(stage: Stage) -> None:
    check = stage.ask(stage.thresholds, "CHECK()", "(address)")
    told = [stage.ask(at, "version()", "(string)") for at in (check, stage.thresholds)]
    assert told[0] == told[1]
    assert stage.ask(check, "PROVIDER()", "(address)") == stage.aave.addresses_provider
    assert ADMIN not in (check, STRANGER)

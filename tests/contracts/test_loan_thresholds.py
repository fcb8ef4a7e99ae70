"""The contract on real Aave and Uniswap: it lands where the rule says, or it refuses and says why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.devnet.transactions import decoded
from keeper.domain.errors import NodeRefused
from keeper.domain.units import NOBODY
from tests.contracts.loan_stage import (
    ADMIN,
    BARRED,
    BASE,
    BLIND,
    BREACHED,
    DELEVERAGE,
    KEEPER,
    LENDER,
    NEVER,
    OWNER,
    STRANGER,
    TRADER,
    WAD,
    WITHIN,
    Finding,
    Rule,
    Stage,
    Terms,
)

ETH = WAD
USD = 10**6
BELOW = 1.05
TARGET = 15_000
FLOOR_FINDING = (WITHIN, "health: at or above the floor")


def a_loan(stage: Stage, health: float = BELOW, rule: Rule | None = None) -> None:
    """100 WETH against 150,000 USDC, a rule, and then a price at which health stands there."""
    stage.open(100 * ETH, 150_000 * USD)
    stage.set_rule(rule)
    stage.set_health(health)


def verdict(stage: Stage) -> tuple[int, str]:
    found = stage.check()
    return found.verdict, found.why


def off_target(stage: Stage, target_bps: int = TARGET) -> float:
    return abs(stage.health() / (target_bps * 10**14) - 1)


def left_behind(stage: Stage, sold: str = "WETH", bought: str = "USDC") -> tuple[int, ...]:
    """Debt asset, collateral and allowance of the contract; then its aTokens."""
    held = [stage.balance(stage.tokens[s], stage.thresholds) for s in (bought, sold)]
    granted = [
        stage.ask(
            stage.tokens[s], "allowance(address,address)", "(uint256)", stage.thresholds, stage.aave.pool
        )
        for s in (bought, sold)
    ]
    return (*held, *granted, stage.balance(stage.a_token(sold), stage.thresholds))


# It lands


@pytest.mark.parametrize("health", [1.0999, 1.05, 1.001, 1.0, 0.97, 0.90, 0.86, 0.84, 0.834])
def test_rebalance__from_the_floor_down_to_the_solvency_line__lands_on_the_target(
    any_stage: Stage, health: float
) -> None:
    a_loan(any_stage, health)
    found = any_stage.check()
    assert (found.verdict, found.why, found.fee) == (BREACHED, "health: below the floor", 500)
    any_stage.act(found)
    # Near the line all but a few dollars are repaid, so a step's rounding shows in what is left.
    assert off_target(any_stage) < (1e-4 if health < 0.84 else 1e-6)
    *nothing, dust = left_behind(any_stage)
    assert nothing == [0, 0, 0, 0]
    assert dust <= 4


def test_rebalance__lands__reports_what_it_did(any_stage: Stage) -> None:
    a_loan(any_stage)
    found = any_stage.check()
    held = any_stage.balance(any_stage.a_token("WETH"), OWNER)
    owed = any_stage.balance(any_stage.debt_token("USDC"), OWNER)
    mined = any_stage.act(found)
    (log,) = [log for log in mined.logs if log["address"].lower() == any_stage.thresholds.lower()]
    action, repaid, sold, before, after = decoded("(uint8,uint256,uint256,uint256,uint256)", log["data"])
    assert action == DELEVERAGE
    assert [int(topic, 16) for topic in log["topics"][1:]] == [int(OWNER, 16), 0, int(KEEPER, 16)]
    assert (repaid, after) == (found.repay, any_stage.health())
    assert abs(before / found.health - 1) < 1e-6
    assert 0 <= sold - found.sell <= 2
    # A second's interest is in these two.
    assert held - any_stage.balance(any_stage.a_token("WETH"), OWNER) == pytest.approx(sold, abs=10**12)
    assert owed - any_stage.balance(any_stage.debt_token("USDC"), OWNER) == pytest.approx(repaid, abs=10**4)
    stamped = any_stage.ask(any_stage.thresholds, "last_acted(address,uint256)", "(uint256)", OWNER, 0)
    assert stamped == any_stage.time()


def test_rebalance__time_passes_between_sizing_and_landing__still_lands(any_stage: Stage) -> None:
    a_loan(any_stage)
    found = any_stage.check()
    any_stage.pass_time(600)
    any_stage.act(found)
    assert off_target(any_stage) < 1e-5


def test_rebalance__the_whole_step__may_stop_short_of_the_target(any_stage: Stage) -> None:
    a_loan(any_stage, 1.05, replace(any_stage.rule, max_step=20_000 * USD))
    found = any_stage.check()
    assert (found.verdict, found.repay) == (BREACHED, 20_000 * USD)
    before = any_stage.health()
    any_stage.act(found)
    assert before < any_stage.health() < 1.2 * WAD


def mostly_in_another_debt(stage: Stage) -> Finding:
    """Breached by a debt in WBTC so large that all the rule's USDC repaid does not reach the target."""
    stage.open(100 * ETH, 20_000 * USD)
    stage.send(
        *(OWNER, stage.aave.pool, "borrow(address,uint256,uint256,uint16,address)"),
        *(stage.tokens["WBTC"], 26 * 10**7, 2, 0, OWNER),
    )
    stage.set_rule()
    stage.set_price(1_950 * BASE)
    return stage.check()


def test_rebalance__the_whole_debt_of_that_asset__may_stop_short_of_the_target(any_stage: Stage) -> None:
    stage = any_stage
    found = mostly_in_another_debt(stage)
    owed = stage.balance(stage.debt_token("USDC"), OWNER)
    assert (found.verdict, found.repay) == (BREACHED, owed - owed // 2_000)
    # Ten blocks later the remnant has grown by the interest.
    stage.pass_time(120)
    stage.act(found)
    left = stage.balance(stage.debt_token("USDC"), OWNER)
    assert 10 * USD < left < 11 * USD
    assert stage.health() < 1.45 * WAD
    stage.pass_time(60)
    assert stage.check().repay < 11 * USD


def test_rebalance__a_stranger_repays_a_little_first__still_acts(any_stage: Stage) -> None:
    stage = any_stage
    found = mostly_in_another_debt(stage)
    stage.mint("USDC", STRANGER, 5 * USD)
    stage.approve(STRANGER, stage.tokens["USDC"], stage.aave.pool)
    signature = "repay(address,uint256,uint256,address)"
    stage.send(STRANGER, stage.aave.pool, signature, stage.tokens["USDC"], 5 * USD, 2, OWNER)
    stage.act(found)
    assert stage.balance(stage.debt_token("USDC"), OWNER) < 6 * USD


def test_rebalance__several_collaterals__lands_on_the_target(any_stage: Stage) -> None:
    stage = any_stage
    stage.mint("WBTC", OWNER, 2 * 10**8)
    stage.approve(OWNER, stage.tokens["WBTC"], stage.aave.pool)
    stage.send(
        OWNER,
        stage.aave.pool,
        "supply(address,uint256,address,uint16)",
        stage.tokens["WBTC"],
        2 * 10**8,
        OWNER,
        0,
    )
    stage.open(100 * ETH, 220_000 * USD)
    stage.set_rule()
    stage.set_price(1_900 * BASE)
    assert stage.check().verdict == BREACHED
    stage.act()
    # Aave floors the mean threshold of several collaterals to a basis point.
    assert off_target(stage) < 3e-4


def test_rebalance__again_and_again_with_interest__leaves_dust_that_never_grows(any_stage: Stage) -> None:
    stage = any_stage
    borrow_most_of_the_weth(stage, 17_000)
    stage.pass_time(8 * 365 * 86_400)
    stage.open(100 * ETH, 150_000 * USD)
    stage.set_rule(replace(stage.rule, expiry=2**40 - 1, cooldown=0, floor_bps=10_100, target_bps=10_200))
    index = stage.ask(
        stage.aave.pool, "getReserveNormalizedIncome(address)", "(uint256)", stage.tokens["WETH"]
    )
    assert index > 1.2 * 10**27
    dust = []
    for round_ in range(12):
        stage.set_health(1.009 - round_ / 1_000)
        assert stage.check().verdict == BREACHED
        stage.act()
        assert left_behind(stage)[:4] == (0, 0, 0, 0)
        dust.append(
            stage.ask(stage.a_token("WETH"), "scaledBalanceOf(address)", "(uint256)", stage.thresholds)
        )
    # Shares of the reserve, to the last one: what a withdrawal burns is what the transfer brought.
    assert len(set(dust)) == 1
    assert 1 <= dust[0] <= 4


def test_rebalance__collateral_was_given_to_the_contract__changes_nothing(any_stage: Stage) -> None:
    stage = any_stage
    a_token = stage.a_token("WETH")
    gift = 3 * ETH
    stage.send(LENDER, a_token, "transfer(address,uint256)", stage.thresholds, gift)
    stage.mint("USDC", stage.thresholds, 5 * USD)
    a_loan(stage)
    held = stage.balance(a_token, OWNER)
    found = stage.check()
    stage.act(found)
    assert off_target(stage) < 1e-6
    assert held - stage.balance(a_token, OWNER) >= found.sell - 10**12
    assert stage.balance(a_token, stage.thresholds) >= gift
    assert stage.balance(stage.tokens["USDC"], stage.thresholds) == 5 * USD


@pytest.mark.parametrize(
    ("sold", "bought"), [("WETH", "MUTE"), ("MUTE", "WETH"), ("HOOK", "USDC"), ("WBTC", "USDC")]
)
def test_rebalance__tokens_that_return_nothing_or_have_other_decimals__are_fine(
    stage: Stage, sold: str, bought: str
) -> None:
    worth = {"WETH": 100 * ETH, "MUTE": 250_000 * USD, "HOOK": 100 * ETH, "WBTC": 5 * 10**8}[sold]
    owed = {"MUTE": 150_000 * USD, "USDC": 150_000 * USD, "WETH": 60 * ETH}[bought]
    stage.open(worth, owed, sold=sold, bought=bought)
    stage.set_rule(
        replace(
            stage.rule,
            collateral=stage.tokens[sold],
            debt=stage.tokens[bought],
            floor_bps=14_500,
            max_step=2**90,
        )
    )
    assert stage.check().verdict == BREACHED
    stage.act()
    assert off_target(stage) < 1e-6
    assert left_behind(stage, sold, bought)[:4] == (0, 0, 0, 0)


def test_rebalance__a_cheaper_tier_has_liquidity__check_finds_it(any_stage: Stage) -> None:
    stage = any_stage
    stage.open_pool("WETH", "USDC", 200_000_000, 100)
    stage.open_pool("WETH", "USDC", 20_000_000, 3_000)
    a_loan(stage)
    # The deep pool moved to the new price, the others still pay yesterday's.
    stage.push_pool(stage.price(), fee=100)
    found = stage.check()
    assert found.fee == 3_000
    stage.push_pool(stage.price(), fee=3_000)
    found = stage.check()
    assert found.fee == 100
    stage.act(found)
    assert off_target(stage) < 1e-6


# It refuses


def borrow_most_of_the_weth(stage: Stage, whole: int) -> None:
    pool = stage.aave.pool
    stage.send(
        TRADER, pool, "supply(address,uint256,address,uint16)", stage.tokens["USDC"], 10**9 * USD, TRADER, 0
    )
    stage.send(
        TRADER,
        pool,
        "borrow(address,uint256,uint256,uint16,address)",
        stage.tokens["WETH"],
        whole * ETH,
        2,
        0,
        TRADER,
    )


def test_rebalance__no_rule__is_refused(any_stage: Stage) -> None:
    any_stage.open(100 * ETH, 150_000 * USD)
    assert any_stage.refusal(USD) == "rule: none is set"
    assert verdict(any_stage) == (BARRED, "rule: none is set")


def test_rebalance__rule_was_cleared__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    any_stage.send(OWNER, any_stage.thresholds, "clear_rule(uint256)", 0)
    assert any_stage.refusal(USD) == "rule: none is set"
    assert verdict(any_stage) == (BARRED, "rule: none is set")


def test_rebalance__rule_expired__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage, rule=replace(any_stage.rule, expiry=any_stage.time() + 1_000))
    assert any_stage.check().verdict == BREACHED
    any_stage.pass_time(1_001)
    assert any_stage.refusal(USD) == "rule: expired"
    assert verdict(any_stage) == (BARRED, "rule: expired")


def test_rebalance__cooling_down__is_refused_until_it_is_over(any_stage: Stage) -> None:
    a_loan(any_stage, 1.05, replace(any_stage.rule, max_step=20_000 * USD, cooldown=300))
    any_stage.act()
    assert any_stage.refusal(20_000 * USD) == "rule: cooling down"
    assert verdict(any_stage) == (BARRED, "rule: cooling down")
    any_stage.set_health(1.05)
    any_stage.pass_time(300)
    assert any_stage.check().verdict == BREACHED
    any_stage.act()


def test_rebalance__at_or_above_the_floor__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage, 1.1001)
    assert any_stage.refusal(90_000 * USD) == "health: at or above the floor"
    assert verdict(any_stage) == FLOOR_FINDING


def test_rebalance__past_the_plans_deadline__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    assert any_stage.refusal(USD, deadline=any_stage.time() - 1) == "plan: past its deadline"


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(0.95, "health: short of the target with step to spare"), (1.02, "health: past the target")],
)
def test_rebalance__wrong_size__is_refused(any_stage: Stage, factor: float, reason: str) -> None:
    a_loan(any_stage)
    assert any_stage.refusal(int(any_stage.check().repay * factor)) == reason


@pytest.mark.parametrize(
    ("repay", "reason"), [(0, "nothing to repay or borrow"), (10**12 + 1, "more than the rule's max_step")]
)
def test_rebalance__size_out_of_bounds__is_refused(any_stage: Stage, repay: int, reason: str) -> None:
    a_loan(any_stage)
    assert reason in any_stage.refusal(repay)


def test_rebalance__more_than_is_owed__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    assert any_stage.refusal(160_000 * USD) == "loan: the debt is smaller than the repayment"


def test_rebalance__sale_exceeds_the_plans_bound__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    found = any_stage.check()
    assert any_stage.refusal(found.repay, max_sell=found.sell - 1) == "plan: the sale would exceed its limit"


def test_rebalance__no_such_pool__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    assert any_stage.refusal(USD, fee=3_000) == "pool: the factory has none for this pair and fee"
    assert any_stage.refusal(USD, fee=123) == "pool: the factory has none for this pair and fee"


def test_rebalance__pool_below_the_oracle_by_more_than_the_slippage__is_refused(any_stage: Stage) -> None:
    a_loan(any_stage)
    price = any_stage.price()
    any_stage.push_pool(price * 985 // 1_000)
    found = any_stage.check()
    assert (found.verdict, found.why) == (BARRED, "pool: the sale would cost more than the rule's slippage")
    assert any_stage.refusal(found.repay) == "loan: the value lost is above the rule's slippage"
    any_stage.push_pool(price * 995 // 1_000)
    assert any_stage.check().verdict == BREACHED
    any_stage.act()


# What is in the way, said by `check` and borne out by `rebalance`


def pause(symbol: str) -> Any:
    return lambda stage: stage.govern("setReservePause(address,bool)", stage.tokens[symbol], True)


def supply_btc_and(stage: Stage, signature: str = "", *arguments: Any) -> None:
    pool = stage.aave.pool
    stage.mint("WBTC", OWNER, 10 * 10**8)
    stage.approve(OWNER, stage.tokens["WBTC"], pool)
    stage.send(
        OWNER, pool, "supply(address,uint256,address,uint16)", stage.tokens["WBTC"], 10 * 10**8, OWNER, 0
    )
    if signature:
        stage.send(OWNER, pool, signature, *arguments)


def borrow_more(stage: Stage) -> None:
    stage.send(
        *(OWNER, stage.aave.pool, "borrow(address,uint256,uint256,uint16,address)"),
        *(stage.tokens["USDC"], 250_000 * USD, 2, 0, OWNER),
    )


def disable_weth(stage: Stage) -> None:
    supply_btc_and(stage)
    borrow_more(stage)
    stage.set_feed("WBTC", 100_000 * BASE)
    stage.send(
        *(OWNER, stage.aave.pool, "setUserUseReserveAsCollateral(address,bool)"),
        *(stage.tokens["WETH"], False),
    )
    stage.set_feed("WBTC", 54_000 * BASE)


def ltv_of_btc_is_zero(stage: Stage) -> None:
    supply_btc_and(stage)
    borrow_more(stage)
    configured = (stage.tokens["WBTC"], 0, 7_800, 10_500)
    stage.govern("configureReserveAsCollateral(address,uint256,uint256,uint256)", *configured)
    stage.set_feed("WBTC", 30_000 * BASE)


def hold_little_weth(stage: Stage) -> None:
    supply_btc_and(stage)
    stage.send(
        *(OWNER, stage.aave.pool, "withdraw(address,uint256,address)"),
        *(stage.tokens["WETH"], 95 * ETH, OWNER),
    )
    stage.set_feed("WBTC", 19_500 * BASE)


def owe_nothing_in_usdc(stage: Stage) -> None:
    pool = stage.aave.pool
    stage.mint("USDC", OWNER, 10**6 * USD)
    stage.approve(OWNER, stage.tokens["USDC"], pool)
    everything = (stage.tokens["USDC"], 2**256 - 1, 2, OWNER)
    stage.send(OWNER, pool, "repay(address,uint256,uint256,address)", *everything)
    half_a_btc = (stage.tokens["WBTC"], 5 * 10**7, 2, 0, OWNER)
    stage.send(OWNER, pool, "borrow(address,uint256,uint256,uint16,address)", *half_a_btc)
    stage.set_feed("WBTC", 320_000 * BASE)


def grant(amount: int) -> Any:
    return lambda stage: stage.approve(OWNER, stage.a_token("WETH"), stage.thresholds, amount)


def drain_the_weth(stage: Stage) -> None:
    borrow_most_of_the_weth(stage, 20_085)


STANDING = [
    (pause("WETH"), "aave: the collateral's reserve is paused or inactive"),
    (pause("USDC"), "aave: the debt's reserve is paused or inactive"),
    (disable_weth, "aave: the rule's collateral is not enabled as collateral"),
    (ltv_of_btc_is_zero, "aave: another enabled collateral has LTV 0, so this one cannot leave"),
    (owe_nothing_in_usdc, "loan: no variable debt in the rule's asset"),
    (grant(0), "allowance: the owner has granted none of the aToken"),
]
SIZED = [
    (grant(10 * ETH), "allowance: the aToken allowance is short of what must be sold"),
    (hold_little_weth, "loan: less of the collateral is held than must be sold"),
    (drain_the_weth, "aave: too little of the collateral is there to withdraw"),
]


@pytest.mark.parametrize(("happen", "why"), STANDING + SIZED)
def test_check__something_is_in_the_way__says_so_and_rebalance_refuses(
    any_stage: Stage, happen: Any, why: str
) -> None:
    a_loan(any_stage, 1.09)
    happen(any_stage)
    found = any_stage.check()
    assert found.health < 1.1 * WAD
    assert (found.verdict, found.why) == (BARRED, why)
    any_stage.refusal(found.repay or 80_000 * USD)


@pytest.mark.parametrize(("happen", "why"), [STANDING[0], STANDING[1], STANDING[-1]])
def test_check__within_the_band_but_something_stands_in_the_way__warns(
    any_stage: Stage, happen: Any, why: str
) -> None:
    a_loan(any_stage, 1.3)
    assert verdict(any_stage) == FLOOR_FINDING
    happen(any_stage)
    assert verdict(any_stage) == (WITHIN, why)


def test_check__below_the_solvency_line__says_so_and_rebalance_refuses(any_stage: Stage) -> None:
    a_loan(any_stage, 0.829)
    found = any_stage.check()
    assert (found.verdict, found.why) == (BARRED, "health: below the solvency line, selling would lower it")
    for repay in (found.repay, 100_000 * USD, 149_000 * USD):
        any_stage.refusal(repay)


def test_check__step_cannot_bring_health_back_to_one__says_so_and_aave_refuses(any_stage: Stage) -> None:
    a_loan(any_stage, 0.97, replace(any_stage.rule, max_step=10_000 * USD))
    found = any_stage.check()
    assert (found.verdict, found.why) == (BARRED, "rule: max_step is too small to bring health back to 1")
    # HealthFactorLowerThanLiquidationThreshold, as each version says it.
    assert any_stage.refusal(found.repay) == ("error 0x6679996d" if any_stage.version == "3.6" else "35")


def test_check__no_pool_of_the_pair__says_so(any_stage: Stage) -> None:
    stage = any_stage
    stage.open(100 * ETH, 3 * 10**8, bought="WBTC")
    stage.set_rule(replace(stage.rule, debt=stage.tokens["WBTC"]))
    stage.set_feed("WBTC", 64_000 * BASE)
    assert verdict(stage) == (BARRED, "pool: none of the pair has liquidity in range")
    stage.refusal(10**8)


def test_check__pool_is_too_thin__says_so_and_rebalance_refuses(any_stage: Stage) -> None:
    stage = any_stage
    stage.open(100 * ETH, 3 * 10**8, bought="WBTC")
    stage.set_rule(replace(stage.rule, debt=stage.tokens["WBTC"]))
    stage.open_pool("WETH", "WBTC", 60_000)
    stage.set_feed("WBTC", 64_000 * BASE)
    assert verdict(stage) == (BARRED, "pool: too thin for the repayment")
    assert stage.refusal(2 * 10**8) == "pool: it cannot deliver the whole repayment"


@pytest.mark.parametrize("price", [0, -1])
@pytest.mark.parametrize("symbol", ["WETH", "USDC"])
def test_check__a_price_is_zero_or_less__is_blind(any_stage: Stage, symbol: str, price: int) -> None:
    a_loan(any_stage)
    any_stage.set_feed(symbol, price)
    assert verdict(any_stage) == (BLIND, "oracle: Aave cannot value the account")
    any_stage.refusal(USD)


def test_check__a_price_beyond_belief__is_blind(any_stage: Stage) -> None:
    a_loan(any_stage)
    any_stage.set_feed("WETH", 2**64)
    assert verdict(any_stage) == (BLIND, "oracle: no usable price for an asset of the rule")


def test_check__an_asset_of_the_rule_is_unknown_to_aave__is_blind(any_stage: Stage) -> None:
    any_stage.open(100 * ETH, 150_000 * USD)
    any_stage.set_rule(replace(any_stage.rule, debt=STRANGER))
    assert verdict(any_stage) == (BLIND, "oracle: no usable price for an asset of the rule")


def test_check__no_debt__is_within(any_stage: Stage) -> None:
    any_stage.set_rule()
    found = any_stage.check()
    assert (found.verdict, found.why, found.health) == (WITHIN, "loan: no debt", 2**256 - 1)


def test_check__named_keeper__is_not_the_callers_concern(any_stage: Stage) -> None:
    a_loan(any_stage, rule=replace(any_stage.rule, keeper=KEEPER))
    found = any_stage.check()
    assert found.verdict == BREACHED
    assert any_stage.refusal(found.repay, sender=STRANGER) == "rule: another keeper is named"
    any_stage.act(found)


# Check and rebalance agree, whatever the market


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    health=st.floats(0.80, 1.20),
    floor=st.integers(10_100, 11_900),
    above=st.integers(100, 8_000),
    step=st.one_of(st.just(10**12), st.integers(5_000 * USD, 150_000 * USD)),
    slippage=st.integers(5, 300),
    basis=st.floats(0.97, 1.02),
    granted=st.one_of(st.just(NEVER), st.integers(0, 100 * ETH)),
)
def test_check__any_market_and_rule__is_breached_exactly_when_rebalance_accepts(
    any_stage: Stage,
    health: float,
    floor: int,
    above: int,
    step: int,
    slippage: int,
    basis: float,
    granted: int,
) -> None:
    stage = any_stage
    with stage.undone():
        rule = replace(
            *(stage.rule,),
            floor_bps=floor,
            target_bps=floor + above,
            ceiling_bps=2 * floor + above,
            slippage_bps=slippage,
            max_step=step,
        )
        a_loan(stage, health, rule)
        price = stage.price()
        stage.push_pool(int(price * basis))
        stage.approve(OWNER, stage.a_token("WETH"), stage.thresholds, granted)
        found = stage.check()
        try:
            stage.act(found, repay=found.repay or min(step, 50_000 * USD), max_sell=NEVER, fee=500)
        except NodeRefused:
            assert found.verdict != BREACHED, found
        else:
            assert found.verdict == BREACHED, found
            assert stage.health() <= rule.target_bps * 10_050 * 10**10
            assert left_behind(stage)[:4] == (0, 0, 0, 0)


def test_version_and_places__are_as_deployed(any_stage: Stage) -> None:
    stage = any_stage
    assert stage.ask(stage.thresholds, "AAVE()", "(address)") == stage.aave.pool
    assert stage.ask(stage.thresholds, "FACTORY()", "(address)") == stage.uniswap.factory
    assert stage.ask(stage.thresholds, "TOLERANCE_BPS()", "(uint256)") == 50
    assert stage.ask(stage.thresholds, "version()", "(string)") == "0.1.0"


@pytest.mark.parametrize("name", ["LoanCheck", "LoanThresholds"])
def test_deployment__over_addresses_without_code__is_refused(stage: Stage, name: str) -> None:
    provider, factory = stage.aave.addresses_provider, stage.uniswap.factory
    check = stage.ask(stage.thresholds, "CHECK()", "(address)")
    sense = stage.ask(stage.thresholds, "SENSE()", "(address)")
    rest = () if name == "LoanCheck" else (sense, check, NOBODY)
    refused_deployment(stage, "aave: no contract at the provider's address", name, STRANGER, factory, *rest)
    refused_deployment(stage, "pool: no contract at the factory's address", name, provider, ADMIN, *rest)


def test_deployment__with_no_check_or_one_of_other_places__is_refused(stage: Stage) -> None:
    places = (stage.aave.addresses_provider, stage.uniswap.factory)
    elsewhere = stage.create("LoanCheck", stage.aave.addresses_provider, stage.tokens["WETH"])
    sense = stage.ask(stage.thresholds, "SENSE()", "(address)")
    for reason, *views in (
        ("rule: no contract at the address of LoanSense", STRANGER, elsewhere),
        ("check: no contract at its address", sense, STRANGER),
        ("check: it is on other pools", sense, elsewhere),
    ):
        refused_deployment(stage, reason, "LoanThresholds", *places, *views, NOBODY)


def refused_deployment(stage: Stage, reason: str, name: str, *arguments: Any) -> None:
    with pytest.raises(Exception, match=reason):
        stage.create(name, *arguments)
    stage.node.ask("evm_setAutomine", True)


def test_an_urgent_step__after_a_gift_or_a_tick_of_the_price__is_still_accepted(any_stage: Stage) -> None:
    stage = any_stage
    stage.open(100 * ETH, 150_000 * USD)
    rule = replace(stage.rule, cooldown=0, max_step=10_000 * USD, slippage_bps=100)
    stage.set_rule(rule, terms=Terms(urgent_step=60_000 * USD))
    stage.set_health(1.05)
    found, price = stage.check(), stage.price()
    assert found.repay > rule.max_step, "urgency must have widened it"
    stage.mint("USDC", STRANGER, 1_000 * USD)
    stage.approve(STRANGER, stage.tokens["USDC"], stage.aave.pool)
    repay = "repay(address,uint256,uint256,address)"
    for gift in (10, USD, 30 * USD):  # Aave 3.6 burns no debt for a single unit
        with stage.undone():
            stage.send(STRANGER, stage.aave.pool, repay, stage.tokens["USDC"], gift, 2, OWNER)
            stage.act(found)
    for pips in (-10, 10):
        with stage.undone():
            stage.set_feed("WETH", price * (100_000 + pips) // 100_000)
            stage.act(found)

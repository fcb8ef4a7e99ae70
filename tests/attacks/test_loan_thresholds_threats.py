"""One attack for each sentence of the threat model in `contracts/interfaces/ILoanThresholds.vyi`, in its order."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from keeper.devnet import uniswap_v3
from keeper.devnet.aave_v3 import load_core
from keeper.devnet.transactions import calldata, reason_in
from keeper.domain.errors import NodeRefused
from keeper.domain.units import Address
from tests.contracts.e_modes import enter, found_e_mode
from tests.contracts.loan_stage import (
    ADMIN,
    BASE,
    CONTRACTS,
    KEEPER,
    LENDER,
    NEVER,
    NOW,
    OWNER,
    PLAN,
    RELEVERAGE,
    RULE,
    STRANGER,
    TRADER,
    WAD,
    Stage,
    Terms,
    compiled_vyper,
    create,
    mined_together,
    vyper_output,
)

ETH = WAD
USD = 10**6
ORDER = "(address,address,address,address,uint256,uint256)"
CALLED_BACK = "(address,address,address,address,uint256,uint256,uint256)"
"""An order as the callback reads it."""


def in_breach(stage: Stage, health: float = 1.05, **changes: Any) -> None:
    stage.open(100 * ETH, 150_000 * USD)
    stage.set_rule(replace(stage.rule, **changes))
    stage.set_health(health)


def test_threat_model__every_sentence__has_an_attack_here() -> None:
    written = (CONTRACTS / "interfaces" / "ILoanThresholds.vyi").read_text(encoding="utf-8")
    threats = set(re.findall(r"^ +(T\d+) ", written, re.MULTILINE))
    tried = {
        name.split("__")[0].removeprefix("test_").upper() for name in globals() if re.match(r"test_t\d", name)
    }
    assert len(threats) == 17
    assert threats == tried


# T1


def test_t1__stranger_writes_or_clears_rules__only_ever_its_own(stage: Stage) -> None:
    in_breach(stage)
    stage.set_rule(replace(stage.rule, floor_bps=14_000), owner=STRANGER)
    assert stage.refusal_to(KEEPER, stage.thresholds, "clear_rule(uint256)", 0) == "rule: none is set"
    kept = stage.ask(stage.thresholds, "words_of(address,uint256)", "(uint256,uint256,uint256)", OWNER, 0)
    assert kept[0] >> 72 & 0xFFFFFF == 11_000


def test_t1__victim_granted_an_allowance_but_wrote_no_rule__is_untouched(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage)
    stage.open(100 * ETH, 150_000 * USD, owner=LENDER)
    held = stage.balance(stage.a_token("WETH"), LENDER)
    assert stage.refusal(50_000 * USD, owner=LENDER) == "rule: none is set"
    assert stage.refusal(50_000 * USD, owner=LENDER, id_=1) == "rule: none is set"
    stage.act()
    assert stage.balance(stage.a_token("WETH"), LENDER) >= held


# T2


def test_t2__stranger_acts_on_a_rule_that_names_a_keeper__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage, keeper=KEEPER)
    found = stage.check()
    for nosy in (STRANGER, OWNER, TRADER):
        assert stage.refusal(found.repay, sender=nosy) == "rule: another keeper is named"
    stage.act(found)


# T3


def test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage, 1.1001, cooldown=3_600, expiry=NOW + 10_000, max_step=10_000 * USD)
    assert stage.refusal(10_000 * USD) == "health: at or above the floor"
    stage.set_health(1.05)
    assert stage.refusal(10_000 * USD, deadline=stage.time() - 1) == "plan: past its deadline"
    stage.act()
    assert stage.refusal(10_000 * USD) == "rule: cooling down"
    stage.pass_time(20_000)
    assert stage.refusal(10_000 * USD) == "rule: expired"


def test_t3__keeper_pushes_the_pool_instead_of_the_oracle__triggers_nothing(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage, 1.2)
    stage.push_pool(stage.price() // 2)
    assert stage.health() > 1.1 * WAD
    assert stage.refusal(50_000 * USD) == "health: at or above the floor"


# T4


def test_t4__keeper_repays_too_much_or_too_little__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage)
    repay = stage.check().repay
    assert stage.refusal(repay * 101 // 100) == "health: past the target"
    assert stage.refusal(repay * 98 // 100) == "health: short of the target with step to spare"
    assert stage.refusal(USD) == "health: short of the target with step to spare"
    stage.set_rule(replace(stage.rule, max_step=repay // 2))
    assert stage.refusal(repay // 2 + 1) == "plan: repays more than the rule's max_step"
    assert stage.refusal(repay // 2 - 1) == "health: short of the target with step to spare"


def test_t4__keeper_nibbles_for_the_fees_of_many_sales__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage, cooldown=0)
    for nibble in (USD, 100 * USD, 10_000 * USD):
        assert stage.refusal(nibble) == "health: short of the target with step to spare"


# T5


def test_t5__keeper_moves_the_pool_before_acting__cannot_take_more_than_the_slippage(
    any_stage: Stage,
) -> None:
    stage = any_stage
    in_breach(stage, slippage_bps=100)
    fair = stage.price()
    lost, refused = [], []
    for bps in range(9_900, 9_960, 4):
        with stage.undone():
            stage.push_pool(fair * bps // 10_000)
            repay = stage.check().repay
            before = stage.account()
            try:
                stage.rebalance(repay)
            except NodeRefused as refusal:
                refused.append(reason_in(refusal.data))
                continue
            after = stage.account()
            sold, paid = before[0] - after[0], before[1] - after[1]
            lost.append(1 - paid / sold)
    assert set(refused) == {"loan: the value lost is above the rule's slippage"}
    assert 0.0095 < max(lost) < 0.01 + 1e-6


def test_t5__keeper_picks_a_worse_pool_of_the_pair__is_held_to_the_same_bound(any_stage: Stage) -> None:
    stage = any_stage
    stage.open_pool("WETH", "USDC", 50_000_000, 10_000)
    in_breach(stage, slippage_bps=100, max_step=50_000 * USD)
    stage.push_pool(stage.price(), fee=10_000)
    assert stage.check().fee == 500
    assert stage.refusal(50_000 * USD, fee=10_000) == "loan: the value lost is above the rule's slippage"


def test_t5__keeper_sells_into_its_own_empty_pool__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage, max_step=50_000 * USD)
    stage.open_pool("WETH", "USDC", 300_000, 3_000)
    stage.push_pool(stage.price(), fee=3_000)
    assert stage.refusal(50_000 * USD, fee=3_000) == "loan: the value lost is above the rule's slippage"
    stage.open_pool("WETH", "USDC", 20_000, 10_000)
    assert stage.refusal(50_000 * USD, fee=10_000) == "pool: it cannot deliver the whole repayment"


def test_t5__owner_sells_what_is_no_collateral__is_refused_as_its_cost_cannot_be_measured(
    any_stage: Stage,
) -> None:
    stage = any_stage
    stage.mint("WBTC", OWNER, 10 * 10**8)
    stage.approve(OWNER, stage.tokens["WBTC"], stage.aave.pool)
    supplied = (stage.tokens["WBTC"], 10 * 10**8, OWNER, 0)
    stage.send(OWNER, stage.aave.pool, "supply(address,uint256,address,uint16)", *supplied)
    in_breach(stage, 1.5)
    more = (stage.tokens["USDC"], 200_000 * USD, 2, 0, OWNER)
    stage.send(OWNER, stage.aave.pool, "borrow(address,uint256,uint256,uint16,address)", *more)
    unused = (stage.tokens["WETH"], False)
    stage.send(OWNER, stage.aave.pool, "setUserUseReserveAsCollateral(address,bool)", *unused)
    stage.set_feed("WBTC", 47_000 * 10**8)
    assert stage.health() < 1.1 * WAD
    stage.set_rule(replace(stage.rule, max_step=20_000 * USD))
    assert stage.refusal(20_000 * USD) == "loan: the asset sold does not count as collateral"


# T6


@pytest.mark.parametrize("deltas", [(1, -1), (-1, 1), (0, 0), (2**127, -(10**11))])
def test_t6__false_pool_or_anybody_calls_back__is_refused(stage: Stage, deltas: tuple[int, int]) -> None:
    in_breach(stage)
    weth, usdc = stage.tokens["WETH"], stage.tokens["USDC"]
    order = bytes.fromhex(
        calldata(f"order({CALLED_BACK})", (OWNER, weth, stage.a_token("WETH"), usdc, 10**11, NEVER, 0))[10:]
    )
    false_pool = stage.create("mocks/false_pool_mock")
    call_back = "call_back(address,int256,int256,bytes)"
    refused = "pool: this caller is not the pool in flight"
    assert stage.refusal_to(STRANGER, false_pool, call_back, stage.thresholds, *deltas, order) == refused
    directly = "uniswapV3SwapCallback(int256,int256,bytes)"
    assert stage.refusal_to(STRANGER, stage.thresholds, directly, *deltas, order) == refused
    assert stage.refusal_to(OWNER, stage.thresholds, directly, *deltas, order) == refused
    # The zero address is what stands there when nothing is in flight; nobody can send as it, but a node can pretend.
    with pytest.raises(NodeRefused):
        pretended = {
            "from": "0x" + "00" * 20,
            "to": stage.thresholds,
            "data": calldata(directly, *deltas, order),
        }
        stage.node.ask("eth_call", pretended, "latest")


def test_t6__stranger_pays_in_the_pools_stead__takes_no_collateral(stage: Stage) -> None:
    """A dollar in the contract's hands is all that the callback would ask for before it hands out collateral."""
    in_breach(stage)
    weth, usdc = stage.tokens["WETH"], stage.tokens["USDC"]
    stage.mint("USDC", STRANGER, USD)
    stage.send(STRANGER, usdc, "transfer(address,uint256)", stage.thresholds, USD)
    order = (OWNER, weth, stage.a_token("WETH"), usdc, USD, NEVER, 0)
    told = bytes.fromhex(calldata(f"order({CALLED_BACK})", order)[10:])
    directly = ("uniswapV3SwapCallback(int256,int256,bytes)", ETH, -USD, told)
    refused = stage.refusal_to(STRANGER, stage.thresholds, *directly)
    assert refused == "pool: this caller is not the pool in flight"


def test_t6__aave_is_made_to_flash_lend_to_the_contract__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage)
    for signature, arguments in (
        (
            "flashLoanSimple(address,address,uint256,bytes,uint16)",
            (stage.thresholds, stage.tokens["USDC"], 10**9, b"", 0),
        ),
        (
            "flashLoan(address,address[],uint256[],uint256[],address,bytes,uint16)",
            (stage.thresholds, [stage.tokens["WETH"]], [ETH], [0], OWNER, b"", 0),
        ),
    ):
        stage.refusal_to(STRANGER, stage.aave.pool, signature, *arguments)


def test_t6__stranger_makes_the_real_pool_pay_the_contract__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage)
    pool = stage.pool("WETH", "USDC")
    # A swap calls back its own caller, so the contract is no more than a recipient: an account cannot answer.
    stage.refusal_to(
        *(STRANGER, pool, "swap(address,bool,int256,uint160,bytes)"),
        *(stage.thresholds, True, 10**6, 4295128740, b""),
    )
    stage.refusal_to(
        STRANGER, pool, "flash(address,uint256,uint256,bytes)", stage.thresholds, 10**6, 10**6, b""
    )


# T7


def armed(stage: Stage, target: str, question: str, delay: int) -> None:
    call = bytes.fromhex(question[2:])
    stage.send(STRANGER, stage.tokens["HOOK"], "arm(address,bytes,uint256)", target, call, delay)


def hook_outcome(stage: Stage) -> tuple[bool, bool]:
    hook = stage.tokens["HOOK"]
    return stage.ask(hook, "called()", "(bool)"), stage.ask(hook, "succeeded()", "(bool)")


def doors(stage: Stage) -> dict[str, str]:
    """Every way into the contract that changes something."""
    rule = replace(stage.rule, collateral=stage.tokens["HOOK"], floor_bps=14_500)
    order = b"\1" * 224
    return {
        "rebalance": calldata(f"rebalance(address,uint256,{PLAN})", OWNER, 0, (0, 10**10, NEVER, 500, NEVER)),
        "set_rule": calldata(f"set_rule(uint256,{RULE})", 0, rule.fields()),
        "clear_rule": calldata("clear_rule(uint256)", 0),
        "callback": calldata("uniswapV3SwapCallback(int256,int256,bytes)", 10**18, -(10**10), order),
        "check": calldata("check(address,uint256)", OWNER, 0),
    }


@pytest.mark.parametrize("door", ["rebalance", "set_rule", "clear_rule", "callback", "check"])
def test_t7__collateral_calls_back_while_it_is_paid__finds_the_door_locked(stage: Stage, door: str) -> None:
    stage.open(100 * ETH, 150_000 * USD, sold="HOOK")
    stage.set_rule(replace(stage.rule, collateral=stage.tokens["HOOK"], floor_bps=14_500))
    armed(stage, stage.thresholds, doors(stage)[door], 0)
    found = stage.check()
    stage.act(found)
    assert hook_outcome(stage) == (True, False)
    assert abs(stage.health() / (1.5 * WAD) - 1) < 1e-6


@pytest.mark.parametrize("door", ["rebalance", "set_rule", "clear_rule", "callback", "check"])
@pytest.mark.parametrize("delay", [0, 1])
def test_t7__debt_asset_calls_back_while_it_is_lent_and_repaid__finds_the_door_locked(
    stage: Stage, door: str, delay: int
) -> None:
    stage.open(250_000 * USD, 60 * ETH, sold="USDC", bought="HOOK")
    usdc, hook = stage.tokens["USDC"], stage.tokens["HOOK"]
    stage.set_rule(replace(stage.rule, collateral=usdc, debt=hook, floor_bps=14_500, max_step=2**90))
    found = stage.check()
    # The first transfer lends to the contract, before the callback; the second repays, inside it.
    armed(stage, stage.thresholds, doors(stage)[door], delay)
    stage.act(found)
    assert hook_outcome(stage) == (True, False)
    assert abs(stage.health() / (1.5 * WAD) - 1) < 1e-6


def test_t7__hook_of_a_token_with_a_rule_of_its_own__cannot_reach_another_owners_loan(stage: Stage) -> None:
    in_breach(stage)
    stage.open(100 * ETH, 150_000 * USD, owner=STRANGER, sold="HOOK")
    stage.set_rule(replace(stage.rule, collateral=stage.tokens["HOOK"], floor_bps=14_500), owner=STRANGER)
    held = stage.balance(stage.a_token("WETH"), OWNER)
    victim = stage.check()
    plan = (0, victim.repay, NEVER, 500, NEVER)
    armed(stage, stage.thresholds, calldata(f"rebalance(address,uint256,{PLAN})", OWNER, 0, plan), 0)
    stage.act(stage.check(owner=STRANGER), owner=STRANGER)
    assert hook_outcome(stage) == (True, False)
    assert stage.balance(stage.a_token("WETH"), OWNER) >= held


# T8


def test_t8__owner_changes_the_rule_while_the_plan_is_on_its_way__the_new_one_is_obeyed(
    any_stage: Stage,
) -> None:
    stage = any_stage
    in_breach(stage)
    found = stage.check()
    stage.set_rule(replace(stage.rule, floor_bps=10_200, target_bps=15_000))
    assert stage.refusal(found.repay) == "health: at or above the floor"
    stage.set_rule(replace(stage.rule, target_bps=13_000))
    assert stage.refusal(found.repay) == "health: past the target"
    stage.set_rule(replace(stage.rule, max_step=found.repay - 1))
    assert stage.refusal(found.repay) == "plan: repays more than the rule's max_step"
    stage.set_rule(replace(stage.rule, keeper=STRANGER))
    assert stage.refusal(found.repay) == "rule: another keeper is named"
    stage.send(OWNER, stage.thresholds, "clear_rule(uint256)", 0)
    assert stage.refusal(found.repay) == "rule: none is set"


def test_t8__owner_takes_the_allowance_back__the_action_is_undone_whole(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage)
    found = stage.check()
    stage.approve(OWNER, stage.a_token("WETH"), stage.thresholds, 0)
    owed = stage.balance(stage.debt_token("USDC"), OWNER)
    stage.refusal(found.repay)
    assert stage.balance(stage.debt_token("USDC"), OWNER) >= owed


# T9


def test_t9__whatever_happened__nothing_spendable_is_left_behind(any_stage: Stage) -> None:
    stage = any_stage
    in_breach(stage)
    stage.act()
    for symbol in ("WETH", "USDC"):
        token = stage.tokens[symbol]
        assert stage.balance(token, stage.thresholds) == 0
        for spender in (stage.aave.pool, stage.pool("WETH", "USDC"), KEEPER):
            granted = stage.ask(token, "allowance(address,address)", "(uint256)", stage.thresholds, spender)
            assert granted == 0
    assert stage.balance(stage.a_token("WETH"), stage.thresholds) <= 4


def test_t9__keeper_acts_again_and_again__the_wei_that_stay_are_those_of_the_first_time(
    any_stage: Stage,
) -> None:
    stage = any_stage
    in_breach(stage, cooldown=0, max_step=2_000 * USD)
    kept = []
    for terms in (Terms(), Terms(borrow_step=10**12)):
        stage.delegate()
        stage.set_rule(replace(stage.rule, cooldown=0, max_step=2_000 * USD), terms=terms)
        for _ in range(3):
            stage.act()
            kept.append(
                stage.ask(stage.a_token("WETH"), "scaledBalanceOf(address)", "(uint256)", stage.thresholds)
            )
    # A few more when a rule is written anew, which only its owner can do, and none for acting.
    assert len(set(kept[:3])) == len(set(kept[3:])) == 1
    assert 1 <= kept[0] <= 4
    assert kept[0] < kept[3] <= 8


def test_t9__stranger_gives_the_contract_aave_tokens_and_debt_asset__nobody_gets_them_nor_less(
    any_stage: Stage,
) -> None:
    stage = any_stage
    in_breach(stage)
    found = stage.check()
    with stage.undone():
        stage.act(found)
        honest = stage.account()
    stage.send(LENDER, stage.a_token("WETH"), "transfer(address,uint256)", stage.thresholds, 50 * ETH)
    stage.mint("USDC", stage.thresholds, 10_000 * USD)
    stage.act(found)
    given = stage.account()
    assert abs(given[0] - honest[0]) < 10_000
    assert abs(given[1] - honest[1]) < 10_000
    assert stage.balance(stage.tokens["USDC"], stage.thresholds) == 10_000 * USD


# T10


def test_t10__the_whole_of_the_contract__has_no_door_for_the_powerful() -> None:
    output = vyper_output("LoanThresholds")
    changing = {
        entry["name"]
        for entry in output["abi"]
        if entry["type"] == "function" and entry["stateMutability"] not in {"view", "pure"}
    }
    assert changing == {"set_rule", "clear_rule", "rebalance", "witness", "uniswapV3SwapCallback"}
    assert not any(entry["type"] in {"fallback", "receive"} for entry in output["abi"])
    used = set(output["opcodes_runtime"].split())
    assert not used & {"DELEGATECALL", "CALLCODE", "SELFDESTRUCT", "CREATE", "CREATE2"}
    assert compiled_vyper("LoanThresholds").constructor == ("address",) * 5


@pytest.mark.parametrize("name", ["LoanCheck", "LoanSense"])
def test_t10__the_views_it_asks__can_change_nothing_and_reach_no_rule(name: str) -> None:
    output = vyper_output(name)
    kinds = {entry["stateMutability"] for entry in output["abi"] if entry["type"] == "function"}
    assert kinds == {"view"}
    used = set(output["opcodes_runtime"].split())
    assert not used & {
        "DELEGATECALL",
        "CALLCODE",
        "SELFDESTRUCT",
        "CREATE",
        "CREATE2",
        "CALL",
        "SSTORE",
        "TSTORE",
    }


def test_t10__the_deployer__can_do_no_more_than_a_stranger(stage: Stage) -> None:
    in_breach(stage, keeper=KEEPER)
    assert stage.refusal_to(ADMIN, stage.thresholds, "clear_rule(uint256)", 0) == "rule: none is set"
    assert stage.refusal(stage.check().repay, sender=ADMIN) == "rule: another keeper is named"


def test_t10__stranger_gives_the_owner_a_little_of_every_other_reserve__the_rule_is_obeyed_all_the_same(
    any_stage: Stage,
) -> None:
    """Aave takes each gift for the owner's collateral, sums it up at every look, and floors the mean threshold anew."""
    stage = any_stage
    in_breach(stage)
    given = [symbol for symbol in stage.tokens if symbol not in ("WETH", "USDC")]
    enabled = stage.ask(stage.aave.pool, "getUserConfiguration(address)", "(uint256)", OWNER)
    for symbol in given:
        stage.mint(symbol, STRANGER, 1_000)
        stage.approve(STRANGER, stage.tokens[symbol], stage.aave.pool)
        gift = (stage.tokens[symbol], 1_000, OWNER, 0)
        stage.send(STRANGER, stage.aave.pool, "supply(address,uint256,address,uint16)", *gift)
    now = stage.ask(stage.aave.pool, "getUserConfiguration(address)", "(uint256)", OWNER)
    assert now.bit_count() == enabled.bit_count() + len(given), "every gift is collateral"
    stage.act()
    assert abs(stage.health() / (1.5 * WAD) - 1) < 2e-4, "a basis point of the threshold, and a little"


# T11


def in_plenty(stage: Stage, health: float = 2.2, step: int = 10**12, **changes: Any) -> None:
    stage.open(100 * ETH, 100_000 * USD)
    stage.delegate()
    stage.set_rule(replace(stage.rule, **changes), terms=Terms(borrow_step=step))
    stage.set_health(health)


def borrowing(stage: Stage, amount: int, **changes: Any) -> str:
    return stage.refusal(amount, action=RELEVERAGE, max_sell=0, **changes)


def test_t11__owner_delegated_credit_but_wrote_no_step__nothing_is_borrowed(any_stage: Stage) -> None:
    stage = any_stage
    in_plenty(stage)
    found = stage.check()
    stage.set_rule()
    assert borrowing(stage, found.repay) == "rule: nothing is borrowed for it"
    stage.set_rule(replace(stage.rule, ceiling_bps=0))
    assert borrowing(stage, found.repay) == "rule: nothing is borrowed for it"


def test_t11__keeper_borrows_too_much_too_early_or_again__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    in_plenty(stage, step=50_000 * USD, cooldown=0)
    assert borrowing(stage, 50_000 * USD + 1) == "plan: borrows more than the rule's borrow_step"
    for little in (USD, 48_000 * USD, 49_999 * USD):
        assert borrowing(stage, little) == "health: short of the target with step to spare"
    stage.set_rule(replace(stage.rule, cooldown=0), terms=Terms(borrow_step=10**12))
    assert borrowing(stage, stage.check().repay * 102 // 100) == "health: past the target"
    stage.act()
    # Neither once more, nor back for the fees of a round trip.
    assert borrowing(stage, 10 * USD) == "health: at or below the ceiling"
    assert stage.refusal(10 * USD) == "health: at or above the floor"


def test_t11__keeper_pushes_the_pool_instead_of_the_oracle__triggers_nothing(any_stage: Stage) -> None:
    stage = any_stage
    in_plenty(stage, 1.9)
    stage.push_pool(stage.price() * 2)
    assert borrowing(stage, 30_000 * USD) == "health: at or below the ceiling"


def test_t11__keeper_moves_the_pool_before_borrowing__cannot_take_more_than_the_slippage(
    any_stage: Stage,
) -> None:
    stage = any_stage
    in_plenty(stage, slippage_bps=100)
    fair, lost, refused = stage.price(), [], []
    for bps in range(10_040, 10_110, 6):
        with stage.undone():
            stage.push_pool(fair * bps // 10_000)
            before, found = stage.account(), stage.check()
            try:
                stage.rebalance(found.repay, 0, action=RELEVERAGE)
            except NodeRefused as refusal:
                refused.append(reason_in(refusal.data))
                continue
            after = stage.account()
            lost.append(1 - (after[0] - before[0]) / (after[1] - before[1]))
    assert set(refused) == {"loan: the value lost is above the rule's slippage"}
    assert 0.009 < max(lost) < 0.01 + 1e-6


def test_t11__keeper_deleverages_what_aave_does_not_list__nothing_is_borrowed_instead(
    any_stage: Stage,
) -> None:
    """No aToken is how an order to borrow is told from one to repay, and of this collateral there is none."""
    stage = any_stage
    in_breach(stage)
    stage.delegate()
    unlisted, usdc = create(stage.node, load_core()("MintableERC20"), "X", "X", 6), stage.tokens["USDC"]
    stage.send(ADMIN, unlisted, "mint(address,uint256)", ADMIN, 10**12)
    stage.approve(ADMIN, unlisted, stage.uniswap.position_manager)
    # Just so dear that so few units sell for as many, which is what an order to borrow asks of a pool.
    amounts = {unlisted: 985_000 * USD, usdc: 1_000_000 * USD}
    with mined_together(stage.node) as queue:
        uniswap_v3.open_pool(queue, stage.uniswap, amounts, 500)
        uniswap_v3.add_liquidity(queue, stage.uniswap, amounts, 500, ADMIN)
    stage.set_rule(replace(stage.rule, collateral=unlisted, max_step=100))
    owed = stage.balance(stage.debt_token("USDC"), OWNER)
    for amount in (98, 99, 100):
        assert stage.refusal(amount, max_sell=0) == "no reason given", (
            "Aave's, which supplies nothing unlisted"
        )
        assert stage.refusal(amount) == "plan: the purchase would fall short of its limit"
    assert stage.balance(stage.debt_token("USDC"), OWNER) - owed < USD


# T12


def test_t12__strangers_rule_borrows__never_on_the_credit_of_another(any_stage: Stage) -> None:
    stage = any_stage
    in_plenty(stage)
    victim = stage.balance(stage.debt_token("USDC"), OWNER)
    stage.open(100 * ETH, 50_000 * USD, owner=STRANGER)
    stage.set_rule(owner=STRANGER, terms=Terms(borrow_step=10**12))
    found = stage.check(owner=STRANGER)
    assert found.why == "delegation: the owner has delegated no credit in the debt asset"
    borrowing(stage, 60_000 * USD, owner=STRANGER)
    stage.delegate(owner=STRANGER)
    found = stage.check(owner=STRANGER)
    stage.act(found, owner=STRANGER)
    assert stage.balance(stage.debt_token("USDC"), OWNER) - victim < USD
    assert stage.balance(stage.debt_token("USDC"), STRANGER) > 50_000 * USD + found.repay - USD


def test_t12__what_was_borrowed_and_bought__is_all_the_owners_and_nothing_is_left(any_stage: Stage) -> None:
    stage = any_stage
    in_plenty(stage)
    stage.mint("USDC", stage.thresholds, 7 * USD)
    stage.mint("WETH", STRANGER, 3)
    stage.send(STRANGER, stage.tokens["WETH"], "transfer(address,uint256)", stage.thresholds, 3)
    before, held = stage.account(), stage.balance(stage.a_token("WETH"), OWNER)
    found = stage.check()
    stage.act(found)
    after = stage.account()
    assert abs((after[1] - before[1]) / (found.repay * 100) - 1) < 1e-6
    assert stage.balance(stage.a_token("WETH"), OWNER) - held >= found.sell * 9_999 // 10_000
    kept = [stage.balance(stage.tokens[s], stage.thresholds) for s in ("USDC", "WETH")]
    assert kept == [7 * USD, 3]
    assert stage.balance(stage.a_token("WETH"), stage.thresholds) == 0


@pytest.mark.parametrize("door", ["rebalance", "set_rule", "clear_rule", "callback", "check"])
@pytest.mark.parametrize("sold", ["HOOK", "USDC"])
def test_t12__a_token_calls_back_while_it_is_bought_or_borrowed__finds_the_door_locked(
    stage: Stage, door: str, sold: str
) -> None:
    bought = "USDC" if sold == "HOOK" else "HOOK"
    whole = {"HOOK": 100 * ETH, "USDC": 250_000 * USD}[sold]
    owed = {"HOOK": 40 * ETH, "USDC": 100_000 * USD}[bought]
    stage.open(whole, owed, sold=sold, bought=bought)
    stage.delegate(bought)
    rule = replace(stage.rule, collateral=stage.tokens[sold], debt=stage.tokens[bought])
    stage.set_rule(replace(rule, target_bps=13_000, ceiling_bps=15_000), terms=Terms(borrow_step=2**90))
    armed(stage, stage.thresholds, doors(stage)[door], 0)
    stage.act()
    assert hook_outcome(stage) == (True, False)
    assert 1.3 <= stage.health() / WAD <= 1.3 * 1.005


def test_t12__anybody_calls_back_with_an_order_to_borrow__is_refused(stage: Stage) -> None:
    in_plenty(stage)
    weth, usdc, nobody = stage.tokens["WETH"], stage.tokens["USDC"], "0x" + "00" * 20
    # An ether is supplied for the owner, and four times as much borrowed for whoever called.
    stage.mint("WETH", STRANGER, ETH)
    stage.send(STRANGER, weth, "transfer(address,uint256)", stage.thresholds, ETH)
    order = bytes.fromhex(calldata(f"order({CALLED_BACK})", (OWNER, weth, nobody, usdc, 10**10, 0, 0))[10:])
    directly = "uniswapV3SwapCallback(int256,int256,bytes)"
    refused = "pool: this caller is not the pool in flight"
    assert stage.refusal_to(STRANGER, stage.thresholds, directly, 10**10, -(10**18), order) == refused


# T13


def worth_of(stage: Stage) -> int:
    held, owed, *_ = stage.account()
    return held - owed


def test_t13__stolen_key_sells_low_again_and_again__takes_the_budget_and_no_more(any_stage: Stage) -> None:
    """The loss of a day is bounded: the budget, and what comes back of it."""
    stage = any_stage
    stage.open(100 * ETH, 150_000 * USD)
    budget = 300 * 10**8
    terms = Terms(budget=budget, window=86_400)
    stage.set_rule(replace(stage.rule, keeper=KEEPER, cooldown=0, max_step=15_000 * USD), terms=terms)
    stage.set_health(1.02)
    lost, refused = 0, ""
    fair = stage.price()
    for _ in range(8):
        stage.push_pool(fair * 9_915 // 10_000)
        before = worth_of(stage)
        try:
            stage.rebalance(15_000 * USD)
        except NodeRefused as refusal:
            refused = reason_in(refusal.data)
            break
        lost += before - worth_of(stage)
    assert refused == "rule: the loss is above what is left of the budget"
    assert budget * 6 // 10 < lost <= budget
    found = stage.check()
    assert (found.verdict, found.why) == (2, refused)
    # A quarter of the window later a quarter has come back, which is more than one step can lose.
    stage.pass_time(21_600)
    stage.push_pool(fair)
    stage.rebalance(15_000 * USD)


def test_t13__keeper_sells_at_the_worst_price_until_the_loan_is_safe__a_budget_of_that_much_never_bars_it(
    any_stage: Stage,
) -> None:
    stage = any_stage
    stage.open(100 * ETH, 150_000 * USD)
    budget = 150_000 * 10**8 * 100 // 9_900
    rule = replace(stage.rule, cooldown=0, max_step=30_000 * USD)
    stage.set_rule(rule, terms=Terms(budget=budget, window=86_400))
    stage.set_health(1.0)
    worth, fair, steps = worth_of(stage), stage.price(), 0
    while stage.health() < 1.1 * WAD:
        stage.push_pool(fair * 9_915 // 10_000)
        stage.act()
        steps += 1
    assert steps >= 2
    assert worth - worth_of(stage) <= budget


def test_t13__keeper_acts_too_often_in_a_day__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    stage.open(100 * ETH, 150_000 * USD)
    rule = replace(stage.rule, cooldown=0, max_step=2_000 * USD)
    stage.set_rule(rule, terms=Terms(daily=2))
    stage.set_health(1.02)
    stage.act()
    stage.act()
    found = stage.check()
    assert (found.verdict, found.why) == (2, "rule: it has acted as often as it may in a day")
    assert stage.refusal(2_000 * USD) == "rule: it has acted as often as it may in a day"
    stage.pass_time(86_400)
    stage.act()


# T14


def holding(stage: Stage, health: float, hold: int = 600) -> None:
    stage.open(100 * ETH, 150_000 * USD)
    stage.set_rule(replace(stage.rule, cooldown=0, max_step=50_000 * USD), terms=Terms(hold=hold))
    stage.set_health(health)


def record(stage: Stage, who: str = STRANGER) -> None:
    stage.send(who, stage.thresholds, "witness(address,uint256)", OWNER, 0)


def held(stage: Stage, seconds: int, every: int = 100) -> None:
    """The breach goes on, and somebody sees it often enough."""
    for _ in range(seconds // every):
        stage.pass_time(every)
        record(stage)


UNSEEN = "hold: nobody has witnessed this breach of late"
TOO_SHORT = "hold: the breach has not been seen for long enough"


def test_t14__keeper_acts_before_the_breach_has_held__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    holding(stage, 1.0999)
    assert (stage.check().verdict, stage.check().why) == (2, UNSEEN)
    assert stage.refusal(50_000 * USD) == UNSEEN
    record(stage)
    assert (stage.check().verdict, stage.check().why) == (2, TOO_SHORT)
    assert stage.refusal(50_000 * USD) == TOO_SHORT
    held(stage, 600)
    stage.act()


def test_t14__keeper_records_one_wick_and_acts_on_the_next__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    holding(stage, 1.0999)
    record(stage)
    stage.set_health(1.3)
    stage.pass_time(600)
    stage.set_health(1.0999)
    assert (stage.check().verdict, stage.check().why) == (2, UNSEEN)
    assert stage.refusal(50_000 * USD) == UNSEEN
    # Nor with a sighting of the second wick: the hold begins with it.
    record(stage)
    assert stage.refusal(50_000 * USD) == TOO_SHORT


def test_t14__keeper_leaves_out_one_sighting__the_hold_begins_anew(any_stage: Stage) -> None:
    stage = any_stage
    holding(stage, 1.0999)
    record(stage)
    held(stage, 300)
    stage.pass_time(160)
    assert stage.refusal(50_000 * USD) == UNSEEN
    record(stage)
    held(stage, 500)
    assert stage.refusal(50_000 * USD) == TOO_SHORT
    held(stage, 100)
    # Seen for long enough, but not of late.
    stage.pass_time(160)
    assert stage.refusal(50_000 * USD) == UNSEEN


def test_t14__stranger_records_again_to_put_it_off__changes_nothing(any_stage: Stage) -> None:
    stage = any_stage
    holding(stage, 1.0999)
    record(stage)
    held(stage, 600, every=30)
    stage.act()


def test_t14__an_old_record_of_another_breach__does_not_serve(any_stage: Stage) -> None:
    stage = any_stage
    holding(stage, 1.0999)
    record(stage)
    held(stage, 600)
    # Once somebody has put on record that the breach was over, the next one is another.
    stage.set_health(1.3)
    record(stage)
    stage.set_health(1.0999)
    assert stage.refusal(50_000 * USD) == UNSEEN
    record(stage)
    assert stage.refusal(50_000 * USD) == TOO_SHORT


def test_t14__a_crash__shrinks_the_hold_to_nothing(any_stage: Stage) -> None:
    stage = any_stage
    holding(stage, 1.05)
    record(stage)
    # Half-way to liquidation half the hold is left.
    held(stage, 270, every=90)
    assert stage.refusal(50_000 * USD) == TOO_SHORT
    stage.pass_time(40)
    with stage.undone():
        stage.act()
    stage.set_rule(replace(stage.rule, cooldown=0), terms=Terms(hold=600))
    stage.set_health(1.0)
    stage.act()


# T15


def with_bounty(stage: Stage, health: float, cap: int = 10**12) -> None:
    stage.open(100 * ETH, 150_000 * USD)
    terms = Terms(public_bps=5_000, bounty_bps=40, bounty_cap=cap)
    stage.set_rule(replace(stage.rule, keeper=KEEPER, cooldown=0), terms=terms)
    stage.set_health(health)


def test_t15__stranger_acts_above_the_public_level__is_refused(any_stage: Stage) -> None:
    stage = any_stage
    with_bounty(stage, 1.06)
    found = stage.check()
    assert stage.refusal(found.repay, sender=STRANGER) == "rule: another keeper is named"
    stage.set_health(1.04)
    stage.act(sender=STRANGER)


def test_t15__whoever_acts_in_the_keepers_stead__gets_the_bounty_and_the_keeper_none(
    any_stage: Stage,
) -> None:
    stage = any_stage
    with_bounty(stage, 1.03)
    a_token, found = stage.a_token("WETH"), stage.check()
    with stage.undone():
        stage.act(found, sender=KEEPER)
        assert stage.balance(a_token, KEEPER) == 0
    held = stage.balance(a_token, OWNER)
    stage.act(found, sender=STRANGER)
    bounty = stage.balance(a_token, STRANGER)
    assert abs(bounty / (found.sell * 40 // 10_000) - 1) < 1e-4
    assert abs((held - stage.balance(a_token, OWNER)) / (found.sell + bounty) - 1) < 1e-6
    assert stage.balance(a_token, stage.thresholds) <= 4


def test_t15__the_bounty__is_capped_and_lies_within_the_slippage(any_stage: Stage) -> None:
    stage = any_stage
    with_bounty(stage, 1.03, cap=50 * 10**8)
    found, price = stage.check(), stage.price()
    with stage.undone():
        stage.act(found, sender=STRANGER)
        assert abs(stage.balance(stage.a_token("WETH"), STRANGER) * price / WAD / (50 * 10**8) - 1) < 1e-6
    terms = Terms(public_bps=5_000, bounty_bps=40, bounty_cap=10**12)
    stage.set_rule(replace(stage.rule, keeper=KEEPER, cooldown=0), terms=terms)
    stage.push_pool(price * 9_935 // 10_000)
    # The keeper's sale costs 70 bps of the 100; with a bounty of 40 it would be more.
    found = stage.check()
    assert stage.refusal(found.repay, sender=STRANGER) == "loan: the value lost is above the rule's slippage"
    stage.act(found, sender=KEEPER)


def test_t15__bounty_would_pass_the_slippage_and_anybody_may_act__check_says_so_before(
    any_stage: Stage,
) -> None:
    stage = any_stage
    with_bounty(stage, 1.03)
    terms = Terms(public_bps=5_000, bounty_bps=40, bounty_cap=10**12)
    stage.set_rule(replace(stage.rule, cooldown=0), terms=terms)
    stage.push_pool(stage.price() * 9_935 // 10_000)
    found = stage.check()
    assert (found.verdict, found.why) == (
        2,
        "rule: the sale and its bounty would cost more than the slippage",
    )
    assert stage.refusal(found.repay) == "loan: the value lost is above the rule's slippage"


def test_t15__keeper_collects_the_bounty_under_another_name__it_is_a_cost_like_any_other(
    any_stage: Stage,
) -> None:
    """Who stands behind an address nobody can tell: what bounds the bounty is what the owner wrote, not a name."""
    stage = any_stage
    stage.open(100 * ETH, 150_000 * USD)
    budget = 150 * 10**8
    terms = Terms(public_bps=5_000, bounty_bps=40, bounty_cap=30 * 10**8, budget=budget, window=86_400)
    rule = replace(stage.rule, keeper=KEEPER, cooldown=0, max_step=10_000 * USD)
    stage.set_rule(rule, terms=terms)
    stage.set_health(1.005)
    a_token, price, worth = stage.a_token("WETH"), stage.price(), worth_of(stage)
    taken, refused = [], ""
    for _ in range(9):
        held = stage.balance(a_token, STRANGER)
        try:
            stage.act(sender=STRANGER)
        except NodeRefused as refusal:
            refused = reason_in(refusal.data)
            break
        taken.append((stage.balance(a_token, STRANGER) - held) * price // WAD)
    assert len(taken) >= 2, "it pays to come back, in steps that the owner wrote"
    assert max(taken) <= 30 * 10**8
    assert "budget" in refused or "keeper" in refused
    assert sum(taken) <= worth - worth_of(stage) <= budget


def test_t15__urgency__widens_step_and_slippage_as_far_as_was_written(any_stage: Stage) -> None:
    stage = any_stage
    stage.open(100 * ETH, 150_000 * USD)
    rule = replace(stage.rule, cooldown=0, max_step=10_000 * USD, slippage_bps=50)
    stage.set_rule(rule, terms=Terms(urgent_step=110_000 * USD, urgent_slippage_bps=450))
    stage.set_health(1.05)
    price = stage.price()
    assert stage.check().repay == pytest.approx(60_000 * USD * 15 / 16, rel=1e-3), (
        "a sixteenth is left for room"
    )
    stage.push_pool(price * 9_800 // 10_000)
    found = stage.check()
    assert found.verdict == 1
    with stage.undone():
        stage.act(found)
    assert stage.refusal(found.repay * 16 // 15 + 100 * USD) == "plan: repays more than the rule's max_step"
    stage.push_pool(price * 9_735 // 10_000)
    assert stage.check().why == "pool: the sale would cost more than the rule's slippage"
    assert stage.refusal(found.repay) == "loan: the value lost is above the rule's slippage"
    stage.set_health(1.002)
    stage.push_pool(stage.price() * 9_650 // 10_000)
    assert stage.check().repay > 100_000 * USD
    stage.act()


def test_t15__gas_above_the_cap__bars_until_the_loan_is_in_danger(any_stage: Stage) -> None:
    stage = any_stage
    stage.open(100 * ETH, 150_000 * USD)
    stage.set_rule(replace(stage.rule, cooldown=0, max_step=50_000 * USD), terms=Terms(gas_cap=10**8))
    stage.set_health(1.05)
    stage.node.ask("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    stage.pass_time(12)
    assert stage.check().why == "gas: the price is above the rule's cap"
    assert stage.refusal(50_000 * USD) == "gas: the price is above the rule's cap"
    stage.set_health(1.0)
    assert stage.check().verdict == 1
    stage.act()


# T16

CALM = [2_500 * BASE + n * BASE // 4 for n in range(8)]
STORM = [(2_500 if n % 2 else 1_500) * BASE for n in range(8)]
UNKNOWN = "volatility: not known of late, so that the floor is at its highest"


def following(stage: Stage, health: float, prices: list[int], highest_bps: int = 13_000) -> Address:
    """A loan whose floor follows a feed with so much of a history, and may rise from 1.1 to its highest."""
    feed = stage.create("Feed", "ETH / USD", 8, prices[0])
    stage.live(feed, prices)
    stage.open(100 * ETH, 150_000 * USD)
    terms = Terms(highest_bps=highest_bps, sigmas_bps=20_000, horizon=7 * 86_400, feed=feed)
    stage.set_rule(replace(stage.rule, cooldown=0), terms=terms)
    stage.set_health(health)
    return feed


def test_t16__stranger_pokes_a_feed_gone_wild__the_floor_stops_at_the_owners_highest(
    any_stage: Stage,
) -> None:
    stage = any_stage
    with stage.undone():  # with no bound to speak of the very same feed has the loan sold
        following(stage, 1.35, STORM, highest_bps=50_000)
        assert stage.band()[0] > 20_000
        stage.act()
    following(stage, 1.35, STORM)
    assert stage.band() == (13_000, -(-15_000 * 13 // 11), -(-20_000 * 13 // 11), True)
    found = stage.check()
    assert (found.verdict, found.why) == (0, "health: at or above the floor")
    assert stage.refusal(10_000 * USD) == "health: at or above the floor"


def test_t16__feed_is_calm__the_floor_is_the_one_written_and_nobody_acts_above_it(any_stage: Stage) -> None:
    stage = any_stage
    following(stage, 1.11, CALM)
    assert stage.band() == (11_000, 15_000, 20_000, True)
    assert stage.refusal(10_000 * USD) == "health: at or above the floor"
    stage.set_health(1.09)
    stage.act()
    assert stage.health() == pytest.approx(1.5 * WAD, rel=1e-4)


def test_t16__a_true_storm__raises_floor_and_target_and_the_loan_is_held_to_both(any_stage: Stage) -> None:
    stage = any_stage
    brisk = [int(2_500 * BASE * 1.01 ** (n % 2)) for n in range(8)]
    following(stage, 1.12, brisk)
    floor, target, ceiling, known = stage.band()
    assert (11_000 < floor < 13_000, known) == (True, True)
    assert (target, ceiling) == (-(-15_000 * floor // 11_000), -(-20_000 * floor // 11_000))
    stage.act()
    assert stage.health() == pytest.approx(target * 10**14, rel=1e-4)
    assert stage.refusal(10_000 * USD) == "health: at or above the floor"


def test_t16__keeper_holds_pokes_back__the_floor_rises_and_never_falls_for_it(any_stage: Stage) -> None:
    stage = any_stage
    feed = following(stage, 1.2, CALM)
    assert stage.refusal(10_000 * USD) == "health: at or above the floor"
    stage.pass_time(3 * 86_400 + 3_600)
    assert stage.band()[3] is False
    with stage.undone():
        stage.set_health(1.31)
        assert (stage.check().verdict, stage.check().why) == (0, UNKNOWN)
        assert stage.refusal(10_000 * USD) == "health: at or above the floor"
    found = stage.check()
    assert (found.verdict, found.why) == (
        1,
        "health: below the floor, which is at its highest as volatility is not known",
    )
    # Anybody can end that with one poke.
    stage.live(feed, [CALM[-1] + 1], pause=0)
    assert stage.check().verdict == 0
    assert stage.refusal(found.repay) == "health: at or above the floor"


def test_t16__stranger_pokes_just_before_the_plan_lands__the_band_then_standing_is_obeyed(
    any_stage: Stage,
) -> None:
    stage = any_stage
    feed = following(stage, 1.05, CALM)
    found = stage.check()
    stage.live(feed, [CALM[-1] * 9 // 10])
    raised = stage.band()[0]
    assert raised > 11_000
    assert stage.refusal(found.repay, max_sell=NEVER) == "health: short of the target with step to spare"
    stage.live(feed, [CALM[-1]], pause=0)
    assert stage.band()[0] == raised, "nobody has a second poke at once"
    stage.act()


def test_t16__measured_nothing_yet__the_floor_is_at_its_highest_and_is_said_to_be(any_stage: Stage) -> None:
    stage = any_stage
    following(stage, 1.35, CALM[:2])
    assert stage.band()[::3] == (13_000, False)
    assert (stage.check().verdict, stage.check().why) == (0, UNKNOWN)


def test_t16__loan_may_borrow__above_the_ceiling_as_it_stands_and_no_lower(any_stage: Stage) -> None:
    stage = any_stage
    feed = following(stage, 2.1, CALM)
    stage.delegate()
    terms = Terms(borrow_step=10**12, highest_bps=13_000, sigmas_bps=20_000, horizon=7 * 86_400, feed=feed)
    stage.set_rule(replace(stage.rule, cooldown=0), terms=terms)
    assert stage.check().action == RELEVERAGE
    with stage.undone():
        stage.live(feed, STORM)
        found = stage.check()
        assert (found.verdict, found.why) == (0, "health: between the floor and the ceiling")
        assert stage.refusal(10_000 * USD, action=RELEVERAGE) == "health: at or below the ceiling"
    stage.act()
    assert stage.health() == pytest.approx(1.5 * WAD, rel=5e-3)


# T17


def between_modes(stage: Stage, health: float, rule: dict[str, Any], terms: Terms, inside: bool) -> None:
    """A loan in an e-mode, or about to enter it, whose threshold there is 93 % and outside 83 %."""
    found_e_mode(stage)
    stage.open(100 * ETH, 150_000 * USD)
    stage.delegate()
    if inside:
        enter(stage)
    stage.set_rule(replace(stage.rule, cooldown=0, **rule), terms=terms)
    stage.set_health(health)


WIDE = {"floor_bps": 13_000, "target_bps": 15_000}


def test_t17__owner_leaves_the_e_mode_while_the_plan_is_on_its_way__it_is_refused(any_stage: Stage) -> None:
    stage = any_stage
    between_modes(stage, 1.25, WIDE, Terms(), inside=True)
    found = stage.check()
    enter(stage, 0)
    assert stage.health() < 1.12 * WAD
    assert stage.refusal(found.repay, max_sell=NEVER) == "health: short of the target with step to spare"
    stage.act()
    assert stage.health() == pytest.approx(1.5 * WAD, rel=1e-5)


def test_t17__owner_enters_the_e_mode_while_the_plan_is_on_its_way__it_is_refused(any_stage: Stage) -> None:
    stage = any_stage
    between_modes(stage, 1.05, WIDE, Terms(), inside=False)
    found = stage.check()
    enter(stage)
    with stage.undone():
        # Who does not look again sells the owner far past the target.
        weth, usdc = stage.tokens["WETH"], stage.tokens["USDC"]
        bare = stage.create("mocks/bare_flash_swap_mock", stage.aave.pool)
        stage.send(STRANGER, bare, "prepare(address)", usdc)
        stage.approve(OWNER, stage.a_token("WETH"), bare)
        order = (OWNER, weth, stage.a_token("WETH"), usdc, found.repay, 0)
        first = int(weth, 16) < int(usdc, 16)
        stage.send(KEEPER, bare, f"run(address,bool,{ORDER})", stage.pool("WETH", "USDC"), first, order)
        assert stage.health() > 1.6 * WAD
    assert stage.refusal(found.repay, max_sell=NEVER) == "health: past the target"
    stage.act()
    assert stage.health() == pytest.approx(1.5 * WAD, rel=1e-5)


def test_t17__entering_the_e_mode_ends_the_breach__nobody_acts(any_stage: Stage) -> None:
    stage = any_stage
    between_modes(stage, 1.05, {"target_bps": 15_000}, Terms(), inside=False)
    found = stage.check()
    enter(stage)
    assert stage.refusal(found.repay, max_sell=NEVER) == "health: at or above the floor"


def test_t17__the_whole_step_of_a_rule__lands_short_in_whichever_mode_and_costs_the_slippage_at_most(
    any_stage: Stage,
) -> None:
    stage = any_stage
    between_modes(stage, 1.25, {**WIDE, "max_step": 20_000 * USD}, Terms(), inside=True)
    found = stage.check()
    assert found.repay == 20_000 * USD
    enter(stage, 0)
    before, worth = stage.health(), worth_of(stage)
    stage.act(found)
    assert before < stage.health() < 1.5 * WAD
    assert 0 < worth - worth_of(stage) <= 20_000 * BASE // 100


@pytest.mark.parametrize("inside", [True, False])
def test_t17__mode_changes_while_a_plan_to_borrow_is_on_its_way__never_lands_below_the_target(
    any_stage: Stage, inside: bool
) -> None:
    stage = any_stage
    band = {"floor_bps": 11_000, "target_bps": 13_000, "ceiling_bps": 15_000}
    between_modes(stage, 1.8, band, Terms(borrow_step=10**12), inside)
    found = stage.check()
    assert found.action == RELEVERAGE
    enter(stage, 0 if inside else 1)
    why = "health: past the target" if inside else "health: short of the target with step to spare"
    assert stage.refusal(found.repay, action=RELEVERAGE, max_sell=0) == why
    stage.act()
    assert 1.3 * WAD <= stage.health() <= 1.3 * WAD * 1.005


def test_t17__governance_rewrites_the_mode_while_the_plan_is_on_its_way__it_is_refused(
    any_stage: Stage,
) -> None:
    stage = any_stage
    between_modes(stage, 1.25, WIDE, Terms(), inside=True)
    found = stage.check()
    found_e_mode(stage, members=(), lent=(), ltv=8_400, threshold=8_900)
    assert stage.refusal(found.repay, max_sell=NEVER) == "health: short of the target with step to spare"
    stage.act()
    assert stage.health() == pytest.approx(1.5 * WAD, rel=1e-5)


def test_t17__owner_would_leave_into_liquidation__aave_does_not_let_go(any_stage: Stage) -> None:
    stage = any_stage
    between_modes(stage, 1.05, {"target_bps": 15_000}, Terms(), inside=True)
    expected = "error 0x6679996d" if stage.version == "3.6" else "35"
    assert stage.refusal_to(OWNER, stage.aave.pool, "setUserEMode(uint8)", 0) == expected
    stage.act()
    assert stage.health() == pytest.approx(1.5 * WAD, rel=1e-5)

"""What the guards cost, in gas: beside the same deleverage with none, and beside one by flash loan.

Gas is counted, not timed, so a bound on it is a test. Steady state: each contract has acted before and keeps the wei or
two of aTokens that spares Aave 3.0.2 a flag.
"""

from __future__ import annotations

from dataclasses import replace

from keeper.domain.units import Address
from tests.contracts.loan_stage import KEEPER, LENDER, OWNER, STRANGER, WAD, Finding, Stage

ORDER = "(address,address,address,address,uint256,uint256)"
LOAN = "(address,address,address,address,address,bool,uint256,uint256)"


def test_gas__steady_state__is_near_the_protocols_own_and_below_a_flash_loans(any_stage: Stage) -> None:
    stage = any_stage
    bare, lender = (
        stage.create(f"mocks/bare_flash_{kind}_mock", stage.aave.pool) for kind in ("swap", "loan")
    )
    for contract in (bare, lender):
        stage.send(STRANGER, contract, "prepare(address)", stage.tokens["USDC"])
        stage.approve(OWNER, stage.a_token("WETH"), contract)
        stage.send(LENDER, stage.a_token("WETH"), "transfer(address,uint256)", contract, 2)
    stage.open(100 * WAD, 150_000 * 10**6)
    stage.set_rule(replace(stage.rule, cooldown=0))
    stage.pass_time(60 * 86_400)
    stage.set_health(1.05)
    stage.act()
    stage.set_health(1.05)
    found = stage.check()

    gas = {}
    for name, run in (("guarded", guarded), ("bare", bare_swap), ("flash loan", flash_loan)):
        with stage.undone():
            stage.pass_time(12)
            gas[name] = run(stage, found, lender if name == "flash loan" else bare)
    assert gas["guarded"] <= 1.18 * gas["bare"], gas
    assert gas["guarded"] < gas["flash loan"], gas


def guarded(stage: Stage, found: Finding, _: Address) -> int:
    return stage.act(found).gas_used


def bare_swap(stage: Stage, found: Finding, contract: Address) -> int:
    weth, usdc = stage.tokens["WETH"], stage.tokens["USDC"]
    order = (OWNER, weth, stage.a_token("WETH"), usdc, found.repay, 0)
    first = int(weth, 16) < int(usdc, 16)
    return stage.send(
        KEEPER, contract, f"run(address,bool,{ORDER})", stage.pool("WETH", "USDC"), first, order
    ).gas_used


def flash_loan(stage: Stage, found: Finding, contract: Address) -> int:
    weth, usdc = stage.tokens["WETH"], stage.tokens["USDC"]
    first = int(weth, 16) < int(usdc, 16)
    # The premium of five basis points is sold for as well.
    sell = found.sell * 10_006 // 10_000
    order = (OWNER, weth, stage.a_token("WETH"), usdc, stage.pool("WETH", "USDC"), first, found.repay, sell)
    return stage.send(KEEPER, contract, f"run({LOAN})", order).gas_used

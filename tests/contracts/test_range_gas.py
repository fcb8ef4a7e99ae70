"""What the guards cost, in gas: beside the same recentring with none.

Gas is counted, not timed, so a bound on it is a test. Steady state: the rule has acted before. The bare contract has
allowed the manager both tokens for ever, which the guarded one, leaving no allowance behind, cannot.
"""

from __future__ import annotations

from keeper.domain.units import Address
from tests.contracts.range_stage import KEEPER, OWNER, STRANGER, Finding, Stage

ORDER = "(address,address,uint256,uint128,address,address,uint24,int24,int24,bool,uint256)"


def test_gas__steady_state__is_near_the_protocols_own(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = stage.open()
    stage.set_rule(stage.rule(token_id, cooldown=0, daily=10))
    manager = stage.uniswap.position_manager
    bare = stage.create("mocks/bare_recentre_mock", manager)
    tokens = [stage.tokens[symbol] for symbol in stage.pair()]
    stage.send(STRANGER, bare, "prepare(address,address)", *tokens)
    stage.send(OWNER, manager, "setApprovalForAll(address,bool)", bare, True)
    stage.settle(800)
    stage.act()
    for tick in (-100, 800, 1):
        stage.settle(tick)
        found = stage.check()
        gas = {}
        for name, run in (("guarded", guarded), ("bare", bare_recentring)):
            with stage.undone():
                stage.pass_time(12)
                gas[name] = run(stage, found, bare)
        assert gas["guarded"] <= 1.15 * gas["bare"], gas
        stage.act(found)


def guarded(stage: Stage, found: Finding, _: Address) -> int:
    return stage.act(found).gas_used


def bare_recentring(stage: Stage, found: Finding, contract: Address) -> int:
    token_id = stage.rule_of().token_id
    position = stage.position(token_id)
    order = (
        *(OWNER, stage.pool(), token_id, position.liquidity, position.token0, position.token1),
        *(position.fee, found.lower, found.upper, found.sells_token0, found.amount),
    )
    return stage.send(KEEPER, contract, f"run({ORDER})", order).gas_used

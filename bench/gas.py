"""What the rule's protection costs in gas: the guarded deleverage over what the protocols alone ask for it.

The floor is traced in a contract that checks nothing: the gas of its four protocol calls (swap, repay, transferFrom,
withdraw), with the transaction's intrinsic gas and less its refund. The peer is the usual way to deleverage without
funds, Aave's flash loan. Each acts on the same state, and has acted before, so that no storage slot is new to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench.rows import Row
from bench.stage import placed, raised
from keeper.devnet.actors import move_pool_to
from keeper.devnet.transactions import GAS, Mined, calldata, receipts
from keeper.devnet.world import POOL_FEE, World
from keeper.domain.units import BPS, HEALTH_WAD_PER_BPS, NOBODY, Address
from keeper.protocols.loan_thresholds import CHECK, REBALANCE, SET_RULE

GOAL: Final = 1.20
_HEALTH: Final = 1.101
_FLOOR_BPS: Final = 11_500
_TARGET_BPS: Final = 15_000
_LOAN_ETH: Final = 100
_SIXTY_DAYS: Final = 60 * 86_400
_NEVER: Final = 2**40 - 1
_MOST: Final = 2**96 - 1
_WITHDRAWN_BPS: Final = BPS + 50
_SWAP_ORDER: Final = "(address,address,address,address,uint256,uint256)"
_DUST: Final = 2
_CALLS: Final = {"tracer": "callTracer"}
_LOAN_ORDER: Final = "(address,address,address,address,address,bool,uint256,uint256)"


def deleverage_gas_ratio(quick: bool) -> list[Row]:
    """Gas used over the floor, for both orders of the pool's tokens; mainnet's, the debt asset first, is the row."""
    del quick  # a few transactions, whatever is asked
    return [_ratio("deleverage_gas_ratio", False, GOAL), _ratio("deleverage_gas_ratio_token0", True, None)]


def _ratio(name: str, weth_is_token0: bool, goal: float | None) -> Row:
    with raised(weth_is_token0) as world:
        ways = Ways.prepared(world)
        owner = world.roles.owner
        guarded = ways.acted(ways.guarded, owner)
        bare = ways.acted(ways.flash_swap, owner)
        loan = ways.acted(ways.flash_loan, owner)
    peers = {
        "a flash loan, nothing checked": loan.gas_used / bare.floor,
        "a flash swap, nothing checked": bare.gas_used / bare.floor,
    }
    return Row(name, guarded.gas_used / bare.floor, "of floor", goal, peers)


@dataclass(frozen=True, slots=True)
class Spent:
    """One action's gas as its receipt says, and of it what the four protocol calls and the transaction itself took."""

    gas_used: int
    floor: int


@dataclass(frozen=True, slots=True)
class Step:
    """The same for everyone: repay so many units of USDC, for which the contract expects to sell so much WETH."""

    owner: Address
    repay: int
    sell: int


Act = Callable[[Step], tuple[Address, str]]
"""Makes a step into the contract to call and the call."""


@dataclass(frozen=True, slots=True)
class Ways:
    """Three contracts that can deleverage the same loan, each with the owners' allowance and with a past."""

    world: World
    bare_swap: Address
    bare_loan: Address

    @classmethod
    def prepared(cls, world: World) -> Ways:
        """Two loans; sixty days ago each contract acted on the first, and the second is now to be acted on."""
        weth, usdc, first = world.weth, world.usdc, world.roles.twin
        ways = cls(
            world,
            placed(world, "contracts/mocks/bare_flash_swap_mock.vy", world.aave.pool),
            placed(world, "bench/flash_loan_mock.vy", world.aave.pool, weth.token, usdc.token),
        )
        world.send(world.roles.deployer, ways.bare_swap, "prepare(address)", usdc.token)
        for owner in (first, world.roles.owner):
            world.open_loan(owner, _LOAN_ETH, health=_HEALTH)
            world.send(owner, world.thresholds, SET_RULE.signature, 0, _rule(world))
            for spender in (world.thresholds, ways.bare_swap, ways.bare_loan):
                world.approve(owner, weth.a_token, spender)
        for bare in (ways.bare_swap, ways.bare_loan):
            # The guarded contract keeps as much for itself, which saves Aave a slot's coming and going.
            world.send(first, weth.a_token, "transfer(address,uint256)", bare, _DUST)
        world.automine(False)
        ways._send(ways.guarded, ways._step(first))
        for act in (ways.flash_swap, ways.flash_loan):
            ways._send(act, Step(first, repay=1_000 * 10**usdc.decimals, sell=10**weth.decimals))
        move_pool_to(world)
        world.warp(_SIXTY_DAYS)
        return ways

    def acted(self, act: Act, owner: Address) -> Spent:
        """What acting takes in the next block; undone afterwards."""
        before = self.world.snapshot()
        sent = self._send(act, self._step(owner))
        health = self.world.account_data(owner).health
        assert abs(health - _TARGET_BPS * HEALTH_WAD_PER_BPS) * 500 < health, f"it ended at {health / 10**18}"
        spent = Spent(sent.gas_used, self._floor(sent) if act == self.flash_swap else 0)
        self.world.revert(before)
        return spent

    def guarded(self, step: Step) -> tuple[Address, str]:
        """The owner's rule, acted on by a keeper."""
        plan = (0, step.repay, step.sell * _WITHDRAWN_BPS // BPS, POOL_FEE, _NEVER)
        return self.world.thresholds, calldata(REBALANCE.signature, step.owner, 0, plan)

    def flash_swap(self, step: Step) -> tuple[Address, str]:
        """The same protocol calls and nothing else."""
        world = self.world
        weth, usdc = world.weth, world.usdc
        order = (step.owner, weth.token, weth.a_token, usdc.token, step.repay, step.sell)
        signature = f"run(address,bool,{_SWAP_ORDER})"
        return self.bare_swap, calldata(signature, world.pool, world.weth_is_token0, order)

    def flash_loan(self, step: Step) -> tuple[Address, str]:
        """The usual way: withdraws half a per cent more than it should take, and supplies again what is left."""
        world = self.world
        weth, usdc = world.weth, world.usdc
        order = (step.owner, weth.token, weth.a_token, usdc.token, world.pool, world.weth_is_token0)
        amounts = (step.repay, step.sell * _WITHDRAWN_BPS // BPS)
        return self.bare_loan, calldata(f"run({_LOAN_ORDER})", (*order, *amounts))

    def _step(self, owner: Address) -> Step:
        """Sized by the contract itself."""
        returns = f"({','.join(CHECK.outputs)})"
        ((_, _, _, repay, sell, fee, why),) = self.world.call(
            self.world.thresholds, CHECK.signature, returns, owner, 0
        )
        assert fee == POOL_FEE, why
        return Step(owner, repay, sell)

    def _send(self, act: Act, step: Step) -> Mined:
        to, data = act(step)
        fields = {"from": self.world.roles.keeper, "to": to, "data": data, "gas": hex(GAS)}
        sent = self.world.node.ask("eth_sendTransaction", fields)
        self.world.mine()
        return receipts(self.world.node, [sent])[0]

    def _floor(self, sent: Mined) -> int:
        """Protocol calls and intrinsic gas, less the refund: the receipt's gas without the contract's own."""
        node = self.world.node
        calls = node.ask("debug_traceTransaction", sent.hash, _CALLS)
        swap, callback, inner = _frames(calls)
        intrinsic = GAS - int(calls["gas"], 16)
        executed = int(node.ask("trace_transaction", sent.hash)[0]["result"]["gasUsed"], 16)
        refund = intrinsic + executed - sent.gas_used
        assert 0 <= refund * 5 <= intrinsic + executed, f"a refund of {refund}"
        protocols = swap - callback + sum(inner)
        own = executed - protocols
        assert 0 < own * 20 < sent.gas_used, f"{own} gas of its own"
        return intrinsic + protocols - refund


def _frames(trace: dict[str, Any]) -> tuple[int, int, list[int]]:
    """The gas of the swap, of its callback, and of the three calls in there."""
    (swap,) = trace["calls"]
    (callback,) = [call for call in swap["calls"] if call["to"] == trace["to"]]
    inner = [int(call["gasUsed"], 16) for call in callback["calls"]]
    assert len(inner) == 3
    return int(swap["gasUsed"], 16), int(callback["gasUsed"], 16), inner


def _rule(world: World) -> tuple[Any, ...]:
    band = (_FLOOR_BPS, _TARGET_BPS, 2 * _TARGET_BPS)
    limits = (100, 60, _MOST, _NEVER, NOBODY)
    return (world.weth.token, world.usdc.token, *band, *limits)

"""Ranges on the devnet: the keeper judges, sizes, rehearses and sends, and the contract agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from keeper.app import look, open_keeper
from keeper.devnet.actors import move_pool_to
from keeper.devnet.transactions import in_one_block
from keeper.devnet.uniswap_v3 import add_liquidity
from keeper.devnet.world import POOL_FEE, SLOT0, World
from keeper.domain.errors import Misconfigured
from keeper.domain.flights import State
from keeper.domain.ranges import UNBOUNDED_HIGH, UNBOUNDED_LOW, Direction, Leaving, Placement, RangeRule
from keeper.domain.units import NOBODY, Address
from keeper.domain.verdicts import Kind
from keeper.positions.port import Doubts
from keeper.positions.ranges import RangePositions
from keeper.protocols.range_thresholds import SET_RULE, rule_fields
from keeper.settings import read_settings
from keeper.turn import Keeper, Turn
from tests.conftest import FOREVER, Watching

HOLD = 300
POSITION = "(uint96,address,address,address,uint24,int24,int24,uint128,uint256,uint256,uint128,uint128)"
OpenKeeper = Callable[..., Any]


def tick_of(world: World) -> int:
    tick: int = world.call(world.pool, "slot0()", SLOT0)[1]
    return tick


@pytest.fixture
def open_range(world: World) -> Callable[..., int]:
    return range_opener(world)


def range_opener(world: World) -> Callable[..., int]:
    """A position of 10 WETH and its worth in USDC around the price, and a rule on it."""

    def opened(owner: Address, half: int = 600, **changes: Any) -> int:
        manager, middle = world.uniswap.position_manager, tick_of(world) // 10 * 10
        world.give("WETH", owner, 10)
        world.give("USDC", owner, 20_000)
        for reserve in (world.weth, world.usdc):
            world.approve(owner, reserve.token, manager)
        amounts = {world.weth.token: 10 * 10**18, world.usdc.token: 20_000 * 10**6}
        with in_one_block(world.node, owner) as queue:
            add_liquidity(queue, world.uniswap, amounts, POOL_FEE, owner, (middle - half, middle + half))
        world.send(owner, manager, "setApprovalForAll(address,bool)", world.range_thresholds, True)
        held = world.call(manager, "balanceOf(address)", "(uint256)", owner)[0]
        token = ("tokenOfOwnerByIndex(address,uint256)", "(uint256)", owner, held - 1)
        token_id: int = world.call(manager, *token)[0]
        fields: dict[str, Any] = {
            "token_id": token_id,
            "below": half,
            "above": half,
            "buffer": 50,
            "cutoff_low": UNBOUNDED_LOW,
            "cutoff_high": UNBOUNDED_HIGH,
            "exit_low": Leaving.AS_IT_LIES,
            "exit_high": Leaving.AS_IT_LIES,
            "direction": Direction.BOTH,
            "placement": Placement.AROUND,
            "hold": HOLD,
            "deviation": 50,
            "slippage_bps": 50,
            "placed_bps": 9_900,
            "compound_at": 0,
            "cooldown": 3_600,
            "expiry": FOREVER,
            "daily": 4,
            "budget_bps": 100,
            "refill": 86_400,
            "keeper": NOBODY,
        }
        rule = RangeRule(**{**fields, **changes})
        count = world.call(world.range_thresholds, "rule_count(address)", "(uint256)", owner)[0]
        world.send(owner, world.range_thresholds, SET_RULE.signature, count, rule_fields(rule))
        return token_id

    return opened


@pytest.fixture
def keeper(world: World, watching: Watching) -> OpenKeeper:
    settings = watching(world.range_thresholds, (world.roles.owner, world.roles.twin), "ranges")

    @contextmanager
    def opened(dry_run: bool = False) -> Iterator[Keeper]:
        with open_keeper(settings, dry_run) as kept:
            yield kept

    return opened


def settle_at(world: World, usd: float) -> None:
    """The price goes there, and stays for the hold."""
    world.set_price("WETH", usd)
    move_pool_to(world)
    world.mine(HOLD + 12)


def take_turn(keeper: Keeper) -> Turn:
    return keeper.turn(keeper.node.head())


def lost_bps(keeper: Keeper, intent_id: str) -> int:
    """What the journal holds that an action cost its position."""
    assert keeper.journal is not None
    _, lost = keeper.journal.tolls([intent_id])[intent_id]
    assert lost is not None
    return lost


@pytest.mark.parametrize("usd", [2_300, 1_700])
def test_a_range_left_by_the_price__is_moved_around_it__and_the_next_turn_leaves_it_alone(
    world: World, open_range: Callable[..., int], keeper: OpenKeeper, usd: int
) -> None:
    owner, manager = world.roles.owner, world.uniswap.position_manager
    old = open_range(owner)
    settle_at(world, usd)
    world.automine(False)
    with keeper() as kept:
        turn = take_turn(kept)
        assert [(verdict.kind, verdict.why) for verdict in turn.verdicts] == [
            (Kind.BREACHED, "range: the price is beyond its trigger")
        ]
        (intent,) = turn.intents
        assert intent.plan.action == "recentre"
        assert intent.plan.move("sell").asset.symbol in {"WETH", "USDC"}
        assert intent.rehearsal.gas < 1_000_000
        world.mine()
        after = take_turn(kept)
        assert [change.flight.state for change in after.changes] == [State.INCLUDED]
        assert after.tripped == (), "liquidity taken out and put in again is not sold"
        assert [(verdict.kind, verdict.why) for verdict in after.verdicts] == [
            (Kind.WITHIN, "range: inside its trigger")
        ]
        assert after.intents == ()
        assert 0 < lost_bps(kept, intent.id) < 50
    token = ("tokenOfOwnerByIndex(address,uint256)", "(uint256)", owner, 0)
    new = world.call(manager, *token)[0]
    assert new != old
    _, _, _, _, _, lower, upper, *_ = world.call(manager, "positions(uint256)", POSITION, new)
    assert lower <= tick_of(world) - 590 < tick_of(world) + 590 <= upper
    words = ("words_of(address,uint256)", "(uint256,uint256,uint256)", owner, 0)
    assert world.call(world.range_thresholds, *words)[2] >> 192 == new


def test_a_range_beyond_a_cutoff__is_left_for_the_token_the_owner_wants(
    world: World, open_range: Callable[..., int], keeper: OpenKeeper
) -> None:
    owner = world.roles.owner
    leaving = Leaving.ALL_IN_TOKEN1 if world.weth_is_token0 else Leaving.ALL_IN_TOKEN0
    middle = tick_of(world)
    open_range(owner, cutoff_low=middle - 700, cutoff_high=middle + 700, exit_low=leaving, exit_high=leaving)
    settle_at(world, 1_700)
    before = world.balance("USDC", owner)
    world.automine(False)
    with keeper() as kept:
        (intent,) = take_turn(kept).intents
        assert intent.plan.action == "exit"
        world.mine()
        assert [verdict.why for verdict in take_turn(kept).verdicts] == ["rule: none is set"]
        assert 0 < lost_bps(kept, intent.id) < 100
    # On the way down it all became ether, some 20.3 of it, which is sold at 1,700.
    assert 34_000 * 10**6 < world.balance("USDC", owner) - before < 35_000 * 10**6


def test_fees_worth_it__are_compounded__and_what_is_worth_less_waits(
    world: World, open_range: Callable[..., int], keeper: OpenKeeper
) -> None:
    owner, twin = world.roles.owner, world.roles.twin
    open_range(owner, compound_at=1)
    open_range(twin, compound_at=2**96 - 1)
    for usd in (2_040, 1_960, 2_000):
        move_pool_to(world, usd)
    world.mine(HOLD + 12)
    world.automine(False)
    with keeper() as kept:
        turn = take_turn(kept)
        assert {verdict.key.owner: verdict.why for verdict in turn.verdicts} == {
            owner: "range: its fees are worth compounding",
            twin: "range: inside its trigger",
        }
        assert [intent.plan.action for intent in turn.intents] == ["compound"]
        world.mine()
        after = take_turn(kept)
        assert [change.flight.state for change in after.changes] == [State.INCLUDED]


def test_a_range_that_may_not_be_moved__is_told_with_the_reason_and_nothing_is_sent(
    world: World, open_range: Callable[..., int], keeper: OpenKeeper
) -> None:
    owner, twin = world.roles.owner, world.roles.twin
    open_range(owner, slippage_bps=1)
    open_range(twin)
    world.send(
        twin,
        world.uniswap.position_manager,
        "setApprovalForAll(address,bool)",
        world.range_thresholds,
        False,
    )
    settle_at(world, 2_300)
    with keeper(dry_run=True) as kept:
        turn = take_turn(kept)
    assert {verdict.key.owner: (verdict.kind, verdict.why) for verdict in turn.verdicts} == {
        owner: (Kind.BARRED, "range: the value lost is above the rule's slippage"),
        twin: (Kind.BARRED, "approval: the owner has not made this contract an operator"),
    }
    assert turn.intents == ()


def only_the_next_ticks_are_deep(world: World) -> None:
    """Nearly all the liquidity leaves the pool, and a stranger's stands beside the price, on a sale of USDC's way."""
    manager, here = world.uniswap.position_manager, tick_of(world) // 10 * 10
    deployer, stranger = world.roles.deployer, world.roles.stranger
    for token_id in (1, 2):
        liquidity = world.call(manager, "positions(uint256)", POSITION, token_id)[7]
        leaving = (token_id, liquidity - liquidity // 10**5, 0, 0, 2**255)
        signature = "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))"
        world.send(deployer, manager, signature, leaving)
    world.give("WETH", stranger, 10_000)
    world.approve(stranger, world.weth.token, manager)
    ticks = (here + 20, here + 40) if world.weth_is_token0 else (here - 30, here - 10)
    amounts = {world.weth.token: 10_000 * 10**18, world.usdc.token: 0}
    with in_one_block(world.node, stranger) as queue:
        add_liquidity(queue, world.uniswap, amounts, POOL_FEE, stranger, ticks)


def test_a_swap_beyond_the_liquidity_in_range__is_sized_by_the_pool_itself(
    world: World, open_range: Callable[..., int], keeper: OpenKeeper
) -> None:
    owner = world.roles.owner
    open_range(owner, placed_bps=9_950)
    settle_at(world, 2_300)
    only_the_next_ticks_are_deep(world)
    positions = RangePositions(world.node, world.range_thresholds, [owner], Doubts(90_000, 30))
    (told,) = positions.look(world.node.head())
    assert (told.verdict.kind, told.verdict.why) == (
        Kind.BARRED,
        "range: the value lost is above the rule's slippage",
    )
    world.automine(False)
    with keeper() as kept:
        turn = take_turn(kept)
        assert [(verdict.kind, verdict.why) for verdict in turn.verdicts] == [
            (Kind.BREACHED, "range: the price is beyond its trigger")
        ]
        assert len(turn.intents) == 1
        world.mine()
        assert [change.flight.state for change in take_turn(kept).changes] == [State.INCLUDED]


def test_a_look__at_ranges__shows_the_contracts_word_and_what_would_move(
    world: World, open_range: Callable[..., int], tmp_path: Path, keeper: OpenKeeper
) -> None:
    token_id = open_range(world.roles.owner)
    settle_at(world, 2_300)
    with keeper(dry_run=True):
        pass
    _, (seen,) = look(read_settings(tmp_path / "keeper.toml"))
    assert (seen.verdict.kind, seen.verdict.why) == (Kind.BREACHED, "range: the price is beyond its trigger")
    assert seen.verdict.measure.name == "ticks"
    assert seen.rule["token_id"] == str(token_id)
    assert seen.rule["placement"] == "around"
    assert [move.verb for move in seen.moves] == ["sell", "buy"]


def test_positions__of_a_contract_that_is_none_or_another__are_refused(world: World) -> None:
    for thresholds in (world.roles.stranger, world.pool):
        with pytest.raises(Misconfigured, match="contract: "):
            RangePositions(world.node, thresholds, [world.roles.owner], Doubts(90_000, 30))

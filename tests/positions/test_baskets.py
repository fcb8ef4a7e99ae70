"""Baskets on the devnet: the keeper judges, sizes, rehearses and sends, and the contract agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from keeper.app import open_keeper
from keeper.devnet.actors import move_pool_to
from keeper.devnet.world import World
from keeper.domain.baskets import BasketAsset, BasketLimits, BasketRule
from keeper.domain.errors import Misconfigured
from keeper.domain.flights import State
from keeper.domain.units import BASE, NOBODY, Address
from keeper.domain.verdicts import Kind
from keeper.positions.baskets import BasketPositions
from keeper.positions.port import Doubts
from keeper.protocols.basket_thresholds import SET_RULE, rule_fields
from keeper.turn import Keeper, Turn
from tests.conftest import FOREVER, Watching

OpenKeeper = Callable[..., Any]


@pytest.fixture
def open_basket(world: World) -> Callable[..., BasketRule]:
    return basket_opener(world)


def basket_opener(world: World) -> Callable[..., BasketRule]:
    """Ten ether and as many dollars as they are worth in an account, and a rule that keeps them half and half."""

    def opened(owner: Address, *, granted: bool = True, **changes: Any) -> BasketRule:
        world.give("WETH", owner, 10)
        world.give("USDC", owner, 20_000)
        limits = {
            "keeper": NOBODY,
            "expiry": FOREVER,
            "cooldown": 60,
            "daily": 0,
            "slippage_bps": 50,
            "slippage_urgent_bps": 200,
            "gas_cap": 0,
            "public_bps": 0,
            "bounty_bps": 0,
            "bounty_cap": 0,
            "budget": 1_000 * BASE,
            "window": 86_400,
        }
        limits |= {name: changes.pop(name) for name in tuple(changes) if name in limits}
        assets = tuple(
            BasketAsset(
                reserve.token, reserve.feed, 90_000, price * BASE // 5, price * BASE * 5, 5_000, 500, 500
            )
            for reserve, price in ((world.weth, 2_000), (world.usdc, 1))
        )
        written: dict[str, Any] = {
            "assets": assets,
            "relative": False,
            "destination_bps": 5_000,
            "cap_bps": 10_000,
            "max_step": 1_000_000,
            "spot_bps": 200,
            "full_bps": 30_000,
            "sigmas_bps": 0,
            "horizon": 0,
        }
        rule = BasketRule(**{**written, **changes}, limits=BasketLimits(**limits))
        count = world.call(world.basket_thresholds, "rule_count(address)", "(uint256)", owner)[0]
        world.send(owner, world.basket_thresholds, SET_RULE.signature, count, rule_fields(rule))
        if granted:
            for reserve in (world.weth, world.usdc):
                world.approve(owner, reserve.token, world.basket_thresholds)
        return rule

    return opened


@pytest.fixture
def keeper(world: World, watching: Watching) -> OpenKeeper:
    settings = watching(world.basket_thresholds, (world.roles.owner, world.roles.twin), "baskets")

    @contextmanager
    def opened(dry_run: bool = False) -> Iterator[Keeper]:
        with open_keeper(settings, dry_run) as kept:
            yield kept

    return opened


def settle_at(world: World, usd: float) -> None:
    world.set_price("WETH", usd)
    move_pool_to(world)


def take_turn(keeper: Keeper) -> Turn:
    return keeper.turn(keeper.node.head())


def share_of_ether(world: World, owner: Address) -> float:
    ether = world.balance("WETH", owner) * world.price("WETH") / 10**26
    return 100 * ether / (ether + world.balance("USDC", owner) / 10**6)


@pytest.mark.parametrize(("usd", "lands"), [(2_600, 52.5), (1_500, 47.5)])
def test_a_drifted_basket__lands_on_its_destination__and_the_next_turn_leaves_it_alone(
    world: World, open_basket: Callable[..., BasketRule], keeper: OpenKeeper, usd: int, lands: float
) -> None:
    owner = world.roles.owner
    open_basket(owner)
    with keeper() as kept:
        (within,) = take_turn(kept).verdicts
        assert (within.kind, within.why) == (Kind.WITHIN, "basket: within its bands")
        settle_at(world, usd)
        world.automine(False)
        turn = take_turn(kept)
        (verdict,) = turn.verdicts
        assert (verdict.kind, verdict.why) == (Kind.BREACHED, "basket: an asset has drifted out of its band")
        assert verdict.measure.name == "drift"
        (intent,) = turn.intents
        assert intent.plan.action == "reweigh"
        assert [move.verb for move in intent.plan.moves] == ["sell", "buy"]
        world.mine()
        after = take_turn(kept)
        assert [change.flight.state for change in after.changes] == [State.INCLUDED]
        assert after.verdicts[0].kind is Kind.WITHIN
        assert share_of_ether(world, owner) == pytest.approx(lands, abs=0.05)
        expected, reached = intent.plan.after.value, after.verdicts[0].measure.value
        assert expected == pytest.approx(reached, abs=30)
        assert kept.journal.tolls([intent.id])[intent.id][1] in range(1, 20)
        (quote,) = kept.watched[0].quotes([verdict.key], kept.node.head(), 12)
        assert abs(quote.apart_bps) < 30
        assert abs(quote.spot - quote.believed) * 100 < quote.believed


def test_a_dry_run__rehearses_and_signs_nothing(
    world: World, open_basket: Callable[..., BasketRule], keeper: OpenKeeper
) -> None:
    open_basket(world.roles.owner)
    settle_at(world, 2_600)
    with keeper(dry_run=True) as kept:
        assert len(take_turn(kept).intents) == 1
    assert share_of_ether(world, world.roles.owner) == pytest.approx(56.5, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"granted": False}, "allowance: one is short of what must be sold"),
        ({"budget": 1}, "rule: the loss is above what is left of the budget"),
        ({"spot_bps": 1}, "pool: none of a pair has liquidity in range at the feeds' price"),
    ],
)
def test_a_drifted_basket__something_only_the_contract_knows_is_in_the_way__is_barred_and_said(
    world: World,
    open_basket: Callable[..., BasketRule],
    keeper: OpenKeeper,
    changes: dict[str, Any],
    why: str,
) -> None:
    open_basket(world.roles.owner, **changes)
    settle_at(world, 2_600)
    if "spot_bps" in changes:
        world.set_price("WETH", 2_605)
    with keeper() as kept:
        turn = take_turn(kept)
        assert turn.intents == ()
        assert (turn.verdicts[0].kind, turn.verdicts[0].why) == (Kind.BARRED, why)


@pytest.mark.parametrize(
    ("answer", "ago", "why"),
    [
        (0, 0, "oracle: a price is not positive"),
        (2_600 * 1_000 * BASE, 0, "oracle: a price is out of its bounds"),
        (2_600 * BASE, 100_000, "oracle: a price is too old"),
    ],
)
def test_a_feed__makes_no_sense__blinds_the_keeper_as_it_blinds_the_contract(
    world: World,
    open_basket: Callable[..., BasketRule],
    keeper: OpenKeeper,
    answer: int,
    ago: int,
    why: str,
) -> None:
    open_basket(world.roles.owner)
    at = world.node.head().timestamp - ago
    world.send(world.roles.deployer, world.weth.feed, "set_at(int256,uint256)", answer, at)
    with keeper() as kept:
        (verdict,) = take_turn(kept).verdicts
        assert (verdict.kind, verdict.why) == (Kind.BLIND, why)
        (seen,) = kept.watched[0].look(kept.node.head())
        assert (seen.verdict.kind, seen.verdict.why) == (Kind.BLIND, why)


def test_a_price__older_than_the_operator_believes__blinds_the_keeper_alone(
    world: World, open_basket: Callable[..., BasketRule]
) -> None:
    open_basket(world.roles.owner)
    settle_at(world, 2_600)
    world.warp(100)
    held = BasketPositions(world.node, world.basket_thresholds, [world.roles.owner], Doubts(50, 30))
    (verdict,) = held.observe(world.node.head()).verdicts
    assert verdict.kind is Kind.BLIND
    assert verdict.why.startswith("oracle: a price is ")


def test_a_rule__rewritten_with_other_assets__is_read_as_it_now_stands(
    world: World, open_basket: Callable[..., BasketRule]
) -> None:
    owner = world.roles.owner
    rule = open_basket(owner)
    held = BasketPositions(world.node, world.basket_thresholds, [owner], Doubts(90_000, 30))
    assert held.observe(world.node.head()).verdicts[0].kind is Kind.WITHIN
    dai = world.reserve("DAI")
    third = replace(rule.assets[1], token=dai.token, feed=dai.feed, target_bps=2_000)
    changed = replace(rule, assets=(rule.assets[0], replace(rule.assets[1], target_bps=3_000), third))
    world.send(owner, world.basket_thresholds, SET_RULE.signature, 0, rule_fields(changed))
    (breach,) = held.observe(world.node.head()).breaches
    assert breach.verdict.measure.value == pytest.approx(40_000, abs=10)
    world.send(owner, world.basket_thresholds, "clear_rule(uint256)", 0)
    (verdict,) = held.observe(world.node.head()).verdicts
    assert (verdict.kind, verdict.why) == (Kind.BARRED, "rule: none is set")


def test_a_look__at_a_basket__tells_its_band_and_what_it_would_trade(
    world: World, open_basket: Callable[..., BasketRule], keeper: OpenKeeper
) -> None:
    open_basket(world.roles.owner)
    settle_at(world, 2_600)
    with keeper(dry_run=True) as kept:
        (seen,) = kept.watched[0].look(kept.node.head())
    assert seen.band == "50 % WETH · 50 % USDC"
    assert [move.asset.symbol for move in seen.moves] == ["WETH", "USDC"]
    assert seen.rule["destination_bps"] == 5_000


def test_a_contract__that_is_none_for_baskets__is_refused(world: World) -> None:
    for wrong in (world.thresholds, world.roles.stranger):
        with pytest.raises(Misconfigured):
            BasketPositions(world.node, wrong, [world.roles.owner], Doubts(90_000, 30))

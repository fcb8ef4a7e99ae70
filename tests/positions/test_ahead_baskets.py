"""What would stop a basket from being rebalanced is told while it is within its bands, and then it is what stops it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from keeper.app import open_keeper
from keeper.devnet.world import World
from keeper.domain.foresight import Cause, Foresight, Horizon
from keeper.domain.units import BASE, GWEI
from keeper.domain.verdicts import Kind
from keeper.foresight import foresee
from keeper.turn import Keeper
from tests.conftest import FOREVER, Watching
from tests.positions.test_baskets import basket_opener, settle_at

DAY = 86_400
HORIZON = Horizon(DAY, 0.8)


@pytest.fixture
def keeper(world: World, watching: Watching) -> Iterator[Keeper]:
    with open_keeper(watching(world.basket_thresholds, [world.roles.owner], "baskets"), False) as opened:
        yield opened


def look_ahead(keeper: Keeper) -> tuple[Foresight, ...]:
    assert keeper.lookout is not None
    foreseen = foresee(keeper.node, keeper.watched, keeper.node.head(), HORIZON, keeper.lookout.purse)
    assert foreseen.untold == ()
    return foreseen.foresights


@pytest.mark.parametrize(
    ("cause", "why", "rule"),
    [
        (Cause.GRANT, "allowance: one is short of what must be sold", {}),
        (Cause.POOL, "basket: the value lost is above the rule's slippage", {"slippage_bps": 1}),
        (Cause.REST, "rule: the loss is above what is left of the budget", {"budget": BASE // 100}),
        (Cause.GAS_PRICE, "gas: the price is above the rule's cap", {"gas_cap": GWEI // 2}),
        (Cause.EXPIRY, "rule: expired", {"expiry": DAY}),
    ],
    ids=["allowance", "pool", "budget", "gas", "expiry"],
)
def test_an_obstacle__of_a_basket_near_its_band__is_told_before_the_breach_and_is_what_stops_it_then(
    world: World, keeper: Keeper, cause: Cause, why: str, rule: dict[str, Any]
) -> None:
    owner = world.roles.owner
    expiry = world.node.head().timestamp + rule["expiry"] if "expiry" in rule else FOREVER
    basket_opener(world)(owner, **{**rule, "expiry": expiry})
    settle_at(world, 2_360)
    if cause is Cause.GRANT:
        world.approve(owner, world.weth.token, world.basket_thresholds, 10**15)
    if cause is Cause.GAS_PRICE:
        world.mine(base_fee=GWEI)
    assert keeper.turn(keeper.node.head()).verdicts[0].kind is Kind.WITHIN
    (told,) = look_ahead(keeper)
    assert [found.cause for found in told.obstacles] == [cause]
    assert cause is Cause.EXPIRY or told.obstacles[0].why == why
    assert 0 < told.reach.early < told.reach.median

    if cause is Cause.EXPIRY:
        world.mine(DAY + 12)
    settle_at(world, 2_460)
    if cause is Cause.GAS_PRICE:
        world.mine(base_fee=GWEI)
    turn = keeper.turn(keeper.node.head())
    (verdict,) = turn.verdicts
    assert (verdict.kind, verdict.why, turn.intents) == (Kind.BARRED, why, ())


@pytest.mark.parametrize(("near", "beyond"), [(2_360, 2_600), (1_680, 1_500)])
def test_a_basket__in_good_order_near_its_band__has_no_obstacle_and_is_rebalanced_when_it_drifts_out(
    world: World, keeper: Keeper, near: int, beyond: int
) -> None:
    basket_opener(world)(world.roles.owner)
    assert look_ahead(keeper) == ()
    settle_at(world, near)
    (told,) = look_ahead(keeper)
    assert told.obstacles == ()
    settle_at(world, beyond)
    (intent,) = keeper.turn(keeper.node.head()).intents
    assert intent.plan.action == "reweigh"


def test_a_basket__whose_bands_are_shares_of_its_targets__is_foreseen_alike(
    world: World, keeper: Keeper
) -> None:
    basket_opener(world)(world.roles.owner, relative=True)
    settle_at(world, 2_150)
    (told,) = look_ahead(keeper)
    assert told.obstacles == ()
    world.approve(world.roles.owner, world.weth.token, world.basket_thresholds, 10**15)
    (told,) = look_ahead(keeper)
    assert [found.cause for found in told.obstacles] == [Cause.GRANT]

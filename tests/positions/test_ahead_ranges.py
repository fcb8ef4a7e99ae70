"""What would stop a range from being moved is told while it is inside its trigger, and then it is what stops it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from keeper.app import open_keeper
from keeper.devnet.world import World
from keeper.domain.foresight import Cause, Foresight, Horizon
from keeper.domain.ranges import Leaving
from keeper.domain.verdicts import Kind
from keeper.foresight import foresee
from keeper.turn import Keeper
from tests.conftest import FOREVER, Watching
from tests.positions.test_ranges import range_opener, settle_at, tick_of

DAY = 86_400
HORIZON = Horizon(7 * DAY, 0.8)


@pytest.fixture
def keeper(world: World, watching: Watching) -> Iterator[Keeper]:
    with open_keeper(watching(world.range_thresholds, [world.roles.owner], "ranges"), False) as opened:
        yield opened


def look_ahead(keeper: Keeper, horizon: Horizon = HORIZON) -> tuple[Foresight, ...]:
    assert keeper.lookout is not None
    foreseen = foresee(keeper.node, keeper.watched, keeper.node.head(), horizon, keeper.lookout.purse)
    assert foreseen.untold == ()
    return foreseen.foresights


def opened(world: World, **rule: Any) -> None:
    """A range that the price is near an edge of."""
    range_opener(world)(world.roles.owner, **{"cooldown": 0, **rule})
    settle_at(world, 1_900)


def disapprove(world: World) -> None:
    call = "setApprovalForAll(address,bool)"
    world.send(world.roles.owner, world.uniswap.position_manager, call, world.range_thresholds, False)


@pytest.mark.parametrize(
    ("cause", "why", "rule"),
    [
        (Cause.GRANT, "approval: the owner has not made this contract an operator", {}),
        (Cause.POOL, "range: the value lost is above the rule's slippage", {"slippage_bps": 1}),
        (Cause.REST, "rule: the loss is above what is left of the budget", {"budget_bps": 1}),
        (Cause.EXPIRY, "rule: expired", {"expiry": 4 * 3_600}),
    ],
    ids=["approval", "pool", "budget", "expiry"],
)
def test_an_obstacle__of_a_range_near_its_trigger__is_told_before_the_breach_and_is_what_stops_it_then(
    world: World, keeper: Keeper, cause: Cause, why: str, rule: dict[str, Any]
) -> None:
    expiry = world.node.head().timestamp + rule["expiry"] if "expiry" in rule else FOREVER
    opened(world, **{**rule, "expiry": expiry})
    if cause is Cause.GRANT:
        disapprove(world)
    assert keeper.turn(keeper.node.head()).verdicts[0].kind is Kind.WITHIN
    (told,) = look_ahead(keeper)
    assert [found.cause for found in told.obstacles] == [cause]
    assert cause is Cause.EXPIRY or told.obstacles[0].why == why
    assert 0 < told.reach.early < told.reach.median

    if cause is Cause.EXPIRY:
        world.mine(4 * 3_600 + 12)
    settle_at(world, 1_800)
    turn = keeper.turn(keeper.node.head())
    (verdict,) = turn.verdicts
    assert (verdict.kind, verdict.why, turn.intents) == (Kind.BARRED, why, ())


def test_a_range__in_good_order_near_its_trigger__has_no_obstacle_and_is_moved_when_it_is_breached(
    world: World, keeper: Keeper
) -> None:
    opened(world)
    (told,) = look_ahead(keeper)
    assert told.obstacles == ()
    assert look_ahead(keeper, replace(HORIZON, seconds=60)) == ()
    settle_at(world, 1_800)
    (intent,) = keeper.turn(keeper.node.head()).intents
    assert intent.plan.action == "recentre"


def test_a_range__near_a_cutoff__is_foreseen_to_be_left_whatever_its_cooldown(
    world: World, keeper: Keeper
) -> None:
    middle = tick_of(world)
    changes = {"cutoff_low": middle - 700, "cutoff_high": middle + 700, "exit_low": Leaving.ALL_IN_TOKEN0}
    opened(world, daily=1, **changes)
    (told,) = look_ahead(keeper)
    assert told.obstacles == ()


def test_a_pool__that_remembers_less_than_the_hold_once_it_is_traded_in__is_told_before_it_forgets(
    world: World, keeper: Keeper
) -> None:
    opened(world, hold=DAY)
    world.mine(2 * DAY)
    world.mine(blocks=101)
    assert keeper.turn(keeper.node.head()).verdicts[0].kind is Kind.WITHIN
    (told,) = look_ahead(keeper)
    (found,) = told.obstacles
    assert found.cause is Cause.MEMORY
    assert found.why == f"pool: traded in every block it remembers {99 * 12} s, and the hold is {DAY} s"
    for dollars in range(100):
        settle_at(world, 1_800 - dollars)
    (verdict,) = keeper.turn(keeper.node.head()).verdicts
    assert (verdict.kind, verdict.why) == (Kind.BLIND, "pool: it remembers less than the hold")

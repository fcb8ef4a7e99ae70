"""Faults of the market: a price that is not the market's, and actions that cost more than they should."""

from __future__ import annotations

import pytest

from keeper.app import open_keeper
from keeper.devnet.actors import move_pool_to
from keeper.devnet.world import World
from keeper.doctor import Grade, examine
from keeper.domain.flights import State
from keeper.domain.verdicts import Kind
from keeper.journal.journal import reset
from keeper.settings import Breakers, Settings
from tests.conftest import SetRule, Watching


@pytest.fixture
def settings(world: World, watching: Watching) -> Settings:
    return watching(world.thresholds, (world.roles.owner, world.roles.twin))


def doubting(settings: Settings, **breakers: int) -> Settings:
    return settings.model_copy(update={"breakers": Breakers(**breakers)})


def test_e2_a_price_that_no_pool_bears_out__latches_before_anything_is_sent(
    world: World, set_rule: SetRule, settings: Settings
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.6)
    set_rule(owner)
    world.mine(seconds=700)
    world.set_price("WETH", 1_600)  # a fifth below where the pool is and was
    world.automine(False)
    lied_to = doubting(settings, divergence_bps=1_000)
    with open_keeper(lied_to, dry_run=False) as keeper:
        turn = keeper.turn(keeper.node.head())
        assert turn.intents == ()
        (why,) = turn.tripped
        assert "basis points above the price that rules go by, now and over 600 s" in why
        (verdict,) = [each for each in turn.verdicts if each.key.owner == owner]
        assert (verdict.kind, verdict.why) == (Kind.BARRED, why)
        world.mine()
        assert "keeper resume divergence" in _why(keeper.turn(keeper.node.head()).verdicts, owner)
    found = [each for each in examine(lied_to, settings.journal.path) if each.subject == "price"]
    assert [each.grade for each in found] == [Grade.POOR]

    reset(settings.journal.path)
    with open_keeper(doubting(settings), dry_run=False) as keeper:
        assert len(keeper.turn(keeper.node.head()).intents) == 1, "unless nobody is to doubt it"


def test_e2_a_crash_that_the_pool_follows__trips_nothing(
    world: World, set_rule: SetRule, settings: Settings
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.6)
    set_rule(owner)
    world.mine(seconds=700)
    world.set_price("WETH", 1_600)
    move_pool_to(world, 1_600)  # its mean has not followed yet, and need not
    world.automine(False)
    with open_keeper(
        doubting(settings, divergence_bps=1_000, equity_bps_per_day=300), dry_run=False
    ) as keeper:
        assert len(keeper.turn(keeper.node.head()).intents) == 1
        world.mine()
        turn = keeper.turn(keeper.node.head())
        assert [change.flight.state for change in turn.changes] == [State.INCLUDED]
        assert turn.tripped == ()


def test_e11_an_action_that_costs_more_of_a_position_than_a_day_may__latches(
    world: World, set_rule: SetRule, settings: Settings
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner, slippage_bps=300)
    move_pool_to(world, 1_970)
    world.automine(False)
    with open_keeper(doubting(settings, equity_bps_per_day=50), dry_run=False) as keeper:
        assert len(keeper.turn(keeper.node.head()).intents) == 1
        world.mine()
        turn = keeper.turn(keeper.node.head())
        (why,) = turn.tripped
        assert "basis points of its position's worth by a day's actions, and 50 is the limit" in why
        assert keeper.journal is not None
        (flight,) = keeper.journal.flights()
        assert flight.receipt is not None
        kept = keeper.journal.tolls([flight.intent.id])
        assert kept[flight.intent.id][0] == flight.receipt.block_hash
        assert 50 < (kept[flight.intent.id][1] or 0) < 500
        assert keeper.latches is not None
        assert "keeper resume equity" in (keeper.latches.why_stopped() or "")


def _why(verdicts: object, owner: str) -> str:
    assert isinstance(verdicts, tuple)
    return "; ".join(each.why for each in verdicts if each.key.owner == owner)

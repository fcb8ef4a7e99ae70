"""A turn over many loans: the mirror's, from the settings to the journal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from keeper.app import open_keeper
from keeper.desk import explain
from keeper.devnet.world import World
from keeper.domain.flights import State
from keeper.domain.units import HEALTH_WAD_PER_BPS, Address
from keeper.domain.verdicts import Kind
from keeper.positions.loans import MIRRORED_FROM, LoanPositions
from keeper.positions.port import Doubts
from keeper.settings import Settings
from keeper.turn import Keeper
from tests.chain.test_mirror import Watched
from tests.conftest import SetRule, Watching
from tests.test_turn import take_turn, verdict_of


@pytest.fixture
def settings(world: World, watching: Watching) -> Settings:
    """As many owners as are mirrored, most of whom have no loan."""
    nobodies = [Address(f"0x{n + 1:040x}") for n in range(MIRRORED_FROM - 2)]
    return watching(world.thresholds, (world.roles.owner, world.roles.twin, *nobodies))


@pytest.fixture
def keeper(settings: Settings) -> Iterator[Keeper]:
    with open_keeper(settings, dry_run=False) as kept:
        yield kept


def test_a_breached_loan_among_many__lands_on_its_target__and_the_others_are_written_down_as_aave_has_them(
    world: World, set_rule: SetRule, keeper: Keeper, settings: Settings
) -> None:
    owner, twin = world.roles.owner, world.roles.twin
    for who, health in ((owner, 1.45), (twin, 1.9)):
        world.open_loan(who, 100, health=health)
        set_rule(who)
    assert take_turn(keeper).intents == ()
    world.set_price("WETH", 1_900)
    world.automine(False)

    turn = take_turn(keeper)
    assert verdict_of(turn, owner).kind is Kind.BREACHED
    assert len(turn.intents) == 1
    told = explain(settings, twin, turn.block.number)
    assert told is not None
    (written,) = told.page.verdicts
    assert (written.kind, written.why) == (Kind.WITHIN, "health: at or above the floor")
    assert written.measure.value == world.account_data(twin).health

    world.mine()
    after = take_turn(keeper)
    assert [change.flight.state for change in after.changes] == [State.INCLUDED]
    assert verdict_of(after, owner).kind is Kind.WITHIN
    assert after.intents == ()
    target = 17_000 * HEALTH_WAD_PER_BPS
    assert abs(world.account_data(owner).health - target) * 10_000 < target * 5


def test_a_mirror_that_was_wrong__says_so_in_the_turn_and_the_journal__and_is_right_in_that_turn(
    world: World, set_rule: SetRule, keeper: Keeper, settings: Settings
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.5)
    set_rule(owner)
    node = Watched(world.url)
    held = LoanPositions(node, world.thresholds, [owner], Doubts(90_000, 30), mirrored_from=1)
    keeper = replace(keeper, watched=(held,))
    world.automine(False)
    assert take_turn(keeper).trouble == ()
    node.logs = "lost"
    world.automine(True)
    world.borrow(owner, "USDC", 10_000)
    world.automine(False)
    turn = take_turn(keeper)
    (said,) = turn.trouble
    assert said.startswith(f"mirror: {owner} was not held as the chain has it")
    assert verdict_of(turn, owner).kind is Kind.BREACHED
    assert len(turn.intents) == 1
    told = explain(settings, owner, turn.block.number)
    assert told is not None
    assert told.page.note == said

"""History played through the chain: the path within a bar, and what the chain says at each step of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice, pairwise

import pytest

from keeper.devnet.actors import Liquidator
from keeper.devnet.anvil import Anvil
from keeper.devnet.bars import Bar
from keeper.devnet.founding import deploy_world
from keeper.devnet.scenario import Scenario, black_thursday
from keeper.devnet.world import World, units
from keeper.domain.units import BASE, GWEI, WAD

START = 1_583_971_200
BARS = (Bar(START, 200, 204, 180, 190, 50.0), Bar(START + 3600, 190, 191, 150, 160, 80.5))


@pytest.fixture
def world() -> Iterator[World]:
    """A chain that stands a few minutes before the first bar, at its price."""
    with Anvil(timestamp=START - 600) as anvil:
        yield deploy_world(anvil.url, eth_price=200)


def test_a_bars_path__with_unbounded_steps__is_open_adverse_other_close() -> None:
    points = list(Scenario(BARS, max_move_bps=10_000).points())
    assert [point.usd for point in points] == [200, 180, 204, 190, 190, 150, 191, 160]
    assert [point.mark for point in points] == ["open", "low", "high", "close"] * 2
    assert [point.time - START for point in points] == [900 * quarter for quarter in range(8)]
    assert [point.bar for point in points] == [0] * 4 + [1] * 4


def test_a_bars_path__for_who_fears_a_rise__has_the_high_first() -> None:
    points = Scenario(BARS, adverse="high", max_move_bps=10_000).points()
    assert [point.usd for point in points] == [200, 204, 180, 190, 190, 191, 150, 160]


def test_a_step__however_wild_the_bar__stays_within_its_bound() -> None:
    points = list(Scenario(black_thursday(), max_move_bps=150).points())
    moves = [abs(math.log(after.usd / before.usd)) for before, after in pairwise(points)]
    assert max(moves) <= math.log(1.015) + 1e-12
    assert all(after.time > before.time for before, after in pairwise(points))
    assert min(point.usd for point in points) == 86.0


def test_black_thursday__as_shipped__is_its_forty_eight_hours() -> None:
    bars = black_thursday()
    assert len(bars) == 48
    assert bars[0] == Bar(START, 194.61, 195.55, 192.22, 193.31, 77.9)
    assert min(bars, key=lambda bar: bar.low).open_time == START + 26 * 3600
    assert {bar.gas_gwei for bar in bars} == {77.9, 84.76}


def test_a_step__once_played__is_what_feed_and_pool_and_block_say(world: World) -> None:
    steps = 0
    for step in Scenario(BARS).play(world):
        steps += 1
        head = world.node.head()
        assert (head.number, head.timestamp) == (step.block, step.timestamp)
        assert step.timestamp == step.point.time
        assert world.price("WETH") == units(step.point.usd, 8)
        assert world.pool_sqrt_price() == world.oracle_sqrt_price()
        assert head.base_fee == step.base_fee == round((step.point.gas_gwei or 0) * GWEI)
    assert steps == len(list(Scenario(BARS).points()))
    assert world.price("WETH") == 160 * BASE
    assert world.node.ask("anvil_getAutomine") is True


def test_blocks__mined_by_the_caller_between_steps__keep_time_in_order(world: World) -> None:
    seen = [world.node.head().timestamp]
    for step in islice(Scenario(BARS).play(world), 15):
        seen.append(step.timestamp)
        world.mine(blocks=8, base_fee=step.base_fee)
        seen.append(world.node.head().timestamp)
    assert seen == sorted(set(seen))


def test_a_chain_of_another_year__when_played_on__has_the_bars_moved_to_its_next_block() -> None:
    with Anvil() as anvil:
        world = deploy_world(anvil.url, eth_price=200)
        now = world.node.head().timestamp
        steps = list(Scenario(BARS, max_move_bps=10_000).play(world))
    assert steps[0].timestamp == now + 12
    assert [step.timestamp - steps[0].timestamp for step in steps] == [900 * quarter for quarter in range(8)]


def test_bars__without_gas_prices__leave_the_base_fee_to_the_chain(world: World) -> None:
    bare = tuple(Bar(bar.open_time, bar.open, bar.high, bar.low, bar.close) for bar in BARS)
    step = next(iter(Scenario(bare).play(world)))
    assert step.base_fee is None
    assert world.node.head().base_fee < GWEI


def test_automine__when_a_play_is_abandoned__is_as_before(world: World) -> None:
    play = Scenario(BARS).play(world)
    next(play)
    assert world.node.ask("anvil_getAutomine") is False
    play.close()
    assert world.node.ask("anvil_getAutomine") is True


def test_a_borrower_without_a_rule__through_a_falling_bar__is_liquidated(world: World) -> None:
    twin = world.roles.twin
    world.open_loan(twin, 100, health="1.2")
    world.open_loan(world.roles.owner, 100, health="2.5")
    liquidator, done = Liquidator(world), []
    for step in Scenario(BARS).play(world):
        if liquidator.submit():
            world.mine(base_fee=step.base_fee)
            done += liquidator.outcome()
    assert done
    assert {one.user for one in done} == {twin}
    assert world.account_data(world.roles.owner).health > WAD

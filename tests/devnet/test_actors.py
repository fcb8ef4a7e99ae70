"""The liquidator at work on real Aave."""

from __future__ import annotations

import pytest

from keeper.devnet.actors import Liquidator
from keeper.devnet.anvil import Anvil
from keeper.devnet.transactions import calldata, offer
from keeper.devnet.world import MAX_UINT, World
from keeper.domain.units import BASE, GWEI, WAD


def test_the_liquidator__when_a_loan_falls_below_health_one__takes_half_for_five_per_cent_more(
    either_world: World,
) -> None:
    world, owner, liquidator = either_world, either_world.roles.owner, either_world.roles.liquidator
    world.open_loan(owner, 100, 150_000)
    world.set_price("WETH", 1_800)
    before = world.account_data(owner)
    assert WAD * 95 // 100 < before.health < WAD
    held = world.balance("WETH", liquidator)

    (done,) = Liquidator(world).act()

    assert (done.user, done.collateral, done.debt) == (owner, "WETH", "USDC")
    assert done.repaid == pytest.approx(75_000 * 10**6, rel=1e-6)
    # A tenth of the bonus goes to Aave's treasury, not to the liquidator.
    assert done.seized == pytest.approx(done.repaid * 10**12 * 1.045 / 1_800, rel=1e-6)
    gained = world.balance("WETH", liquidator) - held
    assert gained == done.seized
    after = world.account_data(owner)
    assert after.health > WAD > before.health
    lost = before.collateral_base - after.collateral_base - (before.debt_base - after.debt_base)
    assert lost == pytest.approx(75_000 * BASE * 0.05, rel=1e-6)


def test_the_liquidator__when_a_loan_is_deep_under__closes_all_of_it(either_world: World) -> None:
    world, owner = either_world, either_world.roles.owner
    world.open_loan(owner, 100, 150_000)
    world.set_price("WETH", 1_650)
    (done,) = Liquidator(world).act()
    assert done.repaid == pytest.approx(150_000 * 10**6, rel=1e-6)
    assert world.account_data(owner).debt_base == 0


def test_the_liquidator__while_all_are_healthy__does_nothing(either_world: World) -> None:
    either_world.open_loan(either_world.roles.owner, 100, 100_000)
    liquidator = Liquidator(either_world)
    assert liquidator.act() == []
    assert liquidator.act() == []


def test_the_liquidator__of_several_below_one__takes_each_in_the_same_block(either_world: World) -> None:
    world = either_world
    liquidator = Liquidator(world)
    assert liquidator.act() == []
    for who, debt in (
        (world.roles.owner, 150_000),
        (world.roles.twin, 155_000),
        (world.roles.stranger, 90_000),
    ):
        world.open_loan(who, 100, debt)
    world.set_price("WETH", 1_780)
    world.automine(False)
    done = liquidator.act()
    assert {one.user for one in done} == {world.roles.owner, world.roles.twin}
    assert len({one.block for one in done}) == 1


def test_the_liquidator__of_a_loan_in_other_assets__picks_the_largest_of_each(either_world: World) -> None:
    world, owner = either_world, either_world.roles.owner
    world.supply(owner, "WETH", 1)
    world.supply(owner, "WBTC", 1)
    world.borrow(owner, "USDC", 1_000)
    world.borrow(owner, "DAI", 40_000)
    world.set_price("WBTC", 47_000)
    (done,) = Liquidator(world).act()
    assert (done.collateral, done.debt) == ("WBTC", "DAI")


def test_the_liquidator__outbid_by_the_owner_in_the_same_block__gets_nothing(either_world: World) -> None:
    world, owner = either_world, either_world.roles.owner
    world.open_loan(owner, 100, 150_000)
    world.approve(owner, world.usdc.token, world.aave.pool)
    world.set_price("WETH", 1_800)
    world.automine(False)
    liquidator = Liquidator(world)
    assert len(liquidator.submit()) == 1
    assert liquidator.outcome() == []

    repay = calldata("repay(address,uint256,uint256,address)", world.usdc.token, 50_000 * 10**6, 2, owner)
    world.node.ask_many([offer(owner, world.aave.pool, repay, 50 * GWEI, world.node.head().base_fee)])
    world.mine()

    assert liquidator.outcome() == []
    assert liquidator.act() == []
    assert world.account_data(owner).debt_base == pytest.approx(100_000 * BASE, rel=1e-6)


def test_the_liquidator__on_a_fork__finds_who_borrowed_before_it(either_world: World) -> None:
    owner = either_world.roles.owner
    either_world.open_loan(owner, 100, 150_000)
    with Anvil(fork_url=either_world.url) as fork:
        world = either_world.through(fork.url)
        world.set_price("WETH", 1_700)
        (done,) = Liquidator(world).act()
        assert done.user == owner
    assert either_world.account_data(owner).health > WAD


def test_the_rest_of_the_market__however_far_prices_fall__is_left_alone(either_world: World) -> None:
    either_world.set_price("WETH", 1)
    either_world.set_price("WBTC", 1)
    either_world.set_price("USDC", 10)
    assert either_world.account_data(either_world.roles.deployer).health < MAX_UINT
    assert Liquidator(either_world).act() == []

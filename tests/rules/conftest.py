"""An account on the devnet with something of each kind in it, and a keeper.toml that watches all three contracts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from keeper.devnet.transactions import in_one_block
from keeper.devnet.uniswap_v3 import add_liquidity
from keeper.devnet.world import POOL_FEE, SLOT0, World
from keeper.settings import Settings, read_settings
from tests.test_cli import config

_LONG_ENOUGH = 320
"""Seconds after which the pool remembers what a rule may ask of it."""


@pytest.fixture
def watching(world: World, tmp_path: Path) -> Settings:
    """The settings of a keeper that watches loans, ranges and baskets."""
    more = "".join(
        f'[[watch]]\nkind = "{kind}"\nthresholds = "{at}"\nowners = ["{world.roles.owner}"]\n'
        for kind, at in (("ranges", world.range_thresholds), ("baskets", world.basket_thresholds))
    )
    return read_settings(config(world, tmp_path, extra=more))


@pytest.fixture
def open_range(world: World) -> Callable[..., int]:
    """A position of 10 WETH and its worth in USDC around the price, without a rule: its number."""

    def opened(half: int = 600) -> int:
        owner, manager = world.roles.owner, world.uniswap.position_manager
        middle = world.call(world.pool, "slot0()", SLOT0)[1] // 10 * 10
        world.give("WETH", owner, 10)
        world.give("USDC", owner, 20_000)
        for reserve in (world.weth, world.usdc):
            world.approve(owner, reserve.token, manager)
        amounts = {world.weth.token: 10 * 10**18, world.usdc.token: 20_000 * 10**6}
        with in_one_block(world.node, owner) as queue:
            add_liquidity(queue, world.uniswap, amounts, POOL_FEE, owner, (middle - half, middle + half))
        held = world.call(manager, "balanceOf(address)", "(uint256)", owner)[0]
        token = ("tokenOfOwnerByIndex(address,uint256)", "(uint256)", owner, held - 1)
        token_id: int = world.call(manager, *token)[0]
        world.mine(_LONG_ENOUGH)
        return token_id

    return opened

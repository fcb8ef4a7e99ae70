"""Worlds of this room's own: both orders of the pool's tokens, Aave 3.6, and prices low enough for history."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keeper.devnet.anvil import Anvil
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.world import World


@pytest.fixture(scope="session", params=[False, True], ids=["usdc_first", "weth_first"])
def founded(request: pytest.FixtureRequest) -> Iterator[World]:
    """A world in each order of the pool's tokens, left as it was founded."""
    with Anvil() as anvil:
        yield deploy_thresholds(deploy_world(anvil.url, weth_is_token0=request.param))


@pytest.fixture
def either_world(founded: World) -> Iterator[World]:
    """The world in each order, undone after the test."""
    before = founded.snapshot()
    yield founded
    founded.automine(True)
    founded.revert(before)

"""Fixtures: one chain with baskets a session, put back after every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.basket_stage import Stage, raised


@pytest.fixture(scope="session")
def basket_stage() -> Iterator[Stage]:
    """Raised when first asked for, struck at the end."""
    with raised(("WETH", "USDC", "WBTC"), ("MUTE", "HOOK", "ODD")) as stage:
        yield stage


@pytest.fixture
def baskets(basket_stage: Stage) -> Iterator[Stage]:
    """Uniswap, three honest tokens with a pool for each pair, three odd ones pooled with dollars."""
    with basket_stage.undone():
        yield basket_stage

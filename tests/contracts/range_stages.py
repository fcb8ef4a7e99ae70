"""Fixtures: one chain for each order of the pool's tokens a session, put back after every test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contracts.range_stage import Stage, raised


@pytest.fixture(scope="session")
def range_stages() -> Iterator[dict[bool, Stage]]:
    """By whether WETH comes first; raised when first asked for, all struck at the end."""
    with ExitStack() as struck:

        class Raised(dict[bool, Stage]):
            def __missing__(self, weth_first: bool) -> Stage:
                self[weth_first] = struck.enter_context(raised(weth_first))
                return self[weth_first]

        yield Raised()


def _fresh(stages: dict[bool, Stage], weth_first: bool) -> Iterator[Stage]:
    stage = stages[weth_first]
    with stage.undone():
        yield stage


@pytest.fixture
def ranges(range_stages: dict[bool, Stage]) -> Iterator[Stage]:
    """WETH as token0."""
    yield from _fresh(range_stages, True)


@pytest.fixture(params=[pytest.param(True, id="WETH first"), pytest.param(False, id="USDC first")])
def any_ranges(range_stages: dict[bool, Stage], request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Both token orders."""
    yield from _fresh(range_stages, request.param)

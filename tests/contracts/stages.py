"""Fixtures: one chain of each kind a session, put back after every test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contracts.loan_stage import Stage, raised

Kind = tuple[bool, str]


@pytest.fixture(scope="session")
def stages() -> Iterator[dict[Kind, Stage]]:
    """Raised when first asked for, all struck at the end."""
    with ExitStack() as struck:

        class Raised(dict[Kind, Stage]):
            def __missing__(self, kind: Kind) -> Stage:
                extra = ("WBTC", "MUTE", "HOOK") if kind == (True, "3.0.2") else ("WBTC",)
                self[kind] = struck.enter_context(raised(*kind, extra))
                return self[kind]

        yield Raised()


def _fresh(stages: dict[Kind, Stage], kind: Kind) -> Iterator[Stage]:
    stage = stages[kind]
    with stage.undone():
        yield stage


@pytest.fixture
def stage(stages: dict[Kind, Stage]) -> Iterator[Stage]:
    """Aave 3.0.2, the collateral being token0 of its pool."""
    yield from _fresh(stages, (True, "3.0.2"))


@pytest.fixture(
    params=[
        pytest.param((True, "3.0.2"), id="token0"),
        pytest.param((False, "3.0.2"), id="token1"),
        pytest.param((True, "3.6"), id="aave36", marks=pytest.mark.aave36),
    ]
)
def any_stage(stages: dict[Kind, Stage], request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Both token orders, and Aave 3.6."""
    yield from _fresh(stages, request.param)


@pytest.fixture(
    params=[
        pytest.param((True, "3.0.2"), id="aave302"),
        pytest.param((True, "3.6"), id="aave36", marks=pytest.mark.aave36),
    ]
)
def either_aave(stages: dict[Kind, Stage], request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Both versions, which round otherwise and know e-modes otherwise."""
    yield from _fresh(stages, request.param)

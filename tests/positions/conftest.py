"""The loans' own stages, for markets that the devnet's world has not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.loan_stage import Stage
from tests.contracts.stages import Kind, stages

__all__ = ["stages"]


@pytest.fixture(
    params=[
        pytest.param((True, "3.0.2"), id="aave302"),
        pytest.param((True, "3.6"), id="aave36", marks=pytest.mark.aave36),
    ]
)
def either_aave(stages: dict[Kind, Stage], request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Both versions, which round otherwise and know e-modes otherwise."""
    stage = stages[request.param]
    with stage.undone():
        yield stage

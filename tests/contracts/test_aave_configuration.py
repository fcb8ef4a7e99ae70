"""What a reserve's configuration word says, whatever stands in it: a view that must answer may not stumble over one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest
from boa.interpret import set_search_paths
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.loan_stage import CONTRACTS

HARNESS = """
# pragma version ==0.4.3
# pragma evm-version cancun
from contracts import aave_v3

@external
@pure
def unit(configuration: uint256) -> uint256:
    return aave_v3._unit(configuration)

@external
@pure
def in_service(configuration: uint256) -> bool:
    return aave_v3._in_service(configuration)
"""
ACTIVE = 1 << 56


@pytest.fixture(scope="module")
def words() -> Iterator[Any]:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        yield boa.loads(HARNESS)


@given(st.integers(0, 2**256 - 1))
def test_unit__of_any_configuration_at_all__is_answered(words: Any, configuration: int) -> None:
    decimals = configuration >> 48 & 0xFF
    assert words.unit(configuration) == 10 ** min(decimals, 36)


@pytest.mark.parametrize(
    ("decimals", "serves"), [(0, True), (18, True), (36, True), (37, False), (255, False)]
)
def test_in_service__of_more_decimals_than_are_reckoned_with__is_not(
    words: Any, decimals: int, serves: bool
) -> None:
    assert words.in_service(ACTIVE | decimals << 48) is serves

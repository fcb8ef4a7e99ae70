"""The contracts that ship are what their source compiles to, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import compile_contracts

EXPECTED = {
    "BasketCheck",
    "BasketThresholds",
    "Feed",
    "LoanCheck",
    "LoanLens",
    "LoanSense",
    "LoanThresholds",
    "RangeCheck",
    "RangeThresholds",
    "Volatility",
}


@pytest.mark.timeout(900)
def test_shipped_artifacts__against_a_fresh_compilation__are_the_same() -> None:
    assert set(compile_contracts.deployable()) >= EXPECTED
    assert compile_contracts.differences() == []


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_shipped_artifact__as_read__fits_on_a_chain(name: str) -> None:
    shipped = json.loads((compile_contracts.SHIPPED / f"{name}.json").read_text(encoding="utf-8"))
    stored = len(bytes.fromhex(shipped["runtime"][2:])) + sum(w["length"] for w in shipped["immutables"])
    assert shipped["name"] == name
    assert shipped["runtime"][2:] in shipped["bytecode"]
    assert 0 < stored <= 24_576


CONTRACT = """# pragma version ==0.4.3
# pragma evm-version cancun
LIMIT: public(immutable(uint256))
@deploy
def __init__(limit: uint256):
    LIMIT = limit + {addend}
"""


def test_a_changed_source__until_compiled_again__is_reported(tmp_path: Path) -> None:
    sources, shipped = tmp_path / "contracts", tmp_path / "shipped"
    sources.mkdir()
    (sources / "Limit.vy").write_text(CONTRACT.format(addend=1))
    assert compile_contracts.differences(sources, shipped) == [
        "contracts: Limit has no artifact, run `make contracts`"
    ]
    assert compile_contracts.write(sources, shipped) == [shipped / "Limit.json"]
    assert compile_contracts.write(sources, shipped) == []

    (sources / "Limit.vy").write_text(CONTRACT.format(addend=2))
    assert compile_contracts.differences(sources, shipped) == [
        "contracts: Limit.json is not what Limit.vy compiles to, run `make contracts`"
    ]
    (sources / "Limit.vy").unlink()
    assert compile_contracts.differences(sources, shipped) == [
        "contracts: Limit.json has no source under contracts/"
    ]


def test_immutables__of_modules_too__are_listed_in_byte_order() -> None:
    layout = {
        "OWN": {"type": "uint256", "length": 32, "offset": 32},
        "aave_v3": {"AAVE": {"type": "address", "length": 32, "offset": 0}},
    }
    assert compile_contracts.immutables(layout) == [
        {"name": "aave_v3.AAVE", "type": "address", "offset": 0, "length": 32},
        {"name": "OWN", "type": "uint256", "offset": 32, "length": 32},
    ]

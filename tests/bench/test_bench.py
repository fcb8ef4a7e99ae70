"""`python -m bench --quick`: every row is there, in the promised shape, and was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parents[2]
ROWS = {
    "devnet_ready_ms": 1000,
    "read_loan_cold_us": 45,
    "read_loan_and_rule_cold_us": None,
    "turn_100_loans_ms": 25,
    "turn_100_loans_p95_ms": None,
    "warm_turn_100k_loans_cpu_ms": 20,
    "block_to_accepted_ms_n10000": 25,
    "block_to_accepted_p95_ms_n10000": None,
    "deleverage_gas_ratio": 1.2,
    "deleverage_gas_ratio_token0": None,
    "sweep_basket_bar_configs_per_s": 1e8,
    "sweep_loan_bar_configs_per_s": 1e7,
    "sweep_range_bar_configs_per_s": 1e7,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(out.read_text(encoding="utf-8"))


def test_a_quick_run__in_its_json__has_every_row_with_its_goal_and_peers(
    told: tuple[str, list[dict[str, Any]]],
) -> None:
    _, rows = told
    assert {row["name"]: row["goal"] for row in rows} == ROWS
    for row in rows:
        assert set(row) == {"name", "value", "unit", "goal", "peers"}
        assert row["value"] > 0
        assert bool(row["peers"]) != row["name"].startswith("devnet")
        assert all(value > 0 for value in row["peers"].values())


def test_a_quick_run__in_its_table__shows_each_row_and_each_peer(
    told: tuple[str, list[dict[str, Any]]],
) -> None:
    table, rows = told
    for row in rows:
        assert row["name"] in table
    assert table.count("web3.py") >= 6


def test_the_gas_of_a_guarded_deleverage__over_its_floor__is_within_the_goal_and_below_a_flash_loans(
    told: tuple[str, list[dict[str, Any]]],
) -> None:
    _, rows = told
    for row in (row for row in rows if row["unit"] == "of floor"):
        bare, loan = sorted(row["peers"].values())
        assert 1 < bare < row["value"] < loan
        assert row["value"] <= 1.2


def test_a_sweep_of_the_planner__in_the_same_run__is_ahead_of_any_peer(
    told: tuple[str, list[dict[str, Any]]],
) -> None:
    _, rows = told
    sweeps = [row for row in rows if row["name"].startswith("sweep_")]
    assert len(sweeps) == 3
    assert all(row["value"] > 2 * max(row["peers"].values()) for row in sweeps)

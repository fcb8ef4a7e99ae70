"""How many bars of how many rules the planner lives through in a second, all costs and all scores included.

Its peers do less: they trade, pay the pool's fee and know what is left; no gas, depth, drawdown, tracking error, tail.
Each must come to the same trades as the planner does without those costs, or the row is not told. vectorbt asks for
a newer numpy than ape allows, so it is a peer where an environment of its own stands:
`python -m venv build/vectorbt && build/vectorbt/bin/pip install vectorbt`.
"""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from bench.plan_peers import (
    basket_by_columns,
    basket_by_hand,
    loan_by_hand,
    range_by_columns,
    range_by_hand,
)
from bench.rows import Row
from bench.stage import ROOT
from keeper.planner.bars import History
from keeper.planner.cases import Case, basket_case, loan_case, range_case
from keeper.planner.costs import GAS_UNITS, Costs, ether_history, ether_impact
from keeper.planner.results import Floats
from keeper.planner.simulate_loan import Lending
from keeper.planner.sweep import grid, sweep

FEE: Final = 0.001
THRESHOLD: Final = 0.825
UNIT: Final = "bar-rules/s"
_VECTORBT: Final = ROOT / "build" / "vectorbt" / "bin" / "python"


def sweep_speeds(quick: bool) -> list[Row]:
    """Bars × rules a second, on all cores; each peer on as many rules as it gets through in about a second."""
    bars = ether_history().between("2018-01-01", "2018-12-31" if quick else None)
    return [_baskets(bars, quick), _loans(bars, quick), _ranges(bars, quick)]


def _costs(kind: str) -> Costs:
    units = {str(name): each for name, each in GAS_UNITS.items()}[kind]
    return Costs(FEE, ether_impact(), units, failures=0.05, delay=1)


def _baskets(bars: History, quick: bool) -> Row:
    count = 2_560 if quick else 12_800
    triggers = np.linspace(0.01, 0.2, count // 5)
    case = basket_case([bars], [0.5], _costs("basket"))
    rules = grid(case.columns, trigger=triggers, destination_share=[0, 0.25, 0.5, 0.75, 1])
    bare = basket_case([bars], [0.5], Costs(FEE))
    few = np.linspace(0.02, 0.2, 40 if quick else 200)
    ours = _trades(bare, grid(bare.columns, trigger=few))
    peers = {
        f"numpy, {len(few)} rules as columns": _timed(
            lambda: basket_by_columns(bars.close, few, FEE), ours, bars
        ),
        "Python, a loop over the bars": _timed(
            lambda: basket_by_hand(bars.close, float(few[0]), FEE), ours[:1], bars
        ),
    }
    if _VECTORBT.is_file():
        speed, trades = _vectorbt(bars.close, few, _VECTORBT)
        # It takes the value before the bar for the value now, and so may trade once more or less.
        assert np.abs(trades - ours).max() <= 0.1 * ours.max() + 2
        peers[f"vectorbt, {len(few)} rules as columns"] = speed
    return Row("sweep_basket_bar_configs_per_s", _rate(case, rules), UNIT, 1e8, peers)


def _loans(bars: History, quick: bool) -> Row:
    lending = Lending(THRESHOLD, 0.5, 0.95, 0.05)
    side = 16 if quick else 64
    case = loan_case(bars, lending, _costs("loan"), 0.01, 0.04)
    rules = grid(case.columns, floor=np.linspace(1.3, 1.6, side), target=np.linspace(1.65, 2.2, side))
    bare = loan_case(bars, lending, Costs(FEE))
    floors = np.linspace(1.2, 1.6, 40)
    ours = _trades(bare, grid(bare.columns, floor=floors, target=[1.65], ceiling=[2.0]))
    first = (bars.low, bars.close, 1.65, 2.0, THRESHOLD, FEE)
    peers = {
        "Python, a loop over the bars": _timed(
            lambda: loan_by_hand(float(floors[0]), *first), ours[:1], bars
        ),
    }
    return Row("sweep_loan_bar_configs_per_s", _rate(case, rules), UNIT, 1e7, peers)


def _ranges(bars: History, quick: bool) -> Row:
    case = range_case(bars, _costs("range"), 0.1)
    rules = grid(
        case.columns,
        width=np.linspace(0.03, 0.6, 64 if quick else 512),
        trigger_share=[1.0, 1.25],
        hold=[1, 6],
    )
    bare = range_case(bars, Costs(FEE), 0.1)
    widths = np.linspace(0.05, 0.5, 40)
    ours = _trades(bare, grid(bare.columns, width=widths, trigger_share=[1.0]))
    peers = {
        f"numpy, {len(widths)} rules as columns": _timed(
            lambda: range_by_columns(bars.close, widths, FEE), ours, bars
        ),
        "Python, a loop over the bars": _timed(
            lambda: range_by_hand(bars.close, float(widths[0]), FEE), ours[:1], bars
        ),
    }
    return Row("sweep_range_bar_configs_per_s", _rate(case, rules), UNIT, 1e7, peers)


def _rate(case: Case, rules: Floats) -> float:
    """The best of three, after one that compiles."""
    sweep(case, rules[:512])
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        sweep(case, rules)
        best = min(best, time.perf_counter() - start)
    return len(case.moment) * len(rules) / best


def _trades(case: Case, rules: Floats) -> Floats:
    return sweep(case, rules)["trades"]


def _timed(peer: Callable[[], Floats], ours: Floats, bars: History) -> float:
    """A peer's speed, once it has come to the same trades as the planner."""
    start = time.perf_counter()
    trades = peer()
    taken = time.perf_counter() - start
    assert (trades == ours).all(), f"{trades} and not {ours}"
    return len(bars) * len(trades) / taken


def _vectorbt(close: Floats, triggers: Floats, python: Path) -> tuple[float, Floats]:
    """vectorbt's speed, compiled before it is timed, and its trades."""
    asked = json.dumps({"close": close.tolist(), "triggers": triggers.tolist(), "fee": FEE})
    done = subprocess.run(
        [str(python), str(ROOT / "bench" / "vectorbt_peer.py")],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    return len(close) * len(triggers) / told["seconds"], np.array(told["trades"])

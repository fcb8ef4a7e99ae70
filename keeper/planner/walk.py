"""Walking forward: a rule is chosen on the years known at the time, and judged on the span that came after.

Folds follow one another, and a later one knows all that came before it (anchored).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner.cases import Case
from keeper.planner.findings import Fold
from keeper.planner.objectives import Objective
from keeper.planner.results import Floats
from keeper.planner.sweep import Backend, sweep

_LEAST_BARS = 48


def walk_forward(
    case: Case,
    rules: Floats,
    objective: Objective,
    folds: int = 4,
    backend: Backend = "threading",
    workers: int = -1,
) -> tuple[Fold, ...]:
    """Each fold's choice among `rules` and what became of it; the first half of the history is never tested on."""
    bars = len(case.moment)
    if folds < 1 or bars < 2 * _LEAST_BARS * folds:
        raise Misconfigured(f"walk: {bars} bars cannot be walked in {folds} folds")
    edges = [int(edge) for edge in np.linspace(bars // 2, bars, folds + 1)]
    found = []
    for start, stop in pairwise(edges):
        trained = objective.fee(sweep(case.cut(0, start), rules, backend, workers))
        at = int(np.argmin(trained))
        # Judged by what it cost, whatever was asked for: a bound was kept where it could be, in training.
        tested = sweep(case.cut(start, stop), rules, backend, workers).certainty_fee_bps(
            objective.risk_aversion
        )
        found.append(
            Fold(
                trained=(int(case.moment[0]), int(case.moment[start - 1])),
                tested=(int(case.moment[start]), int(case.moment[stop - 1])),
                rule={name: float(rules[at, column]) for column, name in enumerate(case.columns)},
                trained_fee_bps=float(trained[at]),
                tested_fee_bps=float(tested[at]),
                best_fee_bps=float(np.min(tested)),
            )
        )
    return tuple(found)

"""Looking between the points of a grid: optuna proposes rules, the same objective over the same kernels judges them.

Rules are asked for in batches that fill the kernel's lanes, and the sampler is seeded, so that a search comes to the
same rule every time it is run.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import optuna

from keeper.domain.errors import Misconfigured
from keeper.planner.cases import Case
from keeper.planner.objectives import Objective
from keeper.planner.results import Floats, Scores
from keeper.planner.sweep import OnProgress, grid, scores_of

BATCH: Final = 64


class Span(NamedTuple):
    """From where to where to look; with a `step`, in whole steps from `low`, of seconds or bars."""

    low: float
    high: float
    step: float = 0.0


def search(
    case: Case,
    objective: Objective,
    spans: Mapping[str, Span],
    fixed: Mapping[str, float],
    trials: int,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Scores:
    """All rules tried, between `spans` (as `sweep.grid` names them) with the rest `fixed`.

    A span that begins above 0 is searched by ratio, one that begins at 0 by difference.
    """
    for name, span in spans.items():
        if not 0 <= span.low < span.high:
            raise Misconfigured(f"search: {name} cannot be looked for from {span.low} to {span.high}")
    study = _study(seed)
    found: list[Floats] = []
    rows: list[Floats] = []
    for done in range(0, trials, BATCH):
        asked = [study.ask() for _ in range(min(BATCH, trials - done))]
        rules = []
        for trial in asked:
            chosen = {name: _suggested(trial, name, span) for name, span in spans.items()}
            rules.append(grid(case.columns, **chosen, **fixed))
        # A rule that contradicts itself is none, and its trial told so.
        good = [at for at, rule in enumerate(rules) if len(rule)]
        batch = np.vstack([rules[at] for at in good]) if good else np.empty((0, len(case.columns)))
        scored = case.score(batch) if len(batch) else np.empty((0, 0))
        fees = objective.fee(scores_of(case, batch, scored)) if len(batch) else np.empty(0)
        for at, trial in enumerate(asked):
            fee = float(fees[good.index(at)]) if at in good else np.inf
            if np.isfinite(fee):
                study.tell(trial, fee)
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if len(batch):
            found.append(batch)
            rows.append(scored)
        if on_progress is not None:
            on_progress(done + len(asked), trials)
    if not found:
        raise Misconfigured("search: no rule between these spans makes sense")
    return scores_of(case, np.vstack(found), np.vstack(rows))


def _suggested(trial: optuna.Trial, name: str, span: Span) -> float:
    if span.step:
        steps = trial.suggest_int(name, 0, int((span.high - span.low) / span.step))
        return span.low + steps * span.step
    return trial.suggest_float(name, span.low, span.high, log=span.low > 0)


def _study(seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        # Its constant liar keeps the proposals of one batch apart.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True, n_startup_trials=BATCH)
    return optuna.create_study(direction="minimize", sampler=sampler)

"""Every rule lived through many histories that might have been, so that a figure comes with its interval.

A path of the ensemble is drawn from its number alone; any worker, in any order, comes to the same bits. Kept are only
the figures asked for, paths × rules of each, and a path that a folder already holds is not lived through again.

Assumes: gas follows its own bars, so that storms stay dear; a path keeps the history's time stamps, of which cooldowns
and interest go by the clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner import bootstrap
from keeper.planner.bars import History, aligned
from keeper.planner.cases import Case
from keeper.planner.costs import gas_at
from keeper.planner.results import Floats
from keeper.planner.sweep import OnProgress, fingerprint, sweep
from keeper.planner.workers import Backend, spread

FIGURES: Final = (
    "cost_bps_per_year",
    "tracking_error",
    "rms_deviation",
    "trades_per_year",
    "max_drawdown",
    "cvar_95",
    "cvar_99",
    "min_health",
    "liquidations",
    "final_value",
)
"""What is kept of each life where nothing else is asked for; `certainty_fee_bps` follows from the first two."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Histories, and how a case is made of them; `build` travels to other processes, so it is no closure.

    A path is as long as the history, unless `length` says of how many bars.
    """

    histories: tuple[History, ...]
    build: Callable[[Sequence[History]], Case]
    mean_block: float
    seed: int
    length: int | None = None

    def case(self, path: int) -> Case:
        """The case of one path; all assets are drawn in step."""
        return self.build(
            [
                resampled_history(each, self.mean_block, self.seed, path, self.length)
                for each in self.histories
            ]
        )


def ensemble(
    histories: Sequence[History],
    build: Callable[[Sequence[History]], Case],
    seed: int = 0,
    mean_block: float | None = None,
) -> Ensemble:
    """Histories to draw from; without a mean block, the longest that any asset's returns or their sizes ask for."""
    bars = aligned(histories)
    block = max(bootstrap.block_for(each.close) for each in bars) if mean_block is None else mean_block
    if not 1 <= block <= len(bars[0]):
        raise Misconfigured(f"bootstrap: no blocks of {block} out of {len(bars[0])} bars")
    # Gas is looked up before time is cut up, or a path's storms would pay a calm day's gas.
    paid = tuple(
        each if each.gas_gwei is not None else replace(each, gas_gwei=gas_at(each.time)[0]) for each in bars
    )
    return Ensemble(paid, build, block, seed)


def resampled_history(
    history: History, mean_block: float, seed: int, path: int, length: int | None = None
) -> History:
    """One path of a history, with its time stamps and as long; or its first `length` bars, drawn from all of them."""
    drawn = bootstrap.resampled_bars(
        history.open, history.high, history.low, history.close, mean_block, seed, path, length
    )

    def taken(column: Floats | None) -> Floats | None:
        return None if column is None else column[drawn.taken]

    return replace(
        history,
        time=history.time[: len(drawn.taken)],
        open=drawn.open,
        high=drawn.high,
        low=drawn.low,
        close=drawn.close,
        gas_gwei=taken(history.gas_gwei),
        volume=taken(history.volume),
        liquidity=taken(history.liquidity),
    )


@dataclass(frozen=True, slots=True)
class Lives:
    """Figures by name, each an array of paths × rules."""

    figures: Mapping[str, Floats]

    def certainty_fee_bps(self, risk_aversion: float) -> Floats:
        """The number to rank by, per path and rule."""
        error = self.figures["tracking_error"]
        return np.asarray(self.figures["cost_bps_per_year"] + 0.5e4 * risk_aversion * error**2)

    def interval(self, figure: str, rule: int, level: float = 0.9) -> tuple[float, float]:
        """Between which two values a rule's figure lies in the middle share of paths."""
        return bootstrap.interval(self.figures[figure][:, rule], level)

    def share_liquidated(self) -> Floats:
        """Per rule, the share of paths on which it was liquidated at least once."""
        return np.asarray(np.mean(self.figures["liquidations"] > 0, axis=0))


def share_best(fees: Floats) -> Floats:
    """Per rule, the share of paths (rows) on which none was cheaper: how sure one may be of the choice."""
    best = np.argmin(fees, axis=1)
    return np.bincount(best, minlength=fees.shape[1]) / len(fees)


def live_through(
    drawn: Ensemble,
    rules: Floats,
    paths: int,
    backend: Backend = "threading",
    workers: int = -1,
    figures: Sequence[str] = FIGURES,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
    first: int = 0,
) -> Lives:
    """Every rule through `paths` paths, numbered from `first`; `on_progress` is told how many are done, of how many."""
    if paths < 1 or len(rules) == 0:
        raise Misconfigured(f"bootstrap: {paths} paths of {len(rules)} rules are nothing to live through")
    kept = _Kept(folder, drawn, rules, figures) if folder is not None else None
    found = np.empty((len(figures), paths, len(rules)))
    missing = []
    for path in range(first, first + paths):
        rows = None if kept is None else kept.read(path)
        if rows is None:
            missing.append(path)
        else:
            found[:, path - first] = rows
    if missing and backend != "serial":
        # Compiled here, once, and not by every worker.
        _lived((drawn, rules[:1], tuple(figures)), missing[0])
    done = paths - len(missing)
    for path, rows in spread(_lived, (drawn, rules, tuple(figures)), missing, backend, workers):
        found[:, path - first] = rows
        if kept is not None:
            kept.write(path, rows)
        done += 1
        if on_progress is not None:
            on_progress(done, paths)
    return Lives({name: found[at] for at, name in enumerate(figures)})


def _lived(shared: tuple[Ensemble, Floats, tuple[str, ...]], path: int) -> Floats:
    """All rules over one path: one row per figure."""
    drawn, rules, figures = shared
    scores = sweep(drawn.case(path), rules, backend="serial")
    return np.array([scores[name] if name in scores.columns else getattr(scores, name) for name in figures])


class _Kept:
    """Finished paths in a folder, under a fingerprint of all that went into them."""

    def __init__(self, folder: Path, drawn: Ensemble, rules: Floats, figures: Sequence[str]) -> None:
        # The undrawn case stands for histories, costs and the code that lives them.
        whole = fingerprint(drawn.build(list(drawn.histories)), rules)
        rest = repr((whole, drawn.mean_block, drawn.seed, drawn.length, tuple(figures)))
        self._folder = folder / f"paths-{hashlib.sha256(rest.encode()).hexdigest()[:16]}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"bootstrap: {folder} cannot hold its paths ({error.strerror or error})"
            ) from error

    def read(self, path: int) -> Floats | None:
        """A path that was finished; None when it was not, or cannot be read."""
        try:
            found: Floats = np.load(self._folder / f"{path}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found

    def write(self, path: int, rows: Floats) -> None:
        """Keep a path, whole or not at all."""
        unfinished = self._folder / f"{path}.new"
        with unfinished.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
        unfinished.replace(self._folder / f"{path}.npy")

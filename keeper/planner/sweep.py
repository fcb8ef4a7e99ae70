"""Many rules over one case: in chunks, on several cores or machines, and again from where it was interrupted.

Every rule's numbers come from that rule and the case alone, in one order of operations, so that one worker and a
cluster of them come to the same bits. What is kept is one row of scores per rule: the memory a sweep takes beside its
answer is that of the chunks under way, whatever the number of rules.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal

import joblib
import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner.cases import Case
from keeper.planner.results import COLUMNS, Floats, Scores
from keeper.planner.simulate_range import MOST_DEVIATION

Backend = Literal["serial", "threading", "loky", "dask"]
"""Where chunks run: here, on threads (kernels hold no lock), in processes, or on the connected dask cluster."""

CHUNK: Final = 256
DEFAULTS: Final[Mapping[str, float]] = {
    "destination": 0.0,
    "is_relative": 0.0,
    "ceiling": np.inf,
    "hold": 1.0,
    "deviation": MOST_DEVIATION,
    "speed": 1.0,
    "cooldown": 0.0,
    "look": 1.0,
    "scale": 0.0,
    "sigmas": 0.0,
    "highest": 0.0,
}
"""What a rule's columns are where nothing is said."""

OnProgress = Callable[[int, int], None]


def grid(columns: Sequence[str], **choices: Sequence[float] | Floats | float) -> Floats:
    """Every combination of the choices as rules of these columns; those that contradict themselves are left out.

    `destination_share` and `trigger_share` are read as shares of the trigger and of a range's width, `highest_share` as
    how many times a loan's floor its highest is.
    """
    lists = {name: np.atleast_1d(np.asarray(values, dtype=np.float64)) for name, values in choices.items()}
    known = {*columns, "destination_share", "trigger_share", "highest_share"}
    if strange := sorted(set(lists) - known):
        raise Misconfigured(f"sweep: a rule has no {', '.join(strange)}; it has {', '.join(columns)}")
    names = list(lists)
    cells = np.array(list(itertools.product(*lists.values())), dtype=np.float64).reshape(-1, len(names))
    found = {name: cells[:, at] for at, name in enumerate(names)}
    if "trigger_share" in found:
        found["trigger"] = found.pop("trigger_share") * found["width"]
    if "destination_share" in found:
        found["destination"] = found.pop("destination_share") * found["trigger"]
    if "highest_share" in found:
        found["highest"] = found.pop("highest_share") * found["floor"]
    rules = np.empty((len(cells), len(columns)))
    for at, name in enumerate(columns):
        if name not in found and name not in DEFAULTS:
            raise Misconfigured(f"sweep: a rule needs a {name}")
        rules[:, at] = found.get(name, DEFAULTS.get(name, 0.0))
    kept: Floats = rules[_sensible(columns, rules)]
    return kept


def _sensible(columns: Sequence[str], rules: Floats) -> Any:
    """Which rules do not contradict themselves."""
    of = {name: rules[:, at] for at, name in enumerate(columns)}
    good = (of["look"] >= 1) & (of["cooldown"] >= 0)
    if "destination" in of:
        good &= (of["trigger"] >= 0) & (of["destination"] >= 0) & (of["destination"] <= of["trigger"])
    if "floor" in of:
        good &= (of["floor"] < of["target"]) & (of["target"] < of["ceiling"]) & (of["target"] > 1)
        good &= (of["floor"] == 0) | (of["floor"] > 1)
    if "sigmas" in of:
        follows = of["sigmas"] > 0
        good &= (of["sigmas"] >= 0) & np.where(follows, of["highest"] > of["floor"], of["highest"] == 0)
        good &= ~follows | (of["floor"] > 1)
    if "width" in of:
        good &= (of["width"] > 0) & (of["trigger"] > 0) & (of["hold"] >= 1) & (of["deviation"] > 0)
    if "speed" in of:
        good &= (of["speed"] > 0) & (of["speed"] <= 1)
    return good


def sweep(
    case: Case,
    rules: Floats,
    backend: Backend = "threading",
    workers: int = -1,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Scores:
    """Every rule lived through the case; with a folder, chunks already scored there are not scored again.

    `on_progress` is told how many rules are done, and of how many.
    """
    if len(rules) == 0:
        raise Misconfigured("sweep: no rule is left to try")
    if not np.isfinite(case.score(rules[:1])[0, 0]):
        # The first call also compiles, once and not in every worker.
        raise Misconfigured("sweep: the first rule's net worth came out as no number")
    rows = np.empty((len(rules), len(COLUMNS)))
    starts = range(0, len(rules), CHUNK)
    store = _Store(folder, case, rules) if folder is not None else None
    missing = []
    for start in starts:
        kept = None if store is None else store.read(start)
        if kept is None:
            missing.append(start)
        else:
            rows[start : start + CHUNK] = kept
    done = len(rules) - sum(len(rules[start : start + CHUNK]) for start in missing)
    for start, found in _scored(case, rules, missing, backend, workers):
        rows[start : start + CHUNK] = found
        if store is not None:
            store.write(start, found)
        done += len(found)
        if on_progress is not None:
            on_progress(done, len(rules))
    return scores_of(case, rules, rows)


def scores_of(case: Case, rules: Floats, rows: Floats) -> Scores:
    """Rules and their rows, by name."""
    return Scores(
        kind=case.kind,
        bars=len(case.moment),
        seconds=case.seconds,
        parameters={name: rules[:, at] for at, name in enumerate(case.columns)},
        columns={name: rows[:, at] for at, name in enumerate(COLUMNS)},
    )


def _score_chunk(case: Case, rules: Floats, start: int) -> tuple[int, Floats]:
    return start, case.score(rules)


def _scored(
    case: Case, rules: Floats, starts: Sequence[int], backend: Backend, workers: int
) -> Iterator[tuple[int, Floats]]:
    """The chunks as they get done, in any order."""
    if backend == "serial" or len(starts) < 2:
        for start in starts:
            yield _score_chunk(case, rules[start : start + CHUNK], start)
        return
    with joblib.parallel_config(backend=backend, n_jobs=workers):
        # dask's backend gives nothing back before the end.
        order = "list" if backend == "dask" else "generator_unordered"
        run = joblib.Parallel(return_as=order)
        yield from run(
            joblib.delayed(_score_chunk)(case, rules[start : start + CHUNK], start) for start in starts
        )


class _Store:
    """Chunks of one sweep in a folder, under a fingerprint of all that went into them."""

    def __init__(self, folder: Path, case: Case, rules: Floats) -> None:
        self._folder = folder / f"sweep-{fingerprint(case, rules)}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"sweep: {folder} cannot hold its chunks ({error.strerror or error})"
            ) from error

    def read(self, start: int) -> Floats | None:
        """A chunk that was finished; None when it was not, or cannot be read."""
        try:
            found: Floats = np.load(self._path(start), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found

    def write(self, start: int, rows: Floats) -> None:
        """Keep a chunk, whole or not at all."""
        unfinished = self._folder / f"{start}.new"
        with unfinished.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
        unfinished.replace(self._path(start))

    def _path(self, start: int) -> Path:
        return self._folder / f"{start}.npy"


def fingerprint(case: Case, rules: Floats) -> str:
    """What tells one sweep from any other: its case, its rules, and the code that lives them."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    _digest(digest, case)
    _digest(digest, rules)
    return digest.hexdigest()[:16]


def _digest(digest: Any, value: object) -> None:
    if is_dataclass(value):
        for each in fields(value):
            _digest(digest, getattr(value, each.name))
    elif isinstance(value, tuple):
        for part in value:
            _digest(digest, part)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    else:
        digest.update(repr(value).encode())

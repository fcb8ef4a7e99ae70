"""A history as a file that the planner takes, with where it is from beside it, both whole or not at all."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keeper.domain.errors import Misconfigured
from keeper.planner.bars import History, iso, read_history

_COLUMNS = {"gas_gwei": "gas_gwei", "volume": "volume_usd", "liquidity": "liquidity"}


def write_history(history: History, path: Path, source: Mapping[str, Any]) -> dict[str, Any]:
    """Write CSV (`.csv`, `.csv.gz`) and `path.provenance.json`, and read the first back; what the second says."""
    if not path.name.endswith((".csv", ".csv.gz")):
        raise Misconfigured(f"data: {path} must end in .csv or .csv.gz")
    content = _csv(history).encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    told = {
        **source,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bars": len(history),
        "seconds": history.seconds,
        "first": iso(int(history.time[0])),
        "last": iso(int(history.time[-1])),
        "columns": _names(history),
        "notes": list(history.notes),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".new.{path.name}")
        unfinished.write_bytes(content)
        try:
            read_history(unfinished)
        except Misconfigured:
            unfinished.unlink()
            raise
        provenance_of(path).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise Misconfigured(f"data: {path} cannot be written ({error.strerror or error})") from error
    return told


def provenance_of(path: Path) -> Path:
    """Where it is said where a file is from."""
    return path.with_name(f"{path.name}.provenance.json")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file that is read from."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Misconfigured(f"data: {path} cannot be read ({error.strerror or error})") from error


def _names(history: History) -> list[str]:
    extra = [column for field, column in _COLUMNS.items() if getattr(history, field) is not None]
    return ["open_time", "open", "high", "low", "close", *extra]


def _csv(history: History) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_names(history))
    extra = [getattr(history, field) for field in _COLUMNS if getattr(history, field) is not None]
    columns = (history.time, history.open, history.high, history.low, history.close, *extra)
    for moment, *values in zip(*columns, strict=True):
        writer.writerow([int(moment), *(repr(float(value)) for value in values)])
    return text.getvalue()

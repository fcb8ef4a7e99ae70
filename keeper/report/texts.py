"""How moments and numbers are written for people."""

from __future__ import annotations

import shlex
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path


def command_text() -> str:
    """How to type `keeper` in this place: its name where that is on PATH, else the path of the one beside Python."""
    if shutil.which("keeper"):
        return "keeper"
    beside = Path(sys.executable).with_name("keeper")
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))


def clock_text(seconds: int, form: str = "%d %b %H:%M") -> str:
    """A moment, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def usd_text(amount: float, places: int = 2) -> str:
    """Dollars: `$1,234.50`, `-$3.10`."""
    sign = "-" if round(amount, places) < 0 else ""
    return f"{sign}${abs(amount):,.{places}f}"


def health_text(health: float | None) -> str:
    """A health factor, rounded down so that 0.9999 never reads as 1; `no debt` where none is owed."""
    return "no debt" if health is None else f"{int(health * 1000) / 1000:.3f}"

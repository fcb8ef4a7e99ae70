"""Figures on the screen and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence


def numbers(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures as JSON takes them."""
    return {name: number(value) for name, value in figures.items()}


def number(value: float) -> float | None:
    """JSON knows no infinity: no ceiling, no debt, never."""
    return value if math.isfinite(value) else None


def say(figures: Mapping[str, float], as_json: bool, notes: Sequence[str] = ()) -> None:
    """Figures by name, as JSON or as a table with its notes below."""
    if as_json:
        print(
            json.dumps(
                numbers(figures) | ({"notes": list(notes)} if notes else {}), indent=2, allow_nan=False
            )
        )
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(show_header=False, box=None)
    table.add_column()
    table.add_column(justify="right")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), figure(value))
    console.print(table)
    for note in notes:
        console.print(Text(f"note: {note}", "dim"))


def figure(value: float) -> str:
    """One figure for the screen: four digits of small ones, whole numbers whole."""
    if not math.isfinite(value):
        return "∞"
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:.4g}"

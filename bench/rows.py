"""One figure with its goal and its peers, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured, lower being better but for what is told a second; `peers` did the same job in the same run.

    `goal` is None where a figure is told for its own sake.
    """

    name: str
    value: float
    unit: str
    goal: float | None
    peers: dict[str, float] = field(default_factory=dict)

    @property
    def is_speed(self) -> bool:
        """Whether more is better."""
        return self.unit.endswith("/s")

    @property
    def is_met(self) -> bool:
        """Whether a goal is reached."""
        return self.goal is not None and (
            self.value >= self.goal if self.is_speed else self.value <= self.goal
        )


def write(rows: Sequence[Row], path: Path) -> None:
    """Leave the rows at `path` as a JSON list, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)


def show(console: Console, rows: Sequence[Row]) -> None:
    """A table, one line for each row and one for each of its peers."""
    table = Table(title="keeper's figures", title_justify="left")
    for column in ("figure", "value", "unit", "goal", "of keeper's"):
        table.add_column(column, justify="left" if column in ("figure", "unit") else "right")
    for row in rows:
        met = "" if row.goal is None else "green" if row.is_met else "yellow"
        goal = "" if row.goal is None else f"{'≥' if row.is_speed else '≤'} {_figure(row.goal)}"
        table.add_row(Text(row.name, "bold"), Text(_figure(row.value), met), row.unit, goal, "")
        for peer, value in row.peers.items():
            table.add_row(Text(f"  {peer}", "dim"), _figure(value), row.unit, "", f"{value / row.value:.2f}x")
    console.print(table)


def _figure(value: float) -> str:
    """Three digits that count."""
    return (
        f"{value:.3g}"
        if value >= 1e6
        else f"{value:,.0f}"
        if value >= 100
        else f"{value:.3g}"
        if value >= 10
        else f"{value:.3f}"
    )

"""A simulation on a terminal: the lives of each rule, one below the other."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keeper.domain.texts import count_text
from keeper.report.lives import Life, Simulated
from keeper.report.lives_page import hostile_text, saved_text


def print_simulated(console: Console, told: Simulated) -> None:
    """What became of every rule, and what acting came to."""
    console.print(Text(told.title, style="bold"))
    table = Table(title=f"{count_text(told.hours, 'hour')} in {told.seconds:.0f} s", title_justify="left")
    for column in ("rule", "", "not within", "from … to", "at the end", "acts", "liquidated", "equity"):
        table.add_column(column, overflow="fold")
    for rule in told.rules:
        whose = rule.name
        for name, life in (
            ("with the keeper", rule.guarded),
            ("in peace", rule.calm),
            ("without", rule.alone),
        ):
            if life is not None:
                table.add_row(Text(whose), name, *_cells(life))
                whose = ""
    console.print(table)
    if said := saved_text(told):
        console.print(Text(said.strip()))
    if said := hostile_text(told):
        console.print(Text(said.strip()))
    for line in (*told.notes, *told.sources, f"{told.pace:,.0f} times as fast as it was"):
        console.print(Text(line, style="dim"))


def _cells(life: Life) -> tuple[str, ...]:
    equity = ""
    if life.equity_start is not None and life.equity_end is not None:
        equity = f"${life.equity_start:,.0f} → ${life.equity_end:,.0f}"
    return (
        f"{life.outside} of {count_text(life.blocks, 'block')}",
        f"{life.lowest or ''} … {life.highest or ''}",
        life.end or "",
        f"{len(life.acts)}" + (f", {life.failed} failed" if life.failed else ""),
        str(len(life.liquidations)),
        equity,
    )

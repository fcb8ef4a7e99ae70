"""The play on a terminal: what became of both loans, each act and its cost, and why.

Text that comes from the journal or a chain is printed as text and never as markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keeper.domain.texts import count_text
from keeper.report.record import Hour, Record, summary
from keeper.report.stories import BasketSide, RangeSide
from keeper.report.texts import clock_text, health_text, usd_text

_BARS = "▁▂▃▄▅▆▇█"
_MOST_COLUMNS = 72
_MOST_ROWS = 20


def print_record(console: Console, record: Record) -> None:
    """Tell the whole play."""
    console.print(Text(record.title, style="bold"))
    console.print(Text(summary(record)))
    console.print()
    _print_healths(console, record)
    _print_sides(console, record)
    _print_acts(console, record)
    _print_seizures(console, record)
    _print_others(console, record)
    _print_reasons(console, record)
    pace = f"{record.blocks:,} blocks in {record.wall_s:.1f} s; the keeper took {count_text(record.turns, 'turn')}"
    late = f" and missed {count_text(record.late, 'block')}" if record.late else ""
    console.print(Text(f"{pace}{late}.", style="dim"))
    for source in record.sources:
        console.print(Text(source, style="dim"))


def _print_healths(console: Console, record: Record) -> None:
    """A row of bars for each loan, every bar the lowest health of an hour or of a few."""
    spans = list(_spans(record.hours, min(_MOST_COLUMNS, max(8, console.width - 24))))
    each = len(spans[0])
    title = f"Lowest health of {'each hour' if each == 1 else f'every {each} hours'}, red below 1"
    console.print(Text(title, style="bold"))
    top = 1.25 * record.terms.target
    for name, lows in (
        ("guarded", [_lowest(hour.guarded_low for hour in span) for span in spans]),
        ("twin", [_lowest(hour.twin_low for hour in span) for span in spans]),
    ):
        line = Text(f"  {name:<8}")
        for low in lows:
            share = 1.0 if low is None else max(0.0, min((low - 0.75) / (top - 0.75), 1.0))
            style = (
                "green" if low is None or low >= record.terms.floor else "yellow" if low >= 1 else "bold red"
            )
            line.append(_BARS[round(share * (len(_BARS) - 1))], style=style)
        line.append(f"  lowest {health_text(_lowest(lows))}")
        console.print(line)
    first, last = clock_text(record.hours[0].time), clock_text(record.hours[-1].time)
    gap = " " * max(1, len(spans) - len(first) - len(last))
    console.print(Text(f"  {'':<8}{first}{gap}{last}", style="dim"))
    console.print()


def _print_sides(console: Console, record: Record) -> None:
    guarded, twin, cost = record.guarded, record.twin, record.cost
    table = _table("What it came to", ("", "guarded", "twin"), figures=(1, 2))
    for name, *values in (
        ("liquidations", f"{guarded.liquidations}", f"{twin.liquidations}"),
        ("lost to liquidators", usd_text(guarded.penalty), usd_text(twin.penalty)),
        ("pool fees", usd_text(cost.fee), ""),
        ("slippage", usd_text(cost.slippage), ""),
        ("gas, paid by the keeper", usd_text(cost.gas), ""),
        ("lowest health", health_text(guarded.min_health), health_text(twin.min_health)),
        ("equity, start", usd_text(guarded.equity_start), usd_text(twin.equity_start)),
        ("equity, end", usd_text(guarded.equity_end), usd_text(twin.equity_end)),
    ):
        table.add_row(name, *values)
    console.print(table)
    note = (
        "Equity is collateral minus debt by Aave's oracle. Fees, slippage and what liquidators took have left it; gas "
        "has not."
    )
    console.print(Text(note, style="dim"))
    console.print()


def _print_acts(console: Console, record: Record) -> None:
    if not record.acts:
        return
    heads = ("time (UTC)", "block", "health", "repaid", "sold ETH", "fee", "slippage", "gas")
    table = _table("What the keeper did", heads, figures=range(1, 8))
    for act in record.acts[:_MOST_ROWS]:
        table.add_row(
            clock_text(act.time),
            f"{act.block}",
            f"{act.health_before:.3f} → {act.health_after:.3f}",
            usd_text(act.repaid),
            f"{act.sold:,.4f}",
            usd_text(act.cost.fee),
            usd_text(act.cost.slippage),
            usd_text(act.cost.gas),
        )
    console.print(table)
    _print_cut(console, len(record.acts))
    if record.failed:
        failed = count_text(record.failed, "transaction")
        console.print(
            Text(f"{failed} came to nothing, for {usd_text(record.failed_gas)} of gas.", style="yellow")
        )
    note = (
        "fee: the pool's, on what was sold. slippage: all else the swap lost by the oracle, price impact and the "
        "pool's distance from the oracle together. gas: gas used x price paid x ETH price."
    )
    console.print(Text(note, style="dim"))
    console.print()


def _print_seizures(console: Console, record: Record) -> None:
    if not record.seizures:
        return
    heads = ("time (UTC)", "block", "loan", "ETH price", "debt repaid", "ETH taken", "lost by the loan")
    table = _table("Liquidations", heads, figures=(1, 3, 4, 5, 6))
    for seized in record.seizures[:_MOST_ROWS]:
        table.add_row(
            clock_text(seized.time),
            f"{seized.block}",
            "guarded" if seized.guarded else "twin",
            usd_text(seized.price),
            usd_text(seized.repaid),
            f"{seized.seized:,.4f}",
            usd_text(seized.penalty),
        )
    console.print(table)
    _print_cut(console, len(record.seizures))
    console.print()


def _print_others(console: Console, record: Record) -> None:
    """The range and the basket, a line for each side."""
    if record.ranges is None and record.baskets is None:
        return
    table = _table("The range and the basket", ("", "guarded", "twin"), figures=(1, 2))
    if story := record.ranges:
        table.add_row("range: moved by the keeper", f"{len(story.acts)}", "")
        table.add_row("range: in range", f"{story.guarded.in_range:.0%}", f"{story.twin.in_range:.0%}")
        table.add_row("range: lost by acting", usd_text(sum(act.lost for act in story.acts)), "")
        table.add_row("range: gas, paid by the keeper", usd_text(sum(act.gas for act in story.acts)), "")
        table.add_row(
            "range: value, start and end", *(_start_and_end(side) for side in (story.guarded, story.twin))
        )
    if told := record.baskets:
        table.add_row("basket: reweighed by the keeper", f"{len(told.acts)}", "")
        table.add_row(
            "basket: farthest from its weight", f"{told.guarded.drift:.1%}", f"{told.twin.drift:.1%}"
        )
        table.add_row("basket: lost by acting", usd_text(sum(act.lost for act in told.acts)), "")
        table.add_row("basket: gas, paid by the keeper", usd_text(sum(act.gas for act in told.acts)), "")
        table.add_row(
            "basket: value, start and end", *(_start_and_end(side) for side in (told.guarded, told.twin))
        )
    console.print(table)
    console.print()


def _start_and_end(side: RangeSide | BasketSide) -> str:
    return f"{usd_text(side.value_start)} → {usd_text(side.value_end)}"


def _print_reasons(console: Console, record: Record) -> None:
    console.print(Text("The journal's reasons", style="bold"))
    for reason in record.reasons[:_MOST_ROWS]:
        line = Text(f"  {clock_text(reason.time)}  block {reason.block}  ", style="dim")
        line.append(f"{reason.verdict} at {reason.measure}: {reason.why}", style="default")
        console.print(line)
        if reason.done:
            console.print(Text(f"    {reason.done}"))
    _print_cut(console, len(record.reasons))
    console.print(Text(f"  in {record.quiet:,} of {count_text(record.turns, 'turn')}: within its band"))
    console.print()


def _print_cut(console: Console, rows: int) -> None:
    if rows > _MOST_ROWS:
        console.print(Text(f"  and {rows - _MOST_ROWS:,} more, in demo.html", style="dim"))


def _table(title: str, heads: Sequence[str], figures: Sequence[int]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=True, padding=(0, 1, 0, 0)
    )
    for at, head in enumerate(heads):
        table.add_column(head, justify="right" if at in figures else "left", header_style="dim", no_wrap=True)
    return table


def _spans(hours: Sequence[Hour], columns: int) -> Iterator[Sequence[Hour]]:
    each = -(-len(hours) // columns)
    for start in range(0, len(hours), each):
        yield hours[start : start + each]


def _lowest(values: Iterator[float | None] | Sequence[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)

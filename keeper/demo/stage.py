"""The main job, seen: a crash played over pairs of a loan, a range and a basket, one of each guarded by a real keeper.

Chain, Aave, Uniswap, contract, liquidator and keeper (a process of its own) are the real ones. Only time is compressed:

    price moves ─▶ block ─▶ the keeper takes its turn, the liquidator looks ─▶ did anyone send?
                     ▲                                                  yes: next block, 12 s later ─┐
                     └───────────────────────────────────────────────── no: next price ◀─────────────┘

Keeper and liquidator see the same block, and what they send competes for the next one, which Anvil fills by what is
bid, highest first; the liquidator bids more. A keeper whose turn takes longer than a slot's twelve seconds has missed
the block, as it would outside. What is counted is read from the chain at every block; the reasons are the journal's.

Assumes: USDC is worth a dollar throughout.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from keeper.demo.baskets import GUARDED, TWIN, BasketPair, open_baskets
from keeper.demo.loans import LoanPair, open_loans
from keeper.demo.play import Play
from keeper.demo.process import CONFIG, JOURNAL, KeeperProcess
from keeper.demo.ranges import RangePair, open_ranges
from keeper.demo.telling import record_of
from keeper.devnet.actors import Liquidator
from keeper.devnet.anvil import Anvil
from keeper.devnet.bars import HOUR, Bar, read_bars
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.scenario import Scenario, black_thursday
from keeper.domain.errors import Misconfigured
from keeper.journal.journal import Reader
from keeper.report import page, screen
from keeper.report.record import Record
from keeper.report.texts import clock_text, command_text

DEFAULT_GAS_GWEI: Final = 30.0
MAX_MOVE_BPS: Final = 200

_SHIPPED_SOURCES: Final = (
    "Prices: hourly ETH/USDT bars of Binance spot, 12 and 13 March 2020 (UTC); no hour is missing, none was smoothed.",
    "Gas: Etherscan's average gas price paid on each day (77.90 and 84.76 gwei), which stands in for the base fee.",
)
_YEAR: Final = 365 * 24 * HOUR
_WIDE: Final = 120
"""Columns below which a terminal has better use for them than a long bar."""


def demo(bars: Path | None, start: str | None, end: str | None, out: Path, say: Console | None) -> Record:
    """Play hourly bars (Black Thursday's by default), `start` to `end`, and tell what happened.

    The keeper's configuration and journal are left in `out/demo`, for `keeper explain`. Progress goes to `say`.
    `Misconfigured` for bars that cannot be played; `Blind` when the keeper's process ends or falls silent.
    """
    started = time.monotonic()
    page.require_plotly()
    played, sources = bars_of(bars, start, end)
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="demo-", dir=out))
    except OSError as error:
        raise Misconfigured(f"demo: {out} cannot be written ({error.strerror})") from error
    try:
        with progress(say, len(played)) as tell:
            record = _played(played, folder, tell)
        kept = out / "demo"
        shutil.rmtree(kept, ignore_errors=True)
        folder.replace(kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    first, last = played[0].open_time, played[-1].open_time + HOUR
    form = "%d %B %Y %H:%M"
    title = f"{clock_text(first, form)} to {clock_text(last, form)} UTC"
    return replace(record, title=title, sources=sources, wall_s=time.monotonic() - started)


def write(record: Record, out: Path) -> tuple[Path, Path]:
    """Leave `demo.json` and `demo.html` in `out`."""
    figures, told = out / "demo.json", out / "demo.html"
    try:
        figures.write_text(json.dumps(record.to_json(), indent=2) + "\n", encoding="utf-8")
        page.write_html(record, told)
    except OSError as error:
        raise Misconfigured(f"demo: {out} cannot be written ({error.strerror})") from error
    return figures, told


def print_record(console: Console, record: Record, out: Path) -> None:
    """Tell the play on a terminal, and where the rest of it lies."""
    screen.print_record(console, record)
    if record.acts:
        block = record.acts[0].block - 1
        hint = f"{command_text()} explain {record.owner} --block {block} --config {out / 'demo' / CONFIG}"
        console.print(Text("Any block can be asked about:", style="dim"))
        console.print(Text(f"  {hint}", style="dim"), soft_wrap=not console.is_terminal)
    for what, name in (("Plots", "demo.html"), ("Figures", "demo.json")):
        console.print(Text(f"{what}: {out / name}", style="bold"), soft_wrap=True)


def bars_of(bars: Path | None, start: str | None, end: str | None) -> tuple[tuple[Bar, ...], tuple[str, ...]]:
    """The hours to be played, Black Thursday's by default, with gas for each, and where both are from."""
    if bars is None:
        return black_thursday(start, end), _SHIPPED_SOURCES
    read = read_bars(bars, start, end)
    if read[0].gas_gwei is not None:
        return read, (f"Prices and gas: {bars.name}; its gas price stands in for the base fee.",)
    default = f"Gas: {bars.name} has none, so the base fee is {DEFAULT_GAS_GWEI:g} gwei throughout."
    return tuple(replace(bar, gas_gwei=DEFAULT_GAS_GWEI) for bar in read), (f"Prices: {bars.name}.", default)


@contextmanager
def progress(say: Console | None, bars: int) -> Iterator[Callable[[int, str], None]]:
    """A bar that is told how many hours are over, and what goes on."""
    shown = Progress(
        TextColumn("[progress.percentage]{task.percentage:>3.0f}%"),
        BarColumn(bar_width=24 if say is not None and say.width > _WIDE else 8),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
        console=say,
        disable=say is None or not say.is_terminal,  # in a pipe it would end a line
        transient=True,
    )
    with shown:
        task = shown.add_task("", total=bars)
        yield lambda done, what: shown.update(task, completed=done, description=what)


def _played(bars: tuple[Bar, ...], folder: Path, tell: Callable[[int, str], None]) -> Record:
    tell(0, "building the chain, Aave and Uniswap")
    with Anvil(timestamp=bars[0].open_time - HOUR) as anvil:
        world = deploy_thresholds(deploy_world(anvil.url, eth_price=bars[0].open))
        expiry = world.node.head().timestamp + len(bars) * HOUR + _YEAR
        terms = open_loans(world, expiry)
        ranges = RangePair(world, *open_ranges(world, expiry))
        open_baskets(world, expiry)
        baskets = BasketPair(world)
        tell(0, "starting the keeper")
        # All are watched: the twins go unguarded because they have no rules, not because nobody looks.
        both = (world.roles.owner, world.roles.twin)
        watched = (
            ("loans", world.thresholds, both),
            ("ranges", world.range_thresholds, both),
            ("baskets", world.basket_thresholds, (GUARDED, TWIN)),
        )
        with KeeperProcess(folder, world, anvil.url.replace("http", "ws", 1), watched) as keeper:
            liquidator = Liquidator(world)
            loans = LoanPair(world, liquidator)
            play = Play(world, keeper, liquidator, (loans, ranges, baskets))
            play.begin()
            for step in Scenario(bars, max_move_bps=MAX_MOVE_BPS).play(world):
                play.take(step)
                tell(step.point.bar, play.line(step))
        play.end()
        with Reader(folder / JOURNAL) as journal:
            return record_of(play, keeper, loans, ranges, baskets, terms, MAX_MOVE_BPS, journal)

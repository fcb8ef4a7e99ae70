"""Measure everything, print the table, and leave it as JSON.

Lower is better, but in rows that tell a speed. Compare a figure with its peers of the same run: they shared the
machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from bench.devnet import devnet_ready
from bench.gas import deleverage_gas_ratio
from bench.plan import sweep_speeds
from bench.read_loans import read_loan_cold
from bench.rows import Row, show, write
from bench.stage import ROOT
from bench.turn_latency import block_to_accepted_10000, turn_100_loans
from bench.warm_turn import warm_turn_100k_loans

MEASURES: Final[dict[str, Callable[[bool], list[Row]]]] = {
    "devnet": devnet_ready,
    "read": read_loan_cold,
    "turn": turn_100_loans,
    "warm": warm_turn_100k_loans,
    "many": block_to_accepted_10000,
    "gas": deleverage_gas_ratio,
    "plan": sweep_speeds,
}


def main() -> None:
    """`python -m bench [--quick] [--only read] [--out FILE]`."""
    parser = argparse.ArgumentParser(prog="bench", description="the project's figures, beside its peers'")
    parser.add_argument(
        "--quick", action="store_true", help="fewer loans and blocks: a figure, though a rough one"
    )
    parser.add_argument(
        "--only", choices=sorted(MEASURES), action="append", help="measure this alone; repeatable"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json", help="where the JSON goes")
    given = parser.parse_args()
    # What is no terminal is not 80 columns wide: names are read out of it.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    rows: list[Row] = []
    for name, measure in MEASURES.items():
        if given.only is None or name in given.only:
            with console.status(f"bench: {name}"):
                rows += measure(given.quick)
            # Each as it comes: what took minutes is not lost with what fails after it.
            write(rows, given.out)
    show(console, rows)


if __name__ == "__main__":
    main()

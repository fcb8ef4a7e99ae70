"""The options that several of the planner's commands take, with what is said of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

SETTINGS: Mapping[str, Any] = {
    "no_args_is_help": True,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""Of each group of commands."""

Prices = Annotated[
    list[Path] | None,
    typer.Option(
        "--prices", help="Bars, CSV or Parquet; once per asset. By default hourly ether, 2017 to 2023."
    ),
]
Column = Annotated[str | None, typer.Option(help="The price's column, where a file holds several.")]
Start = Annotated[
    str | None, typer.Option("--from", help="The first bar, such as 2020-03-12 or 2020-03-12T05:00.")
]
End = Annotated[str | None, typer.Option("--to", help="The last bar; a bare date takes its whole day in.")]
Walk = Annotated[bool, typer.Option("--walk-bars", help="See every bar as four: open, its extremes, close.")]
FeeBps = Annotated[float, typer.Option(help="The pool's fee, of the value sold.", min=0)]
Gas = Annotated[int | None, typer.Option("--gas-units", help="Gas of one action; 0 for none.", min=0)]
Gwei = Annotated[float | None, typer.Option("--gas-gwei", help="One gas price for all bars.", min=0)]
Ether = Annotated[float | None, typer.Option("--ether", help="One price of ether to pay gas at.", min=0)]
Quotes = Annotated[
    Path | None, typer.Option("--quotes", help="CSV of value_usd, share_lost to fit the pool's depth to.")
]
Depth = Annotated[bool, typer.Option("--impact/--no-impact", help="Charge WETH/USDC's depth of 2023.")]
Failures = Annotated[float, typer.Option(help="The share of attempts that revert.", min=0, max=0.99)]
Latency = Annotated[
    int, typer.Option(help="Bars from the close judged to the open filled at; 0 fills at the close.")
]
Premium = Annotated[float, typer.Option("--premium-bps", help="Of a flash loan.", min=0)]
Capital = Annotated[float, typer.Option(help="Net worth to begin with.", min=1e-6)]
Cooldown = Annotated[int, typer.Option(help="Seconds between actions.", min=0)]
Look = Annotated[int, typer.Option(help="Judge every so many bars.", min=1)]
Cooldowns = Annotated[
    list[int] | None,
    typer.Option("--cooldown", help="Seconds between actions; of several each is tried.", min=0),
]
Looks = Annotated[
    list[int] | None,
    typer.Option("--look", help="Judge every so many bars; of several each is tried.", min=1),
]
Scaling = Annotated[
    Literal["fixed", "with", "against"],
    typer.Option(help="Whether the band moves with volatility, or against it."),
]
Aversion = Annotated[
    float, typer.Option("--risk-aversion", help="What a rule's risk is weighed by.", min=1e-6)
]
Wanted = Annotated[
    str,
    typer.Option(
        "--objective",
        help="risk-aversion, tracking-error, trades, cost, cvar, p-liquidation, liquidations or min-health.",
    ),
]
AtMost = Annotated[float | None, typer.Option("--at-most", help="The bound of such an objective.")]
Threshold = Annotated[
    float, typer.Option("--liquidation-threshold", help="Of the collateral.", min=0.01, max=0.99)
]
Bonus = Annotated[float, typer.Option(help="What liquidators take on top.", min=0, max=1)]
CloseFactor = Annotated[
    float, typer.Option(help="The share of a debt they may repay at once.", min=0.01, max=1)
]
Supply = Annotated[float, typer.Option(help="Yearly rate on collateral, continuous.")]
Borrow = Annotated[float, typer.Option(help="Yearly rate on debt, continuous.")]
Yield = Annotated[
    float | None,
    typer.Option(help="What full-range liquidity earns a year, where the file has no volume.", min=0),
]
Trials = Annotated[int, typer.Option(help="Rules the optimiser tries beside the grid.", min=0)]
Paths = Annotated[int, typer.Option(help="Histories that might have been, for the intervals.", min=0)]
Confidence = Annotated[
    float, typer.Option(help="How surely cvar or p-liquidation keeps to its bound.", min=0.5, max=0.999999)
]
Horizon = Annotated[
    float | None,
    typer.Option(help="Days over which it does; a year, or as long as a shorter history.", min=0.01),
]
BoundPaths = Annotated[
    int | None,
    typer.Option(help="Histories that might have been it is held over; as many as can show it.", min=1),
]
Folds = Annotated[int, typer.Option(help="Steps of the walk forward.", min=0)]
Seed = Annotated[int, typer.Option(help="The same seed finds the same rule.", min=0)]
Where = Annotated[
    Literal["serial", "threading", "loky", "dask"],
    typer.Option("--backend", help="Where rules are lived through."),
]
Scheduler = Annotated[str | None, typer.Option(help="The dask cluster's address, for --backend dask.")]
Workers = Annotated[int, typer.Option(help="How many at a time; -1 for all cores.")]
Keep = Annotated[
    Path | None,
    typer.Option("--keep", help="A folder that remembers what is done, to resume after an interruption."),
]
Compare = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RULE_OR_FILE",
        help="A rule to score beside it: rule.toml, plan.json, the JSON of `keeper rule show`, or trigger=0.05,…",
    ),
]
Out = Annotated[Path, typer.Option(help="The folder for plan.html, plan.json and rule.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

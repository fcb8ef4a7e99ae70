"""`keeper backtest`, `keeper plan` and `keeper theory`: the planner on the command line.

A backtest lives one rule through a history and charges what it is told to, by default nothing. A plan looks for a rule
and charges what acting costs on Ethereum, unless told otherwise.

What draws is imported where it is used: these commands are read whenever any command starts.
"""

from __future__ import annotations

import json
import math
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from keeper.domain.errors import Misconfigured

if TYPE_CHECKING:
    from rich.console import Console

    from keeper.planner.bars import History
    from keeper.planner.cases import Case
    from keeper.planner.costs import Costs
    from keeper.planner.findings import Findings, Lived
    from keeper.planner.plan import Effort, Question
    from keeper.planner.results import Kind

_SETS = "keeper rule set "
_NAMED = ("kind", "collateral", "debt", "assets")
_TITLES = 20
"""How wide the column is that says what each figure is."""
_ON_SCREEN = (
    "certainty_fee_bps",
    "cost_bps",
    "tracking_error",
    "trades",
    "max_drawdown",
    "cvar_95_day",
    "min_health",
    "liquidations",
)
_SETTINGS: Mapping[str, Any] = {
    "no_args_is_help": True,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
backtest = typer.Typer(help="Live one rule through a history.", **_SETTINGS)
plan = typer.Typer(help="Find a rule worth writing, and say what it buys and costs.", **_SETTINGS)
theory = typer.Typer(help="What closed forms say of a rule.", **_SETTINGS)

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
        "--objective", help="risk-aversion, tracking-error, trades, cost, cvar, liquidations or min-health."
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
Out = Annotated[Path, typer.Option(help="The folder for plan.html and rule.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@backtest.command("basket")
def backtest_basket(
    target: Annotated[list[float], typer.Option(help="A weight per asset; what is left is money.")],
    trigger: Annotated[float, typer.Option(help="How far a weight may stray.", min=0)] = 0.05,
    destination: Annotated[float, typer.Option(help="How far off target to land; 0 is on it.", min=0)] = 0.0,
    relative: Annotated[
        bool, typer.Option("--relative", help="Both as shares of the target weight.")
    ] = False,
    prices: Prices = None,
    column: Column = None,
    start: Start = None,
    end: End = None,
    fee_bps: FeeBps = 0.0,
    gas_units: Gas = 0,
    gas_gwei: Gwei = None,
    ether: Ether = None,
    quotes: Quotes = None,
    impact: Depth = False,
    failures: Failures = 0.0,
    latency: Latency = 0,
    capital: Capital = 100_000.0,
    cooldown: Cooldown = 0,
    look: Look = 1,
    scaling: Scaling = "fixed",
    risk_aversion: Aversion = 5.0,
    as_json: Json = False,
) -> None:
    """A basket of weights: traded back when one leaves its band.

    Example: keeper backtest basket --target 0.5 --trigger 0.05 --destination 0.02 --fee-bps 10 --json
    """
    from keeper.planner.cases import basket_case

    costs = _costs("basket", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, 0.0)
    case = basket_case(_histories(prices, column, start, end), target, costs, capital)
    _tell_backtest(
        case, risk_aversion, as_json,
        trigger=trigger, destination=destination, is_relative=float(relative),
        cooldown=cooldown, look=look, scale=_scale(scaling),
    )  # fmt: skip


@backtest.command("loan")
def backtest_loan(
    leverage: Annotated[
        float | None, typer.Option(help="Hold this leverage, within --within of it.", min=1.0001)
    ] = None,
    within: Annotated[float, typer.Option(help="The band about a leverage, as a share of it.", min=0)] = 0.15,
    floor: Annotated[float | None, typer.Option(help="Act below this health.")] = None,
    target: Annotated[float | None, typer.Option(help="Land on this health.")] = None,
    ceiling: Annotated[float | None, typer.Option(help="Borrow again above this health.")] = None,
    liquidation_threshold: Threshold = 0.83,
    bonus: Bonus = 0.05,
    close_factor: CloseFactor = 0.5,
    supply_rate: Supply = 0.0,
    borrow_rate: Borrow = 0.0,
    prices: Prices = None,
    column: Column = None,
    start: Start = None,
    end: End = None,
    walk_bars: Walk = False,
    fee_bps: FeeBps = 0.0,
    gas_units: Gas = 0,
    gas_gwei: Gwei = None,
    ether: Ether = None,
    quotes: Quotes = None,
    impact: Depth = False,
    failures: Failures = 0.0,
    latency: Latency = 0,
    premium_bps: Premium = 0.0,
    capital: Capital = 100_000.0,
    cooldown: Cooldown = 0,
    look: Look = 1,
    scaling: Scaling = "fixed",
    risk_aversion: Aversion = 5.0,
    as_json: Json = False,
) -> None:
    """A loan: brought back to its target health, or liquidated.

    Example: keeper backtest loan --floor 1.4 --target 1.65 --ceiling 1.9 --liquidation-threshold 0.83
    """
    from keeper.planner.cases import loan_case
    from keeper.planner.simulate_loan import Lending

    band = _band(leverage, within, floor, target, ceiling, liquidation_threshold)
    lending = Lending(liquidation_threshold, close_factor, 0.95, bonus)
    costs = _costs(
        "loan", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, premium_bps
    )
    (history,) = _histories(prices, column, start, end, walk_bars)
    case = loan_case(history, lending, costs, supply_rate, borrow_rate, capital)
    _tell_backtest(
        case, risk_aversion, as_json,
        floor=band[0], target=band[1], ceiling=band[2], cooldown=cooldown, look=look, scale=_scale(scaling),
    )  # fmt: skip


@backtest.command("range")
def backtest_range(
    width: Annotated[float, typer.Option(help="r: the range is price / r to price · r.", min=1.0001)],
    trigger: Annotated[
        float | None,
        typer.Option(help="Move when the price is this ratio from the centre; the edge by default."),
    ] = None,
    hold: Annotated[int, typer.Option(help="Bars over which the mean must be out too.", min=1)] = 1,
    fee_yield: Yield = None,
    prices: Prices = None,
    column: Column = None,
    start: Start = None,
    end: End = None,
    fee_bps: FeeBps = 5.0,
    gas_units: Gas = 0,
    gas_gwei: Gwei = None,
    ether: Ether = None,
    quotes: Quotes = None,
    impact: Depth = False,
    failures: Failures = 0.0,
    latency: Latency = 0,
    capital: Capital = 100_000.0,
    cooldown: Cooldown = 0,
    look: Look = 1,
    scaling: Scaling = "fixed",
    risk_aversion: Aversion = 5.0,
    as_json: Json = False,
) -> None:
    """A range of liquidity: laid anew around a price that left it; --fee-bps is also what it earns by.

    Example: keeper backtest range --width 1.2 --trigger 1.25 --fee-yield 0.12
    """
    from keeper.planner.cases import range_case

    costs = _costs("range", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, 0.0)
    (history,) = _histories(prices, column, start, end)
    case = range_case(history, costs, fee_yield, fee_bps / 1e4, capital)
    _tell_backtest(
        case, risk_aversion, as_json,
        width=math.log(width), trigger=math.log(trigger or width), hold=hold,
        cooldown=cooldown, look=look, scale=_scale(scaling),
    )  # fmt: skip


@plan.command("basket")
def plan_basket(
    target: Annotated[list[float], typer.Option(help="A weight per asset; what is left is money.")],
    objective: Wanted = "risk-aversion",
    at_most: AtMost = None,
    risk_aversion: Aversion = 5.0,
    prices: Prices = None,
    column: Column = None,
    start: Start = None,
    end: End = None,
    fee_bps: FeeBps = 5.0,
    gas_units: Gas = None,
    gas_gwei: Gwei = None,
    ether: Ether = None,
    quotes: Quotes = None,
    impact: Depth = True,
    failures: Failures = 0.05,
    latency: Latency = 1,
    capital: Capital = 100_000.0,
    cooldown: Cooldown = 0,
    look: Look = 1,
    trials: Trials = 256,
    paths: Paths = 60,
    folds: Folds = 4,
    seed: Seed = 0,
    backend: Where = "threading",
    scheduler: Scheduler = None,
    workers: Workers = -1,
    keep: Keep = None,
    out: Out = Path("build"),
    as_json: Json = False,
) -> None:
    """A band for a basket of weights.

    Example: keeper plan basket --target 0.6 --objective tracking-error --at-most 0.03
    """
    from keeper.planner.objectives import objective as wish
    from keeper.planner.questions import basket_question

    costs = _costs("basket", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, 0.0)
    question = basket_question(
        _histories(prices, column, start, end), target, wish(objective, at_most, risk_aversion), costs, capital,
        [float(cooldown)], [float(look)],
    )  # fmt: skip
    _tell_plan(question, _effort(trials, paths, folds, seed, backend, workers, keep), scheduler, out, as_json)


@plan.command("loan")
def plan_loan(
    collateral: Annotated[
        str | None, typer.Option(help="The collateral, by address or symbol, for the rule's file.")
    ] = None,
    debt: Annotated[str | None, typer.Option(help="The debt, likewise.")] = None,
    debt_decimals: Annotated[int, typer.Option(help="The debt's.", min=0, max=36)] = 6,
    leverage: Annotated[float | None, typer.Option(help="The leverage to hold.", min=1.0001)] = None,
    target: Annotated[float | None, typer.Option(help="The same as a health.")] = None,
    objective: Wanted = "liquidations",
    at_most: AtMost = None,
    risk_aversion: Aversion = 2.0,
    liquidation_threshold: Threshold = 0.83,
    bonus: Bonus = 0.05,
    close_factor: CloseFactor = 0.5,
    supply_rate: Supply = 0.01,
    borrow_rate: Borrow = 0.04,
    prices: Prices = None,
    column: Column = None,
    start: Start = None,
    end: End = None,
    walk_bars: Walk = False,
    fee_bps: FeeBps = 5.0,
    gas_units: Gas = None,
    gas_gwei: Gwei = None,
    ether: Ether = None,
    quotes: Quotes = None,
    impact: Depth = True,
    failures: Failures = 0.05,
    latency: Latency = 1,
    premium_bps: Premium = 0.0,
    capital: Capital = 100_000.0,
    cooldown: Cooldown = 0,
    look: Look = 1,
    trials: Trials = 256,
    paths: Paths = 60,
    folds: Folds = 4,
    seed: Seed = 0,
    backend: Where = "threading",
    scheduler: Scheduler = None,
    workers: Workers = -1,
    keep: Keep = None,
    out: Out = Path("build"),
    as_json: Json = False,
) -> None:
    """A floor and a ceiling for a loan's health, and the command that puts them on chain.

    Example: keeper plan loan --leverage 2 --from 2022-05-01 --to 2022-08-01 --at-most 0
    """
    from keeper.planner.objectives import objective as wish
    from keeper.planner.questions import loan_question
    from keeper.planner.rule_file import Assets
    from keeper.planner.simulate_loan import Lending

    if objective == "liquidations" and at_most is None:
        at_most = 0.0
    aim = _band(leverage, 0.0, None, target, None, liquidation_threshold)[1]
    costs = _costs(
        "loan", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, premium_bps
    )
    (history,) = _histories(prices, column, start, end, walk_bars)
    question = loan_question(
        history, Lending(liquidation_threshold, close_factor, 0.95, bonus), aim,
        wish(objective, at_most, risk_aversion), costs, (supply_rate, borrow_rate), capital,
        [float(cooldown)], [float(look)], Assets(collateral, debt, debt_decimals),
    )  # fmt: skip
    _tell_plan(question, _effort(trials, paths, folds, seed, backend, workers, keep), scheduler, out, as_json)


@plan.command("range")
def plan_range(
    fee_yield: Yield = None,
    objective: Wanted = "risk-aversion",
    at_most: AtMost = None,
    risk_aversion: Aversion = 2.0,
    prices: Prices = None,
    column: Column = None,
    start: Start = None,
    end: End = None,
    fee_bps: FeeBps = 5.0,
    gas_units: Gas = None,
    gas_gwei: Gwei = None,
    ether: Ether = None,
    quotes: Quotes = None,
    impact: Depth = True,
    failures: Failures = 0.05,
    latency: Latency = 1,
    capital: Capital = 100_000.0,
    cooldown: Cooldown = 0,
    look: Look = 1,
    trials: Trials = 256,
    paths: Paths = 60,
    folds: Folds = 4,
    seed: Seed = 0,
    backend: Where = "threading",
    scheduler: Scheduler = None,
    workers: Workers = -1,
    keep: Keep = None,
    out: Out = Path("build"),
    as_json: Json = False,
) -> None:
    """A width for a range of liquidity, and when to move it.

    Example: keeper plan range --fee-yield 0.12 --trials 128
    """
    from keeper.planner.objectives import objective as wish
    from keeper.planner.questions import range_question

    costs = _costs("range", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, 0.0)
    (history,) = _histories(prices, column, start, end)
    question = range_question(
        history, fee_yield, wish(objective, at_most, risk_aversion), costs, capital,
        [float(cooldown)], [float(look)],
    )  # fmt: skip
    _tell_plan(question, _effort(trials, paths, folds, seed, backend, workers, keep), scheduler, out, as_json)


@theory.command("band")
def theory_band(
    target: Annotated[float, typer.Option(help="The weight, or the leverage.")] = 0.5,
    risk_aversion: Aversion = 5.0,
    cost: Annotated[float, typer.Option(help="One way, a share of the value sold.", min=0)] = 0.003,
    fixed_cost: Annotated[float, typer.Option(help="Per trade, a share of net worth.", min=0)] = 0.0,
    volatility: Annotated[float, typer.Option(help="A year's.", min=0.001)] = 0.8,
    as_json: Json = False,
) -> None:
    """The best trigger and destination for an aversion to risk, and what they do.

    Example: keeper theory band --cost 0.003 --fixed-cost 0.0001
    """
    from keeper.planner.theory.bands import band_statistics, best_band, yearly_loss

    band = best_band(target, risk_aversion, cost, fixed_cost)
    done = band_statistics(target, volatility, band.trigger, band.destination)
    _say(
        {
            "trigger": band.trigger,
            "destination": band.destination,
            "loss_per_year": yearly_loss(target, volatility, risk_aversion, band, cost, fixed_cost),
            "trades_per_year": done.trades,
            "turnover_per_year": done.turnover,
            "rms_deviation": done.rms_deviation,
            "tracking_error": done.tracking_error,
        },
        as_json,
    )


@theory.command("crra")
def theory_crra(
    excess_return: Annotated[float, typer.Option(help="Over the safe rate, a year.")] = 0.08,
    volatility: Annotated[float, typer.Option(help="A year's.", min=0.001)] = 0.16,
    risk_aversion: Aversion = 5.0,
    spread: Annotated[float, typer.Option(help="Bid against ask: twice the one-way cost.", min=1e-9)] = 0.01,
    as_json: Json = False,
) -> None:
    """The exact no-trade band of constant relative risk aversion under proportional costs.

    Example: keeper theory crra --excess-return 0.05 --volatility 0.6
    """
    from dataclasses import asdict

    from keeper.planner.theory.crra import no_trade_band

    _say(asdict(no_trade_band(excess_return, volatility, risk_aversion, spread)), as_json)


@theory.command("health")
def theory_health(
    leverage: Annotated[float, typer.Option(help="Collateral over net worth.", min=1.0001)] = 2.0,
    liquidation_threshold: Threshold = 0.825,
    volatility: Annotated[float, typer.Option(help="A year's.", min=0.001)] = 0.8,
    days: Annotated[float, typer.Option(help="How long.", min=0.001)] = 30.0,
    share: Annotated[
        float, typer.Option(help="The chance of liquidation to tolerate.", min=1e-9, max=0.99)
    ] = 0.05,
    as_json: Json = False,
) -> None:
    """A leverage's health, its distance from liquidation, and the health a tolerance asks for.

    Example: keeper theory health --leverage 2 --days 30 --share 0.01
    """
    from keeper.planner.theory.passage import (
        drop_to_liquidation,
        health_for_probability,
        health_of,
        passage_probability,
    )

    health = health_of(leverage, liquidation_threshold)
    _say(
        {
            "health": health,
            "drop_to_liquidation": drop_to_liquidation(health),
            "liquidation_probability": passage_probability(health, volatility, days / 365),
            "health_for_share": health_for_probability(share, volatility, days / 365),
        },
        as_json,
    )


@theory.command("range")
def theory_range(
    width: Annotated[float, typer.Option(help="r: the range is price / r to price · r.", min=1.0001)] = 1.25,
    volatility: Annotated[float, typer.Option(help="A year's.", min=0.001)] = 0.8,
    as_json: Json = False,
) -> None:
    """What a range concentrates, how long the price stays in it, and what it loses meanwhile.

    Example: keeper theory range --volatility 0.8
    """
    from keeper.planner.theory.liquidity import centred_loss, efficiency, exit_time, loss_versus_rebalancing

    _say(
        {
            "efficiency": efficiency(width),
            "exit_days": exit_time(width, volatility) * 365.25,
            "loss_versus_rebalancing": centred_loss(width, volatility),
            "of_the_full_range": loss_versus_rebalancing(volatility),
        },
        as_json,
    )


def _histories(
    prices: Sequence[Path] | None, column: str | None, start: str | None, end: str | None, walk: bool = False
) -> list[History]:
    from dataclasses import replace

    from keeper.planner.bars import read_history, walked
    from keeper.planner.costs import ether_history

    if prices:
        found = [read_history(path, start, end, column) for path in prices]
    else:
        cut = ether_history().between(start, end)
        found = [
            replace(cut, notes=("prices are hourly ether in tether, as the package has them", *cut.notes))
        ]
    return [walked(each) for each in found] if walk else found


def _costs(
    kind: Kind,
    fee_bps: float,
    gas_units: int | None,
    gas_gwei: float | None,
    ether: float | None,
    quotes: Path | None,
    impact: bool,
    failures: float,
    latency: int,
    premium_bps: float,
) -> Costs:
    from keeper.planner.costs import GAS_UNITS, NO_IMPACT, Costs, ether_impact, read_quotes

    depth = read_quotes(quotes) if quotes is not None else ether_impact() if impact else NO_IMPACT
    return Costs(
        fee=fee_bps / 1e4,
        impact=depth,
        gas_units=GAS_UNITS[kind] if gas_units is None else gas_units,
        gas_gwei=gas_gwei,
        ether=ether,
        premium=premium_bps / 1e4,
        failures=failures,
        delay=latency,
    )


def _effort(
    trials: int,
    paths: int,
    folds: int,
    seed: int,
    backend: Literal["serial", "threading", "loky", "dask"],
    workers: int,
    keep: Path | None,
) -> Effort:
    from keeper.planner.plan import Effort

    return Effort(trials, paths, folds, seed, backend, workers, keep)


def _band(
    leverage: float | None,
    within: float,
    floor: float | None,
    target: float | None,
    ceiling: float | None,
    threshold: float,
) -> tuple[float, float, float]:
    """Floor, target and ceiling in health, of a leverage or of healths."""
    from keeper.planner.theory.passage import health_of

    if leverage is not None:
        if target is not None or floor is not None or ceiling is not None:
            raise Misconfigured("loan: say its band by --leverage or by healths, not by both")
        low, high = leverage * (1 - within), leverage * (1 + within)
        top = health_of(low, threshold) if low > 1 and within > 0 else math.inf
        return health_of(high, threshold), health_of(leverage, threshold), top
    if target is None:
        raise Misconfigured("loan: say where it shall stand, by --leverage or by --target")
    return floor or 0.0, target, math.inf if ceiling is None else ceiling


def _scale(scaling: Literal["fixed", "with", "against"]) -> float:
    from keeper.planner.cases import AGAINST_VOLATILITY, FIXED, WITH_VOLATILITY

    return float({"fixed": FIXED, "with": WITH_VOLATILITY, "against": AGAINST_VOLATILITY}[scaling])


def _tell_backtest(case: Case, risk_aversion: float, as_json: bool, **rule: float) -> None:
    from keeper.planner.metrics import measure
    from keeper.planner.sweep import grid, sweep

    rules = grid(case.columns, **rule)
    if len(rules) == 0:
        told = ", ".join(f"{name} {value:g}" for name, value in rule.items())
        raise Misconfigured(f"backtest: a rule of {told} contradicts itself")
    scores = sweep(case, rules, "serial")
    figures = measure(case.path(rules[0]), risk_aversion).table()
    head = {
        "bars": scores.bars,
        "years": scores.years,
        "trades": int(scores["trades"][0]),
        "turnover_per_year": float(scores.turnover_per_year[0]),
        "rms_deviation": float(scores.rms_deviation[0]),
        "final_value": float(scores["final_value"][0]),
        "cost_bps_per_year": float(scores.cost_bps_per_year[0]),
    }
    figures["trades_per_year"] = figures.pop("trades")
    _say(
        {**head, **{name: value for name, value in figures.items() if name not in head}}, as_json, case.notes
    )


def _tell_plan(question: Question, effort: Effort, scheduler: str | None, out: Path, as_json: bool) -> None:
    from keeper.planner.plan import plan as find
    from keeper.planner.workers import cluster
    from keeper.report.plan_page import write_plan

    if (effort.backend == "dask") != (scheduler is not None):
        raise Misconfigured("plan: --backend dask needs --scheduler, and nothing else does")
    with _progress() as on_progress:
        if scheduler is not None:
            with cluster(scheduler):
                found = find(question, effort, on_progress)
        else:
            found = find(question, effort, on_progress)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "rule.toml").write_text(found.rule_file, encoding="utf-8")
        write_plan(found, out / "plan.html")
    except OSError as error:
        raise Misconfigured(f"plan: {out} cannot be written to ({error.strerror or error})") from error
    if as_json:
        print(json.dumps(_plan_json(found, out), indent=2, allow_nan=False))
    else:
        from rich.console import Console

        _print_plan(Console(highlight=False), found, out)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error for each thing under way."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        known: dict[str, Any] = {}

        def on_progress(what: str, done: int, of: int) -> None:
            if what not in known:
                known[what] = bars.add_task(what, total=of)
            bars.update(known[what], completed=done)

        yield on_progress


def _plan_json(found: Findings, out: Path) -> dict[str, Any]:
    front = found.front
    return {
        "title": found.title,
        "objective": found.objective,
        "risk_aversion": found.risk_aversion,
        "rule": tomllib.loads(found.rule_file),
        "command": _command(found, out),
        "planned": _lived_json(found.chosen),
        "compared": [_lived_json(each) for each in found.compared],
        "frontier": {
            "cost_bps": front.cost.tolist(),
            "risk": front.risk.tolist(),
            "risk_unit": found.risk_unit,
            "knee": front.knee,
            "rules": _members(found),
        },
        "theory": {
            name: {
                "trigger": point.band.trigger,
                "destination": point.band.destination,
                "cost_bps": point.cost_bps,
                "tracking_error": point.tracking_error,
            }
            for name, point in found.theory.items()
        },
        "crashes": {name: _numbers(figures.table()) for name, figures in found.crashes.items()},
        "walk_forward": [
            {
                "trained": fold.trained,
                "tested": fold.tested,
                "rule": _numbers(fold.rule),
                "trained_fee_bps": _number(fold.trained_fee_bps),
                "tested_fee_bps": _number(fold.tested_fee_bps),
                "best_fee_bps": _number(fold.best_fee_bps),
            }
            for fold in found.folds
        ],
        "doubts": list(found.doubts),
        "notes": list(found.notes),
    }


def _members(found: Findings) -> list[dict[str, float | None]]:
    names = found.scores.parameters
    return [_numbers({name: float(names[name][at]) for name in names}) for at in found.front.members]


def _lived_json(lived: Lived) -> dict[str, Any]:
    return {
        "name": lived.name,
        "rule": _numbers(lived.rule),
        "metrics": _numbers(lived.metrics.table()),
        "intervals_90": {name: list(span) for name, span in lived.intervals.items()},
    }


def _numbers(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in figures.items()}


def _number(value: float) -> float | None:
    """JSON knows no infinity: no ceiling, no debt, never."""
    return value if math.isfinite(value) else None


def _say(figures: Mapping[str, float], as_json: bool, notes: Sequence[str] = ()) -> None:
    if as_json:
        print(
            json.dumps(
                _numbers(figures) | ({"notes": list(notes)} if notes else {}), indent=2, allow_nan=False
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
        table.add_row(name.replace("_", " "), _figure(value))
    console.print(table)
    for note in notes:
        console.print(Text(f"note: {note}", "dim"))


def _print_plan(console: Console, found: Findings, out: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from keeper.report.plan_page import figures_of

    console.print(Text(f"{found.title}: {found.objective}", "bold"))
    # Rules across, of which there are few: figures across would be cut on a narrow terminal.
    table = Table()
    table.add_column("", min_width=_TITLES)
    everyone = (found.chosen, *found.compared)
    widest = max((console.width - _TITLES - 4) // len(everyone) - 3, 1)
    for lived in everyone:
        table.add_column(Text(lived.name), justify="right", max_width=widest, overflow="fold")
    for title, *figures in figures_of(found, _ON_SCREEN):
        table.add_row(title, *map(Text, figures))
    console.print(table)
    # As the file has it, where it has anything: rounded for the chain, and not once more for the screen.
    written = tomllib.loads(found.rule_file)
    told = [f"{name} {value}" for name, value in written.items() if name not in _NAMED]
    told += [f"{each['target_bps']} ± {each['band_bps']} bps" for each in written.get("assets", ())]
    console.print(Text(f"planned: {', '.join(told) or 'no rule'}"), soft_wrap=True)
    for name, point in found.theory.items():
        console.print(
            f"{name}: trigger {_figure(point.band.trigger)}, destination {_figure(point.band.destination)}"
        )
    for doubt in found.doubts:
        console.print(Text(doubt, "yellow"))
    for note in found.notes:
        console.print(Text(f"note: {note}", "dim"))
    console.print(
        f"{out / 'plan.html'} has the frontier and all else, {out / 'rule.toml'} the rule for the chain",
        soft_wrap=True,
    )
    if command := _command(found, out):
        console.print(command, soft_wrap=True)


def _command(found: Findings, out: Path) -> str | None:
    """What sets the rule on chain, if anything does, as it is typed here."""
    from keeper.report.texts import command_text

    first = found.rule_file.partition("\n")[0].removeprefix("# ")
    if not first.startswith(_SETS):
        return None
    asked = first.removeprefix(_SETS).replace("rule.toml", shlex.quote(str(out / "rule.toml")), 1)
    return f"{command_text()} rule set {asked}"


def _figure(value: float) -> str:
    if not math.isfinite(value):
        return "∞"
    return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:.4g}"

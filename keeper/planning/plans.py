"""`keeper plan`: a rule worth writing, looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keeper.planning.findings_told import tell_plan
from keeper.planning.inputs import band_of, beside, costs_of, effort, histories
from keeper.planning.options import (
    SETTINGS,
    AtMost,
    Aversion,
    Bonus,
    Borrow,
    BoundPaths,
    Capital,
    CloseFactor,
    Column,
    Compare,
    Confidence,
    Cooldowns,
    Depth,
    End,
    Ether,
    Failures,
    FeeBps,
    Folds,
    Gas,
    Gwei,
    Horizon,
    Json,
    Keep,
    Latency,
    Looks,
    Out,
    Paths,
    Premium,
    Prices,
    Quotes,
    Scheduler,
    Seed,
    Start,
    Supply,
    Threshold,
    Trials,
    Walk,
    Wanted,
    Where,
    Workers,
    Yield,
)

plan = typer.Typer(help="Find a rule worth writing, and say what it buys and costs.", **SETTINGS)


@plan.command("basket")
def plan_basket(
    target: Annotated[list[float], typer.Option(help="A weight per asset; what is left is money.")],
    objective: Wanted = "risk-aversion",
    at_most: AtMost = None,
    confidence: Confidence = 0.95,
    horizon: Horizon = None,
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
    cooldown: Cooldowns = None,
    look: Looks = None,
    trials: Trials = 256,
    paths: Paths = 60,
    bound_paths: BoundPaths = None,
    folds: Folds = 4,
    seed: Seed = 0,
    backend: Where = "threading",
    scheduler: Scheduler = None,
    workers: Workers = -1,
    keep: Keep = None,
    compare: Compare = None,
    out: Out = Path("build"),
    as_json: Json = False,
) -> None:
    """A band for a basket of weights.

    Example: keeper plan basket --target 0.6 --objective tracking-error --at-most 0.03
    """
    from keeper.planner.objectives import objective as wish
    from keeper.planner.questions import basket_question

    costs = costs_of("basket", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, 0.0)
    question = basket_question(
        histories(prices, column, start, end), target,
        wish(objective, at_most, risk_aversion, confidence, horizon), costs, capital, cooldown or [0], look or [1],
    )  # fmt: skip
    question = beside(question, compare, targets=target)
    tell_plan(
        question,
        effort(trials, paths, bound_paths, folds, seed, backend, workers, keep),
        scheduler,
        out,
        as_json,
    )


@plan.command("loan")
def plan_loan(
    collateral: Annotated[
        str | None, typer.Option(help="The collateral, by address or symbol, for the rule's file.")
    ] = None,
    debt: Annotated[str | None, typer.Option(help="The debt, likewise.")] = None,
    feed: Annotated[
        str | None, typer.Option(help="The collateral's price feed, for a floor that follows volatility.")
    ] = None,
    debt_decimals: Annotated[int, typer.Option(help="The debt's.", min=0, max=36)] = 6,
    leverage: Annotated[float | None, typer.Option(help="The leverage to hold.", min=1.0001)] = None,
    target: Annotated[float | None, typer.Option(help="The same as a health.")] = None,
    objective: Wanted = "liquidations",
    at_most: AtMost = None,
    confidence: Confidence = 0.95,
    horizon: Horizon = None,
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
    cooldown: Cooldowns = None,
    look: Looks = None,
    trials: Trials = 256,
    paths: Paths = 60,
    bound_paths: BoundPaths = None,
    folds: Folds = 4,
    seed: Seed = 0,
    backend: Where = "threading",
    scheduler: Scheduler = None,
    workers: Workers = -1,
    keep: Keep = None,
    compare: Compare = None,
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
    aim = band_of(leverage, 0.0, None, target, None, liquidation_threshold)[1]
    costs = costs_of(
        "loan", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, premium_bps
    )
    (history,) = histories(prices, column, start, end, walk_bars)
    question = loan_question(
        history, Lending(liquidation_threshold, close_factor, 0.95, bonus), aim,
        wish(objective, at_most, risk_aversion, confidence, horizon), costs, (supply_rate, borrow_rate), capital,
        cooldown or [0], look or [1], Assets(collateral, debt, debt_decimals, feed=feed),
    )  # fmt: skip
    question = beside(question, compare, threshold=liquidation_threshold)
    tell_plan(
        question,
        effort(trials, paths, bound_paths, folds, seed, backend, workers, keep),
        scheduler,
        out,
        as_json,
    )


@plan.command("range")
def plan_range(
    fee_yield: Yield = None,
    objective: Wanted = "risk-aversion",
    at_most: AtMost = None,
    confidence: Confidence = 0.95,
    horizon: Horizon = None,
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
    cooldown: Cooldowns = None,
    look: Looks = None,
    trials: Trials = 256,
    paths: Paths = 60,
    bound_paths: BoundPaths = None,
    folds: Folds = 4,
    seed: Seed = 0,
    backend: Where = "threading",
    scheduler: Scheduler = None,
    workers: Workers = -1,
    keep: Keep = None,
    compare: Compare = None,
    out: Out = Path("build"),
    as_json: Json = False,
) -> None:
    """A width for a range of liquidity, and when to move it.

    Example: keeper plan range --fee-yield 0.12 --trials 128
    """
    from keeper.planner.objectives import objective as wish
    from keeper.planner.questions import range_question

    costs = costs_of("range", fee_bps, gas_units, gas_gwei, ether, quotes, impact, failures, latency, 0.0)
    (history,) = histories(prices, column, start, end)
    question = range_question(
        history, fee_yield, wish(objective, at_most, risk_aversion, confidence, horizon), costs, capital,
        cooldown or [0], look or [1],
    )  # fmt: skip
    question = beside(question, compare)
    tell_plan(
        question,
        effort(trials, paths, bound_paths, folds, seed, backend, workers, keep),
        scheduler,
        out,
        as_json,
    )

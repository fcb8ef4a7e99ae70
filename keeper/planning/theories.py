"""`keeper theory`: what closed forms say of a rule."""

from __future__ import annotations

from typing import Annotated

import typer

from keeper.planning.figures import say
from keeper.planning.options import SETTINGS, Aversion, Json, Threshold

theory = typer.Typer(help="What closed forms say of a rule.", **SETTINGS)


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
    say(
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

    say(asdict(no_trade_band(excess_return, volatility, risk_aversion, spread)), as_json)


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
    say(
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

    say(
        {
            "efficiency": efficiency(width),
            "exit_days": exit_time(width, volatility) * 365.25,
            "loss_versus_rebalancing": centred_loss(width, volatility),
            "of_the_full_range": loss_versus_rebalancing(volatility),
        },
        as_json,
    )

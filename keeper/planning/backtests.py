"""`keeper backtest`: one rule, lived through a history."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.domain.errors import Misconfigured
from keeper.planning.figures import say
from keeper.planning.groups import Bars, LentFree, Paced, Uncharged, UnchargedRange, grouped
from keeper.planning.inputs import band_of, scale
from keeper.planning.options import SETTINGS, Aversion, Json, Scaling, Yield

if TYPE_CHECKING:
    from keeper.planner.cases import Case

backtest = typer.Typer(help="Live one rule through a history.", **SETTINGS)


@backtest.command("basket")
@grouped
def backtest_basket(
    target: Annotated[list[float], typer.Option(help="A weight per asset; what is left is money.")],
    bars: Bars,
    charged: Uncharged,
    paced: Paced,
    trigger: Annotated[float, typer.Option(help="How far a weight may stray.", min=0)] = 0.05,
    destination: Annotated[float, typer.Option(help="How far off target to land; 0 is on it.", min=0)] = 0.0,
    relative: Annotated[
        bool, typer.Option("--relative", help="Both as shares of the target weight.")
    ] = False,
    scaling: Scaling = "fixed",
    risk_aversion: Aversion = 5.0,
    as_json: Json = False,
) -> None:
    """A basket of weights: traded back when one leaves its band.

    Example: keeper backtest basket --target 0.5 --trigger 0.05 --destination 0.02 --fee-bps 10 --json
    """
    from keeper.planner.cases import basket_case

    case = basket_case(bars.read(), target, charged.costs("basket"), charged.capital)
    _tell_backtest(
        case, risk_aversion, as_json,
        trigger=trigger, destination=destination, is_relative=float(relative),
        cooldown=paced.cooldown, look=paced.look, scale=scale(scaling),
    )  # fmt: skip


@backtest.command("loan")
@grouped
def backtest_loan(
    lent: LentFree,
    bars: Bars,
    charged: Uncharged,
    paced: Paced,
    leverage: Annotated[
        float | None, typer.Option(help="Hold this leverage, within --within of it.", min=1.0001)
    ] = None,
    within: Annotated[float, typer.Option(help="The band about a leverage, as a share of it.", min=0)] = 0.15,
    floor: Annotated[float | None, typer.Option(help="Act below this health.")] = None,
    target: Annotated[float | None, typer.Option(help="Land on this health.")] = None,
    ceiling: Annotated[float | None, typer.Option(help="Borrow again above this health.")] = None,
    speed: Annotated[
        float, typer.Option(help="Share of the way to the target that one action goes.", min=0.0001, max=1)
    ] = 1.0,
    sigmas: Annotated[
        float,
        typer.Option(help="Standard deviations of a week that the floor rises to bear; 0: fixed.", min=0),
    ] = 0.0,
    highest: Annotated[float, typer.Option(help="The health such a floor rises to.", min=0)] = 0.0,
    risk_aversion: Aversion = 5.0,
    as_json: Json = False,
) -> None:
    """A loan: brought back to its target health, or liquidated.

    Example: keeper backtest loan --floor 1.4 --target 1.65 --ceiling 1.9 --liquidation-threshold 0.83
    """
    from keeper.planner.cases import loan_case

    band = band_of(leverage, within, floor, target, ceiling, lent.liquidation_threshold)
    (history,) = bars.read(lent.walk_bars)
    costs = charged.costs("loan", lent.premium_bps)
    case = loan_case(history, lent.lending(), costs, lent.supply_rate, lent.borrow_rate, charged.capital)
    _tell_backtest(
        case, risk_aversion, as_json,
        floor=band[0], target=band[1], ceiling=band[2], cooldown=paced.cooldown, look=paced.look,
        sigmas=sigmas, highest=highest, speed=speed,
    )  # fmt: skip


@backtest.command("range")
@grouped
def backtest_range(
    width: Annotated[float, typer.Option(help="r: the range is price / r to price · r.", min=1.0001)],
    bars: Bars,
    charged: UnchargedRange,
    paced: Paced,
    trigger: Annotated[
        float | None,
        typer.Option(help="Move when the price is this ratio from the centre; the edge by default."),
    ] = None,
    hold: Annotated[int, typer.Option(help="Bars over which the mean must be out too.", min=1)] = 1,
    fee_yield: Yield = None,
    scaling: Scaling = "fixed",
    risk_aversion: Aversion = 5.0,
    as_json: Json = False,
) -> None:
    """A range of liquidity: laid anew around a price that left it; --fee-bps is also what it earns by.

    Example: keeper backtest range --width 1.2 --trigger 1.25 --fee-yield 0.12
    """
    from keeper.planner.cases import range_case

    (history,) = bars.read()
    case = range_case(history, charged.costs("range"), fee_yield, charged.fee_bps / 1e4, charged.capital)
    _tell_backtest(
        case, risk_aversion, as_json,
        width=math.log(width), trigger=math.log(trigger or width), hold=hold,
        cooldown=paced.cooldown, look=paced.look, scale=scale(scaling),
    )  # fmt: skip


@contextmanager
def _under_way(what: str) -> Iterator[None]:
    """A spinner on standard error; nothing where that is no terminal, since in a pipe it would end a line."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status(what) if console.is_terminal else nullcontext():
        yield


def _how(rule: Mapping[str, float]) -> str:
    """In which two of its numbers a rule does."""
    for lower, upper in (
        ("floor", "target"),
        ("target", "ceiling"),
        ("width", "trigger"),
        ("destination", "trigger"),
    ):
        if rule.get(lower, -math.inf) > rule.get(upper, math.inf) or (
            upper in ("target", "ceiling") and rule.get(lower, 0.0) == rule.get(upper, math.inf)
        ):
            return f": its {lower} is not below the {upper}"
    if "sigmas" in rule:
        if rule["sigmas"] > 0 and not 1 < rule["floor"] < rule["highest"]:
            return ": a floor that follows volatility rises from above 1 to a highest above it (--highest)"
        if rule["sigmas"] == 0 and rule["highest"] != 0:
            return ": only a floor that follows volatility has a highest (--sigmas)"
    return ""


def _tell_backtest(case: Case, risk_aversion: float, as_json: bool, **rule: float) -> None:
    from keeper.planner.metrics import measure
    from keeper.planner.sweep import grid, sweep

    rules = grid(case.columns, **rule)
    if len(rules) == 0:
        told = ", ".join(f"{name} {value:g}" for name, value in rule.items())
        raise Misconfigured(f"backtest: a rule of {told} contradicts itself{_how(rule)}")
    # The first time numba compiles, which takes a minute.
    with _under_way(f"living the rule through {len(case.moment):,} bars"):
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
    say({**head, **{name: value for name, value in figures.items() if name not in head}}, as_json, case.notes)

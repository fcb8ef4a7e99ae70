"""`keeper plan`: a rule worth writing, looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from keeper.planning.findings_told import tell_plan
from keeper.planning.groups import Bars, Charged, Lent, Sought, Wished, WishedOfALoan, WishedOfARange, grouped
from keeper.planning.inputs import band_of, beside
from keeper.planning.options import SETTINGS, Yield

if TYPE_CHECKING:
    from keeper.planner.plan import Question

plan = typer.Typer(help="Find a rule worth writing, and say what it buys and costs.", **SETTINGS)


@plan.command("basket")
@grouped
def plan_basket(
    target: Annotated[list[float], typer.Option(help="A weight per asset; what is left is money.")],
    wished: Wished,
    bars: Bars,
    charged: Charged,
    sought: Sought,
) -> None:
    """A band for a basket of weights.

    Example: keeper plan basket --target 0.6 --objective tracking-error --at-most 0.03
    """
    from keeper.planner.questions import basket_question

    question = basket_question(
        bars.read(), target, wished.wish(), charged.costs("basket"), charged.capital, *sought.pace
    )
    _tell(beside(question, sought.compare, targets=target), sought)


@plan.command("loan")
@grouped
def plan_loan(
    wished: WishedOfALoan,
    lent: Lent,
    bars: Bars,
    charged: Charged,
    sought: Sought,
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
) -> None:
    """A floor and a ceiling for a loan's health, and the command that puts them on chain.

    Example: keeper plan loan --leverage 2 --from 2022-05-01 --to 2022-08-01 --at-most 0
    """
    from keeper.planner.questions import loan_question
    from keeper.planner.rule_file import Assets

    threshold = lent.liquidation_threshold
    aim = band_of(leverage, 0.0, None, target, None, threshold)[1]
    (history,) = bars.read(lent.walk_bars)
    question = loan_question(
        history,
        lent.lending(),
        aim,
        wished.wish(),
        charged.costs("loan", lent.premium_bps),
        (lent.supply_rate, lent.borrow_rate),
        charged.capital,
        *sought.pace,
        Assets(collateral, debt, debt_decimals, feed=feed),
    )
    _tell(beside(question, sought.compare, threshold=threshold), sought)


@plan.command("range")
@grouped
def plan_range(
    wished: WishedOfARange, bars: Bars, charged: Charged, sought: Sought, fee_yield: Yield = None
) -> None:
    """A width for a range of liquidity, and when to move it.

    Example: keeper plan range --fee-yield 0.12 --trials 128
    """
    from keeper.planner.questions import range_question

    (history,) = bars.read()
    question = range_question(
        history, fee_yield, wished.wish(), charged.costs("range"), charged.capital, *sought.pace
    )
    _tell(beside(question, sought.compare), sought)


def _tell(question: Question, sought: Sought) -> None:
    tell_plan(question, sought.effort(), sought.scheduler, sought.out, sought.as_json)

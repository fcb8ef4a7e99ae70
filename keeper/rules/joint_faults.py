"""What rules of different kinds do to each other: an owner has one account, and all of them reach into it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from keeper.domain.ranges import (
    UNBOUNDED_HIGH,
    UNBOUNDED_LOW,
    Leaving,
    Range,
    RangeRule,
)
from keeper.domain.units import Address, decimal_text, mul_div_down
from keeper.protocols.liquidity import held_down, worth_down
from keeper.protocols.ticks import sqrt_price_at
from keeper.rules.basket_faults import BasketCase
from keeper.rules.faults import Fault, Lint
from keeper.rules.loan_faults import LoanCase
from keeper.rules.range_faults import RangeCase

_Q96: Final = 2**96


def loan_and_basket(loan: LoanCase, basket: BasketCase) -> Iterator[Lint]:
    """A basket that counts the loan's collateral, which is an aToken in the same account, trades it away."""
    if loan.a_token in basket.symbols:
        keys = (loan.sight.key, basket.sight.key)
        why = (
            f"basket rule {keys[1].id} counts and sells {basket.symbols[loan.a_token]}, the collateral that loan rule "
            f"{keys[0].id} lives from"
        )
        yield Lint(keys, Fault.CONTRADICTION, why)


def range_and_basket(one: RangeCase, basket: BasketCase, now: int) -> Iterator[Lint]:
    """A basket that sells again what a range's exit has bought, for what the exit has sold."""
    rule, held = one.rule, one.sight.range
    if held is None or not basket.sight.lines or now > min(rule.expiry, basket.rule.limits.expiry):
        return
    for bought, sold, amount in _exits(rule, held):
        if not {bought, sold} <= set(basket.symbols):
            continue
        line = next(each for each in basket.sight.lines if each.token == bought)
        after = basket.holding({bought: line.balance + amount})
        landed = next(each for each in after if each.token == bought)
        if landed.over and landed.drift > landed.room:
            keys, names = (one.sight.key, basket.sight.key), basket.symbols
            units = decimal_text(amount, len(str(line.unit)) - 1, 2)
            why = (
                f"range rule {keys[0].id} leaves its pool all in {names[bought]}, {units} of them, and basket rule "
                f"{keys[1].id} would sell them for {names[sold]} again"
            )
            yield Lint(keys, Fault.LOOP, why)


def _exits(rule: RangeRule, held: Range) -> Iterator[tuple[Address, Address, int]]:
    """What each exit that trades leaves with, what it sells for it, and how much it comes to at the cutoff's price."""
    for cutoff, unbounded, leaving in (
        (rule.cutoff_low, UNBOUNDED_LOW, rule.exit_low),
        (rule.cutoff_high, UNBOUNDED_HIGH, rule.exit_high),
    ):
        if cutoff == unbounded or leaving is Leaving.AS_IT_LIES:
            continue
        price = sqrt_price_at(cutoff)
        lower, upper = sqrt_price_at(held.edges.lower), sqrt_price_at(held.edges.upper)
        amount0, amount1 = held_down(held.liquidity, price, lower, upper)
        if leaving is Leaving.ALL_IN_TOKEN1:
            yield held.token1, held.token0, worth_down(amount0, amount1, price) >> 64
        else:
            in_0 = mul_div_down(mul_div_down(amount1, _Q96, price), _Q96, price)
            yield held.token0, held.token1, amount0 + in_0

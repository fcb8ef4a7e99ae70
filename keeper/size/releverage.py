"""How much to borrow, and collateral to buy with it, so that a loan's measure lands just above its target.

Borrowing b of debt value and buying g·b of collateral value moves the measure m of a debt D to (m·D + w·g·b) / (D + b),
with w what the bought asset counts in it; landing on t takes b = D·(m - t) / (t - w·g). What the pool gives, g, depends
on b, so the two are found together from g = 1.

Source: contracts/releverage.vy, mirrored rounding by rounding (`tests/size` holds the two equal).
"""

from __future__ import annotations

from keeper.domain.loan_band import above_down, aim_down, measure_down, weight_bps
from keeper.domain.loans import Loan, LoanMarket, LoanRule, PoolState
from keeper.domain.units import BPS, WAD, mul_div_down, mul_div_up
from keeper.protocols.uniswap_v3 import exact_input_gain_down
from keeper.size.steps import ROUNDS, Step


def releverage(rule: LoanRule, loan: Loan, market: LoanMarket) -> Step | None:
    """The step that buys most collateral for its debt, lowest fee first among equals; None when no pool can carry one.

    The loan must stand above its target, and both prices above zero.
    """
    steps = [step for pool in market.pools if (step := step_through(pool, rule, loan, market)) is not None]
    return min(steps, key=lambda step: (-step.ratio, step.fee), default=None)


def step_through(pool: PoolState, rule: LoanRule, loan: Loan, market: LoanMarket) -> Step | None:
    """The step through one pool, as far as its liquidity in range tells."""
    borrow, bought, ratio = 0, 0, WAD
    for _ in range(ROUNDS):
        wanted = borrow_at_down(ratio, rule, loan, market)
        if wanted == borrow:
            break
        borrow = wanted
        bought = exact_input_gain_down(pool, borrow)
        if bought == 0:
            return None
        ratio = ratio_down(borrow, bought, market)
    return Step(pool.fee, borrow, bought, ratio) if borrow else None


def borrow_at_down(ratio: int, rule: LoanRule, loan: Loan, market: LoanMarket) -> int:
    """What to borrow if each value borrowed buys `ratio` (WAD) of value."""
    measure = measure_down(loan, rule.terms.in_leverage)
    aim = above_down(aim_down(measure, rule))
    weight = weight_bps(rule, market) * ratio
    cap = rule.terms.borrow_step
    if weight >= aim * BPS:
        return cap
    need = loan.debt_base * (measure - aim) * BPS
    return min(cap, mul_div_down(need, market.debt_unit, (aim * BPS - weight) * market.debt_price))


def ratio_down(borrow: int, bought: int, market: LoanMarket) -> int:
    """Value bought per value borrowed, in WAD."""
    owed = mul_div_up(borrow, market.debt_price * WAD, market.debt_unit)
    held = mul_div_down(bought, market.collateral_price * WAD, market.collateral_unit)
    return mul_div_down(held, WAD, owed)


def health_after_down(step: Step, loan: Loan, market: LoanMarket) -> int:
    """The health factor (WAD) the step should leave, rounded down; it is exact but for the account's own flooring."""
    owed = mul_div_up(step.amount, market.debt_price, market.debt_unit)
    held = mul_div_down(step.swapped, market.collateral_price, market.collateral_unit)
    weighted = loan.health * loan.debt_base + held * market.collateral_threshold_bps * WAD // BPS
    return weighted // (loan.debt_base + owed)

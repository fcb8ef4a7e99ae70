"""How much debt to repay, and collateral to sell for it, so that a loan's health lands on its target.

Repaying x of debt value by selling r·x of collateral value moves the measure m of a debt D to (m·D - w·r·x) / (D - x),
with w what the sold asset counts in it; landing on t takes x = D·(t - m) / (t - w·r). What the pool charges, r, depends
on x, so the two are found together from r = 1.

Source: contracts/deleverage.vy, mirrored rounding by rounding (`tests/size` holds the two equal).
"""

from __future__ import annotations

from keeper.domain.loan_band import aim_down, measure_down, sized_step_down, weight_bps
from keeper.domain.loans import Loan, LoanMarket, LoanRule, PoolState
from keeper.domain.units import BPS, NO_DEBT, WAD, mul_div_down, mul_div_up
from keeper.protocols.uniswap_v3 import exact_output_cost_up
from keeper.size.steps import ROUNDS, Step


def deleverage(rule: LoanRule, loan: Loan, market: LoanMarket) -> Step | None:
    """The step that sells least collateral, lowest fee first among equals; None when no pool can carry one.

    The loan must stand below its target, and both prices above zero.
    """
    steps = [step for pool in market.pools if (step := step_through(pool, rule, loan, market)) is not None]
    return min(steps, key=lambda step: (step.ratio, step.fee), default=None)


def step_through(pool: PoolState, rule: LoanRule, loan: Loan, market: LoanMarket) -> Step | None:
    """The step through one pool, as far as its liquidity in range tells."""
    repay, sell, ratio = 0, 0, WAD
    for _ in range(ROUNDS):
        wanted = repay_at_up(ratio, rule, loan, market)
        if wanted is None:
            return None
        if wanted == repay:
            break
        repay = wanted
        quote = exact_output_cost_up(pool, repay)
        if quote is None:
            return None
        sell = quote
        ratio = ratio_up(repay, sell, market)
    return Step(pool.fee, repay, sell, ratio)


def repay_at_up(ratio: int, rule: LoanRule, loan: Loan, market: LoanMarket) -> int | None:
    """What to repay if each value repaid costs `ratio` (WAD) of value sold; None when that never reaches the target."""
    measure = measure_down(loan, rule.terms.in_leverage)
    aim = aim_down(measure, rule)
    need = loan.debt_base * (aim - measure) * BPS
    weight = weight_bps(rule, market) * ratio
    if weight >= aim * BPS:
        return None
    cap = min(sized_step_down(rule, loan), market.repayable)
    return min(cap, mul_div_up(need, market.debt_unit, (aim * BPS - weight) * market.debt_price))


def ratio_up(repay: int, sell: int, market: LoanMarket) -> int:
    """Value sold per value repaid, in WAD."""
    paid = mul_div_down(repay, market.debt_price * WAD, market.debt_unit)
    sold = mul_div_up(sell, market.collateral_price * WAD, market.collateral_unit)
    return mul_div_up(sold, WAD, paid)


def health_after_down(step: Step, loan: Loan, market: LoanMarket) -> int:
    """The health factor (WAD) the step should leave, rounded down; it is exact but for the account's own flooring."""
    paid = mul_div_down(step.amount, market.debt_price, market.debt_unit)
    sold = mul_div_up(step.swapped, market.collateral_price, market.collateral_unit)
    left = loan.debt_base - paid
    weighted = loan.health * loan.debt_base - mul_div_up(sold, market.collateral_threshold_bps * WAD, BPS)
    return max(weighted, 0) // left if left > 0 else NO_DEBT

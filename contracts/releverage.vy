# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Releverage: how much to borrow so that the measure lands just above its aim
@custom:contract-name releverage
@license MIT
@notice Borrowing b of debt value and buying g * b of collateral value with it moves the measure m of a debt D to
        (m * D + w * g * b) / (D + b), where w is what the bought asset counts in the measure. Setting that to the
        aim t gives b = D * (m - t) / (t - w * g). What is got for it, g, depends on b through the pool's curve, so
        the two are iterated from g = 1. The rounds close in from both sides, so the aim given here should lie
        above the line that must not be crossed.
@dev Integers only; `keeper/size/releverage.py` mirrors every rounding.
"""

from . import loan_steps
from . import uniswap_v3
from . import wide


_WAD: constant(uint256) = 10**18
_BPS: constant(uint256) = 10**4


@internal
@pure
def _size(loan: loan_steps.Loan, venue: uniswap_v3.Venue) -> loan_steps.Step:
    """
    @dev `venue` sells the debt asset.
    """
    aim: uint256 = loan.aim * _BPS
    need: uint256 = loan.debt * (loan.measure - loan.aim) * _BPS
    step: loan_steps.Step = loan_steps.Step(amount=0, swapped=0, owed=0, traded=0, ratio=_WAD)
    for _: uint256 in range(loan_steps.ROUNDS):
        weight: uint256 = wide._times(loan.weight_bps, step.ratio)
        borrow: uint256 = loan.cap
        if weight < aim:
            borrow = min(loan.cap, wide._mul_div_down(need, loan.debt_unit, (aim - weight) * loan.debt_price))
        if borrow == step.amount:
            break
        step.amount = borrow
        step.swapped = uniswap_v3._buy_with(venue, borrow)
        if step.swapped == 0:
            return empty(loan_steps.Step)
        step.owed = wide._mul_div_up(borrow, loan.debt_price * _WAD, loan.debt_unit)
        step.traded = wide._mul_div_down(step.swapped, loan.collateral_price * _WAD, loan.collateral_unit)
        step.ratio = wide._mul_div_down(step.traded, _WAD, step.owed)
    return step

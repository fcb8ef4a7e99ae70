# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Deleverage: how much to repay so that the measure lands on its aim
@custom:contract-name deleverage
@license MIT
@notice Repaying x of debt value by selling r * x of collateral value moves the measure m of a debt D to
        (m * D - w * r * x) / (D - x), where w is what the sold asset counts in the measure: its liquidation
        threshold in health, all of it in cover. Setting that to the aim t gives x = D * (t - m) / (t - w * r). The
        cost r depends on x through the pool's curve, so the two are iterated from r = 1; each round is monotone and
        shrinks the error by the pool's own impact.
@dev Integers only; `keeper/size/deleverage.py` mirrors every rounding.
"""

from . import loan_steps
from . import uniswap_v3
from . import wide


_WAD: constant(uint256) = 10**18
_BPS: constant(uint256) = 10**4


@internal
@pure
def _size(loan: loan_steps.Loan, venue: uniswap_v3.Venue) -> loan_steps.Step:
    aim: uint256 = loan.aim * _BPS
    need: uint256 = loan.debt * (loan.aim - loan.measure) * _BPS
    step: loan_steps.Step = loan_steps.Step(amount=0, swapped=0, owed=0, traded=0, ratio=_WAD)
    for _: uint256 in range(loan_steps.ROUNDS):
        weight: uint256 = wide._times(loan.weight_bps, step.ratio)
        if weight >= aim:
            return empty(loan_steps.Step)
        repay: uint256 = min(loan.cap, wide._mul_div_up(need, loan.debt_unit, (aim - weight) * loan.debt_price))
        if repay == step.amount:
            break
        step.amount = repay
        step.swapped = uniswap_v3._sell_for(venue, repay)
        if step.swapped == wide.NEVER:
            return empty(loan_steps.Step)
        step.owed = wide._mul_div_down(repay, loan.debt_price * _WAD, loan.debt_unit)
        step.traded = wide._mul_div_up(step.swapped, loan.collateral_price * _WAD, loan.collateral_unit)
        step.ratio = wide._mul_div_up(step.traded, _WAD, step.owed)
    return step


@internal
@pure
def _is_insolvent(measure: uint256, weight_bps: uint256, step: loan_steps.Step) -> bool:
    """
    @dev The measure m falls when m < w * r: each unit of debt repaid then takes more weight than it frees.
    """
    return measure * _BPS <= wide._times(weight_bps, step.ratio)


@internal
@pure
def _lands_below_one(
    debt: uint256, health: uint256, threshold_bps: uint256, step: loan_steps.Step
) -> bool:
    """
    @dev h * D - l * sold < D - paid, with nothing subtracted that could pass below zero or sums that overflow.
    """
    kept: uint256 = debt * health * _BPS + step.owed * _BPS
    due: uint256 = debt * _WAD * _BPS
    return kept < due or kept - due < wide._times(threshold_bps, step.traded)

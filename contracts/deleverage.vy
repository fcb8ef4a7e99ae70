# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Deleverage: how much to repay so that health lands on the target
@custom:contract-name deleverage
@license MIT
@notice Repaying x of debt value by selling r * x of collateral value moves health h of a debt D to
        (h * D - l * r * x) / (D - x), where l is the sold asset's liquidation threshold. Setting that to the
        target t gives x = D * (t - h) / (t - l * r). The cost r depends on x through the pool's curve, so the two
        are iterated from r = 1; each round is monotone and shrinks the error by the pool's own impact.
@dev Integers only; `keeper/size/deleverage.py` mirrors every rounding.
"""

from . import uniswap_v3
from . import wide


struct Loan:
    debt: uint256               # base currency, below 2**128
    health: uint256             # WAD, below the target
    target_bps: uint256
    sold_threshold_bps: uint256
    sold_price: uint256         # base currency per unit, below 2**64
    sold_unit: uint256
    debt_price: uint256         # base currency per unit, below 2**64
    debt_unit: uint256
    cap: uint256                # debt-asset units, below 2**96


struct Step:
    repay: uint256              # debt-asset units; 0 = this pool cannot do it
    sell: uint256               # collateral units
    paid: uint256               # base currency * WAD, rounded down
    sold: uint256               # base currency * WAD, rounded up
    ratio: uint256              # WAD, sold per paid, rounded up


_WAD: constant(uint256) = 10**18
_BPS: constant(uint256) = 10**4
# Enough for one part in a million at every pool that stays within the widest slippage a rule may have;
# a deep pool settles in six.
_ROUNDS: constant(uint256) = 24


@internal
@pure
def _size(loan: Loan, venue: uniswap_v3.Venue) -> Step:
    target: uint256 = loan.target_bps * _WAD
    # D * (t - h), in base currency * WAD * bps; the 10**14 turns bps of health into WAD.
    need: uint256 = loan.debt * (loan.target_bps * 10**14 - loan.health) * _BPS
    step: Step = Step(repay=0, sell=0, paid=0, sold=0, ratio=_WAD)
    for _: uint256 in range(_ROUNDS):
        weight: uint256 = wide._times(loan.sold_threshold_bps, step.ratio)
        if weight >= target:
            return empty(Step)
        repay: uint256 = min(loan.cap, wide._mul_div_up(need, loan.debt_unit, (target - weight) * loan.debt_price))
        if repay == step.repay:
            break
        step.repay = repay
        step.sell = uniswap_v3._sell_for(venue, repay)
        if step.sell == wide.NEVER:
            return empty(Step)
        step.paid = wide._mul_div_down(repay, loan.debt_price * _WAD, loan.debt_unit)
        step.sold = wide._mul_div_up(step.sell, loan.sold_price * _WAD, loan.sold_unit)
        step.ratio = wide._mul_div_up(step.sold, _WAD, step.paid)
    return step


@internal
@pure
def _is_insolvent(loan: Loan, step: Step) -> bool:
    """
    @dev Health h falls when h < l * r: each unit of debt repaid then takes more weight than it frees.
    """
    return loan.health * _BPS <= wide._times(loan.sold_threshold_bps, step.ratio)


@internal
@pure
def _lands_below_one(loan: Loan, step: Step) -> bool:
    """
    @dev h * D - l * sold < D - paid, with nothing subtracted that could pass below zero or sums that overflow.
    """
    kept: uint256 = loan.debt * loan.health * _BPS + step.paid * _BPS
    owed: uint256 = loan.debt * _WAD * _BPS
    return kept < owed or kept - owed < wide._times(loan.sold_threshold_bps, step.sold)

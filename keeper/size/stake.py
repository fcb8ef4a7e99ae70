"""What is at stake in an action, in dollars with 8 decimals, whatever its gas costs.

Source: Aave V3 LiquidationLogic: who liquidates repays half the debt at first, and takes a bonus of so much on top.
"""

from __future__ import annotations

from keeper.domain.loans import Loan
from keeper.domain.plans import Stake
from keeper.domain.units import BPS, mul_div_down

_LIQUIDATED = (1, 2)


def loan_stake(loan: Loan, bonus_bps: int, urgency: int, moved: int) -> Stake:
    """The bonus of a first liquidation, as far as the loan has come from its floor towards one.

    `bonus_bps` is Aave's, 10,500 for a twentieth on top; `urgency` in basis points of the way; `moved` in dollars.
    """
    repaid = mul_div_down(loan.debt_base, *_LIQUIDATED)
    lost = mul_div_down(repaid, max(bonus_bps - BPS, 0), BPS)
    return Stake(moved, mul_div_down(lost, min(urgency, BPS), BPS))

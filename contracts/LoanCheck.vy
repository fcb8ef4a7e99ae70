# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title What a thresholds contract for Aave V3 loans would do, and if nothing, why not
@custom:contract-name LoanCheck
@license MIT
@notice Documented on `interfaces/ILoanCheck.vyi`.
@custom:kill There is nothing to switch off: it holds nothing, may spend nothing and is asked by views alone.
"""

from ethereum.ercs import IERC20

from . import aave_v3
from . import deleverage
from . import loan_words
from . import uniswap_v3
from . import wide
from .interfaces import IAaveV3Pool
from .interfaces import ILoanCheck
from .interfaces import ILoanThresholds

implements: ILoanCheck
initializes: aave_v3
initializes: uniswap_v3

exports: (aave_v3.AAVE, aave_v3.PROVIDER, uniswap_v3.FACTORY)


_WITHIN: constant(uint8) = 0
_BREACHED: constant(uint8) = 1
_BARRED: constant(uint8) = 2
_BLIND: constant(uint8) = 3

_BPS: constant(uint256) = 10**4
_HEALTH_BPS: constant(uint256) = 10**14     # one basis point of health, in WAD
_DUST: constant(uint256) = 2                # what a thresholds contract takes beyond the sale, at most
# A sized step leaves at least this part of a debt, which a thresholds contract takes for none.
_REMNANT: constant(uint256) = 2_000


@deploy
def __init__(addresses_provider: address, uniswap_factory: address):
    aave_v3.__init__(addresses_provider)
    uniswap_v3.__init__(uniswap_factory)


@external
@view
def version() -> String[8]:
    return "0.1.0"


@external
@view
def finding(thresholds: address, owner: address, id: uint256) -> ILoanThresholds.Finding:
    words: loan_words.Words = empty(loan_words.Words)
    words.a, words.b, words.c = staticcall ILoanThresholds(thresholds).words_of(owner, id)
    rule: ILoanThresholds.Rule = loan_words._unpack(words)
    if words.a == 0:
        return self._finding(_BARRED, 0, "rule: none is set")
    if block.timestamp > rule.expiry:
        return self._finding(_BARRED, 0, "rule: expired")

    read: bool = False
    account: IAaveV3Pool.AccountData = empty(IAaveV3Pool.AccountData)
    read, account = aave_v3._try_account(owner)
    if not read:
        return self._finding(_BLIND, 0, "oracle: Aave cannot value the account")
    sold_price: uint256 = aave_v3._try_price(rule.collateral)
    debt_price: uint256 = aave_v3._try_price(rule.debt)
    if sold_price == 0 or debt_price == 0:
        return self._finding(_BLIND, account.health, "oracle: no usable price for an asset of the rule")
    if account.debt == 0:
        return self._finding(_WITHIN, account.health, "loan: no debt")

    sold: IAaveV3Pool.ReserveData = staticcall IAaveV3Pool(aave_v3.AAVE).getReserveData(rule.collateral)
    bought: IAaveV3Pool.ReserveData = staticcall IAaveV3Pool(aave_v3.AAVE).getReserveData(rule.debt)
    venues: DynArray[uniswap_v3.Venue, 4] = uniswap_v3._venues(rule.collateral, rule.debt)
    obstacle: String[96] = self._obstacle(thresholds, owner, sold, bought, len(venues))
    if account.health >= rule.floor_bps * _HEALTH_BPS:
        # A rule that could not act is worth knowing about before the day it is needed.
        if obstacle != "":
            return self._finding(_WITHIN, account.health, obstacle)
        return self._finding(_WITHIN, account.health, "health: at or above the floor")
    if block.timestamp < loan_words._last_acted(words) + rule.cooldown:
        return self._finding(_BARRED, account.health, "rule: cooling down")
    if obstacle != "":
        return self._finding(_BARRED, account.health, obstacle)

    owed: uint256 = staticcall IERC20(bought.variable_debt_token).balanceOf(owner)
    loan: deleverage.Loan = deleverage.Loan(
        debt=account.debt,
        health=account.health,
        target_bps=rule.target_bps,
        sold_threshold_bps=aave_v3._threshold(sold.configuration),
        sold_price=sold_price,
        sold_unit=10 ** aave_v3._decimals(sold.configuration),
        debt_price=debt_price,
        debt_unit=10 ** aave_v3._decimals(bought.configuration),
        # Were it the whole debt, a stranger who repays a cent of it first could make every plan fail.
        cap=min(rule.max_step, owed - owed // _REMNANT),
    )
    return self._sized(thresholds, owner, rule, sold.a_token, loan, venues)


@internal
@view
def _obstacle(
    thresholds: address,
    owner: address,
    sold: IAaveV3Pool.ReserveData,
    bought: IAaveV3Pool.ReserveData,
    venues: uint256,
) -> String[96]:
    """
    @dev The first thing that would stop this rule whatever the size, empty if nothing would.
    """
    obstacle: String[96] = aave_v3._obstacle(owner, sold, bought)
    if obstacle != "":
        return obstacle
    if venues == 0:
        return "pool: none of the pair has liquidity in range"
    if staticcall IERC20(sold.a_token).allowance(owner, thresholds) == 0:
        return "allowance: the owner has granted none of the aToken"
    return ""


@internal
@view
def _sized(
    thresholds: address,
    owner: address,
    rule: ILoanThresholds.Rule,
    a_token: address,
    loan: deleverage.Loan,
    venues: DynArray[uniswap_v3.Venue, 4],
) -> ILoanThresholds.Finding:
    best: deleverage.Step = empty(deleverage.Step)
    fee: uint24 = 0
    for venue: uniswap_v3.Venue in venues:
        step: deleverage.Step = deleverage._size(loan, venue)
        if step.repay != 0 and (best.repay == 0 or step.ratio < best.ratio):
            best = step
            fee = venue.fee
    obstacle: String[96] = self._obstacle_to(thresholds, owner, rule, a_token, loan, best)
    return ILoanThresholds.Finding(
        verdict=_BREACHED if obstacle == "" else _BARRED,
        health=loan.health,
        repay=best.repay,
        sell=best.sell,
        fee=fee,
        why="health: below the floor" if obstacle == "" else obstacle,
    )


@internal
@view
def _obstacle_to(
    thresholds: address,
    owner: address,
    rule: ILoanThresholds.Rule,
    a_token: address,
    loan: deleverage.Loan,
    step: deleverage.Step,
) -> String[96]:
    """
    @dev The first thing that would stop a step of this size, empty if nothing would.
    """
    if step.repay == 0:
        return "pool: too thin for the repayment"
    if deleverage._is_insolvent(loan, step):
        return "health: below the solvency line, selling would lower it"
    if step.paid * _BPS < wide._times(step.sold, _BPS - rule.slippage_bps):
        return "pool: the sale would cost more than the rule's slippage"
    if deleverage._lands_below_one(loan, step):
        return "rule: max_step is too small to bring health back to 1"
    pulled: uint256 = step.sell + _DUST
    if staticcall IERC20(a_token).balanceOf(owner) < pulled:
        return "loan: less of the collateral is held than must be sold"
    if staticcall IERC20(a_token).allowance(owner, thresholds) < pulled:
        return "allowance: the aToken allowance is short of what must be sold"
    if aave_v3._liquidity(rule.collateral, a_token) < step.sell:
        return "aave: too little of the collateral is there to withdraw"
    return ""


@internal
@pure
def _finding(verdict: uint8, health: uint256, why: String[96]) -> ILoanThresholds.Finding:
    return ILoanThresholds.Finding(verdict=verdict, health=health, repay=0, sell=0, fee=0, why=why)

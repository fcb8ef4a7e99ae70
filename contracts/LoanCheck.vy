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
from . import limits
from . import loan_band
from . import loan_steps
from . import loan_words
from . import releverage
from . import uniswap_v3
from . import wide
from .interfaces import IAaveV3DebtToken
from .interfaces import IAaveV3Pool
from .interfaces import ILimits
from .interfaces import ILoanCheck
from .interfaces import ILoanThresholds

implements: ILoanCheck
initializes: aave_v3
initializes: uniswap_v3

exports: (aave_v3.AAVE, aave_v3.PROVIDER, uniswap_v3.FACTORY)


# One rule and its loan, as far as they are the same for every size and pool.
struct Case:
    thresholds: address
    owner: address
    rule: ILoanThresholds.Rule
    terms: ILoanThresholds.Terms
    account: IAaveV3Pool.AccountData
    band: loan_band.Band
    is_unmeasured: bool         # the floor follows a volatility that is not known now
    measure: uint256
    mode: aave_v3.Mode
    collateral: IAaveV3Pool.ReserveData     # both configured as in the mode
    debt: IAaveV3Pool.ReserveData
    loan: loan_steps.Loan
    flags: uint256
    ledger: uint256
    urgency: uint256
    max_step: uint256
    bounds: ILimits.Limits      # with the rule's own slippage where there are no others


_DELEVERAGE: constant(uint8) = 0
_RELEVERAGE: constant(uint8) = 1

_WITHIN: constant(uint8) = 0
_BREACHED: constant(uint8) = 1
_BARRED: constant(uint8) = 2
_BLIND: constant(uint8) = 3

_BPS: constant(uint256) = 10**4
_WAD: constant(uint256) = 10**18
_DUST: constant(uint256) = 4                # what a thresholds contract takes beyond the sale, at most
# Base units by which what Aave's sums say of a loss may be above it.
_ROUNDED: constant(uint256) = 4
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
    case: Case = empty(Case)
    case.mode = aave_v3._mode_of(owner)
    case.collateral = aave_v3._reserve(rule.collateral, case.mode)
    case.debt = aave_v3._reserve(rule.debt, case.mode)
    case.loan.collateral_price = aave_v3._try_price_in(
        case.mode, rule.collateral, case.collateral.configuration
    )
    case.loan.debt_price = aave_v3._try_price_in(case.mode, rule.debt, case.debt.configuration)
    if case.loan.collateral_price == 0 or case.loan.debt_price == 0:
        return self._finding(_BLIND, account.health, "oracle: no usable price for an asset of the rule")
    if account.debt == 0:
        return self._finding(_WITHIN, account.health, "loan: no debt")

    flags: uint256 = loan_words._flags(words)
    told: loan_words.TermsWords = empty(loan_words.TermsWords)
    if flags != 0:
        told.d, told.e, told.g = staticcall ILoanThresholds(thresholds).terms_words_of(owner, id)
    case.thresholds = thresholds
    case.owner = owner
    case.rule = rule
    case.terms = loan_words._unpack_terms(flags, told)
    if case.terms.highest_bps != 0:
        is_known: bool = False
        case.rule.floor_bps, case.rule.target_bps, case.rule.ceiling_bps, is_known = staticcall ILoanThresholds(
            thresholds
        ).band_of(owner, id)
        case.is_unmeasured = not is_known
    case.account = account
    case.band = loan_band._band(case.rule, case.terms)
    case.measure = loan_band._measure(account, case.terms.in_leverage)
    case.flags = flags
    case.max_step = rule.max_step
    case.bounds = loan_words._whole_limits(rule, case.terms)
    if flags & ~loan_words.IN_LEVERAGE != 0:
        case.urgency = loan_band._urgency(account, case.measure, case.band)
        case.max_step = loan_band._sized_step(rule.max_step, case.terms.urgent_step, case.urgency)
        case.ledger = staticcall ILoanThresholds(thresholds).ledger_of(owner, id)
    case.loan.debt = account.debt
    case.loan.measure = case.measure
    case.loan.weight_bps = _BPS
    if not case.terms.in_leverage:
        case.loan.weight_bps = aave_v3._threshold(case.collateral.configuration)
    case.loan.collateral_unit = aave_v3._unit(case.collateral.configuration)
    case.loan.debt_unit = aave_v3._unit(case.debt.configuration)
    return self._judged(case, loan_words._last_acted(words))


@internal
@view
def _judged(case: Case, last_acted: uint256) -> ILoanThresholds.Finding:
    health: uint256 = case.account.health
    is_high: bool = case.band.ceiling != 0 and case.measure > case.band.ceiling
    pools: DynArray[uniswap_v3.Venue, 4] = []
    obstacle: String[96] = ""
    if is_high:
        pools = uniswap_v3._venues(case.rule.debt, case.rule.collateral)
        obstacle = self._obstacle_to_borrowing(case, len(pools))
    else:
        pools = uniswap_v3._venues(case.rule.collateral, case.rule.debt)
        obstacle = self._obstacle_to_repaying(case, len(pools))
        if case.measure >= case.band.floor:
            # A rule that could not act is worth knowing about before the day it is needed.
            why: String[96] = "health: at or above the floor"
            if case.band.ceiling != 0:
                why = "health: between the floor and the ceiling"
            if case.is_unmeasured:
                why = "volatility: not known of late, so that the floor is at its highest"
            return self._finding(_WITHIN, health, obstacle if obstacle != "" else why)
    if block.timestamp < last_acted + case.rule.cooldown:
        return self._finding(_BARRED, health, "rule: cooling down")
    if obstacle == "":
        obstacle = self._limit(case, is_high)
    if obstacle != "":
        return self._finding(_BARRED, health, obstacle)
    return self._releverage(case, pools) if is_high else self._deleverage(case, pools)


@internal
@view
def _limit(case: Case, is_high: bool) -> String[96]:
    """
    @dev The first of the rule's limits that bars everybody now, empty if none does.
    """
    obstacle: String[96] = ""
    if case.flags & loan_words.HOLDS != 0:
        obstacle = loan_words._held_obstacle(case.terms.hold, case.ledger, is_high, case.urgency)
    if obstacle == "" and case.flags & loan_words.HAS_E != 0:
        obstacle = limits._obstacle(case.bounds, limits._state(case.ledger), case.urgency)
    return obstacle


@internal
@view
def _obstacle_to_repaying(case: Case, pools: uint256) -> String[96]:
    """
    @dev The first thing that would stop a deleverage whatever its size, empty if nothing would.
    """
    obstacle: String[96] = aave_v3._obstacle(case.owner, case.mode, case.collateral, case.debt)
    if obstacle != "":
        return obstacle
    if pools == 0:
        return "pool: none of the pair has liquidity in range"
    if staticcall IERC20(case.collateral.a_token).allowance(case.owner, case.thresholds) == 0:
        return "allowance: the owner has granted none of the aToken"
    return ""


@internal
@view
def _deleverage(case: Case, pools: DynArray[uniswap_v3.Venue, 4]) -> ILoanThresholds.Finding:
    owed: uint256 = staticcall IERC20(case.debt.variable_debt_token).balanceOf(case.owner)
    loan: loan_steps.Loan = case.loan
    loan.aim = loan_band._aim(case.measure, case.band, case.terms.in_leverage, case.terms.speed_bps)
    # Were it the whole debt, a stranger who repays a cent of it first could make every plan fail.
    loan.cap = min(case.max_step, owed - owed // _REMNANT)
    best: loan_steps.Step = empty(loan_steps.Step)
    fee: uint24 = 0
    for pool: uniswap_v3.Venue in pools:
        step: loan_steps.Step = deleverage._size(loan, pool)
        if step.amount != 0 and (best.amount == 0 or step.ratio < best.ratio):
            best = step
            fee = pool.fee
    return self._sized(case, _DELEVERAGE, best, fee, self._obstacle_to_repaying_so(case, loan, best))


@internal
@view
def _obstacle_to_repaying_so(
    case: Case, loan: loan_steps.Loan, step: loan_steps.Step
) -> String[96]:
    """
    @dev The first thing that would stop a deleverage of this size, empty if nothing would.
    """
    if step.amount == 0:
        return "pool: too thin for the repayment"
    if deleverage._is_insolvent(loan.measure, loan.weight_bps, step):
        return "health: below the solvency line, selling would lower it"
    kept_bps: uint256 = _BPS - limits._slippage(case.bounds, case.urgency)
    if step.owed * _BPS < wide._times(step.traded, kept_bps):
        return "pool: the sale would cost more than the rule's slippage"
    # A named keeper is paid nothing; where anybody may act, whoever does is.
    who: address = self if case.bounds.keeper == empty(address) else case.bounds.keeper
    bounty: uint256 = limits._bounty(case.bounds, who, case.urgency, step.traded // _WAD)
    if step.owed * _BPS < wide._times(step.traded + bounty * _WAD, kept_bps):
        return "rule: the sale and its bounty would cost more than the slippage"
    extra: uint256 = _DUST + bounty * loan.collateral_unit // loan.collateral_price
    if self._is_beyond_budget(case, step.traded, step.owed, extra):
        return "rule: the loss is above what is left of the budget"
    if deleverage._lands_below_one(
        loan.debt, case.account.health, aave_v3._threshold(case.collateral.configuration), step
    ):
        return "rule: max_step is too small to bring health back to 1"
    a_token: address = case.collateral.a_token
    pulled: uint256 = step.swapped + extra
    if staticcall IERC20(a_token).balanceOf(case.owner) < pulled:
        return "loan: less of the collateral is held than must be sold"
    if staticcall IERC20(a_token).allowance(case.owner, case.thresholds) < pulled:
        return "allowance: the aToken allowance is short of what must be sold"
    if aave_v3._liquidity(case.rule.collateral, a_token) < step.swapped:
        return "aave: too little of the collateral is there to withdraw"
    return ""


@internal
@view
def _is_beyond_budget(case: Case, given: uint256, taken: uint256, extra: uint256) -> bool:
    """
    @dev Whether giving one value for the other, in base currency * WAD, and so many units of collateral on top, loses
         more than may still be lost. Aave rounds each of the four sums the loss is taken from.
    """
    lost: uint256 = (given - min(given, taken)) // _WAD + _ROUNDED
    lost += extra * case.loan.collateral_price // case.loan.collateral_unit
    return lost > limits._room(case.bounds, limits._state(case.ledger))


@internal
@view
def _obstacle_to_borrowing(case: Case, pools: uint256) -> String[96]:
    """
    @dev The first thing that would stop a releverage whatever its size, empty if nothing would.
    """
    obstacle: String[96] = aave_v3._obstacle_to_borrowing(
        case.owner, case.mode, case.collateral, case.debt
    )
    if obstacle != "":
        return obstacle
    if pools == 0:
        return "pool: none of the pair has liquidity in range"
    if self._credit(case) == 0:
        return "delegation: the owner has delegated no credit in the debt asset"
    return ""


@internal
@view
def _releverage(case: Case, pools: DynArray[uniswap_v3.Venue, 4]) -> ILoanThresholds.Finding:
    loan: loan_steps.Loan = case.loan
    # In the middle of what is accepted: whatever is lost or gained on the way, it lands on the safe side.
    aim: uint256 = loan_band._aim(case.measure, case.band, case.terms.in_leverage, case.terms.speed_bps)
    loan.aim = loan_band._above(aim)
    loan.cap = case.terms.borrow_step
    best: loan_steps.Step = empty(loan_steps.Step)
    fee: uint24 = 0
    for pool: uniswap_v3.Venue in pools:
        step: loan_steps.Step = releverage._size(loan, pool)
        if step.amount != 0 and (best.amount == 0 or step.ratio > best.ratio):
            best = step
            fee = pool.fee
    return self._sized(case, _RELEVERAGE, best, fee, self._obstacle_to_borrowing_so(case, best))


@internal
@view
def _obstacle_to_borrowing_so(case: Case, step: loan_steps.Step) -> String[96]:
    """
    @dev The first thing that would stop a releverage of this size, empty if nothing would.
    """
    if step.amount == 0:
        return "pool: too thin for what would be borrowed"
    if step.traded * _BPS < wide._times(step.owed, _BPS - limits._slippage(case.bounds, case.urgency)):
        return "pool: the purchase would cost more than the rule's slippage"
    if self._is_beyond_budget(case, step.owed, step.traded, 0):
        return "rule: the loss is above what is left of the budget"
    if self._credit(case) < step.amount:
        return "delegation: the credit delegated is short of what must be borrowed"
    if aave_v3._liquidity(case.rule.debt, case.debt.a_token) < step.amount:
        return "aave: too little of the debt asset is there to borrow"
    obstacle: String[96] = aave_v3._caps_obstacle(
        case.rule.collateral, case.collateral, step.swapped, case.rule.debt, case.debt, step.amount
    )
    if obstacle != "":
        return obstacle
    if aave_v3._is_beyond_ceiling(case.owner, case.collateral, case.debt, step.amount):
        return "aave: the collateral's debt ceiling leaves too little room"
    if self._is_beyond_ltv(case, step):
        return "aave: the LTV does not allow as much to be borrowed"
    return ""


@internal
@view
def _credit(case: Case) -> uint256:
    return staticcall IAaveV3DebtToken(case.debt.variable_debt_token).borrowAllowance(
        case.owner, case.thresholds
    )


@internal
@pure
def _is_beyond_ltv(case: Case, step: loan_steps.Step) -> bool:
    """
    @dev Aave floors the mean LTV to a basis point each time it takes it; so does this, before and after.
    """
    bought: uint256 = step.traded // _WAD
    owed: uint256 = case.account.debt + step.owed // _WAD + 1
    held: uint256 = case.account.collateral + bought
    able: uint256 = case.account.collateral * case.account.ltv
    able += bought * aave_v3._ltv(case.collateral.configuration)
    return owed * _BPS > held * (able // held)


@internal
@pure
def _sized(
    case: Case, action: uint8, step: loan_steps.Step, fee: uint24, obstacle: String[96]
) -> ILoanThresholds.Finding:
    why: String[96] = "health: below the floor"
    if case.is_unmeasured:
        why = "health: below the floor, which is at its highest as volatility is not known"
    if action == _RELEVERAGE:
        why = "health: above the ceiling"
    return ILoanThresholds.Finding(
        verdict=_BREACHED if obstacle == "" else _BARRED,
        action=action,
        health=case.account.health,
        amount=step.amount,
        swapped=step.swapped,
        fee=fee,
        why=why if obstacle == "" else obstacle,
    )


@internal
@pure
def _finding(verdict: uint8, health: uint256, why: String[96]) -> ILoanThresholds.Finding:
    return ILoanThresholds.Finding(
        verdict=verdict, action=0, health=health, amount=0, swapped=0, fee=0, why=why
    )

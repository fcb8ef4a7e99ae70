# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Owners' thresholds on their Aave V3 loans
@custom:contract-name LoanThresholds
@license MIT
@notice Documented on `interfaces/ILoanThresholds.vyi`.
@custom:kill There is no switch, because nobody holds one: each owner stops the contract for themselves by
             `clear_rule`, or by setting the aToken allowance they granted it to zero.
"""

from ethereum.ercs import IERC20

from . import aave_v3
from . import limits
from . import loan_band
from . import loan_rules
from . import loan_sigma
from . import loan_words
from . import uniswap_v3
from .interfaces import IAaveV3AToken
from .interfaces import IAaveV3Pool
from .interfaces import ILimits
from .interfaces import ILoanCheck
from .interfaces import ILoanThresholds
from .interfaces import IUniswapV3Pool

implements: ILoanThresholds
initializes: aave_v3
initializes: loan_rules
initializes: uniswap_v3

exports: (
    loan_rules.set_rule,
    loan_rules.clear_rule,
    loan_rules.rule_count,
    loan_rules.rule_of,
    loan_rules.terms_of,
    loan_rules.last_acted,
    loan_rules.words_of,
    loan_rules.terms_words_of,
    loan_rules.band_of,
    loan_rules.ledger_of,
    loan_rules.TOLERANCE_BPS,
    loan_rules.SENSE,
    loan_rules.VOLATILITY,
    aave_v3.AAVE,
    aave_v3.PROVIDER,
    uniswap_v3.FACTORY,
)


struct Order:
    owner: address
    collateral: address
    a_token: address            # of the collateral, for a deleverage; empty for a releverage
    debt: address
    amount: uint256
    limit: uint256
    spare: uint256              # aTokens taken beyond the sale, to stay here


# One action: what is asked of it, and the account before.
struct Case:
    in_leverage: bool
    measure: uint256
    aim: uint256
    slippage_bps: uint256
    before: IAaveV3Pool.AccountData


_DELEVERAGE: constant(uint8) = 0
_RELEVERAGE: constant(uint8) = 1

_BPS: constant(uint256) = 10**4
_VARIABLE_RATE: constant(uint256) = 2
_NO_REFERRAL: constant(uint16) = 0
# Aave may round an aToken transfer down. Whatever its index, below 4, this much is a share or more, which no sale
# takes along and with which none comes up short again: a withdrawal burns the very shares that the transfer brought.
_DUST: constant(uint256) = 4

# Judges and sizes for `check`; it holds nothing and decides nothing, so nothing here trusts it.
CHECK: public(immutable(address))

_pool_in_flight: transient(address)


@deploy
def __init__(
    addresses_provider: address,
    uniswap_factory: address,
    loan_sense: address,
    loan_check: address,
    volatility: address,
):
    aave_v3.__init__(addresses_provider)
    uniswap_v3.__init__(uniswap_factory)
    loan_rules.__init__(loan_sense, volatility)
    assert loan_check.is_contract, "check: no contract at its address"
    assert staticcall ILoanCheck(loan_check).PROVIDER() == addresses_provider, "check: it is on another Aave"
    assert staticcall ILoanCheck(loan_check).FACTORY() == uniswap_factory, "check: it is on other pools"
    CHECK = loan_check


@external
@view
def version() -> String[8]:
    return "0.1.0"


@external
def rebalance(owner: address, id: uint256, plan: ILoanThresholds.Plan) -> (uint256, uint256):
    words: loan_words.Words = loan_rules._words[owner][id]
    rule: ILoanThresholds.Rule = loan_words._unpack(words)
    flags: uint256 = loan_words._flags(words)
    last_acted: uint256 = loan_words._last_acted(words)
    assert rule.collateral != empty(address), "rule: none is set"
    assert block.timestamp <= plan.deadline, "plan: past its deadline"
    assert plan.amount > 0, "plan: nothing to repay or borrow"
    if flags & loan_words.HAS_E == 0:
        # With limits there is more to it, and it waits until the urgency is known.
        assert block.timestamp <= rule.expiry, "rule: expired"
        assert rule.keeper == empty(address) or rule.keeper == msg.sender, "rule: another keeper is named"
        assert block.timestamp >= last_acted + rule.cooldown, "rule: cooling down"
    pool: address = uniswap_v3._pool(rule.collateral, rule.debt, plan.fee)
    assert pool.is_contract, "pool: the factory has none for this pair and fee"

    terms: ILoanThresholds.Terms = empty(ILoanThresholds.Terms)
    if flags != 0:
        terms = loan_rules._terms(owner, id, flags)
        if terms.highest_bps != 0:
            is_known: bool = False
            rule.floor_bps, rule.target_bps, rule.ceiling_bps, is_known = loan_sigma._standing(
                rule, terms, loan_rules.VOLATILITY
            )
    band: loan_band.Band = loan_band._band(rule, terms)
    case: Case = empty(Case)
    case.in_leverage = terms.in_leverage
    case.slippage_bps = rule.slippage_bps
    case.before = aave_v3._account(owner)
    case.measure = loan_band._measure(case.before, terms.in_leverage)
    max_step: uint256 = rule.max_step
    bounds: ILimits.Limits = empty(ILimits.Limits)
    ledger: uint256 = 0
    urgency: uint256 = 0
    if flags & ~loan_words.IN_LEVERAGE != 0:
        urgency = loan_band._urgency(case.before, case.measure, band)
        max_step = loan_band._max_step(rule.max_step, terms.urgent_step, urgency)
        if flags & (loan_words.HAS_E | loan_words.HOLDS) != 0:
            ledger = loan_rules._ledger[owner][id]
        if flags & loan_words.HOLDS != 0:
            self._has_held(terms.hold, ledger, plan.action == _RELEVERAGE, urgency)
        if flags & loan_words.HAS_E != 0:
            bounds = loan_words._whole_limits(rule, terms)
            limits._may_act(bounds, limits._state(ledger), msg.sender, urgency)
            case.slippage_bps = limits._slippage(bounds, urgency)

    order: Order = Order(
        owner=owner,
        collateral=rule.collateral,
        a_token=empty(address),
        debt=rule.debt,
        amount=plan.amount,
        limit=plan.limit,
        spare=0,
    )
    is_first: bool = uniswap_v3._sorted(rule.collateral, rule.debt)
    swapped: uint256 = 0
    after: IAaveV3Pool.AccountData = empty(IAaveV3Pool.AccountData)
    if plan.action == _DELEVERAGE:
        assert plan.amount <= max_step, "plan: repays more than the rule's max_step"
        assert case.measure < band.floor, "health: at or above the floor"
        case.aim = loan_band._aim(case.measure, band, terms.in_leverage, terms.speed_bps)
        # Buys exactly the repayment on credit; the pool's callback repays, withdraws and pays it.
        order.a_token = aave_v3._a_token(rule.collateral)
        # A rule that has acted has sold, and left it here; only one that borrows may have done nothing but borrow.
        if last_acted == 0 or (
            terms.borrow_step != 0
            and staticcall IAaveV3AToken(order.a_token).scaledBalanceOf(self) == 0
        ):
            order.spare = _DUST
        swapped = convert(self._swap(pool, is_first, -convert(plan.amount, int256), order), uint256)
        after = aave_v3._account(owner)
        # The urgent step is a permission: it follows every tick of the price, and a plan cannot.
        end: uint256 = loan_band._measure(after, case.in_leverage)
        if self._falls_short(case.aim, end) and plan.amount < rule.max_step:
            assert self._debt_is_spent(
                owner, rule.debt, plan.amount
            ), "health: short of the target with step to spare"
        self._verify_sale(case, after, end)
        if bounds.bounty_bps != 0 and self._pay_bounty(owner, rule.collateral, bounds, urgency, swapped):
            after = aave_v3._account(owner)
            self._verify_sale(case, after, loan_band._measure(after, case.in_leverage))
    else:
        assert plan.action == _RELEVERAGE, "plan: there is no such action"
        assert band.ceiling != 0, "rule: nothing is borrowed for it"
        assert plan.amount <= terms.borrow_step, "plan: borrows more than the rule's borrow_step"
        assert case.before.debt != 0, "loan: no debt"
        assert case.measure > band.ceiling, "health: at or below the ceiling"
        case.aim = loan_band._aim(case.measure, band, terms.in_leverage, terms.speed_bps)
        # Sells the debt asset before it is there; the pool's callback supplies what was bought, borrows and pays.
        swapped = convert(-self._swap(pool, not is_first, convert(plan.amount, int256), order), uint256)
        after = aave_v3._account(owner)
        self._verify_purchase(case, plan.amount == terms.borrow_step, after)

    loan_rules._stamp(owner, id, words)
    if flags & (loan_words.HAS_E | loan_words.HOLDS) != 0:
        if flags & loan_words.HAS_E != 0:
            ledger = limits._with_state(
                ledger, limits._charge(bounds, limits._state(ledger), self._lost(case.before, after))
            )
        loan_rules._ledger[owner][id] = loan_words._with_seen(ledger, 0, False)
    log ILoanThresholds.Rebalanced(
        owner=owner,
        id=id,
        keeper=msg.sender,
        action=plan.action,
        amount=plan.amount,
        swapped=swapped,
        health_before=case.before.health,
        health_after=after.health,
    )
    return swapped, after.health


@external
def witness(owner: address, id: uint256) -> uint256:
    words: loan_words.Words = loan_rules._words[owner][id]
    flags: uint256 = loan_words._flags(words)
    assert flags & loan_words.HOLDS != 0, "rule: none with a hold is set"
    terms: ILoanThresholds.Terms = loan_rules._terms(owner, id, flags)
    rule: ILoanThresholds.Rule = loan_words._unpack(words)
    if terms.highest_bps != 0:
        is_known: bool = False
        rule.floor_bps, rule.target_bps, rule.ceiling_bps, is_known = loan_sigma._standing(
            rule, terms, loan_rules.VOLATILITY
        )
    account: IAaveV3Pool.AccountData = aave_v3._account(owner)
    band: loan_band.Band = loan_band._band(rule, terms)
    measure: uint256 = loan_band._measure(account, terms.in_leverage)
    is_high: bool = band.ceiling != 0 and measure > band.ceiling and account.debt != 0
    ledger: uint256 = loan_rules._ledger[owner][id]
    since: uint256 = 0
    if measure < band.floor or is_high:
        since = loan_words._since(terms.hold, ledger, is_high)
        if since == 0:
            since = block.timestamp
    loan_rules._ledger[owner][id] = loan_words._with_seen(ledger, since, is_high)
    log ILoanThresholds.Witnessed(owner=owner, id=id, witness=msg.sender, since=since)
    return since


@external
@reentrant
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[224]):
    """
    @notice Called by the pool in the middle of `rebalance`, after it has sent here what it sells.
    @dev Uniswap calls back whoever called it, so the pool in flight can only be handing us our own `data`.
    """
    assert msg.sender == self._pool_in_flight, "pool: this caller is not the pool in flight"
    self._pool_in_flight = empty(address)
    order: Order = abi_decode(data, Order)
    owed: uint256 = convert(max(delta_0, delta_1), uint256)
    got: uint256 = convert(-min(delta_0, delta_1), uint256)
    if order.a_token == empty(address):
        self._supply_and_borrow(order, owed, got)
    else:
        self._repay_and_withdraw(order, owed, got)


@external
@view
def check(owner: address, id: uint256) -> ILoanThresholds.Finding:
    return staticcall ILoanCheck(CHECK).finding(self, owner, id)


@internal
@view
def _has_held(hold: uint256, ledger: uint256, is_high: bool, urgency: uint256):
    why: String[96] = loan_words._held_obstacle(hold, ledger, is_high, urgency)
    assert why == "", why


@internal
def _pay_bounty(
    owner: address, collateral: address, bounds: ILimits.Limits, urgency: uint256, sold: uint256
) -> bool:
    """
    @dev In aTokens straight from the owner to whoever acts in the keeper's stead. Whether there was one.
    """
    configuration: uint256 = staticcall IAaveV3Pool(aave_v3.AAVE).getConfiguration(collateral)
    unit: uint256 = aave_v3._unit(configuration)
    price: uint256 = aave_v3._try_price_in(aave_v3._mode_of(owner), collateral, configuration)
    assert price != 0, "oracle: no usable price for an asset of the rule"
    bounty: uint256 = limits._bounty(bounds, msg.sender, urgency, sold * price // unit) * unit // price
    if bounty == 0:
        return False
    extcall IERC20(aave_v3._a_token(collateral)).transferFrom(owner, msg.sender, bounty)
    return True


@internal
def _swap(pool: address, sells_token0: bool, specified: int256, order: Order) -> int256:
    """
    @dev Without a price limit: `limit` and the verification afterwards bound it. Answers the collateral's delta.
    """
    self._pool_in_flight = pool
    delta_0: int256 = 0
    delta_1: int256 = 0
    delta_0, delta_1 = extcall IUniswapV3Pool(pool).swap(
        self,
        sells_token0,
        specified,
        convert(
            uniswap_v3.MIN_SQRT_PRICE + 1 if sells_token0 else uniswap_v3.MAX_SQRT_PRICE - 1, uint160
        ),
        abi_encode(order),
    )
    assert self._pool_in_flight == empty(address), "pool: it did not call back"
    return max(delta_0, delta_1) if specified < 0 else min(delta_0, delta_1)


@internal
def _repay_and_withdraw(order: Order, owed: uint256, got: uint256):
    assert got == order.amount, "pool: it cannot deliver the whole repayment"
    assert owed <= order.limit, "plan: the sale would exceed its limit"

    extcall IERC20(order.debt).approve(aave_v3.AAVE, got, default_return_value=True)
    repaid: uint256 = extcall IAaveV3Pool(aave_v3.AAVE).repay(order.debt, got, _VARIABLE_RATE, order.owner)
    assert repaid == got, "loan: the debt is smaller than the repayment"

    extcall IERC20(order.a_token).transferFrom(order.owner, self, owed + order.spare)
    extcall IAaveV3Pool(aave_v3.AAVE).withdraw(order.collateral, owed, msg.sender)


@internal
def _supply_and_borrow(order: Order, owed: uint256, got: uint256):
    assert owed == order.amount, "pool: it cannot take the whole of what is borrowed"
    assert got >= order.limit, "plan: the purchase would fall short of its limit"

    extcall IERC20(order.collateral).approve(aave_v3.AAVE, got, default_return_value=True)
    extcall IAaveV3Pool(aave_v3.AAVE).supply(order.collateral, got, order.owner, _NO_REFERRAL)
    extcall IAaveV3Pool(aave_v3.AAVE).borrow(
        order.debt, owed, _VARIABLE_RATE, _NO_REFERRAL, order.owner
    )
    assert extcall IERC20(order.debt).transfer(msg.sender, owed, default_return_value=True)


@internal
@pure
def _falls_short(aim: uint256, end: uint256) -> bool:
    """
    @dev Reverts where the measure has passed its aim.
    """
    reach: uint256 = aim * loan_rules.TOLERANCE_BPS // _BPS
    assert end <= aim + reach, "health: past the target"
    return end < aim - reach


@internal
@pure
def _verify_sale(case: Case, after: IAaveV3Pool.AccountData, end: uint256):
    """
    @dev Measured on the owner's own account, by Aave's prices: whatever leaked, and however, shows here.
    """
    assert end > case.measure, "health: did not rise"
    assert after.collateral < case.before.collateral, "loan: the asset sold does not count as collateral"
    assert (case.before.debt - after.debt) * _BPS >= (case.before.collateral - after.collateral) * (
        _BPS - case.slippage_bps
    ), "loan: the value lost is above the rule's slippage"


@internal
@pure
def _verify_purchase(case: Case, is_whole_step: bool, after: IAaveV3Pool.AccountData):
    end: uint256 = loan_band._measure(after, case.in_leverage)
    assert end < case.measure, "health: did not fall"
    # Risk is only ever taken up to the line: there is no tolerance on its far side.
    assert end >= case.aim, "health: past the target"
    if not is_whole_step:
        assert (
            end <= case.aim + case.aim * loan_rules.TOLERANCE_BPS // _BPS
        ), "health: short of the target with step to spare"
    assert after.collateral > case.before.collateral, "loan: the asset bought does not count as collateral"
    assert (after.collateral - case.before.collateral) * _BPS >= (after.debt - case.before.debt) * (
        _BPS - case.slippage_bps
    ), "loan: the value lost is above the rule's slippage"


@internal
@pure
def _lost(before: IAaveV3Pool.AccountData, after: IAaveV3Pool.AccountData) -> uint256:
    """
    @dev Of the owner's net worth, in base currency; 0 for a gain.
    """
    start: uint256 = before.collateral + after.debt
    end: uint256 = after.collateral + before.debt
    return start - min(start, end)


@internal
@view
def _debt_is_spent(owner: address, debt: address, repaid: uint256) -> bool:
    """
    @dev Interest of the blocks between sizing and landing may leave a remnant, which is no reason to refuse.
    """
    reserve: IAaveV3Pool.ReserveData = staticcall IAaveV3Pool(aave_v3.AAVE).getReserveData(debt)
    left: uint256 = staticcall IERC20(reserve.variable_debt_token).balanceOf(owner)
    return left * _BPS <= repaid * loan_rules.TOLERANCE_BPS

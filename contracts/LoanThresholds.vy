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
from . import loan_rules
from . import loan_words
from . import uniswap_v3
from .interfaces import IAaveV3AToken
from .interfaces import IAaveV3Pool
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
    loan_rules.last_acted,
    loan_rules.words_of,
    loan_rules.TOLERANCE_BPS,
    aave_v3.AAVE,
    aave_v3.PROVIDER,
    uniswap_v3.FACTORY,
)


struct Order:
    owner: address
    collateral: address
    a_token: address
    debt: address
    repay: uint256
    max_sell: uint256


_BPS: constant(uint256) = 10**4
_HEALTH_BPS: constant(uint256) = 10**14     # one basis point of health, in WAD
_VARIABLE_RATE: constant(uint256) = 2
# Aave may round an aToken transfer down by a wei; once this much lies here it never comes up short again.
_DUST: constant(uint256) = 2

# Judges and sizes for `check`; it holds nothing and decides nothing, so nothing here trusts it.
CHECK: public(immutable(address))

_pool_in_flight: transient(address)


@deploy
def __init__(addresses_provider: address, uniswap_factory: address, loan_check: address):
    aave_v3.__init__(addresses_provider)
    uniswap_v3.__init__(uniswap_factory)
    loan_rules.__init__()
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
    self._may_act(rule, loan_words._last_acted(words), plan)
    pool: address = uniswap_v3._pool(rule.collateral, rule.debt, plan.fee)
    assert pool.is_contract, "pool: the factory has none for this pair and fee"

    before: IAaveV3Pool.AccountData = aave_v3._account(owner)
    assert before.health < rule.floor_bps * _HEALTH_BPS, "health: at or above the floor"
    sold: uint256 = self._swap(owner, rule, plan, pool)
    after: IAaveV3Pool.AccountData = aave_v3._account(owner)
    self._verify(owner, rule, plan.repay, before, after)

    loan_rules._stamp(owner, id, words)
    log ILoanThresholds.Rebalanced(
        owner=owner,
        id=id,
        keeper=msg.sender,
        repaid=plan.repay,
        sold=sold,
        health_before=before.health,
        health_after=after.health,
    )
    return sold, after.health


@external
@reentrant
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[192]):
    """
    @notice Called by the pool in the middle of `rebalance`, after it has sent the debt asset here.
    @dev Uniswap calls back whoever called it, so the pool in flight can only be handing us our own `data`.
    """
    assert msg.sender == self._pool_in_flight, "pool: this caller is not the pool in flight"
    self._pool_in_flight = empty(address)
    order: Order = abi_decode(data, Order)
    owed: uint256 = convert(max(delta_0, delta_1), uint256)
    assert convert(-min(delta_0, delta_1), uint256) == order.repay, "pool: it cannot deliver the whole repayment"
    assert owed <= order.max_sell, "plan: the sale would exceed max_sell"

    extcall IERC20(order.debt).approve(aave_v3.AAVE, order.repay, default_return_value=True)
    repaid: uint256 = extcall IAaveV3Pool(aave_v3.AAVE).repay(
        order.debt, order.repay, _VARIABLE_RATE, order.owner
    )
    assert repaid == order.repay, "loan: the debt is smaller than the repayment"

    pulled: uint256 = owed
    if staticcall IAaveV3AToken(order.a_token).scaledBalanceOf(self) == 0:
        pulled += _DUST
    extcall IERC20(order.a_token).transferFrom(order.owner, self, pulled)
    extcall IAaveV3Pool(aave_v3.AAVE).withdraw(order.collateral, owed, msg.sender)


@external
@view
def check(owner: address, id: uint256) -> ILoanThresholds.Finding:
    return staticcall ILoanCheck(CHECK).finding(self, owner, id)


@internal
@view
def _may_act(rule: ILoanThresholds.Rule, last_acted: uint256, plan: ILoanThresholds.Plan):
    assert rule.collateral != empty(address), "rule: none is set"
    assert block.timestamp <= plan.deadline, "plan: past its deadline"
    assert block.timestamp <= rule.expiry, "rule: expired"
    assert rule.keeper == empty(address) or rule.keeper == msg.sender, "rule: another keeper is named"
    assert block.timestamp >= last_acted + rule.cooldown, "rule: cooling down"
    assert plan.repay > 0, "plan: nothing to repay"
    assert plan.repay <= rule.max_step, "plan: repays more than the rule's max_step"


@internal
def _swap(
    owner: address, rule: ILoanThresholds.Rule, plan: ILoanThresholds.Plan, pool: address
) -> uint256:
    """
    @dev Buys exactly the repayment on credit; the pool's callback repays, withdraws and pays it.
    """
    sells_token0: bool = uniswap_v3._sorted(rule.collateral, rule.debt)
    order: Order = Order(
        owner=owner,
        collateral=rule.collateral,
        a_token=aave_v3._a_token(rule.collateral),
        debt=rule.debt,
        repay=plan.repay,
        max_sell=plan.max_sell,
    )
    self._pool_in_flight = pool
    delta_0: int256 = 0
    delta_1: int256 = 0
    delta_0, delta_1 = extcall IUniswapV3Pool(pool).swap(
        self,
        sells_token0,
        -convert(plan.repay, int256),
        convert(
            uniswap_v3.MIN_SQRT_PRICE + 1 if sells_token0 else uniswap_v3.MAX_SQRT_PRICE - 1, uint160
        ),
        abi_encode(order),
    )
    assert self._pool_in_flight == empty(address), "pool: it did not call back"
    return convert(max(delta_0, delta_1), uint256)


@internal
@view
def _verify(
    owner: address,
    rule: ILoanThresholds.Rule,
    repaid: uint256,
    before: IAaveV3Pool.AccountData,
    after: IAaveV3Pool.AccountData,
):
    assert after.health > before.health, "health: did not rise"
    reach: uint256 = rule.target_bps * loan_rules.TOLERANCE_BPS * (_HEALTH_BPS // _BPS)
    target: uint256 = rule.target_bps * _HEALTH_BPS
    assert after.health <= target + reach, "health: past the target"
    if after.health < target - reach and repaid != rule.max_step:
        assert self._debt_is_spent(owner, rule.debt, repaid), "health: short of the target with step to spare"
    # Measured on the owner's own account, by Aave's prices: whatever leaked, and however, shows here.
    assert after.collateral < before.collateral, "loan: the asset sold does not count as collateral"
    assert (before.debt - after.debt) * _BPS >= (before.collateral - after.collateral) * (
        _BPS - rule.slippage_bps
    ), "loan: the value lost is above the rule's slippage"


@internal
@view
def _debt_is_spent(owner: address, debt: address, repaid: uint256) -> bool:
    """
    @dev Interest of the blocks between sizing and landing may leave a remnant, which is no reason to refuse.
    """
    reserve: IAaveV3Pool.ReserveData = staticcall IAaveV3Pool(aave_v3.AAVE).getReserveData(debt)
    left: uint256 = staticcall IERC20(reserve.variable_debt_token).balanceOf(owner)
    return left * _BPS <= repaid * loan_rules.TOLERANCE_BPS

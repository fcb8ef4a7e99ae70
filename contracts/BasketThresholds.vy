# pragma version ==0.4.3
# pragma optimize codesize
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Owners' thresholds on the baskets in their accounts
@custom:contract-name BasketThresholds
@license MIT
@notice Documented on `interfaces/IBasketThresholds.vyi`.
@custom:kill There is no switch, because nobody holds one: each owner stops the contract for themselves by
             `clear_rule`, or by setting the allowances they granted it to zero.
"""

from ethereum.ercs import IERC20

from . import basket_lines
from . import basket_rules
from . import basket_words
from . import limits
from . import prices
from . import uniswap_v3
from . import weights
from .interfaces import IBasketCheck
from .interfaces import IBasketThresholds
from .interfaces import ILimits
from .interfaces import IUniswapV3Pool

implements: IBasketThresholds
initializes: prices
initializes: uniswap_v3
initializes: basket_rules
initializes: basket_lines[prices := prices]

exports: (
    basket_rules.set_rule,
    basket_rules.clear_rule,
    basket_rules.rule_count,
    basket_rules.rule_of,
    basket_rules.words_of,
    basket_rules.VOLATILITY,
    prices.SEQUENCER,
    uniswap_v3.FACTORY,
)


struct Order:
    owner: address
    token: address
    amount: uint256


TOLERANCE_BPS: public(constant(uint256)) = weights.TOLERANCE_BPS
# Judges and sizes for `check`; it holds nothing and decides nothing, so nothing here trusts it.
CHECK: public(immutable(address))

_MOST: constant(uint256) = 8
_BPS: constant(uint256) = 10**4
_CENTI: constant(uint256) = 10**10          # from 8 decimals to WAD

_pool_in_flight: transient(address)


@deploy
def __init__(basket_check: address):
    """
    @dev Two that look at different feeds or pools would disagree, so both are told once.
    """
    CHECK = basket_check
    prices.__init__(staticcall IBasketCheck(basket_check).SEQUENCER())
    uniswap_v3.__init__(staticcall IBasketCheck(basket_check).FACTORY())
    basket_rules.__init__(staticcall IBasketCheck(basket_check).VOLATILITY())


@external
@view
def version() -> String[8]:
    return "0.1.0"


@external
def rebalance(owner: address, id: uint256, plan: IBasketThresholds.Plan) -> (uint256, uint256, uint256):
    words: DynArray[uint256, basket_words.MOST_WORDS] = basket_rules._words[owner][id]
    rule: IBasketThresholds.Rule = basket_words._unpack(words)
    before: DynArray[weights.Line, _MOST] = []
    why: String[96] = ""
    if len(words) == 0:
        why = "rule: none is set"
    elif block.timestamp > plan.deadline:
        why = "plan: past its deadline"
    elif len(plan.trades) == 0:
        why = "plan: no trades"
    else:
        before, why = basket_lines._read(owner, rule, words, basket_rules.VOLATILITY)
    assert why == "", why
    measure: uint256 = weights._measure(before)
    assert measure > _BPS, "basket: within its bands"
    urgency: uint256 = weights._urgency(measure, rule.full_bps)
    state: ILimits.State = limits._state(words[2])
    limits._may_act(rule.limits, state, msg.sender, urgency)

    named: uint256 = 0
    for trade: IBasketThresholds.Trade in plan.trades:
        named |= self._trade(owner, before, trade, rule.spot_bps)
    after: DynArray[weights.Line, _MOST] = basket_lines._recounted(owner, rule, before)
    bounty: uint256 = limits._bounty(rule.limits, msg.sender, urgency, weights._sold(before, after) // _CENTI)
    if bounty != 0:
        paid: weights.Line = before[weights._place(before, plan.trades[0].sell)]
        self._move(paid.token, owner, msg.sender, weights._units(paid, bounty * _CENTI))
        after = basket_lines._recounted(owner, rule, before)

    slippage: uint256 = limits._slippage(rule.limits, urgency)
    landing: weights.Landing = weights._landing(before, after, named, slippage, rule.max_step * 10**18)
    assert landing.why == "", landing.why
    lost: uint256 = (landing.lost + _CENTI - 1) // _CENTI
    basket_rules._stamp(owner, id, limits._charge(rule.limits, state, lost))
    log IBasketThresholds.Rebalanced(
        owner=owner,
        id=id,
        keeper=msg.sender,
        measure_before=measure,
        measure_after=landing.measure,
        sold=landing.sold // _CENTI,
        lost=lost,
        bounty=bounty,
    )
    return landing.sold // _CENTI, lost, landing.measure


@external
@reentrant
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[96]):
    """
    @notice Called by the pool in the middle of `rebalance`, after it has sent the owner what was bought.
    @dev Uniswap calls back whoever called it, so the pool in flight can only be handing us our own `data`.
    """
    order: Order = abi_decode(data, Order)
    owed: uint256 = convert(max(delta_0, delta_1), uint256)
    why: String[64] = ""
    if msg.sender != self._pool_in_flight or msg.sender == empty(address):
        why = "pool: this caller is not the pool in flight"
    elif owed > order.amount:
        why = "pool: it asks for more than the trade sells"
    assert why == "", why
    self._pool_in_flight = empty(address)
    self._move(order.token, order.owner, msg.sender, owed)


@external
@view
def check(owner: address, id: uint256) -> IBasketThresholds.Finding:
    return staticcall IBasketCheck(CHECK).finding(self, owner, id)


@internal
def _trade(
    owner: address,
    lines: DynArray[weights.Line, _MOST],
    trade: IBasketThresholds.Trade,
    spot_bps: uint256,
) -> uint256:
    """
    @dev Returns the two bits of the assets traded.
    """
    sold: uint256 = weights._place(lines, trade.sell)
    bought: uint256 = weights._place(lines, trade.buy)
    pool: address = uniswap_v3._pool(trade.sell, trade.buy, trade.fee)
    why: String[64] = ""
    if sold == _MOST or bought == _MOST or sold == bought:
        why = "plan: not two assets of the rule"
    elif trade.amount_in == 0 or trade.amount_in >= weights.MOST_BALANCE:
        why = "plan: nobody has so much to sell"
    elif not pool.is_contract:
        why = "pool: the factory has none for this pair and fee"
    assert why == "", why
    self._require_fair(pool, lines[sold], lines[bought], spot_bps)
    sells_token0: bool = uniswap_v3._sorted(trade.sell, trade.buy)
    self._pool_in_flight = pool
    delta_0: int256 = 0
    delta_1: int256 = 0
    delta_0, delta_1 = extcall IUniswapV3Pool(pool).swap(
        owner,
        sells_token0,
        convert(trade.amount_in, int256),
        convert(
            uniswap_v3.MIN_SQRT_PRICE + 1 if sells_token0 else uniswap_v3.MAX_SQRT_PRICE - 1, uint160
        ),
        abi_encode(Order(owner=owner, token=trade.sell, amount=trade.amount_in)),
    )
    assert self._pool_in_flight == empty(address), "pool: it did not call back"
    assert convert(-min(delta_0, delta_1), uint256) >= trade.min_out, "plan: the trade would give less than min_out"
    self._require_fair(pool, lines[sold], lines[bought], spot_bps)
    return (1 << sold) | (1 << bought)


@internal
@view
def _require_fair(pool: address, one: weights.Line, other: weights.Line, spot_bps: uint256):
    spot: uint256 = convert((staticcall IUniswapV3Pool(pool).slot0()).sqrt_price, uint256)
    assert weights._agrees(
        spot, uniswap_v3._sorted(one.token, other.token), one, other, spot_bps
    ), "pool: its price is too far from the feeds'"


@internal
def _move(token: address, owner: address, to: address, amount: uint256):
    moved: bool = extcall IERC20(token).transferFrom(owner, to, amount, default_return_value=True)
    assert moved, "token: it says that it did not move"

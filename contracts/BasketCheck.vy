# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title What a basket's thresholds would do, and if nothing, why not
@custom:contract-name BasketCheck
@license MIT
@notice Documented on `interfaces/IBasketCheck.vyi`.
@custom:kill There is nothing to switch off: it holds nothing, may spend nothing and is asked by views alone.
"""

from . import basket_lines
from . import basket_words
from . import limits
from . import prices
from . import reweigh
from . import uniswap_v3
from . import weights
from .interfaces import IBasketCheck
from .interfaces import IBasketThresholds
from .interfaces import ILimits

implements: IBasketCheck
initializes: prices
initializes: uniswap_v3
initializes: basket_lines[prices := prices]
initializes: reweigh[uniswap_v3 := uniswap_v3]

exports: (prices.SEQUENCER, uniswap_v3.FACTORY)


VOLATILITY: public(immutable(address))

_WITHIN: constant(uint8) = 0
_BREACHED: constant(uint8) = 1
_BARRED: constant(uint8) = 2
_BLIND: constant(uint8) = 3

_MOST: constant(uint256) = 8
_BPS: constant(uint256) = 10**4
_CENTI: constant(uint256) = 10**10          # from 8 decimals to WAD


@deploy
def __init__(uniswap_factory: address, sequencer: address, volatility: address):
    """
    @param sequencer The rollup's uptime feed, or the zero address.
    @param volatility Where sigma is read, or the zero address where all bands are fixed.
    """
    assert volatility == empty(address) or volatility.is_contract, "volatility: no contract at its address"
    prices.__init__(sequencer)
    uniswap_v3.__init__(uniswap_factory)
    VOLATILITY = volatility


@external
@view
def version() -> String[8]:
    return "0.1.0"


@external
@view
def finding(thresholds: address, owner: address, id: uint256) -> IBasketThresholds.Finding:
    found: IBasketThresholds.Finding = empty(IBasketThresholds.Finding)
    words: DynArray[uint256, basket_words.MOST_WORDS] = staticcall IBasketThresholds(thresholds).words_of(owner, id)
    rule: IBasketThresholds.Rule = basket_words._unpack(words)
    found.verdict = _BARRED
    if len(rule.assets) == 0:
        found.why = "rule: none is set"
        return found
    if block.timestamp > rule.limits.expiry:
        found.why = "rule: expired"
        return found
    lines: DynArray[weights.Line, _MOST] = []
    lines, found.why = basket_lines._read(owner, rule, words, VOLATILITY)
    if found.why != "":
        found.verdict = _BLIND
        return found
    if weights._total(lines) < weights.LEAST_WORTH:
        found.verdict = _WITHIN
        found.why = "basket: worth less than a dollar"
        return found
    found.measure = weights._measure(lines)
    found.urgency = weights._urgency(found.measure, rule.full_bps)
    found.open = not limits._stranger(rule.limits, empty(address), found.urgency)
    if found.measure <= _BPS:
        # A rule that could not act is worth knowing about before the day it is needed.
        found.verdict = _WITHIN
        found.why = self._ungranted(thresholds, owner, lines, lines)
        if found.why == "":
            found.why = "basket: within its bands"
        return found
    state: ILimits.State = limits._state(words[2])
    found.why = limits._obstacle(rule.limits, state, found.urgency)
    if found.why != "":
        return found
    trades: DynArray[IBasketThresholds.Trade, 7] = []
    flows: DynArray[uint256, _MOST] = weights._flows(lines, rule.max_step * 10**18)
    trades, found.why = reweigh._trades(lines, flows, rule.spot_bps)
    if found.why == "":
        found.why = self._obstacle_to(thresholds, owner, rule, state, lines, trades, found.urgency)
    if found.why == "":
        found.verdict = _BREACHED
        found.trades = trades
        found.why = "basket: an asset has drifted out of its band"
    return found


@internal
@view
def _obstacle_to(
    thresholds: address,
    owner: address,
    rule: IBasketThresholds.Rule,
    state: ILimits.State,
    lines: DynArray[weights.Line, _MOST],
    trades: DynArray[IBasketThresholds.Trade, 7],
    urgency: uint256,
) -> String[96]:
    """
    @dev The first thing that would stop these trades, empty if nothing would.
    """
    after: DynArray[weights.Line, _MOST] = lines
    named: uint256 = 0
    for trade: IBasketThresholds.Trade in trades:
        sold: uint256 = weights._place(lines, trade.sell)
        bought: uint256 = weights._place(lines, trade.buy)
        after[sold].balance -= trade.amount_in
        after[bought].balance += trade.min_out
        named |= (1 << sold) | (1 << bought)
    after = weights._weighed(after, rule.cap_bps, rule.destination_bps)
    # A named keeper is paid nothing; where anybody may act, whoever does is.
    who: address = self if rule.limits.keeper == empty(address) else rule.limits.keeper
    bounty: uint256 = limits._bounty(rule.limits, who, urgency, weights._sold(lines, after) // _CENTI)
    first: uint256 = weights._place(lines, trades[0].sell)
    due: uint256 = weights._units(lines[first], bounty * _CENTI)
    if due > after[first].balance:
        return "token: too little is left of the asset sold first to pay the bounty"
    after[first].balance -= due
    after = weights._weighed(after, rule.cap_bps, rule.destination_bps)
    slippage: uint256 = limits._slippage(rule.limits, urgency)
    landing: weights.Landing = weights._landing(lines, after, named, slippage, rule.max_step * 10**18)
    if landing.why != "":
        return landing.why
    if (landing.lost + _CENTI - 1) // _CENTI > limits._room(rule.limits, state):
        return "rule: the loss is above what is left of the budget"
    return self._ungranted(thresholds, owner, lines, after)


@internal
@view
def _ungranted(
    thresholds: address,
    owner: address,
    before: DynArray[weights.Line, _MOST],
    after: DynArray[weights.Line, _MOST],
) -> String[96]:
    """
    @dev Whether an allowance is short of what leaves; where nothing leaves at all, whether each was granted.
    """
    leaving: uint256 = weights._sold(before, after)
    for i: uint256 in range(len(before), bound=_MOST):
        granted: uint256 = basket_lines._try_word(
            before[i].token, abi_encode(owner, thresholds, method_id=method_id("allowance(address,address)"))
        )
        if leaving == 0 and granted == 0:
            return "allowance: the owner has granted none of an asset"
        if granted < before[i].balance - min(after[i].balance, before[i].balance):
            return "allowance: one is short of what must be sold"
    return ""

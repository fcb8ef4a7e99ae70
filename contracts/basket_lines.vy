# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Basket lines: a rule's assets as prices, balances and volatility stand now
@custom:contract-name basket_lines
@license MIT
@notice Never reverts for what a token or a feed says or does not say, short of spending all gas.
"""

from ethereum.ercs import IERC20

from . import basket_words
from . import prices
from . import volatility_bands
from . import weights
from .interfaces import IBasketThresholds
from .interfaces import IVolatility

uses: prices


_MOST: constant(uint256) = 8
_BPS: constant(uint256) = 10**4
_STALE_SIGMA: constant(uint256) = 3 * 86_400


@internal
@view
def _read(
    owner: address,
    rule: IBasketThresholds.Rule,
    words: DynArray[uint256, basket_words.MOST_WORDS],
    volatility: address,
) -> (DynArray[weights.Line, _MOST], String[96]):
    """
    @dev The weighed lines, or why they cannot be told; `words` are the rule's own.
    """
    lines: DynArray[weights.Line, _MOST] = []
    why: String[64] = prices._try_sequencer()
    second: uint256 = 4
    for asset: IBasketThresholds.Asset in rule.assets:
        line: weights.Line = empty(weights.Line)
        if why == "":
            line.price, why = prices._try_price(basket_words._source(asset))
        if why != "":
            return [], why
        line.token = asset.token
        line.unit = basket_words._unit(words[second])
        line.target_bps = asset.target_bps
        line.width = self._width(rule, asset, volatility)
        line.balance = self._try_word(asset.token, abi_encode(owner, method_id=method_id("balanceOf(address)")))
        if line.balance >= weights.MOST_BALANCE:
            return [], "token: a balance cannot be read"
        lines.append(line)
        second += 2
    lines = weights._weighed(lines, rule.cap_bps, rule.destination_bps)
    if weights._total(lines) >= weights.MOST_WORTH:
        return [], "basket: worth more than can be weighed"
    return lines, ""


@internal
@view
def _recounted(
    owner: address, rule: IBasketThresholds.Rule, before: DynArray[weights.Line, _MOST]
) -> DynArray[weights.Line, _MOST]:
    """
    @dev The lines with the owner's balances as they are now, at the same prices.
    """
    after: DynArray[weights.Line, _MOST] = []
    for line: weights.Line in before:
        counted: weights.Line = line
        counted.balance = staticcall IERC20(line.token).balanceOf(owner)
        after.append(counted)
    return weights._weighed(after, rule.cap_bps, rule.destination_bps)


@internal
@view
def _width(rule: IBasketThresholds.Rule, asset: IBasketThresholds.Asset, volatility: address) -> uint256:
    """
    @dev Of the asset's band, in hundred-millionths of the whole.
    """
    band: uint256 = asset.band_bps
    if rule.sigmas_bps != 0:
        sigma: uint256 = 0
        if staticcall IVolatility(volatility).age(asset.feed) <= _STALE_SIGMA:
            sigma = staticcall IVolatility(volatility).sigma(asset.feed)
        band = asset.widest_bps
        if sigma != 0:
            band = volatility_bands._band(
                rule.sigmas_bps, sigma, rule.horizon, asset.band_bps, asset.widest_bps
            )
    return band * (asset.target_bps if rule.relative else _BPS)


@internal
@view
def _try_word(target: address, question: Bytes[68]) -> uint256:
    """
    @dev The greatest number when there is no answer, or one of another size.
    """
    read: bool = False
    answer: Bytes[64] = b""
    read, answer = raw_call(target, question, max_outsize=64, is_static_call=True, revert_on_failure=False)
    return convert(slice(answer, 0, 32), uint256) if read and len(answer) == 32 else max_value(uint256)

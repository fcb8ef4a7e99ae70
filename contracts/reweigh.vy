# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Reweigh: which trades would bring a basket back, and what pools would give for them
@custom:contract-name reweigh
@license MIT
@notice Flows above and below the targets are paired in the order of the rule's assets, and each pair goes to the pool
        that gives most. Quotes hold while the liquidity in range now reaches as far as the price moves.
@dev `keeper/size/reweigh.py` mirrors every rounding.
Source: v3-core SqrtPriceMath and SwapMath (exact input, roundings included).
"""

from . import uniswap_v3
from . import weights
from . import wide
from .interfaces import IBasketThresholds

uses: uniswap_v3


struct Quote:
    out: uint256
    sqrt_after: uint256


_Q96: constant(uint256) = 2**96
_PIPS: constant(uint256) = 1_000_000
_MOST: constant(uint256) = 8
# A flow below this part of all of them is rounding, not a trade.
_CRUMB: constant(uint256) = 10_000
_OUT_OF_REACH: constant(uint256) = 2**128


@internal
@view
def _trades(
    lines: DynArray[weights.Line, _MOST], flows: DynArray[uint256, _MOST], spot_bps: uint256
) -> (DynArray[IBasketThresholds.Trade, 7], String[96]):
    """
    @dev The trades, or why there are none; the lines are weighed, one flow for each.
    """
    trades: DynArray[IBasketThresholds.Trade, 7] = []
    left: DynArray[uint256, _MOST] = flows
    crumb: uint256 = 1
    for i: uint256 in range(len(lines), bound=_MOST):
        if lines[i].over:
            crumb += flows[i] // _CRUMB
    for _: uint256 in range(7):
        sold: uint256 = self._next(lines, left, True, crumb)
        bought: uint256 = self._next(lines, left, False, crumb)
        if sold == _MOST or bought == _MOST:
            break
        worth: uint256 = min(left[sold], left[bought])
        left[sold] -= worth
        left[bought] -= worth
        trade: IBasketThresholds.Trade = self._best(lines[sold], lines[bought], worth, spot_bps)
        if trade.min_out == 0:
            return [], "pool: none of a pair has liquidity in range at the feeds' price"
        trades.append(trade)
    if len(trades) == 0:
        return [], "basket: nothing worth a trade"
    return trades, ""


@internal
@pure
def _next(
    lines: DynArray[weights.Line, _MOST], left: DynArray[uint256, _MOST], over: bool, crumb: uint256
) -> uint256:
    """
    @dev The first line of a side with more than a crumb left, `_MOST` if there is none.
    """
    for i: uint256 in range(len(lines), bound=_MOST):
        if lines[i].over == over and left[i] > crumb:
            return i
    return _MOST


@internal
@view
def _best(
    sold: weights.Line, bought: weights.Line, worth: uint256, spot_bps: uint256
) -> IBasketThresholds.Trade:
    """
    @dev The pool that gives most for this value, among those near the feeds' price before and after; `min_out` is 0
         when there is none.
    """
    trade: IBasketThresholds.Trade = IBasketThresholds.Trade(
        sell=sold.token,
        buy=bought.token,
        fee=0,
        amount_in=weights._units(sold, worth),
        min_out=0,
    )
    venues: DynArray[uniswap_v3.Venue, 4] = uniswap_v3._venues(sold.token, bought.token)
    for venue: uniswap_v3.Venue in venues:
        quote: Quote = self._buy_for(venue, trade.amount_in)
        if quote.out <= trade.min_out:
            continue
        if weights._agrees(venue.sqrt_price, venue.sells_token0, sold, bought, spot_bps) and (
            weights._agrees(quote.sqrt_after, venue.sells_token0, sold, bought, spot_bps)
        ):
            trade.fee = venue.fee
            trade.min_out = quote.out
    return trade


@internal
@pure
def _buy_for(venue: uniswap_v3.Venue, sold: uint256) -> Quote:
    """
    @dev What is bought by selling exactly `sold`, fee included; nothing when that moves the price out of reach.
    """
    if sold == 0 or sold >= _OUT_OF_REACH:
        return empty(Quote)
    net: uint256 = sold * (_PIPS - convert(venue.fee, uint256)) // _PIPS
    reserve: uint256 = venue.liquidity << 96
    if venue.sells_token0:
        after: uint256 = 0
        if net <= (max_value(uint256) - reserve) // venue.sqrt_price:
            after = wide._mul_div_up(reserve, venue.sqrt_price, reserve + net * venue.sqrt_price)
        else:
            after = wide._mul_div_up(reserve, 1, reserve // venue.sqrt_price + net)
        if after <= uniswap_v3.MIN_SQRT_PRICE:
            return empty(Quote)
        out: uint256 = wide._mul_div_down(venue.liquidity, venue.sqrt_price - after, _Q96)
        return Quote(out=out, sqrt_after=after)
    moved: uint256 = (net << 96) // venue.liquidity
    after: uint256 = venue.sqrt_price + moved
    if after >= uniswap_v3.MAX_SQRT_PRICE:
        return empty(Quote)
    return Quote(
        out=wide._mul_div_down(reserve, moved, after) // venue.sqrt_price, sqrt_after=after
    )

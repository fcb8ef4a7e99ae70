# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Uniswap V3: the factory's pools, and what an exact output costs
@custom:contract-name uniswap_v3
@license MIT
@notice The quote holds while the liquidity in range now reaches as far as the price moves. Where it does not,
        the swap itself says what it costs and the caller's own bounds decide: a quote is never trusted.
@dev A pool's address is computed and not asked for. That saves 5,000 gas, and it proves more: what stands there
     was created by the factory, for this pair and fee, from v3-core's own bytecode.
Assumes: for liveness only, that the factory deploys v3-core 1.0.1 by CREATE2, as Uniswap's does on Ethereum and the
         rollups that are EVM-equivalent. Elsewhere no pool is found and nothing is sold.
Source: v3-core UniswapV3PoolDeployer (address), SqrtPriceMath and SwapMath (quote, roundings included).
"""

from . import wide
from .interfaces import IUniswapV3Pool


struct Venue:
    fee: uint24
    sells_token0: bool
    sqrt_price: uint256
    liquidity: uint256


# Strictly between these a pool's price lives; one step inside is "no limit".
MIN_SQRT_PRICE: constant(uint256) = 4295128739
MAX_SQRT_PRICE: constant(uint256) = 1461446703485210103287273052203988822378723970342

_Q96: constant(uint256) = 2**96
_PIPS: constant(uint256) = 1_000_000
_OUT_OF_REACH: constant(uint256) = 2**128
_TIERS: constant(uint24[4]) = [100, 500, 3_000, 10_000]
_INIT_CODE_HASH: constant(bytes32) = 0xe34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54
_MASK_160: constant(uint256) = 2**160 - 1

FACTORY: public(immutable(address))


@deploy
def __init__(factory: address):
    assert factory.is_contract, "pool: no contract at the factory's address"
    FACTORY = factory


@internal
@view
def _pool(token_a: address, token_b: address, fee: uint24) -> address:
    """
    @dev Where the factory puts the pool of this pair and fee, whether or not it has done so.
    """
    pair: bytes32 = empty(bytes32)
    if self._sorted(token_a, token_b):
        pair = keccak256(abi_encode(token_a, token_b, fee))
    else:
        pair = keccak256(abi_encode(token_b, token_a, fee))
    place: bytes32 = keccak256(concat(0xff, convert(FACTORY, bytes20), pair, _INIT_CODE_HASH))
    return convert(convert(place, uint256) & _MASK_160, address)


@internal
@view
def _venues(sold: address, bought: address) -> DynArray[Venue, 4]:
    """
    @dev The fee tiers that have a pool of the pair with liquidity in range, lowest fee first.
    """
    venues: DynArray[Venue, 4] = []
    for fee: uint24 in _TIERS:
        pool: address = self._pool(sold, bought, fee)
        if not pool.is_contract:
            continue
        sqrt_price: uint256 = convert((staticcall IUniswapV3Pool(pool).slot0()).sqrt_price, uint256)
        liquidity: uint256 = convert(staticcall IUniswapV3Pool(pool).liquidity(), uint256)
        if sqrt_price != 0 and liquidity != 0:
            venues.append(
                Venue(
                    fee=fee,
                    sells_token0=self._sorted(sold, bought),
                    sqrt_price=sqrt_price,
                    liquidity=liquidity,
                )
            )
    return venues


@internal
@pure
def _sorted(sold: address, bought: address) -> bool:
    return convert(sold, uint160) < convert(bought, uint160)


@internal
@pure
def _sell_for(venue: Venue, bought: uint256) -> uint256:
    """
    @dev What must be sold, fee included, to buy exactly `bought` (below 2**96); `wide.NEVER` when the liquidity
         in range cannot give as much.
    """
    net: uint256 = 0
    if venue.sells_token0:
        moved: uint256 = wide._mul_div_up(bought, _Q96, venue.liquidity)
        if moved >= venue.sqrt_price - MIN_SQRT_PRICE:
            return wide.NEVER
        after: uint256 = venue.sqrt_price - moved
        net = wide._mul_div_up(venue.liquidity << 96, moved, venue.sqrt_price)
        net = wide._mul_div_up(net, 1, after)
    else:
        reserve: uint256 = venue.liquidity << 96
        taken: uint256 = bought * venue.sqrt_price
        if taken >= reserve:
            return wide.NEVER
        after: uint256 = wide._mul_div_up(reserve, venue.sqrt_price, reserve - taken)
        if after >= MAX_SQRT_PRICE:
            return wide.NEVER
        net = wide._mul_div_up(venue.liquidity, after - venue.sqrt_price, _Q96)
    if net >= _OUT_OF_REACH:
        return wide.NEVER
    pips: uint256 = convert(venue.fee, uint256)
    return net + wide._mul_div_up(net, pips, _PIPS - pips)


@internal
@pure
def _buy_with(venue: Venue, sold: uint256) -> uint256:
    """
    @dev What selling exactly `sold` (below 2**96), fee included, buys; 0 when the liquidity in range cannot take
         as much.
    """
    net: uint256 = sold * (_PIPS - convert(venue.fee, uint256)) // _PIPS
    if venue.sells_token0:
        reserve: uint256 = venue.liquidity << 96
        given: uint256 = net * venue.sqrt_price
        if given > max_value(uint256) - reserve:
            return 0
        after: uint256 = wide._mul_div_up(reserve, venue.sqrt_price, reserve + given)
        if after <= MIN_SQRT_PRICE:
            return 0
        return wide._mul_div_down(venue.liquidity, venue.sqrt_price - after, _Q96)
    moved: uint256 = (net << 96) // venue.liquidity
    if moved >= MAX_SQRT_PRICE - venue.sqrt_price:
        return 0
    after: uint256 = venue.sqrt_price + moved
    return wide._mul_div_down(venue.liquidity << 96, moved, after) // venue.sqrt_price

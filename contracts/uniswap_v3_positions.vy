# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Uniswap V3 positions: whose they are, what they owe, and how to move them
@custom:contract-name uniswap_v3_positions
@license MIT
@notice Readings named `_try_` answer instead of reverting, for a view that must always have an answer.
@dev A position's own record of its fees is as old as its last change; `_fees` brings it up to date as the pool would.
Source: v3-periphery NonfungiblePositionManager, v3-core Tick.getFeeGrowthInside.
"""

from ethereum.ercs import IERC20

from . import wide
from .interfaces import IUniswapV3PoolTicks
from .interfaces import IUniswapV3Positions


_MOST: constant(uint128) = max_value(uint128)
_Q128: constant(uint256) = 2**128

MANAGER: public(immutable(address))


@deploy
def __init__(manager: address):
    assert manager.is_contract, "range: no contract at the position manager's address"
    MANAGER = manager


@internal
@view
def _try_position(token_id: uint256) -> (bool, address, IUniswapV3Positions.Position):
    """
    @dev Its owner and what it is; False when there is no such position, as after it was burnt.
    """
    read: bool = False
    answer: Bytes[384] = b""
    read, answer = raw_call(
        MANAGER,
        abi_encode(token_id, method_id=method_id("positions(uint256)")),
        max_outsize=384,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not read or len(answer) != 384:
        return False, empty(address), empty(IUniswapV3Positions.Position)
    owner: address = staticcall IUniswapV3Positions(MANAGER).ownerOf(token_id)
    return True, owner, abi_decode(answer, IUniswapV3Positions.Position)


@internal
@view
def _position_of(owner: address, token_id: uint256) -> IUniswapV3Positions.Position:
    assert (
        staticcall IUniswapV3Positions(MANAGER).ownerOf(token_id) == owner
    ), "range: the position is not the owner's"
    return staticcall IUniswapV3Positions(MANAGER).positions(token_id)


@internal
@view
def _may_move(operator: address, owner: address, token_id: uint256) -> bool:
    if staticcall IUniswapV3Positions(MANAGER).isApprovedForAll(owner, operator):
        return True
    return staticcall IUniswapV3Positions(MANAGER).getApproved(token_id) == operator


@internal
@view
def _fees(pool: address, position: IUniswapV3Positions.Position, tick: int256) -> (uint256, uint256):
    """
    @dev What `_collect` would bring now, exactly but for a wei that the manager shares among its positions.
    """
    lower: IUniswapV3PoolTicks.Tick = staticcall IUniswapV3PoolTicks(pool).ticks(position.lower)
    upper: IUniswapV3PoolTicks.Tick = staticcall IUniswapV3PoolTicks(pool).ticks(position.upper)
    is_above: bool = tick >= convert(position.lower, int256)
    is_below: bool = tick < convert(position.upper, int256)
    return (
        convert(position.owed_0, uint256)
        + self._earned(
            staticcall IUniswapV3PoolTicks(pool).feeGrowthGlobal0X128(),
            lower.growth_outside_0 if is_above else self._rest_0(pool, lower),
            upper.growth_outside_0 if is_below else self._rest_0(pool, upper),
            position.growth_0,
            position.liquidity,
        ),
        convert(position.owed_1, uint256)
        + self._earned(
            staticcall IUniswapV3PoolTicks(pool).feeGrowthGlobal1X128(),
            lower.growth_outside_1 if is_above else self._rest_1(pool, lower),
            upper.growth_outside_1 if is_below else self._rest_1(pool, upper),
            position.growth_1,
            position.liquidity,
        ),
    )


@internal
@view
def _rest_0(pool: address, tick: IUniswapV3PoolTicks.Tick) -> uint256:
    return unsafe_sub(staticcall IUniswapV3PoolTicks(pool).feeGrowthGlobal0X128(), tick.growth_outside_0)


@internal
@view
def _rest_1(pool: address, tick: IUniswapV3PoolTicks.Tick) -> uint256:
    return unsafe_sub(staticcall IUniswapV3PoolTicks(pool).feeGrowthGlobal1X128(), tick.growth_outside_1)


@internal
@pure
def _earned(grown: uint256, below: uint256, above: uint256, before: uint256, liquidity: uint128) -> uint256:
    # Fee growths run over, and only their differences mean anything.
    inside: uint256 = unsafe_sub(unsafe_sub(grown, below), above)
    return wide._mul_div_down(unsafe_sub(inside, before), convert(liquidity, uint256), _Q128)


@internal
def _withdraw(token_id: uint256, liquidity: uint128) -> (uint256, uint256):
    """
    @dev Everything, fees included, comes here; the empty position is burnt.
    """
    extcall IUniswapV3Positions(MANAGER).decreaseLiquidity(
        IUniswapV3Positions.Decreasing(
            token_id=token_id, liquidity=liquidity, least_0=0, least_1=0, deadline=block.timestamp
        )
    )
    amount0: uint256 = 0
    amount1: uint256 = 0
    amount0, amount1 = self._collect(token_id)
    extcall IUniswapV3Positions(MANAGER).burn(token_id)
    return amount0, amount1


@internal
def _collect(token_id: uint256) -> (uint256, uint256):
    return extcall IUniswapV3Positions(MANAGER).collect(
        IUniswapV3Positions.Collecting(token_id=token_id, recipient=self, most_0=_MOST, most_1=_MOST)
    )


@internal
def _add(
    token_id: uint256,
    owner: address,
    position: IUniswapV3Positions.Position,
    lower: int256,
    upper: int256,
    amount0: uint256,
    amount1: uint256,
) -> (uint256, uint256, uint256, uint256):
    """
    @dev More liquidity in the position `token_id`, or if that is 0 in a new one of the same pool, given to the owner.
         Answers the position's id, the liquidity added, and how much it took of each token.
    """
    self._allow(position.token0, amount0)
    self._allow(position.token1, amount1)
    id: uint256 = token_id
    liquidity: uint128 = 0
    used0: uint256 = 0
    used1: uint256 = 0
    if id == 0:
        id, liquidity, used0, used1 = extcall IUniswapV3Positions(MANAGER).mint(
            IUniswapV3Positions.Minting(
                token0=position.token0,
                token1=position.token1,
                fee=position.fee,
                lower=convert(lower, int24),
                upper=convert(upper, int24),
                amount_0=amount0,
                amount_1=amount1,
                least_0=0,
                least_1=0,
                recipient=owner,
                deadline=block.timestamp,
            )
        )
    else:
        liquidity, used0, used1 = extcall IUniswapV3Positions(MANAGER).increaseLiquidity(
            IUniswapV3Positions.Increasing(
                token_id=id,
                amount_0=amount0,
                amount_1=amount1,
                least_0=0,
                least_1=0,
                deadline=block.timestamp,
            )
        )
    self._disallow(position.token0, amount0, used0)
    self._disallow(position.token1, amount1, used1)
    return id, convert(liquidity, uint256), used0, used1


@internal
def _allow(token: address, amount: uint256):
    if amount > 0:
        extcall IERC20(token).approve(MANAGER, amount, default_return_value=True)


@internal
def _disallow(token: address, amount: uint256, used: uint256):
    """
    @dev What was not used is taken back; what was used is gone already.
    """
    if used < amount:
        extcall IERC20(token).approve(MANAGER, 0, default_return_value=True)

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title The same recentring with nothing checked: what the protocol alone costs
@custom:contract-name bare_recentre_mock
@license MIT
@notice For the benchmark only. It moves any position that approved it for anyone, so it must never be approved.
"""

from ethereum.ercs import IERC20
from ..interfaces import IUniswapV3Pool
from ..interfaces import IUniswapV3Positions


struct Order:
    owner: address
    pool: address
    token_id: uint256
    liquidity: uint128
    token0: address
    token1: address
    fee: uint24
    lower: int24
    upper: int24
    sells_token0: bool
    amount: uint256


MANAGER: immutable(address)


@deploy
def __init__(manager: address):
    MANAGER = manager


@external
def prepare(token0: address, token1: address):
    """
    @notice Allow the manager both tokens once and for all, as a contract for one pool would.
    """
    extcall IERC20(token0).approve(MANAGER, max_value(uint256))
    extcall IERC20(token1).approve(MANAGER, max_value(uint256))


@external
def run(order: Order):
    manager: address = MANAGER
    extcall IUniswapV3Positions(manager).decreaseLiquidity(
        IUniswapV3Positions.Decreasing(
            token_id=order.token_id, liquidity=order.liquidity, least_0=0, least_1=0, deadline=block.timestamp
        )
    )
    amount0: uint256 = 0
    amount1: uint256 = 0
    amount0, amount1 = extcall IUniswapV3Positions(manager).collect(
        IUniswapV3Positions.Collecting(
            token_id=order.token_id, recipient=self, most_0=max_value(uint128), most_1=max_value(uint128)
        )
    )
    extcall IUniswapV3Positions(manager).burn(order.token_id)
    delta_0: int256 = 0
    delta_1: int256 = 0
    delta_0, delta_1 = extcall IUniswapV3Pool(order.pool).swap(
        self,
        order.sells_token0,
        convert(order.amount, int256),
        4295128740 if order.sells_token0 else 1461446703485210103287273052203988822378723970341,
        abi_encode(order.token0 if order.sells_token0 else order.token1),
    )
    amount0 = convert(convert(amount0, int256) - delta_0, uint256)
    amount1 = convert(convert(amount1, int256) - delta_1, uint256)
    token_id: uint256 = 0
    liquidity: uint128 = 0
    used0: uint256 = 0
    used1: uint256 = 0
    token_id, liquidity, used0, used1 = extcall IUniswapV3Positions(manager).mint(
        IUniswapV3Positions.Minting(
            token0=order.token0,
            token1=order.token1,
            fee=order.fee,
            lower=order.lower,
            upper=order.upper,
            amount_0=amount0,
            amount_1=amount1,
            least_0=0,
            least_1=0,
            recipient=order.owner,
            deadline=block.timestamp,
        )
    )
    extcall IERC20(order.token0).transfer(order.owner, amount0 - used0)
    extcall IERC20(order.token1).transfer(order.owner, amount1 - used1)


@external
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[32]):
    extcall IERC20(abi_decode(data, address)).transfer(msg.sender, convert(max(delta_0, delta_1), uint256))

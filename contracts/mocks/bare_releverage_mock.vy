# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title The same releverage with nothing checked: what the protocols alone cost
@custom:contract-name bare_releverage_mock
@license MIT
@notice For the benchmark only. It spends any credit for anyone, so it must never be given one that matters.
"""

from ethereum.ercs import IERC20
from ..interfaces import IAaveV3Pool
from ..interfaces import IUniswapV3Pool


struct Order:
    owner: address
    collateral: address
    debt: address
    amount: uint256


AAVE: immutable(address)


@deploy
def __init__(aave: address):
    AAVE = aave


@external
def prepare(collateral: address):
    """
    @notice Allow Aave the collateral once and for all, as a contract for one market would.
    """
    extcall IERC20(collateral).approve(AAVE, max_value(uint256), default_return_value=True)


@external
def run(pool: address, sells_token0: bool, order: Order):
    limit: uint160 = 4295128740 if sells_token0 else 1461446703485210103287273052203988822378723970341
    extcall IUniswapV3Pool(pool).swap(
        self, sells_token0, convert(order.amount, int256), limit, abi_encode(order)
    )


@external
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[192]):
    order: Order = abi_decode(data, Order)
    bought: uint256 = convert(-min(delta_0, delta_1), uint256)
    extcall IAaveV3Pool(AAVE).supply(order.collateral, bought, order.owner, 0)
    extcall IAaveV3Pool(AAVE).borrow(order.debt, order.amount, 2, 0, order.owner)
    extcall IERC20(order.debt).transfer(msg.sender, order.amount, default_return_value=True)

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title The same deleverage with nothing checked: what the protocols alone cost
@custom:contract-name bare_flash_swap_mock
@license MIT
@notice For the benchmark only. It spends any allowance for anyone, so it must never be given one that matters.
"""

from ethereum.ercs import IERC20
from ..interfaces import IAaveV3Pool
from ..interfaces import IUniswapV3Pool


struct Order:
    owner: address
    collateral: address
    a_token: address
    debt: address
    repay: uint256
    max_sell: uint256


AAVE: immutable(address)


@deploy
def __init__(aave: address):
    AAVE = aave


@external
def prepare(debt: address):
    """
    @notice Allow Aave the debt asset once and for all, as a contract for one market would.
    """
    extcall IERC20(debt).approve(AAVE, max_value(uint256), default_return_value=True)


@external
def run(pool: address, sells_token0: bool, order: Order):
    limit: uint160 = 4295128740 if sells_token0 else 1461446703485210103287273052203988822378723970341
    extcall IUniswapV3Pool(pool).swap(
        self, sells_token0, -convert(order.repay, int256), limit, abi_encode(order)
    )


@external
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[192]):
    order: Order = abi_decode(data, Order)
    owed: uint256 = convert(max(delta_0, delta_1), uint256)
    extcall IAaveV3Pool(AAVE).repay(order.debt, order.repay, 2, order.owner)
    extcall IERC20(order.a_token).transferFrom(order.owner, self, owed)
    extcall IAaveV3Pool(AAVE).withdraw(order.collateral, owed, msg.sender)

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A deleverage by Aave's flash loan with nothing checked: how most contracts do it
@custom:contract-name bare_flash_loan_mock
@license MIT
@notice For the benchmark only: borrow the debt asset, repay, withdraw, buy the loan and its premium back. It spends
        any allowance for anyone, so it must never be given one that matters.
"""

from ethereum.ercs import IERC20
from ..interfaces import IAaveV3Pool
from ..interfaces import IUniswapV3Pool


interface IFlashLender:
    def flashLoanSimple(
        receiver: address, asset: address, amount: uint256, data: Bytes[256], referral: uint16
    ): nonpayable


struct Order:
    owner: address
    collateral: address
    a_token: address
    debt: address
    pool: address
    sells_token0: bool
    repay: uint256
    sell: uint256


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
def run(order: Order):
    extcall IFlashLender(AAVE).flashLoanSimple(self, order.debt, order.repay, abi_encode(order), 0)


@external
def executeOperation(
    asset: address, amount: uint256, premium: uint256, initiator: address, data: Bytes[256]
) -> bool:
    order: Order = abi_decode(data, Order)
    extcall IAaveV3Pool(AAVE).repay(asset, amount, 2, order.owner)
    extcall IERC20(order.a_token).transferFrom(order.owner, self, order.sell)
    extcall IAaveV3Pool(AAVE).withdraw(order.collateral, order.sell, self)
    limit: uint160 = 4295128740 if order.sells_token0 else 1461446703485210103287273052203988822378723970341
    extcall IUniswapV3Pool(order.pool).swap(
        self, order.sells_token0, -convert(amount + premium, int256), limit, abi_encode(order.collateral)
    )
    return True


@external
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[32]):
    collateral: address = abi_decode(data, address)
    extcall IERC20(collateral).transfer(msg.sender, convert(max(delta_0, delta_1), uint256))

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title The usual deleverage: a flash loan of the debt asset, and nothing checked
@custom:contract-name flash_loan_mock
@license MIT
@notice For the benchmark only. Borrows the repayment from Aave, repays, withdraws more collateral than it should
        take, buys the loan and its premium back, and supplies what is left over for the owner again. It spends any
        allowance for anyone, so it must never be given one that matters.
"""

from ethereum.ercs import IERC20


struct Order:
    owner: address
    collateral: address
    a_token: address
    debt: address
    pool: address
    sells_token0: bool
    repay: uint256
    withdrawn: uint256


interface IPool:
    def flashLoanSimple(
        receiver: address, asset: address, amount: uint256, data: Bytes[256], referral: uint16
    ): nonpayable
    def repay(asset: address, amount: uint256, rate_mode: uint256, on_behalf_of: address) -> uint256: nonpayable
    def withdraw(asset: address, amount: uint256, to: address) -> uint256: nonpayable
    def supply(asset: address, amount: uint256, on_behalf_of: address, referral: uint16): nonpayable


interface IExchange:
    def swap(
        to: address, sells_token0: bool, amount: int256, limit: uint160, data: Bytes[32]
    ) -> (int256, int256): nonpayable


_LOWEST: constant(uint160) = 4295128740
_HIGHEST: constant(uint160) = 1461446703485210103287273052203988822378723970341

AAVE: immutable(address)


@deploy
def __init__(aave: address, collateral: address, debt: address):
    """
    @notice Both allowances once and for all, as a contract for one market would have them.
    """
    AAVE = aave
    extcall IERC20(collateral).approve(aave, max_value(uint256))
    extcall IERC20(debt).approve(aave, max_value(uint256))


@external
def run(order: Order):
    extcall IPool(AAVE).flashLoanSimple(self, order.debt, order.repay, abi_encode(order), 0)


@external
def executeOperation(
    asset: address, amount: uint256, premium: uint256, initiator: address, data: Bytes[256]
) -> bool:
    order: Order = abi_decode(data, Order)
    extcall IPool(AAVE).repay(asset, amount, 2, order.owner)
    extcall IERC20(order.a_token).transferFrom(order.owner, self, order.withdrawn)
    extcall IPool(AAVE).withdraw(order.collateral, order.withdrawn, self)
    delta_0: int256 = 0
    delta_1: int256 = 0
    delta_0, delta_1 = extcall IExchange(order.pool).swap(
        self,
        order.sells_token0,
        -convert(amount + premium, int256),
        _LOWEST if order.sells_token0 else _HIGHEST,
        abi_encode(order.collateral),
    )
    left: uint256 = order.withdrawn - convert(max(delta_0, delta_1), uint256)
    extcall IPool(AAVE).supply(order.collateral, left, order.owner, 0)
    return True


@external
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[32]):
    collateral: address = abi_decode(data, address)
    extcall IERC20(collateral).transfer(msg.sender, convert(max(delta_0, delta_1), uint256))

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Many borrowers, each with a rule, a transaction for dozens of them
@custom:contract-name crowd_mock
@license MIT
@notice For the benchmark only. The contract keeps the crowd's collateral, and every borrower is a minimal proxy to
        this same code: an account of its own for Aave and for the rules, at the address of the next contract created
        here. Anyone may have a borrower borrow again, so nothing of worth belongs in it.
"""

from ethereum.ercs import IERC20


struct Loan:
    supplied: uint256
    borrowed: uint256
    floor_bps: uint256
    target_bps: uint256


struct Rule:
    collateral: address
    debt: address
    floor_bps: uint256
    target_bps: uint256
    ceiling_bps: uint256
    slippage_bps: uint256
    cooldown: uint256
    max_step: uint256
    expiry: uint256
    keeper: address


interface IPool:
    def supply(asset: address, amount: uint256, on_behalf_of: address, referral: uint16): nonpayable
    def borrow(
        asset: address, amount: uint256, rate_mode: uint256, referral: uint16, on_behalf_of: address
    ): nonpayable


interface IThresholds:
    def set_rule(id: uint256, rule: Rule): nonpayable


interface IBorrower:
    def owe(loan: Loan): nonpayable


AAVE: immutable(address)
THRESHOLDS: immutable(address)
COLLATERAL: immutable(address)
A_TOKEN: immutable(address)
DEBT: immutable(address)


@deploy
def __init__(aave: address, thresholds: address, collateral: address, a_token: address, debt: address):
    AAVE = aave
    THRESHOLDS = thresholds
    COLLATERAL = collateral
    A_TOKEN = a_token
    DEBT = debt
    extcall IERC20(collateral).approve(aave, max_value(uint256))


@external
def open(loans: DynArray[Loan, 32]):
    for loan: Loan in loans:
        borrower: address = create_minimal_proxy_to(self)
        extcall IPool(AAVE).supply(COLLATERAL, loan.supplied, borrower, 0)
        extcall IBorrower(borrower).owe(loan)


@external
def owe(loan: Loan):
    """
    @notice What one borrower does itself: borrow, write its rule, and grant the contract what acting takes.
    """
    extcall IPool(AAVE).borrow(DEBT, loan.borrowed, 2, 0, self)
    extcall IERC20(A_TOKEN).approve(THRESHOLDS, max_value(uint256))
    extcall IThresholds(THRESHOLDS).set_rule(
        0,
        Rule(
            collateral=COLLATERAL,
            debt=DEBT,
            floor_bps=loan.floor_bps,
            target_bps=loan.target_bps,
            ceiling_bps=2 * loan.target_bps,
            slippage_bps=100,
            cooldown=60,
            max_step=2**96 - 1,
            expiry=2**40 - 1,
            keeper=empty(address),
        ),
    )

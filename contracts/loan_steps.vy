# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title What a step on a loan is sized from, and the step
@custom:contract-name loan_steps
@license MIT
"""

struct Loan:
    debt: uint256               # base currency, below 2**128
    measure: uint256            # WAD, below 2**80
    aim: uint256                # WAD, where the measure is to land, below 2**80
    weight_bps: uint256         # what the collateral traded counts in the measure
    collateral_price: uint256   # base currency per unit, below 2**64
    collateral_unit: uint256
    debt_price: uint256         # base currency per unit, below 2**64
    debt_unit: uint256
    cap: uint256                # debt-asset units, below 2**96


struct Step:
    amount: uint256             # debt-asset units repaid or borrowed; 0 = this pool cannot do it
    swapped: uint256            # collateral units sold or bought
    owed: uint256               # what the amount is worth, base currency * WAD, rounded against the owner
    traded: uint256             # what the swapped is worth, base currency * WAD, rounded against the owner
    ratio: uint256              # WAD, traded per owed, rounded against the owner


# Enough for one part in a million at every pool that stays within the widest slippage a rule may have;
# a deep pool settles in six.
ROUNDS: constant(uint256) = 24

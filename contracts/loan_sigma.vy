# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A loan's band where its floor follows volatility
@custom:contract-name loan_sigma
@license MIT
@notice The floor is exp(z * sigma * sqrt(T)), between the one that the rule wrote and `highest_bps`. While sigma is not
        known, because too little was gathered or nobody poked for long, it is `highest_bps`. Target and ceiling move
        with the floor in proportion, or a floor that rises would reach them.
@dev Integers only; `keeper/domain/loan_band.py` mirrors every rounding. Target and ceiling are rounded up, so that the
     target stays beyond the tolerance of the floor; the ceiling stays beyond the target's because `LoanSense.vy` asks
     for a basis point more where it moves.
"""

from .interfaces import ILoanThresholds
from .interfaces import IVolatility


@internal
@view
def _standing(
    rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms, volatility: address
) -> (uint256, uint256, uint256, bool):
    """
    @dev Floor, target and ceiling of a rule whose terms have a `highest_bps`, in basis points, and whether sigma is
         known.
    """
    health: uint256 = staticcall IVolatility(volatility).floor_health(
        terms.feed, terms.sigmas_bps, terms.horizon
    )
    floor_bps: uint256 = terms.highest_bps
    if health != 0:
        floor_bps = min(max(health, rule.floor_bps), terms.highest_bps)
    return (
        floor_bps,
        self._moved(rule.target_bps, floor_bps, rule.floor_bps),
        self._moved(rule.ceiling_bps, floor_bps, rule.floor_bps),
        health != 0,
    )


@internal
@pure
def _moved(bps: uint256, floor_bps: uint256, lowest_bps: uint256) -> uint256:
    return (bps * floor_bps + lowest_bps - 1) // lowest_bps

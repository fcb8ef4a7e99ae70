# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A loan's band: one measure for both units, its edges, and where a step is to land
@custom:contract-name loan_band
@license MIT
@notice Glossary. C, D: collateral and debt, in Aave's base currency. L = C / (C - D): leverage. q = C / D: cover.
        h = l * C / D: health, l being the account's mean liquidation threshold. m: the rule's measure, h or q.

        Leverage and cover say the same, q = L / (L - 1), and cover obeys the arithmetic of health with every
        asset counted whole. So a rule in leverage is a rule in cover: higher is safer, its greatest leverage is
        its floor. It is stored as leverage and never as a health, since the health that a leverage stands for
        changes whenever Aave changes a threshold.
@dev Integers only; `keeper/domain/loan_band.py` mirrors every rounding.
"""

from .interfaces import IAaveV3Pool
from .interfaces import ILoanThresholds


struct Band:
    floor: uint256              # WAD, of the measure
    target: uint256
    ceiling: uint256            # 0 = nothing is borrowed for this rule


# How far from its aim a step may land, as a share of the aim.
TOLERANCE_BPS: constant(uint256) = 50

_WAD: constant(uint256) = 10**18
_BPS: constant(uint256) = 10**4
_HEALTH_BPS: constant(uint256) = 10**14     # one basis point of health, in WAD
_STEP_MARGIN: constant(uint256) = 16


@internal
@pure
def _band(rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms) -> Band:
    return Band(
        floor=self._edge(rule.floor_bps, terms.in_leverage),
        target=self._edge(rule.target_bps, terms.in_leverage),
        ceiling=self._edge(rule.ceiling_bps, terms.in_leverage) if terms.borrow_step != 0 else 0,
    )


@internal
@pure
def _edge(bps: uint256, in_leverage: bool) -> uint256:
    return self._cover(bps * _HEALTH_BPS) if in_leverage else bps * _HEALTH_BPS


@internal
@pure
def _measure(account: IAaveV3Pool.AccountData, in_leverage: bool) -> uint256:
    if not in_leverage or account.debt == 0:
        return account.health
    return account.collateral * _WAD // account.debt


@internal
@pure
def _aim(measure: uint256, band: Band, in_leverage: bool, speed_bps: uint256) -> uint256:
    """
    @dev Where one step from `measure`, which is outside the band, is to land: the share `speed_bps` of the way to the
         target in the rule's own unit, and far enough inside the band that the tolerance does not breach it again.
    """
    if speed_bps == 0:
        return band.target
    aim: uint256 = 0
    if not in_leverage:
        aim = self._between(measure, band.target, speed_bps)
    elif measure > _WAD:
        # Cover and leverage are each other's inverse function.
        aim = self._cover(self._between(self._cover(measure), self._cover(band.target), speed_bps))
    if measure < band.target:
        return min(max(aim, band.floor * _BPS // (_BPS - 2 * TOLERANCE_BPS) + 1), band.target)
    return max(min(aim, band.ceiling * _BPS // (_BPS + 2 * TOLERANCE_BPS) - 1), band.target)


@internal
@pure
def _urgency(account: IAaveV3Pool.AccountData, measure: uint256, band: Band) -> uint256:
    """
    @dev How deep below the floor, in basis points of the way from it to liquidation; 0 above the floor.
    """
    if measure >= band.floor:
        return 0
    # The measure at which health is 1: both move in proportion.
    line: uint256 = measure * _WAD // max(account.health, 1)
    if line >= band.floor or measure <= line:
        return _BPS
    return (band.floor - measure) * _BPS // (band.floor - line)


@internal
@pure
def _max_step(max_step: uint256, urgent_step: uint256, urgency: uint256) -> uint256:
    """
    @dev What one deleverage may repay.
    """
    if urgent_step == 0:
        return max_step
    return max_step + (urgent_step - max_step) * urgency // _BPS


@internal
@pure
def _sized_step(max_step: uint256, urgent_step: uint256, urgency: uint256) -> uint256:
    """
    @dev What to size one deleverage by, so that it is still no more than it may be when urgency has fallen a little:
         a stranger can make it fall by repaying a little of the debt.
    """
    step: uint256 = self._max_step(max_step, urgent_step, urgency)
    return max(max_step, step - step // _STEP_MARGIN)


@internal
@pure
def _above(aim: uint256) -> uint256:
    """
    @dev The middle of where a releverage may land, which is on its aim or above it within the tolerance.
    """
    return aim + aim * TOLERANCE_BPS // (2 * _BPS)


@internal
@pure
def _between(start: uint256, end: uint256, speed_bps: uint256) -> uint256:
    if start < end:
        return start + (end - start) * speed_bps // _BPS
    return start - (start - end) * speed_bps // _BPS


@internal
@pure
def _cover(leverage: uint256) -> uint256:
    """
    @dev x / (x - 1) in WAD, of an x above 1: from leverage to cover, and back.
    """
    return leverage * _WAD // (leverage - _WAD)

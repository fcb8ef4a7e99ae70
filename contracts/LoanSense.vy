# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Which rules on loans make sense
@custom:contract-name LoanSense
@license MIT
@notice Documented on `interfaces/ILoanSense.vyi`.
@custom:kill There is nothing to switch off: it holds nothing, may spend nothing and is asked by views alone.
"""

from . import limits
from . import loan_band
from . import loan_words
from .interfaces import ILoanSense
from .interfaces import ILoanThresholds

implements: ILoanSense


_BPS: constant(uint256) = 10_000
_MASK_24: constant(uint256) = 2**24 - 1
_MASK_32: constant(uint256) = 2**32 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_MASK_96: constant(uint256) = 2**96 - 1


@external
@view
def version() -> String[8]:
    return "0.1.0"


@external
@view
def refusal(rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms) -> String[96]:
    if rule.collateral == empty(address):
        return "rule: collateral is the zero address"
    if rule.debt == empty(address):
        return "rule: debt is the zero address"
    if rule.collateral == rule.debt:
        return "rule: collateral and debt are the same asset"
    if terms.in_leverage:
        if rule.floor_bps > _MASK_24:
            return "rule: floor does not fit 24 bits"
        if rule.target_bps >= rule.floor_bps:
            return "rule: target is not a leverage below the floor's"
        if rule.target_bps <= _BPS:
            return "rule: target is not a leverage above 1"
        if rule.ceiling_bps != 0:
            if rule.ceiling_bps >= rule.target_bps:
                return "rule: ceiling is not a leverage below the target's"
            if rule.ceiling_bps <= _BPS:
                return "rule: ceiling is not a leverage above 1"
    else:
        if rule.ceiling_bps > _MASK_24:
            return "rule: ceiling does not fit 24 bits"
        if rule.ceiling_bps != 0 and rule.target_bps >= rule.ceiling_bps:
            return "rule: target is not below the ceiling"
        if rule.target_bps > _MASK_24:
            return "rule: target does not fit 24 bits"
        if rule.floor_bps >= rule.target_bps:
            return "rule: floor is not below the target"
        if rule.floor_bps <= _BPS:
            return "rule: floor is not above a health of 1"
    # Wherever within the tolerance an action lands, it must not stand in breach again.
    target: uint256 = loan_band._edge(rule.target_bps, terms.in_leverage)
    if rule.ceiling_bps != 0:
        ceiling: uint256 = loan_band._edge(rule.ceiling_bps, terms.in_leverage)
        if target * (_BPS + loan_band.TOLERANCE_BPS) >= ceiling * _BPS:
            return "rule: ceiling is within the tolerance of the target"
    floor_: uint256 = loan_band._edge(rule.floor_bps, terms.in_leverage)
    if floor_ * _BPS >= target * (_BPS - loan_band.TOLERANCE_BPS):
        return "rule: floor is within the tolerance of the target"
    why: String[96] = self._refusal_of_moving(rule, terms)
    if why != "":
        return why
    if terms.borrow_step != 0 and rule.ceiling_bps == 0:
        return "rule: borrow_step is set and no ceiling is"
    if terms.borrow_step > _MASK_96:
        return "rule: borrow_step does not fit 96 bits"
    if terms.speed_bps > _BPS:
        return "rule: speed is above 10000 bps"
    if terms.hold > _MASK_24:
        return "rule: hold does not fit 24 bits"
    if terms.urgent_step != 0 and terms.urgent_step < rule.max_step:
        return "rule: urgent_step is below max_step"
    if terms.urgent_step > _MASK_96:
        return "rule: urgent_step does not fit 96 bits"
    if (terms.budget == 0) != (terms.window == 0):
        return "rule: budget and window need each other"
    if rule.cooldown > _MASK_24:
        return "rule: cooldown does not fit 24 bits"
    if rule.expiry > _MASK_40:
        return "rule: expiry does not fit 40 bits"
    if rule.max_step == 0:
        return "rule: max_step is zero"
    if rule.max_step > _MASK_96:
        return "rule: max_step does not fit 96 bits"
    limits._validate(loan_words._whole_limits(rule, terms))
    return ""


@internal
@pure
def _refusal_of_moving(rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms) -> String[96]:
    """
    @dev What is wrong with following volatility, with a band that makes sense where it stands.
    """
    if terms.highest_bps == 0:
        if terms.feed != empty(address) or terms.sigmas_bps != 0 or terms.horizon != 0:
            return "rule: feed, sigmas_bps and horizon are for a floor with a highest_bps"
        return ""
    if terms.feed == empty(address) or terms.sigmas_bps == 0 or terms.horizon == 0:
        return "rule: highest_bps needs a feed, sigmas_bps and a horizon"
    if terms.in_leverage:
        return "rule: a floor that follows volatility is a health, not a leverage"
    if terms.highest_bps <= rule.floor_bps:
        return "rule: highest_bps is not above the floor"
    if terms.sigmas_bps > _MASK_24:
        return "rule: sigmas_bps does not fit 24 bits"
    if terms.horizon > _MASK_32:
        return "rule: horizon does not fit 32 bits"
    if terms.highest_bps > _MASK_24:
        return "rule: highest_bps does not fit 24 bits"
    if max(rule.target_bps, rule.ceiling_bps) * terms.highest_bps // rule.floor_bps >= _MASK_24:
        return "rule: the band does not fit 24 bits where its floor is highest"
    # Both are rounded up to a basis point where they move.
    if rule.ceiling_bps != 0 and (rule.target_bps + 1) * (_BPS + loan_band.TOLERANCE_BPS) > rule.ceiling_bps * _BPS:
        return "rule: ceiling is within the tolerance of the target"
    return ""

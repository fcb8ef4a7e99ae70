# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title What bars an action on a range
@custom:contract-name range_bars
@license MIT
@notice Asked by the action of the figures it measures, and by `RangeCheck.vy` of the figures it foresees: a reason,
        or nothing. That both ask here is what makes `check` and the action agree.
"""

from . import range_rules
from . import recentre
from . import ticks
from . import wide
from .interfaces import IRangeThresholds
from .interfaces import IUniswapV3Positions

# What an owner may want to leave a pool with.
AS_IT_LIES: constant(uint256) = 0
ALL_IN_0: constant(uint256) = 1

_BPS: constant(uint256) = 10**4


@internal
@view
def _bar(
    rule: IRangeThresholds.Rule,
    past: range_rules.Past,
    case: recentre.Case,
    look: ticks.Look,
    old: recentre.Edges,
    new: recentre.Edges,
) -> String[96]:
    """
    @dev Why the range is neither to be moved nor left, whatever the swap; empty if nothing speaks against it.
    """
    if case.measure <= 0:
        return "range: inside its trigger"
    if case.leaves:
        if self._exit_to(rule, case) != AS_IT_LIES:
            if not recentre._is_calm(look, recentre._urgent(rule.deviation, case.cutoff)):
                return "pool: its price is too far from the mean"
        return ""
    if block.timestamp < past.last_acted + rule.cooldown:
        return "rule: cooling down"
    if past.acted_today >= rule.daily:
        return "rule: the day's count is used up"
    if not recentre._is_calm(look, rule.deviation):
        return "pool: its price is too far from the mean"
    if not recentre._stands(rule, case, look, old, new):
        return "rule: the new range would be the old one or in breach"
    return ""


@internal
@pure
def _bar_to_compounding(rule: IRangeThresholds.Rule, look: ticks.Look) -> String[96]:
    if rule.compound_at == 0:
        return "rule: fees are not compounded alone"
    if not recentre._is_calm(look, rule.deviation):
        return "pool: its price is too far from the mean"
    return ""


@internal
@pure
def _bar_to_result(
    rule: IRangeThresholds.Rule, slippage_bps: uint256, before: uint256, placed: uint256, lost: uint256
) -> String[96]:
    if before == wide.NEVER:
        return "range: its value is beyond measure"
    if lost > slippage_bps * (range_rules.WHOLE // _BPS):
        return "range: the value lost is above the rule's slippage"
    if wide._times(placed, _BPS) < wide._times(before, rule.placed_bps):
        return "range: less is placed than the rule's share"
    return ""


@internal
@pure
def _is_worth_compounding(rule: IRangeThresholds.Rule, worth: uint256) -> bool:
    return worth >= rule.compound_at << 64


@internal
@pure
def _lost(before: uint256, kept: uint256) -> uint256:
    """
    @dev In hundred-millionths, rounded up.
    """
    if kept >= before:
        return 0
    return wide._mul_div_up(before - kept, range_rules.WHOLE, before)


@internal
@pure
def _exit_to(rule: IRangeThresholds.Rule, case: recentre.Case) -> uint256:
    return rule.exit_low if case.from_below else rule.exit_high


@internal
@pure
def _bar_to_exit(
    rule: IRangeThresholds.Rule, case: recentre.Case, before: uint256, lost: uint256
) -> String[96]:
    return self._bar_to_result(
        rule, recentre._urgent(rule.slippage_bps, case.cutoff), before, before, lost
    )


@internal
@pure
def _edges(position: IUniswapV3Positions.Position) -> recentre.Edges:
    return recentre.Edges(lower=convert(position.lower, int256), upper=convert(position.upper, int256))

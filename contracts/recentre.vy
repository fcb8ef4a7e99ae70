# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Recentring: how far a price is beyond its trigger, where the range goes, and what to swap for it
@custom:contract-name recentre
@license MIT
@notice A range is left when both the price and its mean are beyond the trigger on the same side, so the nearer of the
        two decides. What the new range takes of each token depends on the price after the swap, and that on the swap;
        selling more of what is in excess always brings the two closer, so the amount is found by halving.
@dev Integers only; `keeper/size/recentre.py` mirrors every rounding.
"""

from . import liquidity
from . import ticks
from . import wide
from .interfaces import IRangeThresholds


# What a rule says of a price: positive measures are breaches.
struct Case:
    measure: int256     # ticks beyond the nearest of what the rule acts on
    cutoff: int256      # ticks beyond the nearer cutoff
    from_below: bool    # whether the nearest is below the price
    leaves: bool        # whether it is a cutoff


struct Edges:
    lower: int256
    upper: int256


struct Step:
    sells_token0: bool
    amount: uint256
    bought: uint256
    price: uint256      # after it; 0 = the pool cannot carry it


# What came of a step, had it been taken.
struct Outcome:
    placed: uint256     # the new range's value at the mean, as all values here in 2**-64 units of token1
    kept: uint256       # and with what is given back


_UP_ONLY: constant(uint256) = 1
_DOWN_ONLY: constant(uint256) = 2
_BESIDE: constant(uint256) = 1
# Each halves the error, so the last is one part in 10**12 of what there is to sell.
_ROUNDS: constant(uint256) = 40
_URGENT: constant(uint256) = 4
_Q96: constant(uint256) = 2**96


@internal
@pure
def _case(rule: IRangeThresholds.Rule, edges: Edges, look: ticks.Look) -> Case:
    high: int256 = max(look.tick, look.mean)
    low: int256 = min(look.tick, look.mean)
    left_low: int256 = rule.cutoff_low - high
    left_high: int256 = low - rule.cutoff_high + 1
    case: Case = Case(
        measure=max(left_low, left_high),
        cutoff=max(left_low, left_high),
        from_below=left_low > left_high,
        leaves=max(left_low, left_high) > 0,
    )
    if case.leaves:
        return case
    if rule.direction != _UP_ONLY and edges.lower - rule.buffer - high > case.measure:
        case.measure = edges.lower - rule.buffer - high
        case.from_below = True
    if rule.direction != _DOWN_ONLY and low - edges.upper - rule.buffer + 1 > case.measure:
        case.measure = low - edges.upper - rule.buffer + 1
        case.from_below = False
    return case


@internal
@pure
def _half_widths(rule: IRangeThresholds.Rule) -> (int256, int256):
    """
    @dev How far the new range reaches to either side of the mean; the one place that knows what widths depend on.
    """
    return convert(rule.below, int256), convert(rule.above, int256)


@internal
@pure
def _new_edges(rule: IRangeThresholds.Rule, case: Case, look: ticks.Look) -> Edges:
    below: int256 = 0
    above: int256 = 0
    below, above = self._half_widths(rule)
    if rule.placement != _BESIDE:
        return Edges(
            lower=ticks._down(max(look.mean - below, ticks.MIN_TICK), look.spacing),
            upper=ticks._up(min(look.mean + above, ticks.MAX_TICK), look.spacing),
        )
    width: int256 = ticks._up(min(below + above, ticks.MAX_TICK), look.spacing)
    if case.from_below:
        lower: int256 = ticks._up(max(look.tick, look.mean) + 1, look.spacing)
        return Edges(lower=lower, upper=ticks._up(min(lower + width, ticks.MAX_TICK), look.spacing))
    upper: int256 = ticks._down(min(look.tick, look.mean), look.spacing)
    return Edges(lower=ticks._down(max(upper - width, ticks.MIN_TICK), look.spacing), upper=upper)


@internal
@pure
def _stands(rule: IRangeThresholds.Rule, case: Case, look: ticks.Look, old: Edges, new: Edges) -> bool:
    """
    @dev Whether the new range is one: not the old one again, not empty, and not in breach where it is.
    """
    if new.lower >= new.upper or (new.lower == old.lower and new.upper == old.upper):
        return False
    if rule.placement == _BESIDE:
        if case.from_below:
            return new.lower - rule.buffer - min(look.tick, look.mean) <= 0
        return max(look.tick, look.mean) - new.upper - rule.buffer + 1 <= 0
    return True


@internal
@pure
def _urgent(allowed: uint256, cutoff: int256) -> uint256:
    """
    @dev What an exit may use of a guard: the owner's number, and one more for each tick beyond the cutoff.
    """
    beyond: uint256 = convert(max(cutoff, 0), uint256)
    return min(allowed + beyond, _URGENT * allowed)


@internal
@pure
def _is_calm(look: ticks.Look, allowed: uint256) -> bool:
    return abs(look.tick - look.mean) <= convert(allowed, int256)


@internal
@pure
def _size(amount0: uint256, amount1: uint256, lower: uint256, upper: uint256, venue: liquidity.Venue) -> Step:
    """
    @dev What to sell so that what is then held is what a range between the prices `lower` and `upper` takes.
    """
    sells_token0: bool = self._has_too_much_0(amount0, amount1, lower, upper, venue.price)
    enough: uint256 = amount0 if sells_token0 else amount1
    few: uint256 = 0
    for _: uint256 in range(_ROUNDS):
        if enough - few <= 1:
            break
        amount: uint256 = (few + enough) // 2
        swap: liquidity.Swap = liquidity._sell(sells_token0, amount, venue)
        over: bool = swap.price == 0
        if not over and sells_token0:
            over = not self._has_too_much_0(amount0 - amount, amount1 + swap.bought, lower, upper, swap.price)
        elif not over:
            over = self._has_too_much_0(amount0 + swap.bought, amount1 - amount, lower, upper, swap.price)
        if over:
            enough = amount
        else:
            few = amount
    return self._selling(sells_token0, few, venue)


@internal
@pure
def _selling(sells_token0: bool, amount: uint256, venue: liquidity.Venue) -> Step:
    swap: liquidity.Swap = liquidity._sell(sells_token0, amount, venue)
    return Step(sells_token0=sells_token0, amount=amount, bought=swap.bought, price=swap.price)


@internal
@pure
def _has_too_much_0(amount0: uint256, amount1: uint256, lower: uint256, upper: uint256, price: uint256) -> bool:
    if price <= lower:
        return False
    if price >= upper:
        return True
    of_0: uint256 = wide._mul_div_down(amount0, wide._mul_div_down(price, upper, _Q96), upper - price)
    return of_0 > wide._mul_div_down(amount1, _Q96, price - lower)


@internal
@pure
def _outcome(
    amount0: uint256, amount1: uint256, step: Step, lower: uint256, upper: uint256, mean: uint256
) -> Outcome:
    """
    @dev The amounts are those before the step.
    """
    held0: uint256 = amount0
    held1: uint256 = amount1
    if step.sells_token0:
        held0 -= step.amount
        held1 += step.bought
    else:
        held0 += step.bought
        held1 -= step.amount
    minted: uint256 = liquidity._for_amounts(step.price, lower, upper, held0, held1)
    used0: uint256 = 0
    used1: uint256 = 0
    used0, used1 = liquidity._taken(minted, step.price, lower, upper)
    # A wei that rounding asks for beyond what is held is the manager's to refuse, and it never does.
    return self._result(
        minted, held0 - min(used0, held0), held1 - min(used1, held1), lower, upper, mean
    )


@internal
@pure
def _result(
    minted: uint256, left0: uint256, left1: uint256, lower: uint256, upper: uint256, mean: uint256
) -> Outcome:
    """
    @dev What so much liquidity is worth, with and without what is left over. All are square roots of prices.
    """
    inside0: uint256 = 0
    inside1: uint256 = 0
    inside0, inside1 = liquidity._held(minted, mean, lower, upper)
    placed: uint256 = liquidity._worth(inside0, inside1, mean)
    return Outcome(placed=placed, kept=liquidity._worth(inside0 + left0, inside1 + left1, mean))

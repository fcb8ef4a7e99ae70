# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Weights: how far a basket has drifted, what would bring it back, and whether something has
@custom:contract-name weights
@license MIT
@notice Glossary. All are values in dollars, WAD, unless they say otherwise

            drift    distance of an asset's value from its target's share of the whole
            room     the drift its rule allows on that side
            aim      the drift at which a drifted asset should land
            slack    how far from the aim, or past the target, it may land: `TOLERANCE_BPS` of the room
            flow     what should be sold of an asset above its target, or bought of one below
            measure  drift in basis points of room, rounded up, so that above 10_000 is just what is drifted

@dev Pure, and without an overflow for any balance below 2**128 at any price below 2**90.
     `keeper/size/reweigh.py` mirrors every rounding.
"""

from . import wide


# One asset of a basket. The first six are read, the others follow from all lines together.
struct Line:
    token: address
    price: uint256          # WAD a whole token
    unit: uint256
    target_bps: uint256
    width: uint256          # of the band, in hundred-millionths of the whole
    balance: uint256        # units
    value: uint256
    over: bool              # above its target
    drift: uint256
    room: uint256
    aim: uint256
    slack: uint256


struct Landing:
    why: String[96]         # what is wrong with it, empty if nothing
    sold: uint256
    lost: uint256
    measure: uint256        # of the worst asset, basis points


# How far from its destination an asset may land, in basis points of its room.
TOLERANCE_BPS: constant(uint256) = 500
LEAST_WORTH: constant(uint256) = 10**18
MOST_WORTH: constant(uint256) = 2**120
MOST_BALANCE: constant(uint256) = 2**128
MOST_MEASURE: constant(uint256) = 2**128

_BPS: constant(uint256) = 10_000
_WIDTH: constant(uint256) = 10**8
_MOST: constant(uint256) = 8
_Q96: constant(uint256) = 2**96
_COARSEST: constant(uint256) = 10**6
_WIDEST: constant(uint256) = 2**240


@internal
@pure
def _weighed(lines: DynArray[Line, _MOST], cap_bps: uint256, destination_bps: uint256) -> DynArray[Line, _MOST]:
    """
    @dev The lines with what follows from their balances.
    """
    total: uint256 = 0
    for line: Line in lines:
        total += line.balance * line.price // line.unit
    weighed: DynArray[Line, _MOST] = []
    for line: Line in lines:
        new: Line = line
        new.value = line.balance * line.price // line.unit
        target: uint256 = total * line.target_bps // _BPS
        width: uint256 = line.width
        new.over = new.value > target
        if new.over:
            new.drift = new.value - target
            width = min(width, (cap_bps - line.target_bps) * _BPS)
        else:
            new.drift = target - new.value
        new.room = total * width // _WIDTH
        new.aim = new.room * min(destination_bps, _BPS - 2 * TOLERANCE_BPS) // _BPS
        new.slack = new.room * TOLERANCE_BPS // _BPS
        weighed.append(new)
    return weighed


@internal
@pure
def _total(lines: DynArray[Line, _MOST]) -> uint256:
    total: uint256 = 0
    for line: Line in lines:
        total += line.value
    return total


@internal
@pure
def _measure(lines: DynArray[Line, _MOST]) -> uint256:
    """
    @dev The worst line's; 0 for a basket worth less than a dollar, which is left alone.
    """
    if self._total(lines) < LEAST_WORTH:
        return 0
    worst: uint256 = 0
    for line: Line in lines:
        worst = max(worst, wide._mul_div_up(line.drift, _BPS, line.room))
    return min(worst, MOST_MEASURE)


@internal
@pure
def _urgency(measure: uint256, full_bps: uint256) -> uint256:
    if measure <= _BPS:
        return 0
    return min((measure - _BPS) * _BPS // (full_bps - _BPS), _BPS)


@internal
@pure
def _place(lines: DynArray[Line, _MOST], token: address) -> uint256:
    """
    @dev Where a token stands, `_MOST` if it does not.
    """
    at: uint256 = 0
    for line: Line in lines:
        if line.token == token:
            return at
        at += 1
    return _MOST


@internal
@pure
def _units(line: Line, worth: uint256) -> uint256:
    return wide._mul_div_down(worth, line.unit, line.price)


@internal
@pure
def _agrees(sqrt_price: uint256, in_order: bool, one: Line, other: Line, bps: uint256) -> bool:
    """
    @dev Whether a pool of two assets prices them as the feeds do, to within `bps`; `in_order` says that `one` is its
         token0. Where the smaller unit is worth too little of the other to be told with 96 bits after the point, not.
    """
    fair: uint256 = 0
    if in_order:
        fair = wide._mul_div_down(one.price * other.unit, _Q96, other.price * one.unit)
    else:
        fair = wide._mul_div_down(other.price * one.unit, _Q96, one.price * other.unit)
    if fair < _COARSEST or fair >= _WIDEST:
        return False
    spot: uint256 = wide._mul_div_down(sqrt_price, sqrt_price, _Q96)
    return spot * _BPS <= fair * (_BPS + bps) and spot * _BPS >= fair * (_BPS - bps)


@internal
@pure
def _most_sold(lines: DynArray[Line, _MOST]) -> uint256:
    """
    @dev What has to change hands to bring every drifted asset to its aim, with the slack of each on top.
    """
    above: uint256 = 0
    below: uint256 = 0
    for line: Line in lines:
        if line.drift <= line.room:
            continue
        if line.over:
            above += line.drift - line.aim + line.slack
        else:
            below += line.drift - line.aim + line.slack
    return max(above, below)


@internal
@pure
def _flows(lines: DynArray[Line, _MOST], max_step: uint256) -> DynArray[uint256, _MOST]:
    """
    @dev The flow of each line: as much sold as bought, `max_step` at most.
    """
    above: uint256 = 0
    below: uint256 = 0
    flows: DynArray[uint256, _MOST] = []
    for line: Line in lines:
        flow: uint256 = line.drift - line.aim if line.drift > line.room else 0
        flows.append(flow)
        if line.over:
            above += flow
        else:
            below += flow
    if above > below:
        flows = self._filled(lines, flows, False, above - below)
    else:
        flows = self._filled(lines, flows, True, below - above)
    whole: uint256 = max(above, below)
    if whole > max_step:
        for i: uint256 in range(len(flows), bound=_MOST):
            flows[i] = flows[i] * max_step // whole
    return flows


@internal
@pure
def _filled(
    lines: DynArray[Line, _MOST], given: DynArray[uint256, _MOST], over: bool, missing: uint256
) -> DynArray[uint256, _MOST]:
    """
    @dev The flows with what is missing on one side spread over it, most to whoever is furthest from its target.
    """
    flows: DynArray[uint256, _MOST] = given
    left: uint256 = missing
    for _: uint256 in range(_MOST):
        if left == 0:
            break
        best: uint256 = 0
        most: uint256 = 0
        for i: uint256 in range(len(lines), bound=_MOST):
            if lines[i].over == over and lines[i].drift - flows[i] > most:
                best = i
                most = lines[i].drift - flows[i]
        taken: uint256 = min(most, left)
        flows[best] += taken
        left -= taken
    return flows


@internal
@pure
def _sold(before: DynArray[Line, _MOST], after: DynArray[Line, _MOST]) -> uint256:
    sold: uint256 = 0
    for i: uint256 in range(len(before), bound=_MOST):
        sold += before[i].value - min(after[i].value, before[i].value)
    return sold


@internal
@pure
def _landing(
    before: DynArray[Line, _MOST],
    after: DynArray[Line, _MOST],
    named: uint256,
    slippage_bps: uint256,
    max_step: uint256,
) -> Landing:
    """
    @dev Judges an action by the lines before and after it; bit i of `named` says that a trade names the i-th asset.
    """
    landing: Landing = empty(Landing)
    short: bool = False
    for i: uint256 in range(len(before), bound=_MOST):
        was: Line = before[i]
        now: Line = after[i]
        if now.balance != was.balance:
            if (named >> i) & 1 == 0:
                landing.why = "basket: an asset that no trade names has moved"
            elif (now.balance < was.balance) != was.over:
                landing.why = "basket: an asset moved away from its target"
            elif now.over != was.over and now.drift > now.slack:
                landing.why = "basket: an asset moved past its target"
        if was.drift > was.room and now.drift > now.aim + now.slack:
            short = True
    landing.measure = self._measure(after)
    landing.sold = self._sold(before, after)
    had: uint256 = self._total(before)
    landing.lost = had - min(self._total(after), had)
    if landing.why != "":
        return landing
    if landing.sold > min(self._most_sold(before), max_step):
        landing.why = "basket: more is sold than brings the drifted assets to their destinations"
    elif short and landing.sold * _BPS < max_step * (_BPS - TOLERANCE_BPS):
        landing.why = "basket: short of a destination with step to spare"
    elif landing.lost * _BPS > landing.sold * slippage_bps:
        landing.why = "basket: the value lost is above the rule's slippage"
    return landing

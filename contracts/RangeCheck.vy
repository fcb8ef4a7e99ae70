# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title What a thresholds contract for Uniswap V3 positions would do, and if nothing, why not
@custom:contract-name RangeCheck
@license MIT
@notice Documented on `interfaces/IRangeCheck.vyi`.
@custom:kill There is nothing to switch off: it holds nothing, may spend nothing and is asked by views alone.
"""

from . import liquidity
from . import range_bars
from . import range_rules
from . import recentre
from . import ticks
from . import uniswap_v3
from . import uniswap_v3_positions
from .interfaces import IRangeCheck
from .interfaces import IRangeThresholds
from .interfaces import IUniswapV3Pool
from .interfaces import IUniswapV3Positions

implements: IRangeCheck
initializes: uniswap_v3
initializes: uniswap_v3_positions

exports: (uniswap_v3_positions.MANAGER, uniswap_v3.FACTORY)


# One position as it stands, and the contract that would act on it.
struct Scene:
    thresholds: address
    owner: address
    pool: address
    position: IUniswapV3Positions.Position
    look: ticks.Look
    case: recentre.Case


struct Purse:
    amount0: uint256
    amount1: uint256


_WITHIN: constant(uint8) = 0
_BREACHED: constant(uint8) = 1
_BARRED: constant(uint8) = 2
_BLIND: constant(uint8) = 3

_NOTHING: constant(uint8) = 0
_RECENTRE: constant(uint8) = 1
_EXIT: constant(uint8) = 2
_COMPOUND: constant(uint8) = 3

_BESIDE: constant(uint256) = 1


@deploy
def __init__(position_manager: address):
    uniswap_v3_positions.__init__(position_manager)
    uniswap_v3.__init__(staticcall IUniswapV3Positions(position_manager).factory())


@external
@view
def version() -> String[8]:
    return "0.1.0"


@external
@view
def finding(thresholds: address, owner: address, id: uint256) -> IRangeThresholds.Finding:
    words: range_rules.Words = empty(range_rules.Words)
    words.a, words.b, words.c = staticcall IRangeThresholds(thresholds).words_of(owner, id)
    rule: IRangeThresholds.Rule = range_rules._unpack(words)
    if words.a == 0:
        return self._finding(_BARRED, "rule: none is set")
    if block.timestamp > rule.expiry:
        return self._finding(_BARRED, "rule: expired")
    scene: Scene = empty(Scene)
    scene.thresholds = thresholds
    scene.owner = owner
    read: bool = False
    holder: address = empty(address)
    read, holder, scene.position = uniswap_v3_positions._try_position(rule.token_id)
    if not read:
        return self._finding(_BARRED, "range: there is no such position")
    if holder != owner:
        return self._finding(_BARRED, "range: the position is not the owner's")
    if scene.position.liquidity == 0:
        return self._finding(_WITHIN, "range: no liquidity")
    scene.pool = uniswap_v3._pool(scene.position.token0, scene.position.token1, scene.position.fee)
    if not scene.pool.is_contract:
        return self._finding(_BLIND, "pool: the factory has none for this position")
    slot: IUniswapV3Pool.Slot0 = staticcall IUniswapV3Pool(scene.pool).slot0()
    read, scene.look = ticks._try_look(scene.pool, slot, rule.hold)
    if not read:
        return self._finding(_BLIND, "pool: it remembers less than the hold")
    scene.case = recentre._case(rule, range_bars._edges(scene.position), scene.look)
    return self._foreseen(rule, range_rules._past(words), scene, convert(slot.sqrt_price, uint256))


@internal
@view
def _foreseen(
    rule: IRangeThresholds.Rule, past: range_rules.Past, scene: Scene, price: uint256
) -> IRangeThresholds.Finding:
    """
    @dev What acting on the scene would come to, the pool standing at `price`.
    """
    old: recentre.Edges = range_bars._edges(scene.position)
    finding: IRangeThresholds.Finding = self._finding(_BARRED, "")
    finding.measure = scene.case.measure
    mean: uint256 = ticks._sqrt_price(scene.look.mean)
    fees: Purse = empty(Purse)
    fees.amount0, fees.amount1 = uniswap_v3_positions._fees(scene.pool, scene.position, scene.look.tick)
    compounds: bool = (
        scene.case.measure <= 0
        and rule.compound_at > 0
        and range_bars._is_worth_compounding(rule, liquidity._worth(fees.amount0, fees.amount1, mean))
    )
    if not uniswap_v3_positions._may_move(scene.thresholds, scene.owner, rule.token_id):
        finding.why = "approval: the owner has not made this contract an operator"
    if scene.case.measure <= 0 and not compounds:
        # A rule that could not act is worth knowing about before the day it is needed.
        finding.verdict = _WITHIN
        if finding.why == "":
            finding.why = self._why_within(rule, old, scene.look)
        return finding

    new: recentre.Edges = old
    if compounds:
        finding.action = _COMPOUND
        if finding.why == "":
            finding.why = range_bars._bar_to_compounding(rule, scene.look)
    else:
        finding.action = _EXIT if scene.case.leaves else _RECENTRE
        new = recentre._new_edges(rule, scene.case, scene.look)
        if finding.why == "":
            finding.why = range_bars._bar(rule, past, scene.case, scene.look, old, new)
    if finding.action != _EXIT:
        finding.lower = new.lower
        finding.upper = new.upper
    if new.lower >= new.upper:
        return finding
    return self._sized(rule, past, scene, finding, fees, new, price, mean)


@internal
@view
def _sized(
    rule: IRangeThresholds.Rule,
    past: range_rules.Past,
    scene: Scene,
    finding_: IRangeThresholds.Finding,
    fees: Purse,
    new: recentre.Edges,
    price: uint256,
    mean: uint256,
) -> IRangeThresholds.Finding:
    finding: IRangeThresholds.Finding = finding_
    purse: Purse = fees
    venue: liquidity.Venue = liquidity.Venue(
        price=price,
        liquidity=convert(staticcall IUniswapV3Pool(scene.pool).liquidity(), uint256),
        fee=scene.position.fee,
    )
    if finding.action != _COMPOUND:
        purse = self._taken_out(scene, fees, price)
        if self._is_in_range(scene):
            venue.liquidity -= convert(scene.position.liquidity, uint256)
    before: uint256 = liquidity._worth(purse.amount0, purse.amount1, mean)
    bar: String[96] = ""
    step: recentre.Step = empty(recentre.Step)
    if finding.action == _EXIT:
        step = self._exit_step(range_bars._exit_to(rule, scene.case), purse, venue)
        if step.price != 0:
            finding.lost = range_bars._lost(before, self._kept(purse, step, mean))
            bar = range_bars._bar_to_exit(rule, scene.case, before, finding.lost)
    else:
        lower: uint256 = ticks._sqrt_price(new.lower)
        upper: uint256 = ticks._sqrt_price(new.upper)
        if finding.action == _RECENTRE and rule.placement == _BESIDE:
            step = recentre._selling(False, 0, venue)
        else:
            step = recentre._size(purse.amount0, purse.amount1, lower, upper, venue)
        if step.price != 0:
            outcome: recentre.Outcome = recentre._outcome(
                purse.amount0, purse.amount1, step, lower, upper, mean
            )
            finding.lost = range_bars._lost(before, outcome.kept)
            bar = range_bars._bar_to_result(rule, rule.slippage_bps, before, outcome.placed, finding.lost)
            if bar == "" and finding.action == _RECENTRE:
                if finding.lost > range_rules._budget_left(rule, past):
                    bar = "rule: the loss is above what is left of the budget"
    if step.price == 0:
        bar = "pool: too thin for the swap"
    elif bar == "" and step.amount > 0:
        bar = self._bar_to_price(rule, scene, finding.action, step.price)
    finding.sells_token0 = step.sells_token0
    finding.amount = step.amount
    finding.bought = step.bought
    if finding.why == "":
        finding.why = bar
    if finding.why == "":
        finding.verdict = _BREACHED
        finding.why = self._why_act(finding.action)
    return finding


@internal
@pure
def _bar_to_price(rule: IRangeThresholds.Rule, scene: Scene, action: uint8, price: uint256) -> String[96]:
    """
    @dev The tick a price lies in is within the allowed of the mean when the price is between these two.
    """
    allowed: uint256 = rule.deviation
    if action == _EXIT:
        allowed = recentre._urgent(rule.deviation, scene.case.cutoff)
    span: int256 = convert(allowed, int256)
    lowest: uint256 = ticks._sqrt_price(max(scene.look.mean - span, ticks.MIN_TICK))
    beyond: uint256 = ticks._sqrt_price(min(scene.look.mean + span + 1, ticks.MAX_TICK))
    if price < lowest or price >= beyond:
        return "pool: the swap takes its price too far from the mean"
    return ""


@internal
@pure
def _taken_out(scene: Scene, fees: Purse, price: uint256) -> Purse:
    amount0: uint256 = 0
    amount1: uint256 = 0
    amount0, amount1 = liquidity._held(
        convert(scene.position.liquidity, uint256),
        price,
        ticks._sqrt_price(convert(scene.position.lower, int256)),
        ticks._sqrt_price(convert(scene.position.upper, int256)),
    )
    return Purse(amount0=amount0 + fees.amount0, amount1=amount1 + fees.amount1)


@internal
@pure
def _is_in_range(scene: Scene) -> bool:
    tick: int256 = scene.look.tick
    return tick >= convert(scene.position.lower, int256) and tick < convert(scene.position.upper, int256)


@internal
@pure
def _exit_step(to: uint256, purse: Purse, venue: liquidity.Venue) -> recentre.Step:
    if to == range_bars.AS_IT_LIES:
        return recentre._selling(False, 0, venue)
    return recentre._selling(to != range_bars.ALL_IN_0, purse.amount1 if to == range_bars.ALL_IN_0 else purse.amount0, venue)


@internal
@pure
def _kept(purse: Purse, step: recentre.Step, mean: uint256) -> uint256:
    if step.sells_token0:
        return liquidity._worth(purse.amount0 - step.amount, purse.amount1 + step.bought, mean)
    return liquidity._worth(purse.amount0 + step.bought, purse.amount1 - step.amount, mean)


@internal
@pure
def _why_within(rule: IRangeThresholds.Rule, edges: recentre.Edges, look: ticks.Look) -> String[96]:
    now: ticks.Look = look
    now.mean = look.tick
    if (recentre._case(rule, edges, now)).measure > 0:
        return "range: beyond its trigger, but not for the hold"
    return "range: inside its trigger"


@internal
@pure
def _why_act(action: uint8) -> String[96]:
    if action == _COMPOUND:
        return "range: its fees are worth compounding"
    if action == _EXIT:
        return "range: the price is beyond a cutoff"
    return "range: the price is beyond its trigger"


@internal
@pure
def _finding(verdict: uint8, why: String[96]) -> IRangeThresholds.Finding:
    return IRangeThresholds.Finding(
        verdict=verdict,
        action=_NOTHING,
        measure=0,
        lower=0,
        upper=0,
        sells_token0=False,
        amount=0,
        bought=0,
        lost=0,
        why=why,
    )

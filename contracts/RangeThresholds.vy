# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Owners' thresholds on their Uniswap V3 positions
@custom:contract-name RangeThresholds
@license MIT
@notice Documented on `interfaces/IRangeThresholds.vyi`.
@dev `check` is answered by a contract of its own, `RangeCheck.vy`, only because both do not fit into one. It has no
     say: what bars an action is decided here, by the same `range_bars.vy`.
@custom:kill There is no switch, because nobody holds one: each owner stops the contract for themselves by
             `clear_rule`, or by taking back the approval of their positions.
"""

from ethereum.ercs import IERC20

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

implements: IRangeThresholds
initializes: range_rules
initializes: uniswap_v3
initializes: uniswap_v3_positions

exports: (
    range_rules.set_rule,
    range_rules.clear_rule,
    range_rules.rule_count,
    range_rules.rule_of,
    range_rules.last_acted,
    range_rules.words_of,
    uniswap_v3_positions.MANAGER,
    uniswap_v3.FACTORY,
)


# One position at the moment it is acted on.
struct Scene:
    owner: address
    id: uint256
    pool: address
    position: IUniswapV3Positions.Position
    edges: recentre.Edges
    look: ticks.Look
    mean: uint256       # the mean's price, as a square root
    case: recentre.Case


struct Purse:
    amount0: uint256
    amount1: uint256


struct Placed:
    token_id: uint256
    liquidity: uint256  # added to it
    lost: uint256       # hundred-millionths


_BESIDE: constant(uint256) = 1

_pool_in_flight: transient(address)


CHECK: public(immutable(address))


@deploy
def __init__(position_manager: address, range_check: address):
    uniswap_v3_positions.__init__(position_manager)
    uniswap_v3.__init__(staticcall IUniswapV3Positions(position_manager).factory())
    range_rules.__init__()
    assert (
        staticcall IRangeCheck(range_check).MANAGER() == position_manager
    ), "check: it is on another position manager"
    CHECK = range_check


@external
@view
def version() -> String[8]:
    return "0.1.0"


@external
def rebalance(owner: address, id: uint256, plan: IRangeThresholds.Plan) -> (uint256, uint256):
    words: range_rules.Words = range_rules._words[owner][id]
    rule: IRangeThresholds.Rule = range_rules._unpack(words)
    scene: Scene = self._scene(owner, id, words, rule, plan)
    past: range_rules.Past = range_rules._past(words)
    new: recentre.Edges = recentre._new_edges(rule, scene.case, scene.look)
    bar: String[96] = range_bars._bar(rule, past, scene.case, scene.look, scene.edges, new)
    assert bar == "", bar

    purse: Purse = empty(Purse)
    purse.amount0, purse.amount1 = uniswap_v3_positions._withdraw(rule.token_id, scene.position.liquidity)
    if scene.case.leaves:
        return 0, self._leave(rule, plan, scene, purse)
    assert plan.amount == 0 or rule.placement != _BESIDE, "plan: the rule swaps nothing"
    placed: Placed = self._place(rule, plan, scene, new, purse)
    assert placed.lost <= range_rules._budget_left(rule, past), "rule: the loss is above what is left of the budget"
    range_rules._stamp(owner, id, words, rule, past, placed.token_id, placed.lost)
    log IRangeThresholds.Recentred(
        owner=owner,
        id=id,
        keeper=msg.sender,
        old_id=rule.token_id,
        new_id=placed.token_id,
        lower=new.lower,
        upper=new.upper,
        liquidity=placed.liquidity,
        lost=placed.lost,
    )
    return placed.token_id, placed.lost


@external
def compound(owner: address, id: uint256, plan: IRangeThresholds.Plan) -> (uint256, uint256):
    words: range_rules.Words = range_rules._words[owner][id]
    rule: IRangeThresholds.Rule = range_rules._unpack(words)
    scene: Scene = self._scene(owner, id, words, rule, plan)
    assert scene.case.measure <= 0, "range: beyond its trigger, where recentring compounds"
    bar: String[96] = range_bars._bar_to_compounding(rule, scene.look)
    assert bar == "", bar

    purse: Purse = empty(Purse)
    purse.amount0, purse.amount1 = uniswap_v3_positions._collect(rule.token_id)
    fees: uint256 = liquidity._worth(purse.amount0, purse.amount1, scene.mean)
    assert range_bars._is_worth_compounding(rule, fees), "range: its fees are not worth compounding"
    placed: Placed = self._place(rule, plan, scene, scene.edges, purse)
    log IRangeThresholds.Compounded(
        owner=owner,
        id=id,
        keeper=msg.sender,
        token_id=placed.token_id,
        liquidity=placed.liquidity,
        lost=placed.lost,
    )
    return placed.liquidity, placed.lost


@external
@reentrant
def uniswapV3SwapCallback(delta_0: int256, delta_1: int256, data: Bytes[32]):
    """
    @notice Called by the pool in the middle of a swap, to be paid.
    @dev Uniswap calls back whoever called it, so the pool in flight can only be handing us our own `data`.
    """
    pool: address = self._pool_in_flight
    assert msg.sender == pool and pool != empty(address), "pool: this caller is not the pool in flight"
    self._pool_in_flight = empty(address)
    extcall IERC20(abi_decode(data, address)).transfer(
        msg.sender, convert(max(delta_0, delta_1), uint256), default_return_value=True
    )


@external
@view
def check(owner: address, id: uint256) -> IRangeThresholds.Finding:
    return staticcall IRangeCheck(CHECK).finding(self, owner, id)


@internal
@view
def _scene(
    owner: address,
    id: uint256,
    words: range_rules.Words,
    rule: IRangeThresholds.Rule,
    plan: IRangeThresholds.Plan,
) -> Scene:
    """
    @dev Refuses whom and what the rule refuses whatever the position's state.
    """
    assert words.a != 0, "rule: none is set"
    assert block.timestamp <= plan.deadline, "plan: past its deadline"
    assert block.timestamp <= rule.expiry, "rule: expired"
    assert rule.keeper == empty(address) or rule.keeper == msg.sender, "rule: another keeper is named"
    position: IUniswapV3Positions.Position = uniswap_v3_positions._position_of(owner, rule.token_id)
    assert position.liquidity > 0, "range: no liquidity"
    pool: address = uniswap_v3._pool(position.token0, position.token1, position.fee)
    assert pool.is_contract, "pool: the factory has none for this position"
    read: bool = False
    look: ticks.Look = empty(ticks.Look)
    read, look = ticks._try_look(pool, staticcall IUniswapV3Pool(pool).slot0(), rule.hold)
    assert read, "pool: it remembers less than the hold"
    edges: recentre.Edges = range_bars._edges(position)
    return Scene(
        owner=owner,
        id=id,
        pool=pool,
        position=position,
        edges=edges,
        look=look,
        mean=ticks._sqrt_price(look.mean),
        case=recentre._case(rule, edges, look),
    )


@internal
@view
def _assert_calm(scene: Scene, allowed: uint256):
    """
    @dev The price may have moved by our own swap, its mean cannot have.
    """
    look: ticks.Look = scene.look
    look.tick = convert((staticcall IUniswapV3Pool(scene.pool).slot0()).tick, int256)
    assert recentre._is_calm(look, allowed), "pool: the swap takes its price too far from the mean"


@internal
def _place(
    rule: IRangeThresholds.Rule,
    plan: IRangeThresholds.Plan,
    scene: Scene,
    edges: recentre.Edges,
    taken_out: Purse,
) -> Placed:
    """
    @dev Swaps, opens a range between the edges (or adds to the one there is, if that is not beyond its trigger), gives
         back the rest, and measures all of it.
    """
    purse: Purse = taken_out
    if plan.amount > 0:
        purse = self._swap(scene, plan.sells_token0, plan.amount, plan.least, purse)
        self._assert_calm(scene, rule.deviation)
    placed: Placed = Placed(token_id=rule.token_id, liquidity=0, lost=0)
    used0: uint256 = 0
    used1: uint256 = 0
    placed.token_id, placed.liquidity, used0, used1 = uniswap_v3_positions._add(
        0 if scene.case.measure > 0 else rule.token_id,
        scene.owner,
        scene.position,
        edges.lower,
        edges.upper,
        purse.amount0,
        purse.amount1,
    )
    purse = Purse(amount0=purse.amount0 - used0, amount1=purse.amount1 - used1)

    before: uint256 = liquidity._worth(taken_out.amount0, taken_out.amount1, scene.mean)
    outcome: recentre.Outcome = recentre._result(
        placed.liquidity,
        purse.amount0,
        purse.amount1,
        ticks._sqrt_price(edges.lower),
        ticks._sqrt_price(edges.upper),
        scene.mean,
    )
    placed.lost = range_bars._lost(before, outcome.kept)
    bar: String[96] = range_bars._bar_to_result(rule, rule.slippage_bps, before, outcome.placed, placed.lost)
    assert bar == "", bar
    self._give_back(scene, purse)
    return placed


@internal
def _leave(
    rule: IRangeThresholds.Rule, plan: IRangeThresholds.Plan, scene: Scene, taken_out: Purse
) -> uint256:
    purse: Purse = taken_out
    to: uint256 = range_bars._exit_to(rule, scene.case)
    if to != range_bars.AS_IT_LIES:
        sold: uint256 = purse.amount1 if to == range_bars.ALL_IN_0 else purse.amount0
        purse = self._swap(scene, to != range_bars.ALL_IN_0, sold, plan.least, purse)
        self._assert_calm(scene, recentre._urgent(rule.deviation, scene.case.cutoff))
    before: uint256 = liquidity._worth(taken_out.amount0, taken_out.amount1, scene.mean)
    lost: uint256 = range_bars._lost(before, liquidity._worth(purse.amount0, purse.amount1, scene.mean))
    bar: String[96] = range_bars._bar_to_exit(rule, scene.case, before, lost)
    assert bar == "", bar
    range_rules._clear(scene.owner, scene.id)
    self._give_back(scene, purse)
    log IRangeThresholds.Exited(
        owner=scene.owner,
        id=scene.id,
        keeper=msg.sender,
        old_id=rule.token_id,
        amount_0=purse.amount0,
        amount_1=purse.amount1,
        lost=lost,
    )
    return lost


@internal
def _swap(scene: Scene, sells_token0: bool, amount: uint256, least: uint256, purse: Purse) -> Purse:
    """
    @dev Sells exactly `amount` of what is here in the position's own pool; returns what is here then.
    """
    if amount == 0:
        return purse
    assert amount <= (purse.amount0 if sells_token0 else purse.amount1), "plan: sells more than there is"
    self._pool_in_flight = scene.pool
    delta_0: int256 = 0
    delta_1: int256 = 0
    delta_0, delta_1 = extcall IUniswapV3Pool(scene.pool).swap(
        self,
        sells_token0,
        convert(amount, int256),
        convert(
            uniswap_v3.MIN_SQRT_PRICE + 1 if sells_token0 else uniswap_v3.MAX_SQRT_PRICE - 1, uint160
        ),
        abi_encode(scene.position.token0 if sells_token0 else scene.position.token1),
    )
    assert self._pool_in_flight == empty(address), "pool: it did not call back"
    assert convert(max(delta_0, delta_1), uint256) == amount, "pool: it cannot take the whole of what is sold"
    bought: uint256 = convert(-min(delta_0, delta_1), uint256)
    assert bought >= least, "plan: less is bought than its least"
    if sells_token0:
        return Purse(amount0=purse.amount0 - amount, amount1=purse.amount1 + bought)
    return Purse(amount0=purse.amount0 + bought, amount1=purse.amount1 - amount)


@internal
def _give_back(scene: Scene, purse: Purse):
    if purse.amount0 > 0:
        extcall IERC20(scene.position.token0).transfer(scene.owner, purse.amount0, default_return_value=True)
    if purse.amount1 > 0:
        extcall IERC20(scene.position.token1).transfer(scene.owner, purse.amount1, default_return_value=True)

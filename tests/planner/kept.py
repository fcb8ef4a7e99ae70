"""A position of each kind on the devnet, with an owner's rule, and the same position and rule in the planner."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from keeper.devnet.transactions import in_one_block
from keeper.devnet.uniswap_v3 import add_liquidity
from keeper.devnet.world import POOL_FEE, SLOT0, World
from keeper.domain.baskets import BasketAsset, BasketLimits, BasketRule
from keeper.domain.loans import Band, Limits, LoanRule, Terms
from keeper.domain.ranges import UNBOUNDED_HIGH, UNBOUNDED_LOW, Direction, Leaving, Placement, RangeRule
from keeper.domain.units import BASE, BPS, NOBODY, WAD, Address
from keeper.planner.bars import History
from keeper.planner.cases import Case, basket_case, loan_case, range_case
from keeper.planner.costs import Costs
from keeper.planner.results import YEAR, Kind
from keeper.planner.simulate_loan import Lending
from keeper.protocols import basket_thresholds, range_thresholds
from keeper.protocols.loan_thresholds import SET_RULE_AND_TERMS, rule_fields, terms_fields
from keeper.protocols.methods import method
from tests.conftest import FOREVER, NO_LIMIT
from tests.planner.lived import FEE, Seen

COOLDOWN: Final = 2_000
"""Of no whole number of bars: on the chain it begins a block later."""
_TICK: Final = math.log(1.0001)
_HALF: Final = 1_000
_MOST: Final = 2**128 - 1
_COLLECT: Final = method("collect((uint256,address,uint128,uint128))", "(uint256,uint256)")
_POSITION: Final = (
    "(uint96,address,address,address,uint24,int24,int24,uint128,uint256,uint256,uint128,uint128)"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is on the chain, how to look at it, and what the planner takes for it.

    A measure above the `middle` is above its band; `rule` is the planner's, by its columns.
    """

    kind: Kind
    thresholds: Address
    look: Callable[[], Seen]
    middle: float
    case: Callable[[History, Costs], Case]
    rule: dict[str, float]


def keep_loan(world: World, floor: float, ceiling: float) -> Kept:
    """Two thousand ether against dollars at a health of 1.65."""
    owner = world.roles.owner
    held = world.open_loan(owner, 2_000, health=1.65)
    band, terms = Band(round(floor * BPS), 16_500, round(ceiling * BPS)), Terms(borrow_step=NO_LIMIT)
    limits = Limits(200, COOLDOWN, NO_LIMIT, FOREVER, NOBODY)
    rule = LoanRule(world.weth.token, world.usdc.token, band, limits, terms)
    world.send(
        owner, world.thresholds, SET_RULE_AND_TERMS.signature, 0, rule_fields(rule), terms_fields(terms)
    )
    world.approve(owner, world.weth.a_token, world.thresholds)
    world.send(owner, world.usdc.debt_token, "approveDelegation(address,uint256)", world.thresholds, 2**255)
    capital = (held.collateral_base - held.debt_base) / BASE

    before, begun = _indices(world), world.node.head().timestamp

    def look() -> Seen:
        account = world.account_data(owner)
        return Seen(account.health / WAD, (account.collateral_base - account.debt_base) / BASE)

    def case(history: History, costs: Costs) -> Case:
        # The rates are those that the market has had since.
        years = (world.node.head().timestamp - begun) / YEAR
        rates = [math.log(now / was) / years for was, now in zip(before, _indices(world), strict=True)]
        return loan_case(history, Lending(0.83, 0.5, 0.95, 0.05), costs, *rates, capital=capital)

    columns = {"floor": floor, "target": 1.65, "ceiling": ceiling, "cooldown": COOLDOWN}
    return Kept("loan", world.thresholds, look, 1.65, case, columns)


def _indices(world: World) -> list[int]:
    """What one unit of ether supplied and of dollars borrowed has grown to."""
    return [
        world.call(world.aave.pool, f"getReserveNormalized{name}(address)", "(uint256)", token)[0]
        for name, token in (("Income", world.weth.token), ("VariableDebt", world.usdc.token))
    ]


def keep_basket(world: World, band_bps: int) -> Kept:
    """A thousand ether and as many dollars as they are worth, brought half the way back."""
    owner = world.roles.owner
    world.give("WETH", owner, 1_000)
    world.give("USDC", owner, 2_000_000)
    assets = tuple(
        BasketAsset(
            reserve.token,
            reserve.feed,
            90_000,
            price * BASE // 50,
            price * BASE * 50,
            5_000,
            band_bps,
            band_bps,
        )
        for reserve, price in ((world.weth, 2_000), (world.usdc, 1))
    )
    limits = BasketLimits(
        keeper=NOBODY, expiry=FOREVER, cooldown=COOLDOWN, daily=0, slippage_bps=200, slippage_urgent_bps=200,
        gas_cap=0, public_bps=0, bounty_bps=0, bounty_cap=0, budget=10**7 * BASE, window=86_400,
    )  # fmt: skip
    rule = BasketRule(
        assets, relative=False, destination_bps=5_000, cap_bps=BPS, max_step=10**7, spot_bps=200,
        full_bps=30_000, sigmas_bps=0, horizon=0, limits=limits,
    )  # fmt: skip
    thresholds = world.basket_thresholds
    world.send(
        owner, thresholds, basket_thresholds.SET_RULE.signature, 0, basket_thresholds.rule_fields(rule)
    )
    for reserve in (world.weth, world.usdc):
        world.approve(owner, reserve.token, thresholds)

    def look() -> Seen:
        ether = world.balance("WETH", owner) / 1e18 * world.price("WETH") / BASE
        worth = ether + world.balance("USDC", owner) / 1e6
        return Seen(ether / worth, worth)

    def case(history: History, costs: Costs) -> Case:
        return basket_case([history], [0.5], costs, capital=4_000_000)

    trigger = band_bps / BPS
    columns = {"trigger": trigger, "destination": trigger / 2, "cooldown": COOLDOWN}
    return Kept("basket", thresholds, look, 0.5, case, columns)


def keep_range(world: World, hold: int, hold_seconds: int) -> Kept:
    """A tenth to both sides of the price; `hold` in bars, and what of that the chain is told in seconds."""
    owner, manager = world.roles.owner, world.uniswap.position_manager
    middle = world.call(world.pool, "slot0()", SLOT0)[1] // 10 * 10
    world.give("WETH", owner, 500)
    world.give("USDC", owner, 1_000_000)
    for reserve in (world.weth, world.usdc):
        world.approve(owner, reserve.token, manager)
    amounts = {world.weth.token: 500 * 10**18, world.usdc.token: 10**12}
    with in_one_block(world.node, owner) as queue:
        add_liquidity(queue, world.uniswap, amounts, POOL_FEE, owner, (middle - _HALF, middle + _HALF))
    for reserve in (world.weth, world.usdc):
        rest = world.balance(reserve.symbol, owner)
        world.send(owner, reserve.token, "transfer(address,uint256)", world.roles.stranger, rest)
    world.send(owner, manager, "setApprovalForAll(address,bool)", world.range_thresholds, True)
    rule = RangeRule(
        token_id=_newest_position(world, owner), below=_HALF, above=_HALF, buffer=0, cutoff_low=UNBOUNDED_LOW,
        cutoff_high=UNBOUNDED_HIGH, exit_low=Leaving.AS_IT_LIES, exit_high=Leaving.AS_IT_LIES,
        direction=Direction.BOTH, placement=Placement.AROUND, hold=hold_seconds, deviation=500, slippage_bps=500,
        placed_bps=9_000, compound_at=0, cooldown=COOLDOWN, expiry=FOREVER, daily=20, budget_bps=5_000,
        refill=86_400, keeper=NOBODY,
    )  # fmt: skip
    thresholds = world.range_thresholds
    world.send(owner, thresholds, range_thresholds.SET_RULE.signature, 0, range_thresholds.rule_fields(rule))
    capital = _seen_of_range(world, owner).worth

    def case(history: History, costs: Costs) -> Case:
        # Without trades in its history a range earns nothing.
        earns = None if history.volume is not None else 0.0
        return range_case(history, costs, earns, pool_fee=FEE, capital=capital)

    reach = _HALF * _TICK
    columns = {"width": reach, "trigger": reach, "cooldown": COOLDOWN, "hold": hold}
    return Kept("range", thresholds, lambda: _seen_of_range(world, owner), 0.0, case, columns)


def _newest_position(world: World, owner: Address) -> int:
    manager = world.uniswap.position_manager
    (held,) = world.call(manager, "balanceOf(address)", "(uint256)", owner)
    found: int = world.call(manager, "tokenOfOwnerByIndex(address,uint256)", "(uint256)", owner, held - 1)[0]
    return found


def _seen_of_range(world: World, owner: Address) -> Seen:
    """Ln of the price of ether from the range's centre; and what is held, waits in fees, and was given back."""
    manager, token_id = world.uniswap.position_manager, _newest_position(world, owner)
    tick = world.call(world.pool, "slot0()", SLOT0)[1]
    position = world.call(manager, "positions(uint256)", _POSITION, token_id)
    lower, upper, amount = position[5:8]
    root, low, high = (1.0001 ** (each / 2) for each in (tick, lower, upper))
    at = min(max(root, low), high)
    collecting = {
        "from": owner,
        "to": manager,
        "data": "0x" + _COLLECT.call((token_id, owner, _MOST, _MOST)).hex(),
    }
    fees = _COLLECT.read(bytes.fromhex(world.node.ask("eth_call", collecting, "latest")[2:]))
    first, second = amount * (1 / at - 1 / high) + fees[0], amount * (at - low) + fees[1]
    assert not world.weth_is_token0
    usdc = first + world.balance("USDC", owner)
    weth = second + world.balance("WETH", owner)
    return Seen(
        (lower + upper) / 2 * _TICK - tick * _TICK, weth / 1e18 * world.price("WETH") / BASE + usdc / 1e6
    )

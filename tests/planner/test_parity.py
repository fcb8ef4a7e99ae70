"""Parity: hours of Black Thursday through the contracts with the real keeper, and by the planner's conventions.

Bars are a quarter of an hour, scaled to the price the devnet stands at. `PARITY` says how far the two may be apart.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeper.devnet.actors import Liquidator
from keeper.devnet.transactions import in_one_block
from keeper.devnet.uniswap_v3 import add_liquidity
from keeper.devnet.world import POOL_FEE, SLOT0, World
from keeper.domain.baskets import BasketAsset, BasketLimits, BasketRule
from keeper.domain.loans import Band, Limits, LoanRule, Terms
from keeper.domain.ranges import UNBOUNDED_HIGH, UNBOUNDED_LOW, Direction, Leaving, Placement, RangeRule
from keeper.domain.units import BASE, BPS, NOBODY, WAD, Address
from keeper.planner.cases import basket_case, loan_case, range_case
from keeper.planner.conventions import PARITY
from keeper.planner.costs import GAS_UNITS, Costs
from keeper.planner.results import DOWN, LIQUIDATED, UP, YEAR, Kind
from keeper.planner.results import Path as Life
from keeper.planner.simulate_loan import Lending
from keeper.planner.sweep import grid
from keeper.protocols import basket_thresholds, range_thresholds
from keeper.protocols.loan_thresholds import SET_RULE_AND_TERMS, rule_fields, terms_fields
from keeper.protocols.methods import method
from tests.conftest import FOREVER, KEEPER_KEY, NO_LIMIT
from tests.planner.lived import (
    FEE,
    SWAP,
    Deed,
    Seen,
    dollars_of,
    impact_of_pool,
    keeper_of,
    live,
    path_of_thursday,
)

WHEN = ("2020-03-12T09:00", "2020-03-13T09:00")
COOLDOWN = 2_000
"""Of no whole number of bars: on the chain it begins a block later."""
TICK = math.log(1.0001)
HALF = 1_000
_MOST = 2**128 - 1
_COLLECT = method("collect((uint256,address,uint128,uint128))", "(uint256,uint256)")
_POSITION = "(uint96,address,address,address,uint24,int24,int24,uint128,uint256,uint256,uint128,uint128)"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)


def require_parity(kind: Kind, deeds: list[Deed], seen: list[Seen], path: Life, least: int) -> None:
    """At least so many actions, both ways; the same ones; and no two figures further apart than is stated."""
    apart, actions = PARITY[kind], path.actions
    assert [(deed.bar, deed.side) for deed in deeds] == list(
        zip(actions.bar.tolist(), actions.side.tolist(), strict=True)
    )
    assert len(deeds) >= least
    assert {deed.side for deed in deeds} == {UP, DOWN}
    assert path.measure == pytest.approx([each.measure for each in seen], abs=apart.measure)
    # The simulated position pays its gas; the real one's is paid by the keeper.
    paid = np.zeros(len(seen))
    for deed in deeds:
        paid[deed.bar + 1 :] += deed.gas
    bare = np.array([each.worth for each in seen]) - paid
    # Net worth is written after a bar's action, and was read before it.
    spent = np.zeros(len(seen))
    np.add.at(spent, actions.bar, actions.cost)
    assert path.equity + spent == pytest.approx(bare, rel=apart.worth)
    assert actions.traded == pytest.approx([deed.sold for deed in deeds], rel=apart.sold)
    assert actions.fee + actions.impact == pytest.approx([deed.lost for deed in deeds], rel=apart.lost)
    assert actions.gas == pytest.approx([deed.gas for deed in deeds], rel=apart.gas)


def test_a_loan__through_black_thursday_on_the_chain_and_in_the_planner__is_kept_by_the_same_actions(
    world: World, tmp_path: Path
) -> None:
    owner, twin, aave = world.roles.owner, world.roles.twin, world.aave.pool
    costs = Costs(FEE, impact_of_pool(world), GAS_UNITS["loan"])
    scenario, history = path_of_thursday(world, *WHEN)
    held = world.open_loan(owner, 2_000, health=1.65)
    world.open_loan(twin, 200, health=1.65)
    band, terms = Band(14_500, 16_500, 18_500), Terms(borrow_step=NO_LIMIT)
    rule = LoanRule(
        world.weth.token, world.usdc.token, band, Limits(200, COOLDOWN, NO_LIMIT, FOREVER, NOBODY), terms
    )
    world.send(
        owner, world.thresholds, SET_RULE_AND_TERMS.signature, 0, rule_fields(rule), terms_fields(terms)
    )
    world.approve(owner, world.weth.a_token, world.thresholds)
    world.send(owner, world.usdc.debt_token, "approveDelegation(address,uint256)", world.thresholds, 2**255)
    liquidator, seized = Liquidator(world), []

    def look() -> Seen:
        account = world.account_data(owner)
        return Seen(account.health / WAD, (account.collateral_base - account.debt_base) / BASE)

    def liquidate(bar: int, block: int) -> None:
        del block
        while done := liquidator.act():
            seized.extend((bar, each.seized / 1e18 * history.close[bar]) for each in done)

    def indices() -> list[int]:
        return [
            world.call(aave, f"getReserveNormalized{name}(address)", "(uint256)", token)[0]
            for name, token in (("Income", world.weth.token), ("VariableDebt", world.usdc.token))
        ]

    before, begun = indices(), world.node.head().timestamp
    with keeper_of(world, tmp_path, "loans", world.thresholds) as keeper:
        deeds, seen = live(world, keeper, scenario, look, 1.65, beside=liquidate)
    years = (world.node.head().timestamp - begun) / YEAR
    supply, borrow = (math.log(now / was) / years for was, now in zip(before, indices(), strict=True))

    capital = (held.collateral_base - held.debt_base) / BASE
    case = loan_case(history, Lending(0.83, 0.5, 0.95, 0.05), costs, supply, borrow, capital)
    chosen = grid(case.columns, floor=[1.45, 0.0], target=[1.65], ceiling=[1.85, math.inf], cooldown=COOLDOWN)
    require_parity("loan", deeds, seen, case.path(chosen[0]), least=6)

    alone = case.path(chosen[-1]).actions
    assert set(alone.side.tolist()) == {LIQUIDATED}
    assert alone.bar.tolist() == [bar for bar, _ in seized]
    assert alone.traded / 10 == pytest.approx([value for _, value in seized], rel=PARITY["loan"].sold)


def test_a_basket__through_black_thursday_on_the_chain_and_in_the_planner__is_kept_by_the_same_actions(
    world: World, tmp_path: Path
) -> None:
    owner = world.roles.owner
    costs = Costs(FEE, impact_of_pool(world), GAS_UNITS["basket"])
    scenario, history = path_of_thursday(world, *WHEN)
    world.give("WETH", owner, 1_000)
    world.give("USDC", owner, 2_000_000)
    assets = tuple(
        BasketAsset(
            reserve.token, reserve.feed, 90_000, price * BASE // 50, price * BASE * 50, 5_000, 300, 300
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
    world.send(
        owner,
        world.basket_thresholds,
        basket_thresholds.SET_RULE.signature,
        0,
        basket_thresholds.rule_fields(rule),
    )
    for reserve in (world.weth, world.usdc):
        world.approve(owner, reserve.token, world.basket_thresholds)

    def look() -> Seen:
        ether = world.balance("WETH", owner) / 1e18 * world.price("WETH") / BASE
        worth = ether + world.balance("USDC", owner) / 1e6
        return Seen(ether / worth, worth)

    with keeper_of(world, tmp_path, "baskets", world.basket_thresholds) as keeper:
        deeds, seen = live(world, keeper, scenario, look, 0.5)
    case = basket_case([history], [0.5], costs, capital=4_000_000)
    chosen = grid(case.columns, trigger=[0.03], destination=[0.015], cooldown=COOLDOWN)
    require_parity("basket", deeds, seen, case.path(chosen[0]), least=6)


@pytest.mark.parametrize("hold", [1, 3])
def test_a_range__through_black_thursday_on_the_chain_and_in_the_planner__is_moved_by_the_same_actions(
    world: World, tmp_path: Path, hold: int
) -> None:
    owner = world.roles.owner
    costs = Costs(FEE, impact_of_pool(world), GAS_UNITS["range"])
    scenario, history = path_of_thursday(world, *WHEN)
    # A price stays for its bar, and the turn comes at the bar's end: there the mean over the hold is that of its bars.
    settle = history.seconds - 13
    seconds = 300 if hold == 1 else hold * history.seconds - 13
    open_range(world, seconds)
    usd = iter(history.close.tolist())
    volume, liquidity = [], []

    def look() -> Seen:
        return seen_of_range(world, owner)

    def trade(bar: int, block: int) -> None:
        """What went through the pool on the way to this bar's price, and the liquidity it met."""
        del bar
        asked = {"address": world.pool, "topics": [SWAP], "fromBlock": hex(block), "toBlock": hex(block)}
        logs, price = world.node.ask("eth_getLogs", asked), next(usd)
        volume.append(sum(max(dollars_of(world, log["data"], price)) for log in logs))
        met = world.call(world.pool, "liquidity()", "(uint128)")[0]
        liquidity.append(met / 1e12)

    capital = look().worth
    with keeper_of(world, tmp_path, "ranges", world.range_thresholds) as keeper:
        deeds, seen = live(world, keeper, scenario, look, 0.0, settle, trade)
    traded = replace(history, volume=np.array(volume), liquidity=np.array(liquidity))
    case = range_case(traded, costs, pool_fee=FEE, capital=capital)
    chosen = grid(case.columns, width=[HALF * TICK], trigger=[HALF * TICK], cooldown=COOLDOWN, hold=hold)
    path = case.path(chosen[0])
    require_parity("range", deeds, seen, path, least=3)


def open_range(world: World, hold: int) -> None:
    """A position around the price that holds all its owner has, and a rule that keeps it there."""
    owner, manager = world.roles.owner, world.uniswap.position_manager
    middle = world.call(world.pool, "slot0()", SLOT0)[1] // 10 * 10
    world.give("WETH", owner, 500)
    world.give("USDC", owner, 1_000_000)
    for reserve in (world.weth, world.usdc):
        world.approve(owner, reserve.token, manager)
    amounts = {world.weth.token: 500 * 10**18, world.usdc.token: 10**12}
    with in_one_block(world.node, owner) as queue:
        add_liquidity(queue, world.uniswap, amounts, POOL_FEE, owner, (middle - HALF, middle + HALF))
    for reserve in (world.weth, world.usdc):
        rest = world.balance(reserve.symbol, owner)
        world.send(owner, reserve.token, "transfer(address,uint256)", world.roles.stranger, rest)
    world.send(owner, manager, "setApprovalForAll(address,bool)", world.range_thresholds, True)
    rule = RangeRule(
        token_id=newest_position(world, owner), below=HALF, above=HALF, buffer=0, cutoff_low=UNBOUNDED_LOW,
        cutoff_high=UNBOUNDED_HIGH, exit_low=Leaving.AS_IT_LIES, exit_high=Leaving.AS_IT_LIES,
        direction=Direction.BOTH, placement=Placement.AROUND, hold=hold, deviation=500, slippage_bps=500,
        placed_bps=9_000, compound_at=0, cooldown=COOLDOWN, expiry=FOREVER, daily=20, budget_bps=5_000,
        refill=86_400, keeper=NOBODY,
    )  # fmt: skip
    world.send(
        owner,
        world.range_thresholds,
        range_thresholds.SET_RULE.signature,
        0,
        range_thresholds.rule_fields(rule),
    )


def newest_position(world: World, owner: Address) -> int:
    manager = world.uniswap.position_manager
    (held,) = world.call(manager, "balanceOf(address)", "(uint256)", owner)
    found: int = world.call(manager, "tokenOfOwnerByIndex(address,uint256)", "(uint256)", owner, held - 1)[0]
    return found


def seen_of_range(world: World, owner: Address) -> Seen:
    """Ln of the price of ether from the range's centre, and what is held, what waits in fees, and the owner's purse."""
    manager, token_id = world.uniswap.position_manager, newest_position(world, owner)
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
        (lower + upper) / 2 * TICK - tick * TICK, weth / 1e18 * world.price("WETH") / BASE + usdc / 1e6
    )

"""Sizing, beside the contract's own over real markets, and against what it promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keeper.chain.loans import Loans
from keeper.devnet.actors import move_pool_to
from keeper.devnet.anvil import Anvil
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.world import World
from keeper.domain.loans import Band, Limits, Loan, LoanMarket, LoanRule, PoolState, RuleKey
from keeper.domain.units import HEALTH_WAD_PER_BPS, NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.judge.loan_health import REASONS, judge
from keeper.protocols.loan_thresholds import REBALANCE, SET_RULE, Finding, rule_fields
from keeper.size.deleverage import deleverage, health_after_down
from tests.conftest import FOREVER, NO_LIMIT

WETH, USDC = Address("0x" + "11" * 20), Address("0x" + "22" * 20)


def a_rule(target_bps: int = 17_000, max_step: int = NO_LIMIT) -> LoanRule:
    return LoanRule(WETH, USDC, Band(14_000, target_bps, 40_000), Limits(100, 0, max_step, 2**40 - 1, NOBODY))


def a_market(price_usd: int = 2_000, liquidity: int = 10**24, fees: tuple[int, ...] = (500,)) -> LoanMarket:
    sqrt_price = int((price_usd * 10**6 / 10**18) ** 0.5 * 2**96)
    return LoanMarket(
        collateral_price=price_usd * 10**8,
        debt_price=10**8,
        collateral_unit=10**18,
        debt_unit=10**6,
        collateral_threshold_bps=8300,
        repayable=10**13,
        pools=tuple(PoolState(fee, sqrt_price, liquidity, True) for fee in fees),
    )


def a_loan(health: int, debt_usd: int = 100_000) -> Loan:
    debt = debt_usd * 10**8
    return Loan(health * debt * 10_000 // (8300 * WAD), debt, 8300, health)


@given(
    health_bps=st.integers(9_000, 13_999),
    target_bps=st.integers(14_500, 30_000),
    debt_usd=st.integers(1_000, 10_000_000),
)
def test_deleverage__any_loan_below_its_target__lands_on_it(
    health_bps: int, target_bps: int, debt_usd: int
) -> None:
    loan, market = a_loan(health_bps * HEALTH_WAD_PER_BPS, debt_usd), a_market()
    step = deleverage(a_rule(target_bps), loan, market)
    assert step is not None
    landed = health_after_down(step, loan, market)
    assert abs(landed - target_bps * HEALTH_WAD_PER_BPS) * 10_000 <= landed


def test_deleverage__a_small_max_step__is_not_exceeded() -> None:
    step = deleverage(a_rule(max_step=1_000_000), a_loan(13 * WAD // 10), a_market())
    assert step is not None
    assert step.amount == 1_000_000


def test_deleverage__among_pools__takes_the_one_that_sells_least() -> None:
    step = deleverage(a_rule(), a_loan(13 * WAD // 10), a_market(fees=(3000, 500, 10000)))
    assert step is not None
    assert step.fee == 500


def test_deleverage__a_range_that_cannot_deliver__gives_no_step() -> None:
    assert deleverage(a_rule(), a_loan(13 * WAD // 10), a_market(liquidity=10**10)) is None


@pytest.mark.parametrize("is_token0", [True, False])
def test_deleverage__a_pool_without_liquidity_in_range__is_passed_over(is_token0: bool) -> None:
    market = a_market()
    empty = PoolState(3000, market.pools[0].sqrt_price, 0, is_token0)
    alone = replace(market, pools=(empty,))
    beside = replace(market, pools=(*market.pools, empty))
    loan = a_loan(13 * WAD // 10)
    assert deleverage(a_rule(), loan, alone) is None
    assert deleverage(a_rule(), loan, beside) == deleverage(a_rule(), loan, market)


# Below the threshold of what is sold, each value repaid takes more weight than it frees.
insolvent = st.integers(5_000 * HEALTH_WAD_PER_BPS, 8_300 * HEALTH_WAD_PER_BPS)


@given(health=insolvent, target_bps=st.integers(14_500, 30_000), debt_usd=st.integers(1_000, 10**7))
def test_deleverage__below_the_solvency_line__would_take_more_than_the_whole_debt(
    health: int, target_bps: int, debt_usd: int
) -> None:
    loan = a_loan(health, debt_usd)
    step = deleverage(a_rule(target_bps), loan, replace(a_market(), repayable=2**96))
    assert step is not None
    assert step.amount * 10**8 > loan.debt_base * 10**6


@given(health=insolvent, share_bps=st.integers(1, 9_900), debt_usd=st.integers(1_000, 10**7))
def test_deleverage__below_the_solvency_line__lowers_health_whatever_part_it_repays(
    health: int, share_bps: int, debt_usd: int
) -> None:
    loan, market = a_loan(health, debt_usd), a_market()
    step = deleverage(a_rule(max_step=debt_usd * 10**6 * share_bps // 10_000), loan, market)
    assert step is not None
    assert health_after_down(step, loan, market) < loan.health


class Situation(StrEnum):
    """What else is true of the loan when it is judged."""

    NOTHING = "nothing"
    COOLING = "cooling"
    EXPIRED = "expired"
    NO_DEBT = "no debt"
    NO_PRICE = "no price"
    NO_PRICE_NO_DEBT = "neither debt nor a price for what it could be in"
    EMPTY_POOL = "empty pool"


@dataclass(frozen=True)
class Market:
    """One drawn market, and the rule in it."""

    situation: Situation = Situation.NOTHING
    eth_usd: float = 1_300.0
    pool_follows: bool = True
    holds_wbtc: bool = False
    floor_bps: int = 14_000
    gap_bps: int = 3_000
    slippage_bps: int = 100
    max_step: int = NO_LIMIT
    cooldown: int = 0


markets = st.builds(
    Market,
    situation=st.sampled_from(Situation),
    eth_usd=st.integers(900_00, 2_100_00).map(lambda cents: cents / 100),
    pool_follows=st.booleans(),
    holds_wbtc=st.booleans(),
    floor_bps=st.integers(10_001, 18_000),
    gap_bps=st.integers(400, 9_000),
    slippage_bps=st.integers(5, 500),
    max_step=st.one_of(st.just(NO_LIMIT), st.integers(1, 200_000 * 10**6)),
    cooldown=st.sampled_from([0, 3600]),
)


@dataclass
class Scene:
    """A world in one order of the pool's tokens, and the verbs of the property below."""

    world: World
    loans: Loans

    @property
    def owner(self) -> Address:
        return self.world.roles.owner

    @property
    def twin(self) -> Address:
        """Who has collateral and no debt."""
        return self.world.roles.twin

    def write_rule(self, who: Address, market: Market) -> LoanRule:
        world, target = self.world, market.floor_bps + market.gap_bps
        expiry = world.node.head().timestamp + 30 if market.situation is Situation.EXPIRED else FOREVER
        rule = LoanRule(
            world.weth.token,
            world.usdc.token,
            Band(market.floor_bps, target, target + 2_000),
            Limits(market.slippage_bps, market.cooldown, market.max_step, expiry, NOBODY),
        )
        world.send(who, world.thresholds, SET_RULE.signature, 0, rule_fields(rule))
        world.approve(who, world.weth.a_token, world.thresholds)
        return rule

    def move_price(self, eth_usd: float, pool_follows: bool) -> None:
        self.world.set_price("WETH", eth_usd)
        if pool_follows:
            move_pool_to(self.world)

    def act(self) -> None:
        """Rebalance as the contract itself would."""
        world, key = self.world, RuleKey(self.world.thresholds, self.owner, 0)
        (finding,) = self.loans.findings([key], world.node.head())
        if finding.kind is Kind.BREACHED:
            plan = (0, finding.amount, finding.swapped * 2, finding.fee, FOREVER)
            world.send(world.roles.keeper, world.thresholds, REBALANCE.signature, self.owner, 0, plan)

    def open_empty_pool(self) -> None:
        pair = sorted((self.world.weth.token, self.world.usdc.token), key=lambda token: int(token, 16))
        signature = "createAndInitializePoolIfNecessary(address,address,uint24,uint160)"
        manager, price = self.world.uniswap.position_manager, self.world.oracle_sqrt_price()
        self.world.send(self.owner, manager, signature, *pair, 3000, price)


@pytest.fixture(scope="module")
def other_world() -> Iterator[World]:
    """WETH before USDC, as no mainnet pool has them."""
    with Anvil() as anvil:
        yield deploy_thresholds(deploy_world(anvil.url, weth_is_token0=True))


@pytest.fixture(params=["USDC first", "WETH first"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    world: World = request.getfixturevalue("world" if request.param == "USDC first" else "other_world")
    assert world.weth_is_token0 == (request.param == "WETH first")
    before = world.snapshot()
    world.open_loan(world.roles.owner, 100, health=1.9)
    world.supply(world.roles.twin, "WETH", 1)
    yield Scene(world, Loans(world.node, world.thresholds, [world.roles.owner, world.roles.twin]))
    world.revert(before)


def test_python_and_contract__over_random_markets__judge_and_size_alike(scene: Scene) -> None:
    world = scene.world
    seen: Counter[tuple[Kind, str]] = Counter()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(markets)
    @example(Market())
    @example(Market(eth_usd=2_000))
    @example(Market(holds_wbtc=True, eth_usd=900))
    @example(Market(slippage_bps=5))
    @example(Market(Situation.COOLING, cooldown=3600))
    @example(Market(Situation.COOLING, cooldown=3600, holds_wbtc=True))
    @example(Market(Situation.EXPIRED))
    @example(Market(Situation.NO_DEBT))
    @example(Market(Situation.NO_PRICE))
    @example(Market(Situation.NO_PRICE, holds_wbtc=True))
    @example(Market(Situation.NO_PRICE_NO_DEBT))
    @example(Market(Situation.EMPTY_POOL))
    def alike(drawn: Market) -> None:
        before = world.snapshot()
        try:
            finding = judged_alike(scene, drawn)
        finally:
            world.revert(before)
        seen[finding.kind, finding.why] += 1

    alike()
    assert {kind for kind, _ in seen} == set(Kind)
    assert {why for _, why in seen} >= {
        "health: below the floor",
        "health: at or above the floor",
        "loan: no debt",
        "rule: cooling down",
        "rule: expired",
        "oracle: Aave cannot value the account",
        "oracle: no usable price for an asset of the rule",
        "pool: the sale would cost more than the rule's slippage",
    }


def judged_alike(scene: Scene, drawn: Market) -> Finding:
    """The contract's finding in a drawn market, once Python's verdict and size are seen to be the same."""
    world, situation = scene.world, drawn.situation
    who = scene.twin if situation in (Situation.NO_DEBT, Situation.NO_PRICE_NO_DEBT) else scene.owner
    if drawn.holds_wbtc:
        world.supply(who, "WBTC", 0.4)
    if situation is Situation.EMPTY_POOL:
        scene.open_empty_pool()
    rule = scene.write_rule(who, drawn)
    scene.move_price(drawn.eth_usd, drawn.pool_follows)
    if situation is Situation.COOLING:
        scene.act()
        scene.move_price(drawn.eth_usd * 0.7, drawn.pool_follows)
    elif situation is Situation.EXPIRED:
        world.warp(60)
    elif situation is Situation.NO_PRICE:
        world.set_price("WBTC" if drawn.holds_wbtc else "WETH", 0)
    elif situation is Situation.NO_PRICE_NO_DEBT:
        world.set_price("USDC", 0)

    block = world.node.head()
    (sight,) = (sight for sight in scene.loans.observe(block).sights if sight.key.owner == who)
    assert sight.rule == rule
    verdict = judge(sight, block.timestamp)
    finding, market = scene.loans.consult(sight.key, rule, block)
    if situation is Situation.NO_PRICE_NO_DEBT:
        # The contract asks for the rule's own prices first, which a debt would have made the account need.
        assert (verdict.kind, verdict.why) == (Kind.WITHIN, "loan: no debt")
        assert (finding.kind, market) == (Kind.BLIND, None)
        return finding
    if verdict.kind is not Kind.BREACHED:
        assert (finding.kind, finding.why) == (verdict.kind, verdict.why)
        assert finding.health == (0 if finding.why == "rule: expired" else verdict.measure.value or 0)
        return finding
    assert finding.kind in (Kind.BREACHED, Kind.BARRED)
    assert finding.why not in {why for kind, why in REASONS if kind is not Kind.BREACHED}
    assert finding.health == verdict.measure.value
    assert sight.loan is not None
    assert market is not None
    step = deleverage(rule, sight.loan, market)
    sized = (step.amount, step.swapped, step.fee) if step else (0, 0, 0)
    assert (finding.amount, finding.swapped, finding.fee) == sized
    return finding

"""Sizing, beside the contract's own over real markets, and against what it promises."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.chain.loans import Loans
from keeper.devnet.actors import move_pool_to
from keeper.devnet.world import World
from keeper.domain.loans import Band, Limits, Loan, LoanMarket, LoanRule, PoolState, RuleKey
from keeper.domain.units import HEALTH_WAD_PER_BPS, NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.judge.loan_health import judge
from keeper.size.deleverage import deleverage, health_after_down
from tests.conftest import NO_LIMIT, SetRule

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
    assert step.repay == 1_000_000


def test_deleverage__among_pools__takes_the_one_that_sells_least() -> None:
    step = deleverage(a_rule(), a_loan(13 * WAD // 10), a_market(fees=(3000, 500, 10000)))
    assert step is not None
    assert step.fee == 500


def test_deleverage__a_range_that_cannot_deliver__gives_no_step() -> None:
    assert deleverage(a_rule(), a_loan(13 * WAD // 10), a_market(liquidity=10**10)) is None


def test_deleverage__below_the_solvency_line__never_reaches_the_target() -> None:
    loan, market = a_loan(82 * WAD // 100), a_market()
    step = deleverage(a_rule(), loan, market)
    assert (
        step is None
        or health_after_down(step, loan, market) < loan.health
        or step.repay > loan.debt_base // 100
    )


def test_python_and_contract__over_random_markets__judge_and_size_alike(
    world: World, set_rule: SetRule
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.9)
    loans = Loans(world.node, world.thresholds, [owner])
    key = RuleKey(world.thresholds, owner, 0)
    seen: set[Kind] = set()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        eth_usd=st.integers(900_00, 2_100_00).map(lambda cents: cents / 100),
        follows=st.booleans(),
        floor_bps=st.integers(10_001, 18_000),
        gap_bps=st.integers(400, 9_000),
        slippage_bps=st.integers(5, 500),
        max_step=st.one_of(st.just(NO_LIMIT), st.integers(1, 200_000 * 10**6)),
        cooldown=st.sampled_from([0, 3600]),
    )
    def alike(
        eth_usd: float,
        follows: bool,
        floor_bps: int,
        gap_bps: int,
        slippage_bps: int,
        max_step: int,
        cooldown: int,
    ) -> None:
        before = world.snapshot()
        try:
            target_bps = floor_bps + gap_bps
            rule = set_rule(
                owner,
                floor_bps,
                target_bps,
                target_bps + 2_000,
                slippage_bps=slippage_bps,
                max_step=max_step,
                cooldown=cooldown,
            )
            world.set_price("WETH", eth_usd)
            if follows:
                move_pool_to(world)
            block = world.node.head()
            (sight,) = loans.observe(block).sights
            assert sight.rule == rule
            assert sight.loan is not None
            verdict = judge(sight, block.timestamp)
            finding, market = loans.consult(key, rule, block)
            seen.add(finding.kind)
            if verdict.kind is not Kind.BREACHED:
                assert (finding.kind, finding.why) == (verdict.kind, verdict.why)
                return
            assert finding.kind in (Kind.BREACHED, Kind.BARRED)
            step = deleverage(rule, sight.loan, market)
            assert (finding.repay, finding.sell, finding.fee) == (
                (step.repay, step.sell, step.fee) if step else (0, 0, 0)
            )
        finally:
            world.revert(before)

    alike()
    assert {Kind.WITHIN, Kind.BREACHED, Kind.BARRED} <= seen

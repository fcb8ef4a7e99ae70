"""How much to borrow: the keeper's own sizes are the contract's, whatever the market, the rule and the unit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keeper.chain.loans import Loans
from keeper.devnet.actors import move_pool_to
from keeper.devnet.world import World
from keeper.domain.loan_band import edges, measure_down
from keeper.domain.loans import Band, Limits, LoanRule, Terms
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY
from keeper.domain.verdicts import Kind
from keeper.judge.loan_health import judge
from keeper.protocols.loan_thresholds import SET_RULE_AND_TERMS, Action, rule_fields, terms_fields
from keeper.size.deleverage import deleverage
from keeper.size.releverage import releverage
from tests.conftest import FOREVER, NO_LIMIT


@dataclass(frozen=True)
class Market:
    """One drawn market, and the rule in it; the target is of the rule's own unit."""

    eth_usd: float = 3_000.0
    pool_bps: int = 10_000
    in_leverage: bool = False
    target_bps: int = 16_000
    gap_bps: int = 2_000
    speed_bps: int = 0
    borrow_step: int = NO_LIMIT
    holds_wbtc: bool = False


markets = st.builds(
    Market,
    eth_usd=st.integers(1_500_00, 6_000_00).map(lambda cents: cents / 100),
    pool_bps=st.integers(9_800, 10_200),
    in_leverage=st.booleans(),
    target_bps=st.integers(14_000, 20_000),
    gap_bps=st.integers(400, 3_000),
    speed_bps=st.one_of(st.just(0), st.integers(1, 10_000)),
    borrow_step=st.one_of(st.just(NO_LIMIT), st.integers(1, 10**11)),
    holds_wbtc=st.booleans(),
)


def rule_in(world: World, drawn: Market) -> LoanRule:
    target, gap = drawn.target_bps, drawn.gap_bps
    band = Band(target - gap, target, target + gap)
    if drawn.in_leverage:
        band = Band(target + gap, target, target - gap)
    limits = Limits(100, 0, NO_LIMIT, FOREVER, NOBODY)
    terms = Terms(drawn.in_leverage, drawn.borrow_step, drawn.speed_bps)
    return LoanRule(world.weth.token, world.usdc.token, band, limits, terms)


def test_python_and_contract__over_random_markets_on_both_sides__judge_and_size_alike(world: World) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.66)
    debt_token, unlimited = world.usdc.debt_token, 2**255
    world.send(owner, debt_token, "approveDelegation(address,uint256)", world.thresholds, unlimited)
    world.approve(owner, world.weth.a_token, world.thresholds)
    loans, key = Loans(world.node, world.thresholds, [owner]), RuleKey(world.thresholds, owner, 0)
    seen: Counter[tuple[Kind, Action, bool]] = Counter()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(markets)
    @example(Market())
    @example(Market(in_leverage=True))
    @example(Market(in_leverage=True, eth_usd=1_600, speed_bps=4_000))
    @example(Market(eth_usd=2_000))
    @example(Market(holds_wbtc=True))
    def alike(drawn: Market) -> None:
        before = world.snapshot()
        try:
            if drawn.holds_wbtc:
                world.supply(owner, "WBTC", 0.4)
            rule = rule_in(world, drawn)
            fields = (rule_fields(rule), terms_fields(rule.terms))
            world.send(owner, world.thresholds, SET_RULE_AND_TERMS.signature, 0, *fields)
            world.set_price("WETH", drawn.eth_usd * drawn.pool_bps / 10_000)
            move_pool_to(world)
            world.set_price("WETH", drawn.eth_usd)
            seen[compared(world, loans, key, rule)] += 1
        finally:
            world.revert(before)

    alike()
    sides = {(kind, action) for kind, action, _ in seen}
    assert sides >= {(Kind.BREACHED, Action.RELEVERAGE), (Kind.BREACHED, Action.DELEVERAGE)}
    assert {unit for kind, action, unit in seen if action is Action.RELEVERAGE} == {True, False}


def compared(world: World, loans: Loans, key: RuleKey, rule: LoanRule) -> tuple[Kind, Action, bool]:
    block = world.node.head()
    (sight,) = loans.sights([key], block)
    assert sight.rule == rule
    assert sight.loan is not None
    verdict = judge(sight, block.timestamp)
    finding, market = loans.consult(key, rule, block)
    if verdict.kind is not Kind.BREACHED:
        assert (finding.kind, finding.why) == (verdict.kind, verdict.why)
        return finding.kind, finding.action, rule.terms.in_leverage
    assert finding.kind in (Kind.BREACHED, Kind.BARRED)
    assert market is not None
    if finding.kind is Kind.BREACHED:
        assert finding.why == verdict.why
    above = measure_down(sight.loan, rule.terms.in_leverage) > edges(rule).ceiling > 0
    assert (finding.action is Action.RELEVERAGE) == above
    step = (releverage if above else deleverage)(rule, sight.loan, market)
    sized = (step.amount, step.swapped, step.fee) if step else (0, 0, 0)
    assert (finding.amount, finding.swapped, finding.fee) == sized
    return finding.kind, finding.action, rule.terms.in_leverage

"""Judging and sizing a range, beside the contract's own over real markets, and against what it promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keeper.chain.ranges import Ranges
from keeper.domain.ranges import Action, Edges, RangeSight
from keeper.domain.verdicts import Kind
from keeper.judge.range_exit import judge
from keeper.protocols.liquidity import Venue
from keeper.protocols.range_thresholds import Finding
from keeper.protocols.ticks import sqrt_price_at
from keeper.size.recentre import Prospect, half_widths, outcome, prospect, swap_to_ratio
from tests.contracts.range_stage import HOLD, OWNER, WAD, Stage, raised

START = -198_080
TICKS = st.integers(-2_000, 2_000)


@given(
    lower=TICKS,
    width=st.integers(20, 4_000),
    at=TICKS,
    amount0=st.integers(0, 10**22),
    amount1=st.integers(0, 10**14),
)
def test_swap_to_ratio__any_amounts_in_a_deep_pool__places_nearly_all_of_their_worth(
    lower: int, width: int, at: int, amount0: int, amount1: int
) -> None:
    price = sqrt_price_at(START + at)
    edges = sqrt_price_at(START + lower), sqrt_price_at(START + lower + width)
    worth = amount0 * price * price // 2**128 + (amount1 << 64)
    step = swap_to_ratio((amount0, amount1), *edges, Venue(price, 10**24, 500))
    assert step.price is not None
    placed, kept = outcome((amount0, amount1), step, *edges, price)
    assert placed <= kept + 2**70
    # All but the fee on what was sold (at most all of it), its impact, and a few units of rounding.
    assert placed >= worth * 9_980 // 10_000 - 2**74


def test_swap_to_ratio__a_pool_without_liquidity__cannot_carry_a_thing() -> None:
    edges = sqrt_price_at(START - 100), sqrt_price_at(START + 100)
    assert swap_to_ratio((WAD, 0), *edges, Venue(sqrt_price_at(START), 0, 500)).amount == 0


@dataclass(frozen=True)
class Market:
    """One drawn market, and the rule in it."""

    edges: tuple[int, int] = (-600, 600)
    settled: int = 900
    nudge: int = 0
    seconds: int = HOLD + 1
    trades: int = 0
    liquidity: int = WAD // 10
    approved: bool = True
    is_owners: bool = True
    acts_first: bool = False
    rule: dict[str, Any] = field(default_factory=dict)


markets = st.builds(
    Market,
    edges=st.tuples(st.integers(-150, -2), st.integers(2, 150)).map(lambda e: (10 * e[0], 10 * e[1])),
    settled=st.integers(-2_500, 2_500),
    nudge=st.one_of(st.just(0), st.integers(-120, 120)),
    seconds=st.sampled_from([HOLD + 1, HOLD + 1, 100, 4_000]),
    trades=st.integers(0, 3),
    liquidity=st.sampled_from([10**6, 10**12, WAD // 10, 1_000 * WAD]),
    approved=st.sampled_from([True, True, True, False]),
    is_owners=st.sampled_from([True, True, True, True, False]),
    acts_first=st.booleans(),
    rule=st.fixed_dictionaries(
        {
            "below": st.integers(60, 1_500),
            "above": st.integers(60, 1_500),
            "buffer": st.integers(60, 300),
            "cutoff_low": st.integers(-4_000, -1_000),
            "cutoff_high": st.integers(1_000, 4_000),
            "exit_low": st.integers(0, 2),
            "exit_high": st.integers(0, 2),
            "direction": st.integers(0, 2),
            "placement": st.integers(0, 1),
            "deviation": st.integers(5, 59),
            "slippage_bps": st.sampled_from([2, 50, 500]),
            "placed_bps": st.sampled_from([9_000, 9_998]),
            "compound_at": st.sampled_from([0, 1, 10**9]),
            "cooldown": st.sampled_from([0, 3_600]),
            "daily": st.sampled_from([1, 10]),
            "budget_bps": st.sampled_from([1, 100]),
        }
    ),
)


@pytest.fixture(scope="module", params=["WETH first", "USDC first"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with raised(request.param == "WETH first") as stage:
        yield stage


def staged(stage: Stage, drawn: Market) -> None:
    """The market as drawn, with the rule in it."""
    token_id = stage.open(*drawn.edges, liquidity=drawn.liquidity)
    manager = stage.uniswap.position_manager
    stage.set_rule(stage.rule(token_id, **drawn.rule))
    if drawn.acts_first:
        stage.settle(900)
        if stage.check().verdict == Kind.BREACHED:
            stage.act(least=0)
    if drawn.trades:
        stage.trade(drawn.trades)
    stage.settle(drawn.settled, drawn.seconds)
    if drawn.nudge:
        stage.push(drawn.settled + drawn.nudge)
    if not drawn.approved:
        stage.send(OWNER, manager, "setApprovalForAll(address,bool)", stage.thresholds, False)
    if not drawn.is_owners and stage.rule_of().token_id:
        receiver = stage.uniswap.quoter
        moved = (OWNER, receiver, stage.rule_of().token_id)
        stage.send(OWNER, manager, "transferFrom(address,address,uint256)", *moved)


def judged_alike(stage: Stage, ranges: Ranges) -> Finding:
    """The contract's finding, once the keeper has come to the same by itself."""
    block = stage.node.head()
    (sight,) = ranges.sights(ranges.keys.at(block), block)
    (finding,) = ranges.findings([sight.key], block)
    verdict, action, case = judge(sight, block.timestamp)
    assert action is finding.action
    assert (verdict.measure.value or 0) == finding.measure
    expected, why = verdict.kind, verdict.why
    if action is not Action.NOTHING:
        assert case is not None
        ahead = prospect_of(sight, action, block.timestamp)
        if ahead is None:
            why = "rule: the new range would be the old one or in breach"
            expected = Kind.BARRED
        else:
            assert (ahead.edges or Edges(0, 0)) == finding.edges
            step = ahead.step
            assert (step.sells_token0, step.amount, step.bought) == (
                finding.sells_token0,
                finding.amount,
                finding.bought,
            )
            assert ahead.lost == finding.lost
            if verdict.kind is Kind.BREACHED and ahead.bar:
                expected, why = Kind.BARRED, ahead.bar
    assert (expected, why) == (finding.kind, finding.why)
    return finding


def prospect_of(sight: RangeSight, action: Action, now: int) -> Prospect | None:
    _, _, case = judge(sight, now)
    assert sight.rule is not None
    assert sight.range is not None
    assert sight.market is not None
    assert case is not None
    return prospect(sight.rule, sight.past, sight.range, sight.market, case, action, now)


def test_python_and_contract__over_random_markets__judge_and_size_alike(stage: Stage) -> None:
    seen: Counter[tuple[Kind, Action, str]] = Counter()
    beside = {"placement": 1, "buffer": 100}
    leaves = {"cutoff_low": -800, "exit_low": 2}

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(markets)
    @example(Market())
    @example(Market(settled=0))
    @example(Market(settled=-900))
    @example(Market(settled=-900, rule=beside))
    @example(Market(settled=900, rule=beside))
    @example(Market(settled=-900, rule=leaves))
    @example(Market(settled=-900, rule={"cutoff_low": -800}))
    @example(Market(settled=-900, nudge=-300, rule=leaves))
    @example(Market(settled=100, trades=3, rule={"compound_at": 1}))
    @example(Market(settled=100, trades=3, nudge=100, rule={"compound_at": 1}))
    @example(Market(seconds=100))
    @example(Market(nudge=100))
    @example(Market(approved=False))
    @example(Market(settled=0, approved=False))
    @example(Market(is_owners=False))
    @example(Market(acts_first=True, settled=-900))
    @example(Market(acts_first=True, settled=-900, rule={"cooldown": 0, "daily": 1}))
    @example(Market(acts_first=True, settled=-900, rule={"cooldown": 0, "budget_bps": 4}))
    @example(Market(rule={"slippage_bps": 2}))
    @example(Market(liquidity=5_000 * WAD, rule={"slippage_bps": 500, "budget_bps": 500, "deviation": 20}))
    def alike(drawn: Market) -> None:
        with stage.undone():
            staged(stage, drawn)
            finding = judged_alike(stage, Ranges(stage.node, stage.thresholds, [OWNER]))
        seen[finding.kind, finding.action, finding.why] += 1

    alike()
    assert {kind for kind, _, _ in seen} >= {Kind.WITHIN, Kind.BREACHED, Kind.BARRED}
    assert {action for kind, action, _ in seen if kind is Kind.BREACHED} == set(Action) - {Action.NOTHING}
    assert {why for _, _, why in seen} >= {
        "range: inside its trigger",
        "range: beyond its trigger, but not for the hold",
        "range: the price is beyond its trigger",
        "range: the price is beyond a cutoff",
        "range: its fees are worth compounding",
        "range: the position is not the owner's",
        "range: the value lost is above the rule's slippage",
        "pool: its price is too far from the mean",
        "pool: the swap takes its price too far from the mean",
        "rule: cooling down",
        "rule: the day's count is used up",
        "rule: the loss is above what is left of the budget",
        "approval: the owner has not made this contract an operator",
    }


def test_python_and_contract__no_rule_or_expired_or_no_position_or_forgetful__judge_alike(
    stage: Stage,
) -> None:
    def found(*, written: bool = True) -> str:
        ranges = Ranges(stage.node, stage.thresholds, [OWNER])
        return judged_alike(stage, ranges).why if written else ""

    with stage.undone():
        token_id = stage.open()
        stage.set_rule(stage.rule(token_id + 1))
        assert found() == "range: there is no such position"
        stage.set_rule(stage.rule(token_id, expiry=stage.time() + 20))
        stage.pass_time(60)
        assert found() == "rule: expired"
        stage.set_rule(stage.rule(token_id, hold=2**24 - 1))
        assert found() == "pool: it remembers less than the hold"
        manager, rest = stage.uniswap.position_manager, stage.position(token_id).liquidity
        signature = "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))"
        stage.send(OWNER, manager, signature, (token_id, rest, 0, 0, 2**255))
        assert found() == "range: no liquidity"
        stage.node.ask("anvil_setCode", stage.pool(), "0x")
        assert found() == "range: no liquidity"
        stage.send(OWNER, stage.thresholds, "clear_rule(uint256)", 0)
        assert found() == "rule: none is set"


def test_half_widths__of_a_rule__are_its_own(stage: Stage) -> None:
    with stage.undone():
        stage.set_rule(stage.rule(stage.open(), below=70, above=900))
        block, ranges = stage.node.head(), Ranges(stage.node, stage.thresholds, [OWNER])
        (sight,) = ranges.sights(ranges.keys.at(block), block)
        assert sight.rule is not None
        assert half_widths(sight.rule) == (70, 900)

"""Loans in e-modes: the keeper's judgement and sizes are the contract's to the digit, whatever happens to the mode."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keeper.chain.loans import Loans
from keeper.domain.errors import NodeRefused
from keeper.domain.loan_band import edges, measure_down
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY
from keeper.domain.verdicts import Kind
from keeper.judge.loan_health import judge
from keeper.protocols.loan_thresholds import Action
from keeper.protocols.multicall3 import MULTICALL3
from keeper.size.deleverage import deleverage
from keeper.size.releverage import releverage
from tests.contracts.crowd import e_mode_price
from tests.contracts.e_modes import enter, found_e_mode, list_in_mode, supply
from tests.contracts.loan_stage import BASE, OWNER, WAD, Stage, Terms

USD = 10**6
# What happens, and how much: of prices the share, of modes the id.
deeds = st.lists(
    st.one_of(
        st.tuples(st.just("health"), st.floats(0.97, 1.6)),
        st.tuples(st.just("health"), st.floats(0.97, 1.6)),
        st.tuples(st.just("pool"), st.floats(0.985, 1.015)),
        st.tuples(st.just("mode"), st.sampled_from([0, 1, 2])),
        st.tuples(st.just("governed"), st.integers(8_400, 9_600)),
        st.tuples(st.just("listed"), st.booleans()),
        st.tuples(st.just("beside"), st.integers(10**6, 10**8)),
        st.tuples(st.just("time"), st.sampled_from([60, 86_400])),
        st.tuples(st.just("act"), st.just(0)),
    ),
    min_size=2,
    max_size=7,
)
Story = list[tuple[str, float]]


def opened(stage: Stage, in_leverage: bool, has_price: bool) -> None:
    """A loan in a mode; before 3.2 the mode may have a price, which the debt then no longer has."""
    found_e_mode(stage, 2, members=("WBTC",), lent=(), ltv=8_500, threshold=9_100)
    found_e_mode(stage, 1, source=stage.feeds["USDC"] if has_price else NOBODY)
    e_mode_price(stage, 2_500 * BASE)
    stage.open(100 * WAD, (60 if has_price else 160_000) * USD)
    stage.delegate()
    enter(stage)
    if has_price:
        stage.govern("setAssetEModeCategory(address,uint8)", stage.tokens["USDC"], 0)
        e_mode_price(stage, BASE)
        stage.push_pool(BASE)
    band = (60_000, 50_000, 40_000) if in_leverage else (10_900, 11_500, 12_500)
    rule = replace(
        stage.rule, floor_bps=band[0], target_bps=band[1], ceiling_bps=band[2], cooldown=0, slippage_bps=300
    )
    stage.set_rule(rule, terms=Terms(in_leverage=in_leverage, borrow_step=10**12))


def happens(stage: Stage, what: str, much: float, has_price: bool) -> None:
    """One deed, as far as Aave lets anybody do it."""
    with suppress(NodeRefused):
        if what == "health":
            price = int(stage.price() * much * WAD / stage.health())
            if has_price:
                price = int(
                    stage.ask(stage.feeds["WBTC"], "latestAnswer()", "(int256)") * much * WAD / stage.health()
                )
                e_mode_price(stage, price)
                stage.push_pool(price)
            else:
                stage.set_price(price)
        elif what == "pool":
            stage.push_pool(int(stage.price() * much))
        elif what == "mode":
            enter(stage, int(much))
        elif what == "governed":
            found_e_mode(stage, 1, members=(), lent=(), ltv=8_350, threshold=int(much))
        elif what == "listed" and stage.version == "3.6":
            list_in_mode(stage, "Collateral", "WETH", is_listed=bool(much))
        elif what == "beside":
            supply(stage, "WBTC", int(much))
        elif what == "time":
            stage.pass_time(int(much))
        elif what == "act":
            stage.act()


def compared(stage: Stage, loans: Loans) -> tuple[Kind, Action, bool]:
    """The contract's verdict, once the keeper's own verdict and size are seen to be the same."""
    key, block = RuleKey(stage.thresholds, OWNER, 0), stage.node.head()
    (sight,) = loans.sights([key], block)
    assert sight.rule is not None
    assert sight.loan is not None
    verdict = judge(sight, block.timestamp)
    finding, market = loans.consult(key, sight.rule, block)
    assert finding.health == verdict.measure.value
    if verdict.kind is not Kind.BREACHED:
        assert (finding.kind, finding.amount) == (verdict.kind, 0)
        return finding.kind, finding.action, False
    assert finding.kind in (Kind.BREACHED, Kind.BARRED)
    assert market is not None
    above = measure_down(sight.loan, sight.rule.terms.in_leverage) > edges(sight.rule).ceiling
    step = (releverage if above else deleverage)(sight.rule, sight.loan, market)
    if finding.amount or finding.why.startswith("pool: too thin"):
        sized = (step.amount, step.swapped, step.fee) if step else (0, 0, 0)
        assert (finding.amount, finding.swapped, finding.fee) == sized
        assert (finding.action is Action.RELEVERAGE) == above
    is_in_mode = market.collateral_threshold_bps != 8_300
    assert market.bonus_bps == (10_100 if is_in_mode else 10_500)
    return finding.kind, finding.action, is_in_mode


def test_python_and_contract__whatever_happens_to_the_e_mode__judge_and_size_alike(
    either_aave: Stage,
) -> None:
    stage = either_aave
    code = files("keeper").joinpath("data", "multicall3.hex").read_text(encoding="ascii").strip()
    stage.node.ask("anvil_setCode", MULTICALL3, code)
    seen: Counter[tuple[Kind, Action, bool]] = Counter()

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.booleans(), st.booleans(), deeds)
    @example(False, False, [("health", 1.02), ("health", 1.3), ("mode", 0), ("health", 1.05)])
    @example(False, False, [("health", 1.4), ("governed", 9_500), ("act", 0)])
    @example(False, True, [("health", 1.05), ("act", 0), ("health", 1.4)])
    @example(True, False, [("health", 1.4), ("beside", 10**7), ("health", 1.02)])
    def alike(in_leverage: bool, has_price: bool, story: Story) -> None:
        has_price = has_price and stage.version != "3.6"
        with stage.undone():
            opened(stage, in_leverage, has_price)
            loans = Loans(stage.node, stage.thresholds, [OWNER])
            seen[compared(stage, loans)] += 1
            for what, much in story:
                happens(stage, what, much, has_price)
                seen[compared(stage, loans)] += 1

    alike()
    assert {found for found in seen if found[0] is Kind.BREACHED} >= {
        (Kind.BREACHED, Action.RELEVERAGE, True),
        (Kind.BREACHED, Action.DELEVERAGE, True),
        (Kind.BREACHED, Action.DELEVERAGE, False),
    }, seen

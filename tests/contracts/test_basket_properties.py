"""Baskets under random owners, markets, keepers and thieves, on real Uniswap: what is promised holds after every step.

The loss is bounded by slippage and budget, nothing is left behind, nobody else's tokens move, every asset moves towards
its target and not across, and `check` says yes exactly when the act is accepted.
"""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from keeper.chain.baskets import Baskets
from keeper.devnet.transactions import reason_in
from keeper.domain.errors import NodeRefused
from keeper.domain.verdicts import Kind
from keeper.judge.basket_drift import judge
from keeper.size.reweigh import reweigh
from tests.contracts.basket_stage import (
    BARRED,
    BREACHED,
    DAY,
    DOLLAR,
    KEEPER,
    LENDER,
    OWNER,
    STRANGER,
    WAD,
    WITHIN,
    Finding,
    Outcome,
    Rule,
    Stage,
    Trade,
)
from tests.contracts.loan_stage import BASE, DECIMALS, PRICES, take_back

BASKET = ("WETH", "USDC", "WBTC")
# What a sizer that knows only the liquidity in range cannot know, or what depends on who asks.
SIZED = (
    "pool: ",
    "basket: short",
    "basket: the value",
    "basket: more",
    "basket: nothing",
    "rule: the loss is",
)


class Stories(RuleBasedStateMachine):
    """One owner with a rule, one bystander with the same holdings, and everybody else."""

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = self.stage.node.ask("evm_snapshot")
        self.rule = self.stage.rule()
        self.losses: list[tuple[int, int]] = []

    def teardown(self) -> None:
        take_back(self.stage.node, self.snapshot)

    @initialize(
        parts=st.lists(st.integers(0, 10), min_size=3, max_size=3).filter(any),
        whole=st.sampled_from([1_000, 100_000, 3_000_000]),
    )
    def open(self, parts: list[int], whole: int) -> None:
        holdings = {s: whole * part // sum(parts) for s, part in zip(BASKET, parts, strict=True)}
        for who in (OWNER, LENDER):
            self.stage.hold(holdings, owner=who)
        self.kept = [self.stage.balance(s, LENDER) for s in BASKET]
        self.write(self.rule)
        self.keeper = Baskets(self.stage.node, self.stage.thresholds, [OWNER])

    # The owner

    @rule(
        weights=st.sampled_from(
            [(5_000, 3_000, 2_000), (3_400, 3_300, 3_300), (9_000, 500, 500), (100, 9_800, 100)]
        ),
        band=st.sampled_from([100, 500, 2_000]),
        relative=st.booleans(),
        destination=st.sampled_from([0, 5_000, 10_000]),
        cap=st.sampled_from([0, 50, 10_000]),
        step=st.sampled_from([20_000, 10_000_000, 500]),
        slippage=st.sampled_from([100, 500, 5]),
        budget=st.sampled_from([100_000, 200, 1]),
        bounty=st.booleans(),
        cooldown=st.sampled_from([0, 600]),
        keeper=st.sampled_from([KEEPER, "0x" + "00" * 20]),
    )
    def rewrite(
        self,
        weights: tuple[int, ...],
        band: int,
        relative: bool,
        destination: int,
        cap: int,
        step: int,
        slippage: int,
        budget: int,
        bounty: bool,
        cooldown: int,
        keeper: str,
    ) -> None:
        paid = {"public_bps": 2_000, "bounty_bps": 3, "bounty_cap": 20 * DOLLAR} if bounty else {}
        self.write(
            self.stage.rule(
                weights=dict(zip(BASKET, weights, strict=True)),
                band_bps=band,
                relative=relative,
                destination_bps=destination,
                cap_bps=min(max(weights) + cap, 10_000) if cap else 10_000,
                max_step=step,
                slippage_bps=slippage,
                slippage_urgent_bps=min(2 * slippage, 1_000),
                budget=budget * DOLLAR,
                window=DAY,
                cooldown=cooldown,
                keeper=keeper,
                **paid,
            )
        )

    def write(self, written: Rule) -> None:
        prices = {s: self.stage.price(s) for s in BASKET}
        assets = tuple(
            replace(asset, low=prices[s] // 5, high=prices[s] * 5)
            for asset, s in zip(written.assets, BASKET, strict=True)
        )
        self.rule = replace(
            written, assets=assets, limits=replace(written.limits, expiry=self.stage.time() + 1_000 * DAY)
        )
        self.stage.set_rule(self.rule)
        self.losses = []

    @rule(symbol=st.sampled_from(BASKET), share=st.sampled_from([0, 1, 1_000]))
    def grant_little(self, symbol: str, share: int) -> None:
        amount = self.stage.balance(symbol) * share // 1_000
        self.stage.approve(OWNER, symbol, self.stage.thresholds, amount)
        self.agree(f"an allowance of {share} thousandths of the {symbol}")
        self.stage.approve(OWNER, symbol, self.stage.thresholds)

    # The world

    @rule(symbol=st.sampled_from(["WETH", "WBTC"]), to=st.integers(60, 170))
    def move_market(self, symbol: str, to: int) -> None:
        self.stage.set_price(symbol, PRICES[symbol] * to // 100)
        self.agree(f"{symbol} at {to} % of its first price")

    @rule(symbol=st.sampled_from(["WETH", "WBTC"]), to=st.sampled_from([0, -1, 900, 1_050, 10**6]))
    def move_feed_alone(self, symbol: str, to: int) -> None:
        self.stage.set_feed(symbol, PRICES[symbol] * to // 1_000)
        self.agree(f"{symbol}'s feed alone")
        self.stage.set_feed(symbol, PRICES[symbol])

    @rule(
        pair=st.sampled_from([("WETH", "USDC"), ("WETH", "WBTC"), ("WBTC", "USDC")]),
        by=st.integers(-300, 300),
    )
    def push_one_pool(self, pair: tuple[str, str], by: int) -> None:
        fair = self.stage.price(pair[0]) * BASE // self.stage.price(pair[1])
        self.stage.push_pool(*pair, fair * (10_000 + by) // 10_000)

    @rule(seconds=st.sampled_from([1, 700, DAY // 2, 2 * DAY]))
    def wait(self, seconds: int) -> None:
        self.stage.pass_time(seconds)
        for symbol in BASKET:
            self.stage.set_feed(symbol, self.stage.price(symbol))

    @rule(symbol=st.sampled_from(["USDC", "WBTC"]), dollars=st.sampled_from([0, 1, 10_000]))
    def give(self, symbol: str, dollars: int) -> None:
        self.stage.mint(
            symbol, OWNER, 1 + dollars * BASE * 10 ** DECIMALS[symbol] // self.stage.price(symbol)
        )

    # Those who act

    @rule(settled=st.booleans(), twice=st.booleans())
    def keep(self, settled: bool, twice: bool) -> None:
        if settled:
            for one, other in combinations(BASKET, 2):
                self.stage.push_pool(one, other, self.stage.price(one) * BASE // self.stage.price(other))
        self.agree("the keeper's turn")
        if twice:
            self.agree("the keeper's turn again")

    def agree(self, when: str) -> None:
        """`check` says yes exactly when the act is accepted; what is accepted keeps every promise."""
        found = self.stage.check()
        self.mirrored(found)
        if found.verdict == BREACHED:
            # With a margin, as the interface says: what a trade gives is told by the liquidity in range.
            trades = tuple(replace(trade, min_out=trade.min_out * 9_950 // 10_000) for trade in found.trades)
            self.attempt(found, trades, KEEPER, must=when)
            return
        trades = found.trades or self.guesses()
        told = self.attempt(found, trades, KEEPER, must=None)
        if not found.why.startswith((*SIZED, "allowance: ", "token: ")):
            wanted = "basket: within its bands" if found.verdict == WITHIN else found.why
            assert told == wanted, (when, found)

    def mirrored(self, found: Finding) -> None:
        """The keeper's own verdict is the contract's, and so are its trades."""
        block = self.stage.node.head()
        (sight,) = self.keeper.observe(block)
        verdict = judge(sight, block.timestamp)
        assert (verdict.measure.value or 0) == found.measure
        if verdict.kind is not Kind.BREACHED:
            obstacle = found.why.startswith("allowance: ")
            assert (int(verdict.kind), verdict.why) == (found.verdict, found.why) or (
                verdict.kind is Kind.WITHIN and found.verdict == WITHIN and obstacle
            )
            return
        assert found.verdict in (BREACHED, BARRED)
        assert sight.rule is not None
        _, venues = self.keeper.consult(sight, sight.rule, block)
        if found.verdict == BREACHED:
            trades = reweigh(sight.rule, sight.lines, venues)
            assert trades is not None
            assert [astuple(trade) for trade in trades] == [trade.fields() for trade in found.trades]

    def guesses(self) -> tuple[Trade, ...]:
        tokens = self.stage.tokens
        sold = 1 + self.stage.balance("WETH") // 50
        return (Trade(tokens["WETH"], tokens["USDC"], 500, sold, 0),)

    @rule(
        who=st.sampled_from([KEEPER, STRANGER]),
        sizes=st.lists(st.floats(0, 1.5), min_size=1, max_size=3),
        pairs=st.lists(st.permutations(BASKET), min_size=1, max_size=3),
        honest=st.booleans(),
    )
    def thieve(self, who: Any, sizes: list[float], pairs: list[list[str]], honest: bool) -> None:
        found = self.stage.check()
        trades = [
            Trade(
                self.stage.tokens[pair[0]],
                self.stage.tokens[pair[1]],
                500,
                1 + int(size * self.stage.balance(pair[0]) / 10),
                0,
            )
            for size, pair in zip(sizes, pairs, strict=False)
        ]
        if honest:
            trades = [replace(t, amount_in=1 + int(t.amount_in * sizes[0]), min_out=0) for t in found.trades]
        if trades:
            self.attempt(found, trades, who, must=None)

    def attempt(self, found: Finding, trades: Any, who: Any, must: str | None) -> str:
        """The reason for a refusal, or empty; `must` says when it was that refusing would be wrong."""
        before = self.holdings()
        try:
            outcome = self.stage.rebalance(trades, sender=who)
        except NodeRefused as refusal:
            told = reason_in(refusal.data)
            assert must is None, (must, told, found, self.rule)
            assert self.holdings() == before
            return told
        self.promised(found, before, outcome, who)
        return ""

    def holdings(self) -> dict[str, int]:
        return {s: self.stage.balance(s) for s in BASKET}

    def promised(self, found: Finding, before: dict[str, int], outcome: Outcome, who: Any) -> None:
        """What an accepted action owes its owner, counted here anew."""
        assert found.measure > 10_000
        assert who == KEEPER or found.open
        prices = {s: self.stage.price(s) * 10**10 for s in BASKET}
        after = self.holdings()

        def worth(held: dict[str, int]) -> dict[str, int]:
            return {s: held[s] * prices[s] // 10 ** DECIMALS[s] for s in BASKET}

        was, now = worth(before), worth(after)
        had, has = sum(was.values()), sum(now.values())
        sold = sum(max(was[s] - now[s], 0) for s in BASKET)
        slippage = self.rule.limits.slippage_bps + (
            (self.rule.limits.slippage_urgent_bps - self.rule.limits.slippage_bps) * found.urgency // 10_000
        )
        assert (had - has) * 10_000 <= sold * slippage
        assert sold <= self.rule.max_step * WAD
        for asset, s in zip(self.rule.assets, BASKET, strict=True):
            drift_before = was[s] - had * asset.target_bps // 10_000
            drift_after = now[s] - has * asset.target_bps // 10_000
            if after[s] != before[s]:
                assert (after[s] < before[s]) == (drift_before > 0)
                share = asset.target_bps if self.rule.relative else 10_000
                room = has * asset.band_bps * share // 10**8
                if (drift_after > 0) != (drift_before > 0):
                    assert abs(drift_after) <= room * 500 // 10_000
        assert outcome.measure <= found.measure
        self.losses.append((self.stage.time(), outcome.lost))
        limits = self.rule.limits
        for first, (since, _) in enumerate(self.losses):
            for last in range(first, len(self.losses)):
                lost = sum(loss for _, loss in self.losses[first : last + 1])
                assert lost * limits.window <= limits.budget * (limits.window + self.losses[last][0] - since)

    # Always

    @invariant()
    def nothing_is_left_behind(self) -> None:
        assert all(self.stage.balance(s, self.stage.thresholds) == 0 for s in BASKET)

    @invariant()
    def nobody_elses_tokens_moved(self) -> None:
        if hasattr(self, "kept"):
            assert [self.stage.balance(s, LENDER) for s in BASKET] == self.kept


def played(stage: Stage, examples: int, steps: int) -> None:
    Stories.stage = stage
    run_state_machine_as_test(
        Stories,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a story on a chain is slow to shorten
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_baskets__any_story_of_twenty_five_steps__every_promise_holds(baskets: Stage) -> None:
    played(baskets, 8, 25)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
def test_baskets__many_long_stories__every_promise_holds(baskets: Stage) -> None:
    played(baskets, 600, 60)

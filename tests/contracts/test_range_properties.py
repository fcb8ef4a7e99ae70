"""Whatever owners, keepers, thieves, traders and time do in whatever order, the rule holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from keeper.devnet.transactions import call_many, calldata, decoded
from keeper.domain.errors import NodeRefused
from keeper.protocols.liquidity import held_down, worth_down
from keeper.protocols.ticks import mean_tick_down, sqrt_price_at
from tests.contracts.loan_stage import take_back
from tests.contracts.range_stage import (
    BREACHED,
    COMPOUND,
    DAY,
    EXIT,
    HOLD,
    NOTHING,
    OWNER,
    RECENTRE,
    STRANGER,
    WHOLE,
    Finding,
    Rule,
    Stage,
)

OFFSETS = st.one_of(st.integers(-3_000, 3_000), st.integers(-60, 60))
GIFT = 12_345
COLLECT = "collect((uint256,address,uint128,uint128))"


@dataclass(frozen=True)
class Holdings:
    """What the owner holds: in hand, as fees not yet collected, and as liquidity between two ticks."""

    purse: tuple[int, int]
    fees: tuple[int, int]
    positions: list[tuple[int, int, int]]

    def worth(self, price: int) -> int:
        return worth_down(*self.purse, price) + self.at_stake(price)

    def at_stake(self, price: int) -> int:
        return worth_down(*self.fees, price) + sum(
            worth_down(*held_down(liquidity, price, sqrt_price_at(lower), sqrt_price_at(upper)), price)
            for liquidity, lower, upper in self.positions
        )


@dataclass
class Ledger:
    """The owner's budget as a second opinion has it, in hundred-millionths."""

    spent: float = 0.0
    at: int = 0

    def charge(self, given: Rule, lost: float, now: int) -> None:
        budget = given.budget_bps * WHOLE / 10_000
        self.spent = max(0.0, self.spent - budget * (now - self.at) / given.refill) + lost
        self.at = now
        assert self.spent <= budget + 2


class Ranges(RuleBasedStateMachine):
    """One owner with one rule, in a world that means no good."""

    stage: Stage
    done: Counter[int]

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = self.stage.node.ask("evm_snapshot")
        self.ledger = Ledger()
        self.gone = True
        self.gifts = 0
        self.acted: list[int] = []

    def teardown(self) -> None:
        take_back(self.stage.node, self.snapshot)

    # The world

    @initialize(
        lower=st.integers(-150, -2),
        upper=st.integers(2, 150),
        below=st.integers(60, 2_000),
        above=st.integers(60, 2_000),
        buffer=st.integers(-40, 400),
        cutoffs=st.tuples(st.integers(-3_000, -1_000), st.integers(1_000, 3_000)),
        exits=st.tuples(st.integers(0, 2), st.integers(0, 2)),
        direction=st.sampled_from([0, 0, 1, 2]),
        beside=st.booleans(),
        deviation=st.sampled_from([15, 50, 200]),
        slippage_bps=st.sampled_from([3, 10, 100]),
        budget_bps=st.sampled_from([3, 10, 100]),
        cooldown=st.sampled_from([0, 600]),
        daily=st.sampled_from([1, 3, 200]),
        placed_bps=st.sampled_from([9_000, 9_990]),
        compound_at=st.sampled_from([0, 0, 1, 10**6]),
    )
    def open(
        self,
        lower: int,
        upper: int,
        buffer: int,
        cutoffs: tuple[int, int],
        exits: tuple[int, int],
        beside: bool,
        **fields: Any,
    ) -> None:
        stage = self.stage
        token_id = stage.open(10 * lower, 10 * upper)
        deviation = fields["deviation"]
        if beside:
            buffer = max(buffer, deviation + 10)
        else:
            buffer = max(buffer, deviation + 1 - min(fields["below"], fields["above"]))
        written = stage.rule(
            token_id,
            buffer=buffer,
            cutoff_low=cutoffs[0],
            cutoff_high=cutoffs[1],
            exit_low=exits[0],
            exit_high=exits[1],
            placement=int(beside),
            refill=DAY,
            **fields,
        )
        stage.set_rule(written)
        self.gone = False

    @rule(by=st.integers(-20, 20))
    def nudge(self, by: int) -> None:
        self.stage.push(self.stage.tick() + by)

    @rule(tick=OFFSETS)
    def settle(self, tick: int) -> None:
        self.stage.settle(tick)

    @precondition(lambda self: not self.gone)
    @rule(by=st.integers(-3, 300), high=st.booleans())
    def leave(self, by: int, high: bool) -> None:
        """The price goes beyond the trigger, and stays there."""
        given = self.stage.rule_of()
        lower, upper = self.stage.edges(given.token_id)
        self.stage.settle(upper + given.buffer + by if high else lower - given.buffer - 1 - by)

    @rule(seconds=st.sampled_from([12, HOLD, 3_600, DAY]))
    def wait(self, seconds: int) -> None:
        self.stage.pass_time(seconds)

    @rule(times=st.integers(1, 5))
    def trade(self, times: int) -> None:
        self.stage.trade(times)

    @rule()
    def give_to_the_contract(self) -> None:
        self.gifts += 1
        for symbol in self.stage.pair():
            self.stage.mint(symbol, STRANGER, GIFT)
            self.stage.send(
                STRANGER,
                self.stage.tokens[symbol],
                "transfer(address,uint256)",
                self.stage.thresholds,
                GIFT,
            )

    # Those who act

    @precondition(lambda self: not self.gone)
    @rule()
    def ask_and_act(self) -> None:
        found = self.stage.check()
        refused = self.stage.would_refuse(found)
        # It says yes exactly when it would be accepted, and gives the very reason otherwise.
        assert (found.verdict == BREACHED) == (refused == ""), (found, refused)
        if found.action != NOTHING and refused:
            assert refused in {found.why, "no reason given"}, (found, refused)
        if not refused:
            self.act(found)

    @precondition(lambda self: not self.gone)
    @rule(share=st.floats(0, 1.2), flips=st.booleans(), compounds=st.booleans(), push=st.integers(-250, 250))
    def steal(self, share: float, flips: bool, compounds: bool, push: int) -> None:
        """A stolen key: pushes the pool, proposes what it likes, and pushes it back."""
        home = self.stage.tick()
        self.stage.push(home + push)
        found = self.stage.check()
        found = replace(
            found,
            sells_token0=found.sells_token0 != flips,
            amount=int(found.amount * share),
            bought=0,
            action=COMPOUND if compounds else RECENTRE if found.action == COMPOUND else found.action,
        )
        if self.stage.would_refuse(found) == "":
            self.act(found)
        self.stage.push(home)

    def act(self, found: Finding) -> None:
        stage = self.stage
        given, measure, before = stage.rule_of(), stage.check().measure, self.holdings()
        try:
            stage.act(found)
        except NodeRefused:
            # A second later the mean is another, and what was allowed by a hair is not.
            return
        after = self.holdings()
        self.done[found.action] += 1
        # What the block's own swap did to the price weighs nothing in a mean that ends with the block.
        price = sqrt_price_at(self.mean())
        lost = max(0.0, (before.worth(price) - after.worth(price)) / before.at_stake(price) * WHOLE)
        if found.action == COMPOUND:
            assert replace(stage.rule_of(), token_id=given.token_id) == given
            assert after.positions[0][0] >= before.positions[0][0]
            fees = worth_down(*before.fees, price)
            assert before.worth(price) - after.worth(price) <= fees * given.slippage_bps / 10_000 + 2**80
            return
        if stage.rule_of().token_id == 0:
            self.gone = True
            assert after.positions == []
            assert lost <= 4 * given.slippage_bps * WHOLE / 10_000 + 2
            return
        assert lost <= given.slippage_bps * WHOLE / 10_000 + 2
        self.ledger.charge(given, lost, stage.time())
        self.acted.append(stage.time())
        assert measure > 0 >= stage.check().measure
        days = [at // DAY for at in self.acted]
        assert days.count(days[-1]) <= given.daily
        assert len(self.acted) < 2 or self.acted[-1] - self.acted[-2] >= given.cooldown

    def mean(self) -> int:
        """Of the hold that ends with the newest block."""
        sums, _ = self.stage.ask(self.stage.pool(), "observe(uint32[])", "(int56[],uint160[])", [HOLD, 0])
        return mean_tick_down(sums[0], sums[1], HOLD)

    def holdings(self) -> Holdings:
        """All that is the owner's."""
        stage, manager = self.stage, self.stage.uniswap.position_manager
        count = stage.ask(manager, "balanceOf(address)", "(uint256)", OWNER)
        ids = [
            stage.ask(manager, "tokenOfOwnerByIndex(address,uint256)", "(uint256)", OWNER, i)
            for i in range(count)
        ]
        positions = [stage.position(token_id) for token_id in ids]
        fees = (0, 0)
        if ids:
            collecting = calldata(COLLECT, (ids[0], OWNER, 2**128 - 1, 2**128 - 1))
            question = {"from": OWNER, "to": manager, "data": collecting}
            first, second = decoded("(uint256,uint256)", stage.node.ask("eth_call", question, "latest"))
            fees = (first, second)
        return Holdings(
            stage.purse(OWNER), fees, [(found.liquidity, found.lower, found.upper) for found in positions]
        )

    @invariant()
    def nothing_is_left_in_the_contract(self) -> None:
        stage, manager = self.stage, self.stage.uniswap.position_manager
        given, tokens = self.gifts * GIFT, [stage.tokens[symbol] for symbol in stage.pair()]
        held = ("balanceOf(address)", "(uint256)", (stage.thresholds,))
        allowed = ("allowance(address,address)", "(uint256)", (stage.thresholds, manager))
        asked = [(to, *held) for to in (*tokens, manager)] + [(token, *allowed) for token in tokens]
        assert call_many(stage.node, asked) == [(given,), (given,), (0,), (0,), (0,)]

    @invariant()
    def the_position_is_the_owners(self) -> None:
        if not self.gone:
            assert self.stage.holder(self.stage.rule_of().token_id) == OWNER


def let_loose(where: Stage, examples: int, steps: int) -> Counter[int]:
    """What was done to the rule, by action."""
    seen: Counter[int] = Counter()

    class Here(Ranges):
        stage = where
        done = seen

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return seen


def test_everybody__in_any_order__cannot_bend_the_rule(any_ranges: Stage) -> None:
    done = let_loose(any_ranges, 12, 25)
    assert sum(done.values()) > 0, "nobody ever acted, so nothing was tried"


@pytest.mark.nightly
@pytest.mark.timeout(14_400)
def test_everybody__all_night__cannot_bend_the_rule(any_ranges: Stage) -> None:
    done = let_loose(any_ranges, 600, 60)
    assert set(done) == {RECENTRE, EXIT, COMPOUND}

"""Whatever happens in whatever order, what a rule promises its owner holds after every step.

Markets, rules and the deeds of everybody are drawn; the chain is real. Few examples here, many at night.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.domain.errors import NodeRefused
from keeper.domain.units import Address
from tests.contracts.e_modes import enter, found_e_mode
from tests.contracts.loan_stage import (
    BASE,
    BREACHED,
    DELEVERAGE,
    KEEPER,
    OWNER,
    RELEVERAGE,
    STRANGER,
    WAD,
    Finding,
    Rule,
    Stage,
    Terms,
)

ETH = WAD
USD = 10**6
DAY = 86_400


@dataclass(frozen=True)
class Law:
    """A drawn rule in health or leverage, with a budget or without, with a hold or without.

    Its floor may follow volatility where it is a health, and its account begins in an e-mode or outside of one.
    """

    in_leverage: bool
    slippage_bps: int
    urgent_slippage_bps: int
    max_step: int
    borrow_step: int
    speed_bps: int
    cooldown: int
    hold: int
    budget: int
    daily: int
    named: bool
    highest_bps: int
    in_mode: bool

    @property
    def follows(self) -> bool:
        return self.highest_bps != 0 and not self.in_leverage

    def rule(self, stage: Stage) -> Rule:
        band = (23_000, 20_000, 17_000) if self.in_leverage else (14_000, 16_600, 20_000)
        return replace(
            *(stage.rule,),
            floor_bps=band[0],
            target_bps=band[1],
            ceiling_bps=band[2],
            slippage_bps=self.slippage_bps,
            cooldown=self.cooldown,
            max_step=self.max_step,
            keeper=KEEPER if self.named else stage.rule.keeper,
        )

    def terms(self, feed: Address) -> Terms:
        moving: dict[str, Any] = {
            "sigmas_bps": 20_000,
            "horizon": 7 * DAY,
            "feed": feed,
            "highest_bps": self.highest_bps,
        }
        return Terms(
            **(moving if self.follows else {}),
            in_leverage=self.in_leverage,
            borrow_step=self.borrow_step,
            speed_bps=self.speed_bps,
            hold=self.hold,
            urgent_slippage_bps=self.urgent_slippage_bps and self.slippage_bps + self.urgent_slippage_bps,
            daily=self.daily,
            budget=self.budget,
            window=DAY if self.budget else 0,
        )

    @property
    def most_bps(self) -> int:
        return self.slippage_bps + self.urgent_slippage_bps


laws = st.builds(
    Law,
    in_leverage=st.booleans(),
    slippage_bps=st.integers(15, 200),
    urgent_slippage_bps=st.sampled_from([0, 300]),
    max_step=st.sampled_from([10_000 * USD, 10**12]),
    borrow_step=st.sampled_from([0, 8_000 * USD, 10**12]),
    speed_bps=st.sampled_from([0, 3_000]),
    cooldown=st.sampled_from([0, 60]),
    hold=st.sampled_from([0, 0, 120]),
    budget=st.sampled_from([0, 200 * 10**8]),
    daily=st.sampled_from([0, 3]),
    named=st.booleans(),
    highest_bps=st.sampled_from([0, 15_500]),
    in_mode=st.booleans(),
)
# What happens: (who or what, how much).
deeds = st.lists(
    st.one_of(
        st.tuples(st.just("price"), st.floats(0.80, 1.30)),
        st.tuples(st.just("oracle"), st.floats(0.93, 1.07)),
        st.tuples(st.just("time"), st.sampled_from([12, 60, 300, 7_200, DAY])),
        st.tuples(st.just("keeper"), st.just(0.0)),
        st.tuples(st.just("keeper"), st.just(0.0)),
        st.tuples(st.just("stranger"), st.just(0.0)),
        st.tuples(st.just("greed"), st.floats(0.5, 1.6)),
        st.tuples(st.just("push"), st.floats(0.98, 1.02)),
        st.tuples(st.just("witness"), st.just(0.0)),
        st.tuples(st.just("poke"), st.floats(0.9, 1.1)),
        st.tuples(st.just("mode"), st.sampled_from([0, 1])),
    ),
    min_size=4,
    max_size=12,
)


class Watch:
    """The stage under one law, and what must be true of it."""

    def __init__(self, stage: Stage, law: Law) -> None:
        self.stage, self.law, self.lost = stage, law, 0
        found_e_mode(stage)
        stage.open(100 * ETH, 125_000 * USD)
        stage.delegate()
        if law.in_mode:
            enter(stage)
        self.feed = stage.create("Feed", "ETH / USD", 8, BASE)
        if law.follows:
            stage.live(self.feed, [BASE + n % 2 * BASE // 100 for n in range(8)])
        stage.set_rule(law.rule(stage), terms=law.terms(self.feed))
        self.began = stage.time()

    def happens(self, deed: str, much: float) -> None:
        stage = self.stage
        if deed == "price":
            stage.set_price(min(max(int(stage.price() * much), 1_400 * 10**8), 6_000 * 10**8))
        elif deed == "oracle":
            stage.set_feed("WETH", min(max(int(stage.price() * much), 1_400 * 10**8), 6_000 * 10**8))
        elif deed == "push":
            stage.push_pool(int(stage.price() * much))
        elif deed == "time":
            stage.pass_time(int(much))
        elif deed == "witness":
            self.attempt(lambda: stage.send(STRANGER, stage.thresholds, WITNESS, OWNER, 0))
        elif deed == "poke":
            self.attempt(lambda: stage.live(self.feed, [int(BASE * much)]))
        elif deed == "mode":
            self.attempt(lambda: enter(stage, int(much)))
        elif deed == "greed":
            found = stage.check()
            wrong = int((found.repay or 5_000 * USD) * much)
            loose = 2**255 if found.action == DELEVERAGE else 0
            self.acts(found, False, KEEPER, repay=wrong, max_sell=loose, fee=500)
        else:
            who = KEEPER if deed == "keeper" else STRANGER
            self.acts(stage.check(), who == KEEPER or not self.law.named, who)

    def attempt(self, deed: Any) -> bool:
        """Whether it was accepted; refused or not, it was not the owner's position that moved."""
        before = self.holding()
        try:
            deed()
        except NodeRefused:
            assert self.holding() == before
            return False
        return True

    def holding(self) -> tuple[int, ...]:
        """The owner's shares of collateral and debt, which interest does not change."""
        stage = self.stage
        return tuple(
            int(stage.ask(token, "scaledBalanceOf(address)", "(uint256)", OWNER))
            for token in (stage.a_token("WETH"), stage.debt_token("USDC"))
        )

    def measure(self, account: tuple[int, ...]) -> float:
        held, owed, *_, health = account
        return held / owed if self.law.in_leverage else health / WAD

    def band(self) -> tuple[float, float, float]:
        """The measures between which nothing is to be done, and the target."""
        if self.law.in_leverage:
            return 1.769230, 2.0, 2.428571
        floor, target, ceiling, _ = self.stage.band()
        assert 14_000 <= floor <= max(14_000, self.law.highest_bps)
        return floor / 10_000, target / 10_000, ceiling / 10_000

    def acts(self, found: Finding, may: bool, who: str, **changes: Any) -> None:
        stage, law = self.stage, self.law
        before, (low, target, high) = stage.account(), self.band()
        done = self.attempt(lambda: stage.act(found, sender=who, **changes))
        if not changes and may:
            assert done == (found.verdict == BREACHED), found
        if not done:
            return
        after = stage.account()
        start, end = self.measure(before), self.measure(after)
        if found.action == DELEVERAGE:
            assert start < low
            assert start < end <= target * 1.00501
            moved = before[0] - after[0]
        else:
            assert found.action == RELEVERAGE
            assert law.borrow_step
            assert start > high
            assert target * 0.9999999 <= end < start
            moved = after[1] - before[1]
        loss = (before[0] - before[1]) - (after[0] - after[1])
        assert loss <= moved * law.most_bps / 10_000 * 1.00001 + 1_000
        self.lost += max(loss, 0)

    def holds(self) -> None:
        """What is true at all times."""
        stage, law = self.stage, self.law
        if law.budget:
            since = stage.time() - self.began
            assert self.lost <= law.budget * (1 + since / DAY) * 1.00001 + 10_000
        for symbol in ("WETH", "USDC"):
            token = stage.tokens[symbol]
            assert stage.balance(token, stage.thresholds) == 0
            granted = stage.ask(
                token, "allowance(address,address)", "(uint256)", stage.thresholds, stage.aave.pool
            )
            assert granted == 0
        assert stage.balance(stage.a_token("WETH"), stage.thresholds) <= 4
        assert stage.balance(stage.a_token("USDC"), stage.thresholds) == 0


WITNESS = "witness(address,uint256)"


def played(stage: Stage, law: Law, story: list[tuple[str, float]]) -> None:
    with stage.undone():
        watch = Watch(stage, law)
        for deed, much in story:
            watch.happens(deed, much)
        watch.holds()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(laws, deeds)
def test_a_rule__whatever_happens_in_whatever_order__keeps_its_promises(
    stage: Stage, law: Law, story: list[tuple[str, float]]
) -> None:
    played(stage, law, story)


@pytest.mark.nightly
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(laws, deeds)
def test_a_rule__over_many_nights__keeps_its_promises(
    any_stage: Stage, law: Law, story: list[tuple[str, float]]
) -> None:
    played(any_stage, law, story)

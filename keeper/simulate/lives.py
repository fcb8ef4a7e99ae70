"""Every watched rule as every block of a fork shows it, gathered into the life it is told as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keeper.chain.node import Question
from keeper.demo.play import ETHER, Moment, Sent, Span
from keeper.devnet.actors import Liquidator
from keeper.devnet.world import World
from keeper.domain.flights import Flight, Receipt
from keeper.domain.rules import RuleKey
from keeper.domain.texts import count_text
from keeper.domain.units import BASE, Address
from keeper.domain.verdicts import Kind, Measure
from keeper.journal.journal import Reader
from keeper.positions.port import Positions
from keeper.protocols.aave_v3 import GET_ASSET_PRICE, GET_USER_ACCOUNT_DATA
from keeper.report.lives import Life, LifeAct, LifeHour, Price
from keeper.report.record import Cost
from keeper.score.shortfall import score

LOAN: Final = "loan"


def plain(measure: Measure | None) -> float | None:
    """A measure in its own unit; None where there is none, or no bound."""
    if measure is None or measure.value is None or measure.value == measure.endless:
        return None
    return float(measure.value / 10**measure.decimals)


@dataclass(slots=True)
class _Course:
    """What one rule has gone through so far, and within the hour under way."""

    blocks: int = 0
    outside: int = 0
    lowest: Measure | None = None
    highest: Measure | None = None
    end: Measure | None = None
    liquidations: list[tuple[int, float]] = field(default_factory=list)
    hours: list[LifeHour] = field(default_factory=list)
    within_hour: list[float] = field(default_factory=list)

    def see(self, kind: Kind, measure: Measure) -> None:
        """One block more."""
        self.blocks += 1
        self.outside += kind is not Kind.WITHIN
        self.end = measure
        if measure.value is not None:
            if self.lowest is None or measure.value < (self.lowest.value or 0):
                self.lowest = measure
            if self.highest is None or measure.value > (self.highest.value or 0):
                self.highest = measure
        if (value := plain(measure)) is not None:
            self.within_hour.append(value)

    def close(self, time: int, equity: float | None) -> None:
        """The hour that began at `time` is over."""
        seen, self.within_hour = self.within_hour, []
        low, high = min(seen, default=None), max(seen, default=None)
        self.hours.append(LifeHour(time, low, high, plain(self.end), equity))


@dataclass(frozen=True, slots=True)
class _Done:
    """A transaction of the keeper's in its block, and every measure before it and after."""

    moment: Moment
    before: Mapping[RuleKey, float | None]
    after: Mapping[RuleKey, float | None]


@dataclass(slots=True)
class Watched:
    """Every watched rule: to the play it is a `Pair`, though its twin lives on another fork."""

    world: World
    liquidator: Liquidator
    kinds: dict[str, str]
    borrowers: tuple[Address, ...]
    positions: Sequence[Positions]
    prices: list[Price] = field(default_factory=list)
    _usdc: float = 1.0
    _courses: dict[RuleKey, _Course] = field(default_factory=dict)
    _equities: dict[Address, tuple[float, float]] = field(default_factory=dict)
    """What each borrower had at first and has now, in US dollars."""
    _done: dict[str, _Done] = field(default_factory=dict)

    def questions(self) -> list[Question]:
        """The price of USDC, and the borrowers' accounts."""
        aave = self.world.aave
        price = GET_ASSET_PRICE.call(self.world.usdc.token)
        calls = [(aave.pool, GET_USER_ACCOUNT_DATA.call(who)) for who in self.borrowers]
        return [
            ("eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"])
            for to, data in ((aave.oracle, price), *calls)
        ]

    def see(self, told: Sequence[Any], sent: Sequence[Sent], moment: Moment) -> None:
        """Judge every rule at the block, and keep what became of the accounts and of what the keeper sent."""
        self.weigh(told)
        before = self._measures() if sent else {}
        block = self.world.node.block(moment.block)
        for positions in self.positions:
            for verdict in positions.observe(block).verdicts:
                self._courses.setdefault(verdict.key, _Course()).see(verdict.kind, verdict.measure)
        if sent:
            after = self._measures()
            self._done |= {each.tx: _Done(moment, before, after) for each in sent}
        for seized in self.liquidator.outcome():
            for key, course in self._courses.items():
                if key.owner == seized.user and self._is_loan(key):
                    course.liquidations.append((moment.time, moment.usd))

    def weigh(self, told: Sequence[Any]) -> None:
        """Keep what USDC and the accounts are worth."""
        price, *accounts = told
        (usdc,) = GET_ASSET_PRICE.read(bytes.fromhex(price[2:]))
        self._usdc = usdc / BASE
        for who, account in zip(self.borrowers, accounts, strict=True):
            collateral, debt, *_ = GET_USER_ACCOUNT_DATA.read(bytes.fromhex(account[2:]))
            now = (collateral - debt) / BASE
            self._equities[who] = (self._equities.get(who, (now, now))[0], now)

    def close(self, span: Span) -> None:
        """Keep the hour."""
        self.prices.append(Price(span.time, span.open, span.low, span.high, span.close, self._usdc))
        for key, course in self._courses.items():
            course.close(span.time, self._equity(key)[1])

    @property
    def line(self) -> str:
        """How many rules are held."""
        return count_text(len(self._courses), "rule")

    def outcome(self, journal: Reader | None = None) -> dict[RuleKey, Life]:
        """Every rule's life, with what a journal says was done for it."""
        acts: dict[RuleKey, list[LifeAct]] = {key: [] for key in self._courses}
        failed: dict[RuleKey, list[tuple[int, float]]] = {key: [] for key in self._courses}
        for flight in journal.actions() if journal else ():
            key, receipt = flight.intent.plan.key, flight.receipt
            if key not in acts or receipt is None or receipt.hash not in self._done:
                continue
            if (act := self._act(flight, receipt)) is not None:
                acts[key].append(act)
            else:
                usd = self._done[receipt.hash].moment.usd
                failed[key].append((receipt.gas_cost, receipt.gas_cost / ETHER * usd))
        return {key: self._life(key, course, acts[key], failed[key]) for key, course in self._courses.items()}

    def _life(
        self, key: RuleKey, course: _Course, acts: list[LifeAct], failed: list[tuple[int, float]]
    ) -> Life:
        first, last = self._equity(key)
        lowest, highest, end = (
            None if each is None else each.text for each in (course.lowest, course.highest, course.end)
        )
        return Life(
            blocks=course.blocks,
            outside=course.outside,
            lowest=lowest,
            highest=highest,
            end=end,
            liquidations=tuple(course.liquidations),
            acts=tuple(acts),
            failed=len(failed),
            gas_eth=sum(act.gas for act in acts) + sum(wei for wei, _ in failed) / ETHER,
            gas=sum(act.gas * act.price for act in acts) + sum(usd for _, usd in failed),
            equity_start=first,
            equity_end=last,
            hours=tuple(course.hours),
        )

    def _act(self, flight: Flight, receipt: Receipt) -> LifeAct | None:
        """What was carried out, with its cost taken apart; None for what came to nothing."""
        done, intent = self._done[receipt.hash], flight.intent
        moment, key = done.moment, intent.plan.key
        scored = score(flight, self.world.node.block(intent.decided_block), "WETH", moment.usd)
        if scored is None or not scored.done:
            return None
        parts = scored.realised
        return LifeAct(
            block=moment.block,
            time=moment.time,
            price=moment.usd,
            action=intent.plan.action,
            moves=", ".join(move.text for move in intent.rehearsal.moves),
            before=done.before.get(key),
            after=done.after.get(key),
            gas=receipt.gas_cost / ETHER,
            cost=None
            if parts is None
            else Cost(parts.fee, parts.impact + parts.delay + parts.slippage, parts.gas),
            delayed=scored.blocks,
            why=intent.why,
            tx=receipt.hash,
        )

    def _measures(self) -> dict[RuleKey, float | None]:
        return {key: plain(course.end) for key, course in self._courses.items()}

    def _equity(self, key: RuleKey) -> tuple[float | None, float | None]:
        if not self._is_loan(key):
            return None, None
        return self._equities.get(key.owner, (None, None))

    def _is_loan(self, key: RuleKey) -> bool:
        return self.kinds[key.thresholds] == LOAN

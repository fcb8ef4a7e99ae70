"""Two loans alike to the last unit, one of them with a rule: how they begin, and what is counted of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from eth_abi.abi import decode
from eth_utils.crypto import keccak

from keeper.chain.node import Question
from keeper.demo.play import DOLLAR, ETHER, Moment, Sent, Span
from keeper.devnet.actors import Liquidation, Liquidator
from keeper.devnet.world import World
from keeper.domain.loans import Band, Limits, Loan, LoanRule
from keeper.domain.units import BASE, BPS, NO_DEBT, NOBODY, WAD
from keeper.journal.journal import Reader
from keeper.protocols.aave_v3 import GET_USER_ACCOUNT_DATA
from keeper.protocols.loan_thresholds import SET_RULE, rule_fields
from keeper.report.record import Act, Cost, Hour, Seizure, Side, Terms
from keeper.report.texts import health_text

COLLATERAL_ETH: Final = 100
HEALTH_START: Final = "1.6"
# What a careful borrower might write. From a floor of 1.40 the price may fall by another 28 % before Aave liquidates,
# more than the worst hour of these two days did; acting lands on 1.60, so that each act buys 12 % of room and gas is
# not spent on every dip. A per cent of slippage is ample for so small a sale, and one act repays at most half the debt.
BAND: Final = Band(floor_bps=14_000, target_bps=16_000, ceiling_bps=25_000)
SLIPPAGE_BPS: Final = 100
COOLDOWN_SECONDS: Final = 300
_REBALANCED: Final = (
    "0x" + keccak(text="Rebalanced(address,uint256,address,uint8,uint256,uint256,uint256,uint256)").hex()
)


def open_loans(world: World, expiry: int) -> Terms:
    """The two, on the chain; the owner's has a rule and the contract's leave to sell its collateral."""
    owner, twin = world.roles.owner, world.roles.twin
    world.open_loan(owner, COLLATERAL_ETH, health=HEALTH_START)
    debt = world.balance("USDC", owner)
    world.open_loan(twin, COLLATERAL_ETH, Decimal(debt) / DOLLAR)
    limits = Limits(SLIPPAGE_BPS, COOLDOWN_SECONDS, debt // 2, expiry, keeper=NOBODY)
    rule = LoanRule(world.weth.token, world.usdc.token, BAND, limits)
    world.send(owner, world.thresholds, SET_RULE.signature, 0, rule_fields(rule))
    world.approve(owner, world.weth.a_token, world.thresholds)
    return Terms(
        collateral_eth=COLLATERAL_ETH,
        debt_usdc=debt / DOLLAR,
        health_start=float(HEALTH_START),
        floor=BAND.floor_bps / BPS,
        target=BAND.target_bps / BPS,
        slippage_bps=SLIPPAGE_BPS,
        cooldown=COOLDOWN_SECONDS,
        max_step=limits.max_step / DOLLAR,
    )


@dataclass(frozen=True, slots=True)
class _Deed:
    """A `Rebalanced` event and its receipt: amounts in smallest units, healths in WAD, gas in wei."""

    moment: Moment
    repaid: int
    sold: int
    before: int
    after: int
    gas_cost: int
    tx: str

    @property
    def lost(self) -> float:
        """Value the swap lost by the oracle, in US dollars."""
        return self.sold / ETHER * self.moment.usd - self.repaid / DOLLAR


@dataclass(slots=True)
class LoanPair:
    """Both loans as every block shows them, what the keeper did for one and the liquidator to either."""

    world: World
    liquidator: Liquidator
    hours: list[Hour] = field(default_factory=list)
    seizures: list[Seizure] = field(default_factory=list)
    _deeds: list[_Deed] = field(default_factory=list)
    _lowest: list[int] = field(default_factory=lambda: [NO_DEBT, NO_DEBT])
    _hour_lowest: list[int] = field(default_factory=lambda: [NO_DEBT, NO_DEBT])
    _first: tuple[Loan, Loan] | None = None
    _last: tuple[Loan, Loan] | None = None

    def questions(self) -> list[Question]:
        """Both accounts."""
        roles = self.world.roles
        return [
            (
                "eth_call",
                [
                    {"to": self.world.aave.pool, "data": "0x" + GET_USER_ACCOUNT_DATA.call(who).hex()},
                    "latest",
                ],
            )
            for who in (roles.owner, roles.twin)
        ]

    def see(self, told: Sequence[Any], sent: Sequence[Sent], moment: Moment) -> None:
        """What is not a sale's loss, in a block in which no price moved, is a liquidation's penalty."""
        guarded, twin = (_loan(account) for account in told)
        before, self._last = self._last, (guarded, twin)
        if before is None:
            self._first = before = self._last
        for lowest in (self._lowest, self._hour_lowest):
            lowest[:] = map(min, lowest, (guarded.health, twin.health))
        fell = [_equity(was) - _equity(now) for was, now in zip(before, self._last, strict=True)]
        fell[0] -= sum(deed.lost for deed in self._harvest(sent, moment))
        for seized in self.liquidator.outcome():
            at = 0 if seized.user == self.world.roles.owner else 1
            self.seizures.append(_seizure(seized, at == 0, moment, fell[at]))
            fell[at] = 0.0

    def close(self, span: Span) -> None:
        """Keep the hour."""
        if self._last is None:
            return
        guarded, twin = self._last
        hour = Hour(
            time=span.time,
            price_open=span.open,
            price=span.close,
            price_low=span.low,
            price_high=span.high,
            guarded_health=_health(guarded.health),
            guarded_low=_health(self._hour_lowest[0]),
            guarded_equity=_equity(guarded),
            twin_health=_health(twin.health),
            twin_low=_health(self._hour_lowest[1]),
            twin_equity=_equity(twin),
        )
        self.hours.append(hour)
        self._hour_lowest = [NO_DEBT, NO_DEBT]

    @property
    def line(self) -> str:
        """Both healths."""
        assert self._last is not None
        guarded, twin = (health_text(_health(loan.health)) for loan in self._last)
        return f"health: guarded {guarded}, twin {twin}"

    def sides(self) -> tuple[Side, Side]:
        """The guarded loan and its twin over the whole play."""
        assert self._first is not None
        assert self._last is not None
        guarded, twin = (
            Side(
                liquidations=sum(seized.guarded == is_guarded for seized in self.seizures),
                min_health=_health(lowest),
                equity_start=_equity(first),
                equity_end=_equity(last),
                penalty=sum(seized.penalty for seized in self.seizures if seized.guarded == is_guarded),
            )
            for is_guarded, lowest, first, last in zip(
                (True, False), self._lowest, self._first, self._last, strict=True
            )
        )
        return guarded, twin

    def acts(self, journal: Reader) -> tuple[Act, ...]:
        """What the keeper did, with the journal's reasons."""
        flights = journal.actions(self.world.roles.owner)
        intents = {sent.hash: flight.intent for flight in flights for sent in flight.attempts}
        acts = []
        for deed in self._deeds:
            intent, usd = intents[deed.tx], deed.moment.usd
            fee = deed.sold / ETHER * usd * intent.plan.move("sell").fee / 10**6
            acts.append(
                Act(
                    block=deed.moment.block,
                    time=deed.moment.time,
                    price=usd,
                    repaid=deed.repaid / DOLLAR,
                    sold=deed.sold / ETHER,
                    health_before=deed.before / WAD,
                    health_after=deed.after / WAD,
                    cost=Cost(fee=fee, slippage=deed.lost - fee, gas=deed.gas_cost / ETHER * usd),
                    why=intent.why,
                    tx=deed.tx,
                )
            )
        return tuple(acts)

    def _harvest(self, sent: Sequence[Sent], moment: Moment) -> list[_Deed]:
        """What the keeper did for the loan in this block."""
        deeds = []
        for each in sent:
            for event in each.events(_REBALANCED):
                _, repaid, sold, was, now = decode(("uint256",) * 5, bytes.fromhex(event["data"][2:]))
                deeds.append(_Deed(moment, repaid, sold, was, now, each.gas_cost, each.tx))
        self._deeds += deeds
        return deeds


def _loan(account: str) -> Loan:
    collateral, debt, _, threshold, _, health = GET_USER_ACCOUNT_DATA.read(bytes.fromhex(account[2:]))
    return Loan(collateral, debt, threshold, health)


def _equity(loan: Loan) -> float:
    return (loan.collateral_base - loan.debt_base) / BASE


def _health(health: int) -> float | None:
    return None if health == NO_DEBT else health / WAD


def _seizure(seized: Liquidation, guarded: bool, moment: Moment, penalty: float) -> Seizure:
    return Seizure(
        guarded=guarded,
        block=seized.block,
        time=moment.time,
        price=moment.usd,
        repaid=seized.repaid / DOLLAR,
        seized=seized.seized / ETHER,
        penalty=penalty,
        tx=seized.transaction,
    )

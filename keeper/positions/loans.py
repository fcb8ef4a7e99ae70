"""Loans on Aave V3, held to the health their owners wrote in a LoanThresholds contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.assets import Assets
from keeper.chain.loans import Loans
from keeper.chain.mirror import Mirror, Mirrored
from keeper.chain.node import Node
from keeper.chain.quotes import quotes
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Unsafe
from keeper.domain.flights import Receipt
from keeper.domain.foresight import Foresight, Horizon
from keeper.domain.loan_band import measure_down, standing, urgency_down
from keeper.domain.loans import PLAIN, Loan, LoanMarket, LoanRule, Sight, Snapshot, Terms, health_measure
from keeper.domain.plans import WITNESS, Move, Plan, Stake
from keeper.domain.quotes import Quote
from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, HEALTH_WAD_PER_BPS, NOBODY, Address, decimal_text, mul_div_down
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.judge.freshness import blind_when_stale
from keeper.judge.loan_health import judge
from keeper.positions.loan_ahead import foresights, near
from keeper.positions.loan_screened import Screened, Verdicts, within_reach
from keeper.positions.loan_ways import DOWN, UP, Way, way_of
from keeper.positions.port import (
    UNHURRIED,
    Doubts,
    Draft,
    Look,
    Marks,
    Seen,
    beyond,
    gas_price_down,
    share_lost_up,
)
from keeper.positions.valuing import loan_valued
from keeper.protocols.loan_thresholds import (
    REBALANCE,
    UNWITNESSED,
    Action,
    Finding,
    rebalance_call,
    witness_call,
)
from keeper.size.stake import loan_stake
from keeper.size.steps import Step

# `check` can quote only the liquidity in range, so what it says of pools is for the pools themselves to confirm.
_QUOTED: Final = "pool: "
MIRRORED_FROM: Final = 256
"""From so many owners on, a mirror of them costs a turn less than reading them does."""


class LoanPositions:
    """The loans of `owners` under the contract at `thresholds`; `Misconfigured` when there is no such contract."""

    def __init__(
        self,
        node: Node,
        thresholds: Address,
        owners: Sequence[Address],
        doubts: Doubts,
        mirrored_from: int = MIRRORED_FROM,
    ) -> None:
        self._node: Final = node
        self.loans: Final = Loans(node, thresholds, owners)
        self.assets: Final = Assets(node)
        self.doubts: Final = doubts
        self._mirror: Final = Mirror(node, self.loans) if len(owners) >= mirrored_from else None
        self._near: tuple[RuleKey, ...] = ()
        self._mirrored: Mirrored | None = None

    def observe(self, block: Block) -> Seen:
        """Every rule's verdict, by health and by the age of the prices behind it.

        Of many owners only those near an edge are read; of the others the mirror knows that they are not.
        """
        if self._mirror is not None:
            return self._screened(self._mirror, block)
        seen = self._judged(self.loans.observe(block))
        return replace(seen, verdicts=(*seen.verdicts, *_unheld(self.loans.keys.unattended)))

    def _judged(self, snapshot: Snapshot) -> Seen:
        verdicts = [self._verdict(sight, snapshot) for sight in snapshot.sights]
        breaches = [
            LoanBreach(verdict, sight.rule, sight.loan, snapshot.block, self)
            for verdict, sight in zip(verdicts, snapshot.sights, strict=True)
            if verdict.kind is Kind.BREACHED and sight.rule and sight.loan
        ]
        return Seen(tuple(verdicts), tuple(breaches))

    def _screened(self, mirror: Mirror, block: Block) -> Seen:
        """The same, by a screen of all that are mirrored and the chain's word on those that it leaves in doubt."""
        self._mirrored = mirrored = mirror.observe(block, self._near)
        screened = Screened(mirrored)
        read = {sight.key: sight for sight in mirrored.sights}
        unread = [key for key in screened.doubtful if key not in read]
        read |= {sight.key: sight for sight in self.loans.sights(unread, block)} if unread else {}
        self._near = screened.doubtful
        snapshot = Snapshot(block, tuple(read.values()), mirrored.price_ages)
        looked_at = self._judged(snapshot)
        exactly = {verdict.key: verdict for verdict in looked_at.verdicts}
        limit, unheld = self.doubts.max_price_age, _unheld(mirrored.unattended)
        verdicts = Verdicts(lambda: (*screened.verdicts(exactly, limit), *unheld))
        return Seen(verdicts, looked_at.breaches, mirrored.said)

    def look(self, block: Block) -> tuple[Look, ...]:
        """The same with the contract's own word, which knows obstacles the screen does not ask for."""
        snapshot = self.loans.observe(block)
        findings = self.loans.findings([sight.key for sight in snapshot.sights], block)
        findings = self.loans.foretold(snapshot.sights, findings, block)
        return tuple(
            self._look(sight, self._verdict(sight, snapshot), finding, block)
            for sight, finding in zip(snapshot.sights, findings, strict=True)
        )

    def lost_bps_up(self, key: RuleKey, receipt: Receipt, before: Block, at: Block) -> int | None:
        """Of the account's collateral less its debt, as Aave values both."""
        del receipt
        loans = [self.loans.accounts.sights([key], block)[0].loan for block in (before, at)]
        was, is_now = (None if loan is None else loan.collateral_base - loan.debt_base for loan in loans)
        return None if was is None or is_now is None else share_lost_up(was, is_now)

    def quotes(self, keys: Sequence[RuleKey], block: Block, seconds: int) -> tuple[Quote, ...]:
        """Aave's prices beside the pools'."""
        rules = [sight.rule for sight in self.loans.accounts.sights(keys, block) if sight.rule]
        return quotes(self._node, self.loans.beliefs(rules, block), block, seconds)

    def foresee(self, block: Block, horizon: Horizon) -> tuple[Foresight, ...]:
        """By the contract's own word and the pools' on what would be done, were the edge where the loan is now."""
        snapshot = self._within_reach(block, horizon)
        return foresights(self._node, self.loans, near(snapshot, horizon), snapshot, self.doubts)

    def _within_reach(self, block: Block, horizon: Horizon) -> Snapshot:
        """Every loan; of those mirrored at this block only what may be within reach."""
        mirrored = self._mirrored
        if mirrored is None or mirrored.block.hash != block.hash:
            return self.loans.observe(block)
        sights = self.loans.sights(within_reach(mirrored, horizon), block)
        return Snapshot(block, tuple(sights), mirrored.price_ages)

    def _verdict(self, sight: Sight, snapshot: Snapshot) -> Verdict:
        verdict = judge(sight, snapshot.block.timestamp)
        return blind_when_stale(verdict, sight, snapshot.price_ages, self.doubts.max_price_age)

    def _look(self, sight: Sight, verdict: Verdict, finding: Finding, block: Block) -> Look:
        if verdict.kind in (Kind.WITHIN, Kind.BREACHED):
            verdict = replace(verdict, kind=finding.kind, why=finding.why)
        rule = sight.rule
        if rule is None:
            return Look(verdict, "", {}, ())
        moves: tuple[Move, ...] = ()
        if finding.amount:
            sold, owed = self.assets.of((rule.collateral, rule.debt), block)
            way = UP if finding.action is Action.RELEVERAGE else DOWN
            moves = way.moves(sold, owed, finding.swapped, finding.amount, finding.fee)
        now = standing(rule)
        band = f"{_health_text(now.floor_bps)} → {_health_text(now.target_bps)}"
        if now.ceiling_bps:
            band += f" ← {_health_text(now.ceiling_bps)}"
        return Look(verdict, band, _fields(rule), moves, _marks(rule), self._told(rule, block))

    def _told(self, rule: LoanRule, block: Block) -> Mapping[str, str]:
        """Tokens by their names and amounts in whole ones; nothing where a token does not say."""
        try:
            sold, owed = self.assets.of((rule.collateral, rule.debt), block)
        except Blind:
            return {}
        steps = {"max_step": rule.limits.max_step, "borrow_step": rule.terms.borrow_step}
        return {
            "collateral": f"{sold.symbol} {sold.address}",
            "debt": f"{owed.symbol} {owed.address}",
            **{name: f"{decimal_text(step, owed.decimals)} {owed.symbol}" for name, step in steps.items()},
        }


@dataclass(frozen=True, slots=True)
class LoanBreach:
    """A loan outside its band at `block`."""

    verdict: Verdict
    rule: LoanRule
    loan: Loan
    block: Block
    held: LoanPositions

    @property
    def keeper(self) -> Address:
        """Who the rule lets act: anyone, once the loan is as near to liquidation as its owner wrote."""
        public = self.rule.terms.public_bps
        if public and self._urgency >= public:
            return NOBODY
        return self.rule.limits.keeper

    @property
    def nearness(self) -> int:
        """Its health: liquidation is where it is lowest. A loan that may borrow more is in no hurry."""
        return self.loan.health if way_of(self.rule, self.loan) is DOWN else UNHURRIED

    def draft(self, deadline: int) -> Draft:
        """A deleverage or releverage that lands on the target, as far as the rule's step and the pools allow.

        The closed form knows only the liquidity in range; whether the pool asks the same, the rehearsal will tell.
        """
        loans, key = self.held.loans, self.verdict.key
        finding, market = loans.consult(key, self.rule, self.block)
        if finding.kind is Kind.BLIND:
            raise Blind(finding.why)
        if finding.why == UNWITNESSED:
            return self._witnessing(market)
        if finding.kind is not Kind.BREACHED and not finding.why.startswith(_QUOTED):
            raise Unsafe(finding.why)
        if market is None:
            raise Blind("chain: the loan's market cannot be read")

        way = way_of(self.rule, self.loan)

        def by_the_pools() -> Draft:
            step = way.sized(loans, self.rule, self.loan, market, self.block)
            return self._drafted(way, step, market, deadline)

        step = way.closed(self.rule, self.loan, market)
        if step is None:
            return by_the_pools()
        return self._drafted(way, step, market, deadline, otherwise=by_the_pools)

    def _drafted(
        self,
        way: Way,
        step: Step,
        market: LoanMarket,
        deadline: int,
        otherwise: Callable[[], Draft] | None = None,
    ) -> Draft:
        key, assets = self.verdict.key, (self.rule.collateral, self.rule.debt)
        sold, owed = self.held.assets.of(assets, self.block)
        moves = way.moves(sold, owed, step.swapped, step.amount, step.fee)
        plan = Plan(
            key=key,
            action=way.action.name.lower(),
            moves=moves,
            after=health_measure(way.after(step, self.loan, market)),
            valued=loan_valued(self.loan, market, sold, owed, moves[-1]),
        )
        limit = way.limit(step.swapped, self.held.doubts.drift_bps)

        def outcome(returned: bytes) -> tuple[tuple[Move, ...], Measure]:
            swapped, health = REBALANCE.read(returned)
            if otherwise and abs(swapped - step.swapped) * BPS > step.swapped:
                raise Unsafe(f"pool: it swaps {swapped} where {step.swapped} was reckoned with")
            return way.moves(sold, owed, swapped, step.amount, step.fee), health_measure(health)

        call = rebalance_call(key, step.amount, limit, step.fee, deadline, way.action)
        price = gas_price_down(self.rule.terms.gas_cap, self._urgency)
        return Draft(plan, call, outcome, otherwise, self._stake(step, market), price)

    @property
    def _urgency(self) -> int:
        measure = measure_down(self.loan, self.rule.terms.in_leverage)
        return urgency_down(measure, self.rule, self.loan)

    def _stake(self, step: Step, market: LoanMarket) -> Stake:
        """Above the ceiling nothing is at risk."""
        moved = mul_div_down(step.amount, market.debt_price, market.debt_unit)
        return loan_stake(self.loan, market.bonus_bps, self._urgency, moved)

    def _witnessing(self, market: LoanMarket | None) -> Draft:
        """Put the breach on record, so that the rule's hold begins."""
        now = health_measure(self.loan.health)
        valued = None
        if market is not None:
            sold, owed = self.held.assets.of((self.rule.collateral, self.rule.debt), self.block)
            valued = loan_valued(self.loan, market, sold, owed, None)

        def outcome(returned: bytes) -> tuple[tuple[Move, ...], Measure]:
            del returned
            return (), now

        plan = Plan(self.verdict.key, WITNESS, (), now, valued)
        return Draft(plan, witness_call(self.verdict.key), outcome)


def _unheld(keys: Iterable[RuleKey]) -> list[Verdict]:
    return [beyond(key, health_measure(None)) for key in keys]


def _marks(rule: LoanRule) -> Marks | None:
    """The band on the scale of health; a band in leverage is on none."""
    if rule.terms.in_leverage:
        return None
    band = standing(rule)
    low, target, high = (
        bps * HEALTH_WAD_PER_BPS for bps in (band.floor_bps, band.target_bps, band.ceiling_bps)
    )
    return Marks(low, target, high or None)


def _fields(rule: LoanRule) -> Mapping[str, str | int]:
    band, limits, terms = rule.band, rule.limits, rule.terms
    return {
        "collateral": rule.collateral,
        "debt": rule.debt,
        "floor": _health_text(band.floor_bps),
        "target": _health_text(band.target_bps),
        "ceiling": _health_text(band.ceiling_bps),
        "slippage_bps": limits.slippage_bps,
        "cooldown": limits.cooldown,
        "max_step": str(limits.max_step),
        "expiry": limits.expiry,
        "keeper": limits.keeper,
        **({} if terms == PLAIN else {"unit": "leverage" if terms.in_leverage else "health"}),
        **({"borrow_step": str(terms.borrow_step)} if terms.borrow_step else {}),
        **({"speed_bps": terms.speed_bps} if terms.speed_bps else {}),
        **(_following(terms) if terms.highest_bps else {}),
    }


def _following(terms: Terms) -> Mapping[str, str | int]:
    return {
        "highest": _health_text(terms.highest_bps),
        "sigmas": _health_text(terms.sigmas_bps),
        "horizon": terms.horizon,
        "feed": terms.feed,
    }


def _health_text(bps: int) -> str:
    return f"{bps // BPS}.{bps % BPS:04d}"

"""Loans on Aave V3, held to the health their owners wrote in a LoanThresholds contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.assets import Assets
from keeper.chain.loans import Loans
from keeper.chain.node import Node
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Unsafe
from keeper.domain.loans import Loan, LoanMarket, LoanRule, Sight, Snapshot, health_measure
from keeper.domain.plans import Asset, Move, Plan
from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, WAD, Address, mul_div_up
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.judge.freshness import blind_when_stale
from keeper.judge.loan_health import judge
from keeper.positions.port import Doubts, Draft, Look, Seen
from keeper.protocols.loan_thresholds import REBALANCE, Finding, rebalance_call
from keeper.size.deleverage import deleverage, health_after_down, ratio_up, repay_at_up
from keeper.size.steps import Step

_OFFERS: Final = 8
# `check` can quote only the liquidity in range, so what it says of pools is for the pools themselves to confirm.
_QUOTED: Final = "pool: "


class LoanPositions:
    """The loans of `owners` under the contract at `thresholds`; `Misconfigured` when there is no such contract."""

    def __init__(self, node: Node, thresholds: Address, owners: Sequence[Address], doubts: Doubts) -> None:
        self.loans: Final = Loans(node, thresholds, owners)
        self.assets: Final = Assets(node)
        self.doubts: Final = doubts

    def observe(self, block: Block) -> Seen:
        """Every rule's verdict, by health and by the age of the prices behind it."""
        snapshot = self.loans.observe(block)
        verdicts = [self._verdict(sight, snapshot) for sight in snapshot.sights]
        breaches = [
            LoanBreach(verdict, sight.rule, sight.loan, block, self)
            for verdict, sight in zip(verdicts, snapshot.sights, strict=True)
            if verdict.kind is Kind.BREACHED and sight.rule and sight.loan
        ]
        return Seen((*verdicts, *map(_beyond, self.loans.unattended)), tuple(breaches))

    def look(self, block: Block) -> tuple[Look, ...]:
        """The same with the contract's own word, which knows obstacles the screen does not ask for."""
        snapshot = self.loans.observe(block)
        findings = self.loans.findings([sight.key for sight in snapshot.sights], block)
        return tuple(
            self._look(sight, self._verdict(sight, snapshot), finding, block)
            for sight, finding in zip(snapshot.sights, findings, strict=True)
        )

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
            moves = _moves(sold, owed, finding.swapped, finding.amount, finding.fee)
        floor, target = _health_text(rule.band.floor_bps), _health_text(rule.band.target_bps)
        return Look(verdict, f"{floor} → {target}", _fields(rule), moves)


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
        """Who the rule lets act."""
        return self.rule.limits.keeper

    @property
    def nearness(self) -> int:
        """Its health: liquidation is where it is lowest."""
        return self.loan.health

    def draft(self, deadline: int) -> Draft:
        """A deleverage that lands on the target, as far as the rule's step and the pools allow.

        The closed form knows only the liquidity in range; whether the pool asks the same, the rehearsal will tell.
        """
        loans, key = self.held.loans, self.verdict.key
        finding, market = loans.consult(key, self.rule, self.block)
        if finding.kind is Kind.BLIND:
            raise Blind(finding.why)
        if finding.kind is not Kind.BREACHED and not finding.why.startswith(_QUOTED):
            raise Unsafe(finding.why)
        if market is None:
            raise Blind("chain: the loan's market cannot be read")

        def by_the_pools() -> Draft:
            return self._drafted(_sized(loans, self.rule, self.loan, market, self.block), market, deadline)

        step = deleverage(self.rule, self.loan, market)
        if step is None:
            return by_the_pools()
        return self._drafted(step, market, deadline, otherwise=by_the_pools)

    def _drafted(
        self, step: Step, market: LoanMarket, deadline: int, otherwise: Callable[[], Draft] | None = None
    ) -> Draft:
        key, assets = self.verdict.key, (self.rule.collateral, self.rule.debt)
        sold, owed = self.held.assets.of(assets, self.block)
        plan = Plan(
            key=key,
            action="deleverage",
            moves=_moves(sold, owed, step.swapped, step.amount, step.fee),
            after=health_measure(health_after_down(step, self.loan, market)),
        )
        max_sell = mul_div_up(step.swapped, BPS + self.held.doubts.drift_bps, BPS)

        def outcome(returned: bytes) -> tuple[tuple[Move, ...], Measure]:
            spent, health = REBALANCE.read(returned)
            if otherwise and abs(spent - step.swapped) * BPS > step.swapped:
                raise Unsafe(f"pool: it asks {spent} where {step.swapped} was reckoned with")
            return _moves(sold, owed, spent, step.amount, step.fee), health_measure(health)

        return Draft(plan, rebalance_call(key, step.amount, max_sell, step.fee, deadline), outcome, otherwise)


def _sized(loans: Loans, rule: LoanRule, loan: Loan, market: LoanMarket, block: Block) -> Step:
    """The step in closed form if the pool itself asks the same, to a basis point; else the best that any pool offers.

    The closed form knows only the liquidity in range, a pool's own answer counts every tick the swap would cross.
    """
    step = deleverage(rule, loan, market)
    if step is not None:
        cost = loans.swap_cost(rule, step.fee, step.amount, block)
        if cost is None:
            return step
        asked, given = cost
        if given == step.amount and abs(asked - step.swapped) * BPS <= step.swapped:
            return replace(step, swapped=asked)
    offers = [_offer(pool.fee, loans, rule, loan, market, block) for pool in market.pools]
    best = min((offer for offer in offers if offer), key=lambda offer: (offer.ratio, offer.fee), default=None)
    if best is None:
        raise Unsafe("pool: none of the pair can carry the repayment")
    return best


def _offer(
    fee: int, loans: Loans, rule: LoanRule, loan: Loan, market: LoanMarket, block: Block
) -> Step | None:
    """The step one pool offers by its own answers, each size corrected by what the last one would have cost."""
    ratio = WAD
    for _ in range(_OFFERS):
        repay = repay_at_up(ratio, rule, loan, market)
        cost = None if repay is None else loans.swap_cost(rule, fee, repay, block)
        if repay is None or cost is None or cost[1] < repay:
            return None
        last, ratio = ratio, ratio_up(repay, cost[0], market)
        if abs(ratio - last) * BPS <= last:
            return Step(fee, repay, cost[0], ratio)
    return None


def _moves(sold: Asset, owed: Asset, sell: int, repay: int, fee: int) -> tuple[Move, ...]:
    return Move("repay", owed, repay), Move("sell", sold, sell, fee)


def _beyond(key: RuleKey) -> Verdict:
    why = f"rule: only the first {key.id} of an owner are held, not this or any after it"
    return Verdict(key, Kind.BARRED, why, health_measure(None))


def _fields(rule: LoanRule) -> Mapping[str, str | int]:
    band, limits = rule.band, rule.limits
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
    }


def _health_text(bps: int) -> str:
    return f"{bps // BPS}.{bps % BPS:04d}"

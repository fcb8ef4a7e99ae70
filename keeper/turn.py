"""One turn, on one page: what the keeper does when a block has come.

    head ─▶ follow ─▶ observe ─▶ judge ─▶ guard ─▶ consult ─▶ size ─▶ rehearse ─▶ intent ─▶ send ─▶ settle
            receipts  Snapshot   Verdicts  why not   Finding    Step    Rehearsal   durable            journal

Every read is pinned to the block's hash. What goes wrong with one position is that position's verdict, what goes wrong
with one contract is the turn's trouble, and the others are still attended.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keeper.chain.loans import Loans
from keeper.chain.node import Node
from keeper.chain.rehearse import rehearse
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Refused, Unsafe
from keeper.domain.flights import Change, State
from keeper.domain.loans import Loan, LoanMarket, LoanRule, RuleKey, Sight, Snapshot
from keeper.domain.plans import Intent, Plan
from keeper.domain.units import BPS, WAD, Address, mul_div_up
from keeper.domain.verdicts import Kind, Verdict
from keeper.guard import why_not
from keeper.journal.journal import Journal
from keeper.judge.freshness import blind_when_stale
from keeper.judge.loan_health import LOW, REASONS, judge
from keeper.protocols.loan_thresholds import rebalance_call
from keeper.send.sender import Sender
from keeper.size.deleverage import Step, deleverage, health_after_down, ratio_up, repay_at_up

_OFFERS = 8
_BLOCKS_BETWEEN_PRUNINGS = 1_000
_FAIR_BLOCKS = 7_200
# `check` can quote only the liquidity in range, so what it says of pools is for the pools themselves to confirm.
_QUOTED = "pool: "


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """The operator's own: wei per gas, seconds, basis points, and percent of the rehearsed gas.

    `most_gas` bounds one action's gas, `actions_per_owner` how often an owner is acted for within a day of Ethereum's
    blocks; `keep_blocks` is how long quiet turns are remembered; `estimates_gas` asks the node for the gas of a call
    instead of measuring it.
    """

    action_fee_wei: int
    max_price_age: int
    drift_bps: int
    deadline_seconds: int
    gas_percent: int
    most_gas: int
    actions_per_owner: int
    keep_blocks: int
    estimates_gas: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn saw, decided and learnt; `intents` were sent, or in a dry run only rehearsed.

    `trouble` says what could not be attended at all.
    """

    block: Block
    verdicts: tuple[Verdict, ...]
    intents: tuple[Intent, ...]
    changes: tuple[Change, ...]
    trouble: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Keeper:
    """The ports a turn works through; without a `sender` it does everything but sign."""

    node: Node
    watched: tuple[Loans, ...]
    journal: Journal | None
    sender: Sender | None
    limits: TurnLimits

    def turn(self, block: Block) -> Turn:
        """Follow what was sent, judge every watched rule at `block`, act on the breached ones, write it all down."""
        changes = self.sender.follow(block) if self.sender else ()
        verdicts: dict[RuleKey, Verdict] = {}
        breached: list[tuple[Loans, Sight]] = []
        trouble: list[str] = []
        for loans in self.watched:
            try:
                snapshot = loans.observe(block)
            except Blind as error:
                trouble.append(str(error))
                continue
            for sight in snapshot.sights:
                verdict = verdict_on(sight, snapshot, self.limits.max_price_age)
                verdicts[sight.key] = verdict
                if verdict.kind is Kind.BREACHED:
                    breached.append((loans, sight))
            verdicts |= {key: _beyond(key) for key in loans.unattended}

        intents: list[Intent] = []
        recent = self.journal.recent(block.number - _FAIR_BLOCKS) if self.journal and breached else {}
        for loans, sight in _fairly(breached, recent):
            try:
                self._guard(sight, block, recent.get(sight.key.owner, (0, 0))[0])
                intent = self._decide(loans, sight, block)
                if self.sender:
                    self._send(intent, block)
                intents.append(intent)
            except Refused as error:
                kind = Kind.BLIND if isinstance(error, Blind) else Kind.BARRED
                verdicts[sight.key] = replace(verdicts[sight.key], kind=kind, why=str(error))
        if self.journal:
            note = "; ".join(trouble if self.sender else ["dry run: nothing is signed", *trouble])
            self.journal.write_turn(block, tuple(verdicts.values()), note)
            if block.number % _BLOCKS_BETWEEN_PRUNINGS == 0:
                self.journal.prune(block.number - self.limits.keep_blocks)
        if self.sender:
            try:
                changes += self.sender.settle(block)
            except Blind as error:
                trouble.append(str(error))  # what is in a block stays there: the next turn asks again
        return Turn(block, tuple(verdicts.values()), tuple(intents), changes, tuple(trouble))

    def _send(self, intent: Intent, block: Block) -> None:
        assert self.sender is not None
        flight = self.sender.launch(intent, block)
        if flight.state is State.ABANDONED:
            raise Unsafe(flight.why)

    def _guard(self, sight: Sight, block: Block, acted: int) -> None:
        """`Unsafe` with the first reason of the operator's own why nothing is sent for this rule now."""
        assert sight.rule is not None
        keeper = self.sender.address if self.sender else sight.rule.limits.keeper
        waiting = self.sender.waiting(block) if self.sender else None
        reason = why_not(sight.rule, block, keeper, self.limits.action_fee_wei, waiting)
        if reason is None and acted >= self.limits.actions_per_owner:
            reason = f"operator: {acted} actions for this owner in {_FAIR_BLOCKS} blocks, which is the limit"
        if reason is not None:
            raise Unsafe(reason)

    def _decide(self, loans: Loans, sight: Sight, block: Block) -> Intent:
        """A rehearsed intent for a breached rule; `Refused`, with the reason, when nothing is to be sent."""
        rule, loan = sight.rule, sight.loan
        assert rule is not None
        assert loan is not None
        finding, market = loans.consult(sight.key, rule, block)
        if finding.kind is Kind.BLIND:
            raise Blind(finding.why)
        if finding.kind is not Kind.BREACHED and not finding.why.startswith(_QUOTED):
            raise Unsafe(finding.why)
        if market is None:
            raise Blind("chain: the loan's market cannot be read")

        step = _sized(loans, rule, loan, market, block)
        plan = Plan(sight.key, step.repay, step.sell, step.fee, health_after_down(step, loan, market))
        deadline = block.timestamp + self.limits.deadline_seconds
        max_sell = mul_div_up(plan.sell, BPS + self.limits.drift_bps, BPS)
        call = rebalance_call(sight.key, plan.repay, max_sell, plan.fee, deadline)
        keeper = self.sender.address if self.sender else rule.limits.keeper
        rehearsal = rehearse(self.node, call, keeper, block.hash, estimate=self.limits.estimates_gas)
        if rehearsal.gas > self.limits.most_gas:
            raise Unsafe(
                f"gas: the action would use {rehearsal.gas}, above the limit of {self.limits.most_gas}"
            )
        return Intent(
            id=secrets.token_hex(16),
            plan=plan,
            call=call,
            rehearsal=rehearsal,
            gas_limit=mul_div_up(rehearsal.gas, self.limits.gas_percent, 100),
            decided_block=block.number,
            decided_hash=block.hash,
            deadline=deadline,
            why=REASONS[LOW][1],
        )


def _fairly(
    breached: Sequence[tuple[Loans, Sight]], recent: Mapping[Address, tuple[int, int]]
) -> list[tuple[Loans, Sight]]:
    """Nearest to liquidation first, but an owner acted for lately after those who were not.

    Else one owner whose rule stays breached, by a tiny step or on purpose, would hold the only nonce for ever.
    """

    def place(seen: tuple[Loans, Sight]) -> tuple[int, int]:
        _, sight = seen
        return recent.get(sight.key.owner, (0, 0))[1], sight.loan.health if sight.loan else 0

    return sorted(breached, key=place)


def _beyond(key: RuleKey) -> Verdict:
    return Verdict(
        key, Kind.BARRED, f"rule: only the first {key.id} of an owner are held, not this or any after it", 0
    )


def verdict_on(sight: Sight, snapshot: Snapshot, max_price_age: int) -> Verdict:
    """The keeper's own verdict on one rule: its judgement, if the prices behind it are young enough to be believed."""
    verdict = judge(sight, snapshot.block.timestamp)
    return blind_when_stale(verdict, sight, snapshot.price_ages, max_price_age)


def _sized(loans: Loans, rule: LoanRule, loan: Loan, market: LoanMarket, block: Block) -> Step:
    """The step in closed form if the pool itself asks the same, to a basis point; else the best that any pool offers.

    The closed form knows only the liquidity in range, a pool's own answer counts every tick the swap would cross.
    """
    step = deleverage(rule, loan, market)
    if step is not None:
        cost = loans.swap_cost(rule, step.fee, step.repay, block)
        if cost is None:
            return step
        asked, given = cost
        if given == step.repay and abs(asked - step.sell) * BPS <= step.sell:
            return replace(step, sell=asked)
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

"""Loans within reach of a trigger, and what would stop the action: each contract is asked as if they had reached it.

The contract's own `check` judges first, then the call that the keeper would make is tried; both on this block's state
with the rule's words replaced, so that allowances, credit, flags, caps and pools are what they are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.as_if import Proof, ask_as_if, refusals_as_if
from keeper.chain.loans import Loans
from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.chain.thresholds import answered
from keeper.domain.blocks import Block
from keeper.domain.errors import NodeRefused, Unsafe
from keeper.domain.foresight import Foresight, Horizon, Obstacle, Reach, each_once
from keeper.domain.loan_band import edges, measure_down
from keeper.domain.loans import Loan, LoanRule, Sight, Snapshot, health_measure
from keeper.domain.plans import Call
from keeper.domain.units import NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.judge.first_passage import farthest, log_distance, reach
from keeper.judge.loan_health import judge
from keeper.judge.obstacles import by_cooldown, by_expiry, by_gas_cap, by_price_age, obstacle
from keeper.positions.loan_ways import DOWN, UP, Way
from keeper.positions.port import Doubts
from keeper.protocols import as_if
from keeper.protocols.lenses import LENS
from keeper.protocols.loan_thresholds import (
    CHECK,
    TERMS_WORDS_OF,
    WORDS_OF,
    Finding,
    read_finding,
    rebalance_call,
    unpack_rule,
)

MOST: Final = 50
"""So many at a look, the soonest: what one question bears, and what a turn can wait for."""
MOST_TRIED: Final = 12
"""Of those, so many whose action is tried in the pools, which takes a few questions each, and some dozens at worst."""
_SECONDS_TRIED: Final = 2.0
"""None is begun after: the next block waits for this."""
_POOL: Final = "pool: "
_DEADLINE: Final = 2**40 - 1


@dataclass(frozen=True, slots=True)
class Near:
    """A loan within its band, on its way to the edge of one side."""

    sight: Sight
    rule: LoanRule
    loan: Loan
    is_low: bool
    reach: Reach

    @property
    def way(self) -> Way:
        """What would be done about it."""
        return DOWN if self.is_low else UP


@dataclass(frozen=True, slots=True)
class _Words:
    """A rule as if it were breached: its words, its terms' words, and what they say."""

    words: tuple[int, int, int]
    terms: tuple[int, int, int]
    rule: LoanRule


def near(snapshot: Snapshot, horizon: Horizon) -> list[Near]:
    """The loans within reach of the nearer edge of their band, the soonest first."""
    found = [
        reached
        for sight in snapshot.sights
        if judge(sight, snapshot.block.timestamp).kind is Kind.WITHIN
        if (reached := _near(sight, horizon))
    ]
    return sorted(found, key=lambda each: (each.reach.early, each.sight.key))


def _near(sight: Sight, horizon: Horizon) -> Near | None:
    rule, loan = sight.rule, sight.loan
    if rule is None or loan is None or loan.debt_base == 0:
        return None
    band, measure = edges(rule), measure_down(loan, rule.terms.in_leverage)
    sigma = rule.sigma / WAD or horizon.sigma
    sides = [(log_distance(measure, edge), edge == band.floor) for edge in (band.floor, band.ceiling) if edge]
    distance, is_low = min(sides)
    if distance > farthest(horizon, sigma):
        return None
    return Near(sight, rule, loan, is_low, reach(distance, sigma))


def foresights(
    node: Node, loans: Loans, found: Sequence[Near], snapshot: Snapshot, doubts: Doubts
) -> tuple[Foresight, ...]:
    """What would stop each, as the contract says it, as the pools do, and by the time there is until then."""
    if not found:
        return ()
    block, found = snapshot.block, found[:MOST]
    written = _written(node, found, block)
    slots = {
        at: word for each, so in zip(found, written, strict=True) for at, word in _slots(each, so).items()
    }
    findings = _findings(node, loans.thresholds, found, written, slots, block)
    told = []
    give_up_at = time.monotonic() + _SECONDS_TRIED
    for n, (each, so, finding) in enumerate(zip(found, written, findings, strict=True)):
        seen = [*_by_time(each, snapshot, doubts)]
        why = "" if finding.kind in (Kind.BREACHED, Kind.WITHIN) else finding.why
        if n < MOST_TRIED and time.monotonic() < give_up_at and (not why or why.startswith(_POOL)):
            why = _tried(node, loans, each, so, slots, block, why)
        if why:
            seen.insert(0, obstacle(why))
        measure = health_measure(each.loan.health)
        told.append(Foresight(each.sight.key, measure, each.reach, each_once(seen)))
    return tuple(told)


def _by_time(each: Near, snapshot: Snapshot, doubts: Doubts) -> list[Obstacle]:
    rule, now = each.rule, snapshot.block.timestamp
    ages: Mapping[Address, int | None] = snapshot.price_ages
    seen = [
        *by_expiry(rule.limits.expiry, each.reach, now),
        *by_cooldown(each.sight.last_acted, rule.limits.cooldown, each.reach, now),
        *by_gas_cap(rule.terms.gas_cap, snapshot.block.base_fee),
    ]
    for asset in (rule.collateral, rule.debt):
        seen += by_price_age(ages.get(asset), doubts.max_price_age)
    return seen


def _written(node: Node, found: Sequence[Near], block: Block) -> list[_Words]:
    calls = [
        Call(each.sight.key.thresholds, method.call(each.sight.key.owner, each.sight.key.id))
        for each in found
        for method in (WORDS_OF, TERMS_WORDS_OF)
    ]
    told = iter(ask_together(node, calls, block.hash))
    written = []
    for each in found:
        words = WORDS_OF.read(answered(next(told), "words_of"))
        terms = TERMS_WORDS_OF.read(answered(next(told), "terms_words_of"))
        rule, in_leverage = each.rule, each.rule.terms.in_leverage
        measure = measure_down(each.loan, in_leverage)
        so, more = as_if.loan_words(words, terms, edges(rule), measure, each.is_low, in_leverage)
        breached, _ = unpack_rule(*so, *more)
        assert breached is not None
        written.append(_Words(so, more, breached))
    return written


def _slots(each: Near, so: _Words) -> as_if.Slots:
    key = each.sight.key
    return {
        **as_if.struct_slots(as_if.place_of(key, as_if.WORDS_SLOT), so.words),
        **as_if.struct_slots(as_if.place_of(key, as_if.TERMS_SLOT), so.terms),
    }


def _findings(
    node: Node,
    thresholds: Address,
    found: Sequence[Near],
    written: Sequence[_Words],
    slots: as_if.Slots,
    block: Block,
) -> list[Finding]:
    proofs, calls = [], []
    for each, so in zip(found, written, strict=True):
        key = each.sight.key
        for method, words in ((WORDS_OF, so.words), (TERMS_WORDS_OF, so.terms)):
            expected = b"".join(word.to_bytes(32, "big") for word in words)
            proofs.append(Proof(Call(thresholds, method.call(key.owner, key.id)), expected))
        calls.append(Call(thresholds, CHECK.call(key.owner, key.id)))
    told = ask_as_if(node, thresholds, slots, calls, proofs, block)
    return [read_finding(answered(answer, "check")) for answer in told]


def _tried(
    node: Node, loans: Loans, each: Near, so: _Words, slots: as_if.Slots, block: Block, otherwise: str
) -> str:
    """Why the keeper's own call would revert, sized by the pools themselves; empty where it goes through.

    `otherwise` where it cannot be tried.
    """
    key = each.sight.key
    _, market = loans.consult(key, each.rule, block)
    if market is None:
        return otherwise
    try:
        step = each.way.sized(loans, so.rule, each.loan, market, block)
    except Unsafe as error:
        return str(error)
    limit = each.way.limit(step.swapped, 0)
    call = rebalance_call(key, step.amount, limit, step.fee, _DEADLINE, each.way.action)
    sender = LENS if each.rule.limits.keeper == NOBODY else each.rule.limits.keeper
    try:
        (why,) = refusals_as_if(node, loans.thresholds, slots, [(sender, call)], block)
    except NodeRefused as refusal:
        if refusal.is_about_rate:
            raise
        return otherwise
    return why

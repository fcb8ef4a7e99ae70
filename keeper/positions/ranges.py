"""Ranges on Uniswap V3, held to where their owners wrote in a RangeThresholds contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.assets import Assets
from keeper.chain.node import Node
from keeper.chain.ranges import Ranges
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Unsafe
from keeper.domain.flights import Receipt
from keeper.domain.foresight import Foresight, Horizon
from keeper.domain.plans import Move, Plan
from keeper.domain.quotes import Quote
from keeper.domain.ranges import (
    WHOLE_PER_BPS,
    Action,
    Case,
    Past,
    Range,
    RangeMarket,
    RangeRule,
    RangeSight,
    tick_measure,
)
from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, Address, mul_div_down, mul_div_up
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.judge.range_exit import case_of, judge
from keeper.positions import range_ahead
from keeper.positions.port import UNHURRIED, Doubts, Draft, Look, Seen, beyond
from keeper.positions.valuing import range_valued
from keeper.protocols.liquidity import Venue, venue_of_swaps
from keeper.protocols.range_thresholds import COMPOUND, REBALANCE, Finding, act_call, lost_logged, rule_fields
from keeper.size.recentre import Prospect, Step, prospect

_NAMES: Final = {Action.RECENTRE: "recentre", Action.EXIT: "exit", Action.COMPOUND: "compound"}
_TRIES: Final = 8
_LITTLE: Final = 256
# What only the liquidity in range was asked about, and the pool itself may answer better.
_RECKONED: Final = (
    "pool: too thin",
    "pool: the swap takes",
    "range: less is placed",
    "range: the value lost",
)
_NOWHERE: Final = "rule: the new range would be the old one or in breach"


class RangePositions:
    """The ranges of `owners` under the contract at `thresholds`; `Misconfigured` when there is no such contract."""

    def __init__(self, node: Node, thresholds: Address, owners: Sequence[Address], doubts: Doubts) -> None:
        self._node: Final = node
        self.ranges: Final = Ranges(node, thresholds, owners)
        self.assets: Final = Assets(node)
        self.doubts: Final = doubts

    def observe(self, block: Block) -> Seen:
        """Every rule's verdict, by the pool's price and its mean."""
        keys = self.ranges.keys.at(block)
        seen = [self._judged(sight, block) for sight in self.ranges.sights(keys, block)]
        verdicts = [verdict for verdict, _ in seen]
        breaches = [breach for _, breach in seen if breach]
        unheld = [beyond(key, tick_measure(None)) for key in self.ranges.keys.unattended]
        return Seen((*verdicts, *unheld), tuple(breaches))

    def look(self, block: Block) -> tuple[Look, ...]:
        """The same with the contract's own word."""
        keys = self.ranges.keys.at(block)
        sights, findings = self.ranges.sights(keys, block), self.ranges.findings(keys, block)
        return tuple(self._look(s, f, block) for s, f in zip(sights, findings, strict=True))

    def lost_bps_up(self, key: RuleKey, receipt: Receipt, before: Block, at: Block) -> int | None:
        """As the contract itself has measured and logged it, by the pool's mean."""
        del before, at
        lost = lost_logged(key, receipt.logs)
        return None if lost is None else mul_div_up(lost, 1, WHOLE_PER_BPS)

    def quotes(self, keys: Sequence[RuleKey], block: Block, seconds: int) -> tuple[Quote, ...]:
        """None: a range goes by the price of the pool it lies in."""
        del keys, block, seconds
        return ()

    def foresee(self, block: Block, horizon: Horizon) -> tuple[Foresight, ...]:
        """By the sizing, of a price that stands at the trigger."""
        sights = self.ranges.sights(self.ranges.keys.at(block), block)
        return range_ahead.foresights(self._node, sights, block, horizon)

    def _judged(self, sight: RangeSight, block: Block) -> tuple[Verdict, RangeBreach | None]:
        """The verdict with what sizing adds to it, and the breach if it is one."""
        verdict, action, case = judge(sight, block.timestamp)
        rule, held, market = sight.rule, sight.range, sight.market
        if verdict.kind is not Kind.BREACHED or not rule or not held or not market or not case:
            return verdict, None
        ahead = prospect(rule, sight.past, held, market, case, action, block.timestamp)
        if ahead is None or (ahead.bar and not ahead.bar.startswith(_RECKONED)):
            why = ahead.bar if ahead else _NOWHERE
            return replace(verdict, kind=Kind.BARRED, why=why), None
        return verdict, RangeBreach(verdict, action, case, rule, sight.past, held, market, ahead, block, self)

    def _look(self, sight: RangeSight, finding: Finding, block: Block) -> Look:
        verdict, _, case = judge(sight, block.timestamp)
        verdict = replace(
            verdict,
            kind=finding.kind,
            why=finding.why,
            measure=tick_measure(finding.measure if case else None),
        )
        rule, held = sight.rule, sight.range
        if rule is None:
            return Look(verdict, "", {}, ())
        moves: tuple[Move, ...] = ()
        if held and finding.amount:
            step = Step(finding.sells_token0, finding.amount, finding.bought, None)
            moves = self.moves(held, step, block)
        band = f"{held.edges.lower} … {held.edges.upper}" if held else ""
        return Look(verdict, band, _fields(rule), moves)

    def moves(self, held: Range, step: Step, block: Block) -> tuple[Move, ...]:
        """What a swap sells and buys; nothing when there is none."""
        if step.amount == 0:
            return ()
        pair = self.assets.of((held.token0, held.token1), block)
        sold, bought = pair if step.sells_token0 else reversed(pair)
        return Move("sell", sold, step.amount, held.fee), Move("buy", bought, step.bought, held.fee)


@dataclass(frozen=True, slots=True)
class RangeBreach:
    """A range beyond its trigger at `block`, or with fees worth putting to work."""

    verdict: Verdict
    action: Action
    case: Case
    rule: RangeRule
    past: Past
    held: Range
    market: RangeMarket
    ahead: Prospect
    block: Block
    positions: RangePositions

    @property
    def keeper(self) -> Address:
        """Who the rule lets act."""
        return self.rule.keeper

    @property
    def nearness(self) -> int:
        """After whatever can be liquidated: exits, then the furthest beyond its trigger, and fees last."""
        urgency = {Action.EXIT: 2, Action.RECENTRE: 1}.get(self.action, 0)
        return UNHURRIED + (2 - urgency << 32) - max(self.case.measure, 0)

    def draft(self, deadline: int) -> Draft:
        """The rule's action, its swap sized by the liquidity in range; the pool itself is asked where that fails."""
        (finding,) = self.positions.ranges.findings([self.verdict.key], self.block)
        if finding.kind is Kind.BLIND:
            raise Blind(finding.why)

        def by_the_pool() -> Draft:
            return self._drafted(self._ahead_by_the_pool(), deadline)

        if finding.kind is Kind.BREACHED and not self.ahead.bar:
            return self._drafted(self.ahead, deadline, otherwise=by_the_pool)
        if not finding.why.startswith(_RECKONED):
            raise Unsafe(finding.why)
        return by_the_pool()

    def _drafted(self, ahead: Prospect, deadline: int, otherwise: Callable[[], Draft] | None = None) -> Draft:
        key, step, drift_bps = self.verdict.key, ahead.step, self.positions.doubts.drift_bps
        least = mul_div_down(step.bought, BPS - drift_bps, BPS)
        call = act_call(key, self.action, step.sells_token0, step.amount, least, deadline)
        moves, after = self.positions.moves(self.held, step, self.block), self._after(ahead)
        token0, token1 = self.positions.assets.of((self.held.token0, self.held.token1), self.block)
        valued = range_valued(self.held, self.market, (token0, token1), step.sells_token0)
        plan = Plan(key=key, action=_NAMES[self.action], moves=moves, after=after, valued=valued)

        def outcome(returned: bytes) -> tuple[tuple[Move, ...], Measure]:
            method = COMPOUND if self.action is Action.COMPOUND else REBALANCE
            _, lost = method.read(returned)
            if lost > ahead.lost + drift_bps * WHOLE_PER_BPS:
                raise Unsafe(
                    f"pool: {lost} hundred-millionths would be lost, not the {ahead.lost} reckoned with"
                )
            return moves, after

        return Draft(plan, call, outcome, otherwise)

    def _ahead_by_the_pool(self) -> Prospect:
        """The prospect in what the pool's ticks amount to on the way; `Unsafe` when it is barred too.

        What the pool gives for the last size, and for a little more, tells what it amounts to; and that sizes anew,
        until both agree.
        """
        ahead, held, market = self.ahead, self.held, self.market
        sells_token0, now = ahead.step.sells_token0, self.block.timestamp
        amount = ahead.step.amount or max(held.liquidity >> 32, _LITTLE)
        for _ in range(_TRIES):
            venue = self._venue(sells_token0, amount)
            found = (
                prospect(self.rule, self.past, held, market, self.case, self.action, now, venue)
                if venue
                else None
            )
            if found is None:
                break
            last, ahead, amount = amount, found, found.step.amount
            if abs(amount - last) * BPS <= last:
                if ahead.bar:
                    break
                return ahead
        raise Unsafe(ahead.bar or "pool: it comes to no size for the swap")

    def _venue(self, sells_token0: bool, amount: int) -> Venue | None:
        more = amount + amount // _LITTLE + 1
        swaps = [
            (sold, self.positions.ranges.swap_gain(self.market.pool, sells_token0, sold, self.block))
            for sold in (amount, more)
        ]
        (sold, bought), (sold_more, bought_more) = swaps
        if bought is None or bought_more is None:
            return None
        return venue_of_swaps(sells_token0, (sold, bought), (sold_more, bought_more), self.held.fee)

    def _after(self, ahead: Prospect) -> Measure:
        """How far inside its trigger the range should stand, the mean being what it is now."""
        if ahead.edges is None:
            return tick_measure(None)
        mean = self.market.mean
        assert mean is not None
        return tick_measure(case_of(self.rule, ahead.edges, mean, mean).measure)


def _fields(rule: RangeRule) -> Mapping[str, str | int]:
    words = dict(zip(RangeRule.__slots__, rule_fields(rule), strict=True))
    choices = {name: getattr(rule, name).name.lower() for name in _CHOICES}
    return {**words, **choices, "token_id": str(rule.token_id), "compound_at": str(rule.compound_at)}


_CHOICES: Final = ("exit_low", "exit_high", "direction", "placement")

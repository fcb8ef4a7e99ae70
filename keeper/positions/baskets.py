"""Baskets in their owners' accounts, held to the weights written in a BasketThresholds contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.assets import Assets
from keeper.chain.baskets import Baskets
from keeper.chain.node import Node
from keeper.chain.quotes import quotes
from keeper.domain.baskets import (
    MOST_MEASURE,
    BasketRule,
    BasketSight,
    drift_measure,
    measure_up,
    urgency_down,
    weighed,
    worth,
)
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Unsafe
from keeper.domain.flights import Receipt
from keeper.domain.foresight import Foresight, Horizon
from keeper.domain.plans import Asset, Move, Plan, Stake
from keeper.domain.quotes import Quote
from keeper.domain.rules import RuleKey
from keeper.domain.units import BASE, BPS, NOBODY, WAD, Address, mul_div_down
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.judge.basket_drift import blind_when_old, judge
from keeper.positions import basket_ahead
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
from keeper.positions.valuing import basket_valued
from keeper.protocols.basket_thresholds import REBALANCE, Finding, Offer, rebalance_call
from keeper.size.reweigh import balances_after, reweigh


class BasketPositions:
    """The baskets of `owners` under the contract at `thresholds`; `Misconfigured` when there is no such contract."""

    def __init__(self, node: Node, thresholds: Address, owners: Sequence[Address], doubts: Doubts) -> None:
        self._node: Final = node
        self.baskets: Final = Baskets(node, thresholds, owners)
        self.assets: Final = Assets(node)
        self.doubts: Final = doubts

    def observe(self, block: Block) -> Seen:
        """Every rule's verdict, by drift and by the age of the prices behind it."""
        sights = self.baskets.observe(block)
        verdicts = [self._verdict(sight, block) for sight in sights]
        breaches = [
            BasketBreach(verdict, sight, sight.rule, block, self)
            for verdict, sight in zip(verdicts, sights, strict=True)
            if verdict.kind is Kind.BREACHED and sight.rule
        ]
        unheld = [beyond(key, drift_measure(None)) for key in self.baskets.keys.unattended]
        return Seen((*verdicts, *unheld), tuple(breaches))

    def look(self, block: Block) -> tuple[Look, ...]:
        """The same with the contract's own word, which knows obstacles the screen does not ask for."""
        sights = self.baskets.observe(block)
        findings = self.baskets.findings([sight.key for sight in sights], block)
        return tuple(
            self._look(sight, self._verdict(sight, block), finding, block)
            for sight, finding in zip(sights, findings, strict=True)
        )

    def lost_bps_up(self, key: RuleKey, receipt: Receipt, before: Block, at: Block) -> int | None:
        """Of all that the basket holds, by its feeds."""
        del receipt
        was, is_now = (self.baskets.sights([key], block)[0] for block in (before, at))
        if was.blind or is_now.blind:
            return None
        return share_lost_up(worth(was.lines), worth(is_now.lines))

    def quotes(self, keys: Sequence[RuleKey], block: Block, seconds: int) -> tuple[Quote, ...]:
        """The feeds' prices beside the pools'."""
        return quotes(self._node, self.baskets.beliefs(self.baskets.sights(keys, block)), block, seconds)

    def foresee(self, block: Block, horizon: Horizon) -> tuple[Foresight, ...]:
        """By the contract's own word, were the band where the basket is now."""
        sights, thresholds = self.baskets.observe(block), self.baskets.thresholds
        return basket_ahead.foresights(self._node, thresholds, sights, block, horizon, self.doubts)

    def _verdict(self, sight: BasketSight, block: Block) -> Verdict:
        return blind_when_old(judge(sight, block.timestamp), sight, self.doubts.max_price_age)

    def _look(self, sight: BasketSight, verdict: Verdict, finding: Finding, block: Block) -> Look:
        if verdict.kind in (Kind.WITHIN, Kind.BREACHED):
            verdict = replace(verdict, kind=finding.kind, why=finding.why)
        rule = sight.rule
        if rule is None:
            return Look(verdict, "", {}, ())
        book = self.book(rule, block)
        shares = (f"{_percent(a.target_bps)} {book[a.token].symbol}" for a in rule.assets)
        marks = Marks(None, rule.destination_bps, BPS)
        return Look(verdict, " · ".join(shares), _fields(rule), _moves(finding.trades, book), marks)

    def book(self, rule: BasketRule, block: Block) -> dict[Address, Asset]:
        """The rule's tokens as they name themselves."""
        tokens = [asset.token for asset in rule.assets]
        return dict(zip(tokens, self.assets.of(tokens, block), strict=True))


@dataclass(frozen=True, slots=True)
class BasketBreach:
    """A basket out of its bands at `block`."""

    verdict: Verdict
    sight: BasketSight
    rule: BasketRule
    block: Block
    held: BasketPositions

    @property
    def keeper(self) -> Address:
        """Who the rule lets act; anyone, where it is urgent enough."""
        limits = self.rule.limits
        return NOBODY if limits.public_bps and self._urgency >= limits.public_bps else limits.keeper

    @property
    def _urgency(self) -> int:
        return urgency_down(measure_up(self.sight.lines), self.rule.full_bps)

    @property
    def nearness(self) -> int:
        """After everything that can be liquidated, the furthest drifted first."""
        return UNHURRIED + MOST_MEASURE - measure_up(self.sight.lines)

    def draft(self, deadline: int) -> Draft:
        """Trades that bring every drifted asset to its destination, as far as the rule's step goes."""
        finding, venues = self.held.baskets.consult(self.sight, self.rule, self.block)
        if finding.kind is Kind.BLIND:
            raise Blind(finding.why)
        if finding.kind is not Kind.BREACHED:
            raise Unsafe(finding.why)
        trades = reweigh(self.rule, self.sight.lines, venues)
        if not trades:
            raise Unsafe("pool: none of a pair has liquidity in range at the feeds' price")
        held = balances_after(self.sight.lines, trades)
        after = weighed(
            [replace(line, balance=held[line.token]) for line in self.sight.lines],
            self.rule.cap_bps,
            self.rule.destination_bps,
        )
        drift = self.held.doubts.drift_bps
        offers = tuple(
            Offer(t.sell, t.buy, t.fee, t.amount_in, mul_div_down(t.out, BPS - drift, BPS)) for t in trades
        )
        expected = tuple(Offer(t.sell, t.buy, t.fee, t.amount_in, t.out) for t in trades)
        book = self.held.book(self.rule, self.block)
        moves, valued = _moves(expected, book), basket_valued(self.sight.lines, book, trades, venues)
        plan = Plan(self.sight.key, "reweigh", moves, drift_measure(measure_up(after)), valued)

        def outcome(returned: bytes) -> tuple[tuple[Move, ...], Measure]:
            _, _, measure = REBALANCE.read(returned)
            return moves, drift_measure(measure)

        lines = {line.token: line for line in self.sight.lines}
        sold = sum(mul_div_down(t.amount_in, lines[t.sell].price, lines[t.sell].unit) for t in trades)
        stake = Stake(sold // (WAD // BASE))
        price = gas_price_down(self.rule.limits.gas_cap, self._urgency)
        call = rebalance_call(self.sight.key, offers, deadline)
        return Draft(plan, call, outcome, stake=stake, most_gas_price=price)


def _moves(offers: Sequence[Offer], book: Mapping[Address, Asset]) -> tuple[Move, ...]:
    return tuple(
        move
        for offer in offers
        for move in (
            Move("sell", book[offer.sell], offer.amount_in, offer.fee),
            Move("buy", book[offer.buy], offer.min_out),
        )
    )


def _percent(bps: int) -> str:
    return f"{bps / 100:g} %"


def _fields(rule: BasketRule) -> Mapping[str, str | int]:
    limits = rule.limits
    assets = {f"asset_{n}": f"{a.token} {a.target_bps} ± {a.band_bps}" for n, a in enumerate(rule.assets)}
    return assets | {
        "bands": "of each target" if rule.relative else "of the whole",
        "destination_bps": rule.destination_bps,
        "cap_bps": rule.cap_bps,
        "max_step": rule.max_step,
        "spot_bps": rule.spot_bps,
        "full_bps": rule.full_bps,
        "sigmas_bps": rule.sigmas_bps,
        "horizon": rule.horizon,
        "slippage_bps": limits.slippage_bps,
        "slippage_urgent_bps": limits.slippage_urgent_bps,
        "public_bps": limits.public_bps,
        "budget": str(limits.budget),
        "window": limits.window,
        "cooldown": limits.cooldown,
        "daily": limits.daily,
        "expiry": limits.expiry,
        "keeper": limits.keeper,
    }

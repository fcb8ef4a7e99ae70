"""A rule on a range as a person writes it, as the contract takes it, and in a sentence.

Ticks are the pool's own unless `priced_in` names one of its two tokens: then cutoffs are prices of the other token in
that one, and below and above, low and high, up and down are meant of that price, whichever way the pool counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import isqrt
from typing import Final, Literal

from pydantic import Field

from keeper.chain.assets import Assets
from keeper.chain.node import Node
from keeper.chain.ranges import Ranges
from keeper.chain.reads import ask_together
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured
from keeper.domain.plans import Asset, Call
from keeper.domain.ranges import (
    UNBOUNDED_HIGH,
    UNBOUNDED_LOW,
    Direction,
    Leaving,
    Placement,
    RangeRule,
)
from keeper.domain.texts import span_text
from keeper.domain.units import Address, decimal_text
from keeper.protocols.methods import address
from keeper.protocols.range_thresholds import SET_RULE, rule_fields
from keeper.protocols.ticks import sqrt_price_at, tick_at
from keeper.protocols.uniswap_v3 import POSITIONS, SET_OPERATOR
from keeper.rules.wording import RuleText, TokenText, Worded, limits_text, meant_of, scaled
from keeper.settings import Settings

_CALM: Final = 50
_Q96: Final = 2**96
_PRICE_DIGITS: Final = 30


class RangeText(RuleText):
    """Widths and buffer in ticks, of which one is a basis point of price; cutoffs in ticks, or prices beside
    `priced_in`; an exit is `as_it_lies` or the token to leave with; `compound_at` in whole tokens of the pool's second.

    `deviation` is by default 50 ticks, or half of what a narrower rule allows.
    """

    token_id: int = Field(gt=0)
    below: int = Field(gt=0)
    above: int = Field(gt=0)
    buffer: int = 0
    priced_in: TokenText | None = None
    cutoff_low: Decimal | None = None
    cutoff_high: Decimal | None = None
    exit_low: TokenText = "as_it_lies"
    exit_high: TokenText = "as_it_lies"
    direction: Literal["both", "up_only", "down_only"] = "both"
    placement: Literal["around", "beside"] = "around"
    hold: int = Field(default=600, ge=0)
    deviation: int | None = None
    placed_bps: int = 9_900
    compound_at: Decimal = Field(default=Decimal(0), ge=0)
    daily: int = 4
    budget_bps: int = 100
    refill: int = 86_400


@dataclass(frozen=True, slots=True)
class _Pair:
    """A position's tokens, and whether its owner counts the price the other way round than the pool."""

    token0: Asset
    token1: Asset
    is_turned: bool

    @property
    def names(self) -> tuple[str, str]:
        """What is priced, and in what."""
        pair = (self.token0.symbol, self.token1.symbol)
        return (pair[1], pair[0]) if self.is_turned else pair

    def tick_of(self, price: Decimal) -> int:
        """The tick of a price of what is priced, in whole tokens of the other."""
        if not price.is_finite() or price <= 0:
            raise Misconfigured(f"rule: {price} is no price")
        digits = scaled(round(price, _PRICE_DIGITS), _PRICE_DIGITS, "a price")
        up, down = digits * 10**self.token1.decimals, 10 ** (_PRICE_DIGITS + self.token0.decimals)
        if self.is_turned:
            up, down = 10 ** (_PRICE_DIGITS + self.token1.decimals), digits * 10**self.token0.decimals
        return tick_at(isqrt(up * _Q96 * _Q96 // down))

    def price_text(self, tick: int) -> str:
        """The price at a tick, as its owner counts it, in six figures."""
        root = sqrt_price_at(tick)
        up, down = root * root * 10**self.token0.decimals, _Q96 * _Q96 * 10**self.token1.decimals
        price = Decimal(down) / Decimal(up) if self.is_turned else Decimal(up) / Decimal(down)
        return f"{Decimal(f'{price:.6g}'):,f} {self.names[1]}"


def worded(
    node: Node, settings: Settings, at: Address, who: Address, number: int, text: RangeText, head: Block
) -> Worded:
    """The rule for the contract `at`, and the approval it lives from, of all positions of the owner's."""
    manager = Ranges(node, at, [who]).manager
    (told,) = ask_together(node, [Call(manager, POSITIONS.call(text.token_id))], head.hash)
    if told is None:
        raise Misconfigured(f"rule: token_id: there is no position {text.token_id} at {manager}")
    _, _, of_0, of_1, fee, *_ = POSITIONS.read(told)
    token0, token1 = Assets(node).of((address(of_0), address(of_1)), head)
    turned = text.priced_in is not None and _token(text.priced_in, (token0, token1)) is token0
    pair = _Pair(token0, token1, turned)
    rule = _rule_of(text, pair, head.timestamp)
    grant = (
        Call(manager, SET_OPERATOR.call(at, True)),
        f"lets {at} move every Uniswap position of the account, at {manager}",
    )
    return Worded(SET_RULE.call(number, rule_fields(rule)), rule_text(rule, pair, fee), (grant,))


def _rule_of(text: RangeText, pair: _Pair, now: int) -> RangeRule:
    cutoffs = [_cutoff(text, each, pair) for each in (text.cutoff_low, text.cutoff_high)]
    widths = [text.below, text.above]
    exits = [_leaving(each, pair) for each in (text.exit_low, text.exit_high)]
    direction = Direction[text.direction.upper()]
    if pair.is_turned:
        cutoffs, widths, exits = cutoffs[::-1], widths[::-1], exits[::-1]
        turned = {Direction.UP_ONLY: Direction.DOWN_ONLY, Direction.DOWN_ONLY: Direction.UP_ONLY}
        direction = turned.get(direction, direction)
    room = min(widths) + text.buffer if text.placement == "around" else text.buffer
    return RangeRule(
        token_id=text.token_id,
        below=widths[0],
        above=widths[1],
        buffer=text.buffer,
        cutoff_low=UNBOUNDED_LOW if cutoffs[0] is None else cutoffs[0],
        cutoff_high=UNBOUNDED_HIGH if cutoffs[1] is None else cutoffs[1],
        exit_low=exits[0],
        exit_high=exits[1],
        direction=direction,
        placement=Placement[text.placement.upper()],
        hold=text.hold,
        deviation=min(_CALM, max(room // 2, 1)) if text.deviation is None else text.deviation,
        slippage_bps=text.slippage_bps,
        placed_bps=text.placed_bps,
        compound_at=scaled(text.compound_at, pair.token1.decimals, "compound_at"),
        cooldown=text.cooldown,
        expiry=text.expires(now),
        daily=text.daily,
        budget_bps=text.budget_bps,
        refill=text.refill,
        keeper=Address(text.keeper),
    )


def _cutoff(text: RangeText, said: Decimal | None, pair: _Pair) -> int | None:
    if said is None:
        return None
    if text.priced_in is not None:
        return pair.tick_of(said)
    if said != said.to_integral_value():
        raise Misconfigured(f"rule: {said} is no tick; beside priced_in a cutoff is a price")
    return int(said)


def _leaving(said: str, pair: _Pair) -> Leaving:
    if said == "as_it_lies":
        return Leaving.AS_IT_LIES
    tokens = (pair.token0, pair.token1)
    return Leaving.ALL_IN_TOKEN0 if _token(said, tokens) is tokens[0] else Leaving.ALL_IN_TOKEN1


def _token(said: str, tokens: tuple[Asset, ...]) -> Asset:
    for token in tokens:
        if token.address == said:
            return token
    return meant_of(said, tokens, "the position's pool")


def rule_text(rule: RangeRule, pair: _Pair, fee: int) -> str:
    """All that a rule asks for, in a sentence."""
    turned = pair.is_turned
    below, above = (rule.above, rule.below) if turned else (rule.below, rule.above)
    up = Direction.DOWN_ONLY if turned else Direction.UP_ONLY
    one_way = "up only" if rule.direction is up else "down only"
    follows = "both ways" if rule.direction is Direction.BOTH else one_way
    named = [f"{token.symbol} {token.address}" for token in (pair.token0, pair.token1)]
    told = [
        f"position {rule.token_id} of {' and '.join(named)} at {decimal_text(fee, 4)} %",
        f"moved when the price has been {_outside(rule.buffer)} for {span_text(rule.hold)}, following {follows}",
        f"to {below} ticks below and {above} above the price"
        if rule.placement is Placement.AROUND
        else f"to {below + above} ticks beside the price",
    ]
    low = (rule.cutoff_low, UNBOUNDED_LOW, rule.exit_low)
    high = (rule.cutoff_high, UNBOUNDED_HIGH, rule.exit_high)
    for side, (cutoff, unbounded, leaving) in zip(
        ("below", "above"), (high, low) if turned else (low, high), strict=True
    ):
        if cutoff != unbounded:
            how = (pair.token0, pair.token1)[leaving - 1].symbol if leaving else "as it lies"
            into = f"all in {how}" if leaving else how
            told.append(f"leaves the pool {side} {pair.price_text(cutoff)} (tick {cutoff}), {into}")
    told.append(f"price within {rule.deviation} ticks of its mean")
    told.append(f"places at least {decimal_text(rule.placed_bps, 2)} %")
    if rule.compound_at:
        worth = decimal_text(rule.compound_at, pair.token1.decimals)
        told.append(f"compounds fees worth {worth} {pair.token1.symbol}")
    told.append(f"at most {rule.daily} a day, losing {rule.budget_bps} bps in {span_text(rule.refill)}")
    told += limits_text(rule.slippage_bps, rule.cooldown, rule.expiry, rule.keeper)
    return "; ".join(told)


def _outside(buffer: int) -> str:
    return f"{buffer} ticks outside" if buffer >= 0 else f"within {-buffer} ticks of an edge"

"""A rule on a basket as a person writes it, as the contract takes it, and in a sentence.

Assumes: an Aave market prices its tokens in dollars by feeds; of a token without a `feed` it is asked for its own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from keeper.chain.baskets import Baskets
from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.domain.baskets import BasketAsset, BasketLimits, BasketRule
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured
from keeper.domain.plans import Asset, Call
from keeper.domain.texts import span_text
from keeper.domain.units import BASE, BPS, Address, decimal_text, mul_div_up
from keeper.protocols.basket_thresholds import FEED_DECIMALS, LATEST_ROUND, SET_RULE, rule_fields
from keeper.rules.tokens import aave_of, feeds_of, tokens_on_aave
from keeper.rules.wording import APPROVE, WITHOUT_LIMIT, RuleText, TokenText, Worded, limits_text, scaled
from keeper.settings import AddressText, Settings

_BOUND: Final = 10
"""Without bounds of its own a price is believed between a tenth and ten times what it is now."""
_GWEI_DECIMALS: Final = 9


class AssetText(BaseModel):
    """One asset: shares in basis points, prices in dollars, `max_age` in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: TokenText
    target_bps: int
    band_bps: int
    widest_bps: int | None = None
    feed: AddressText | None = None
    max_age: int = 90_000
    low: Decimal | None = None
    high: Decimal | None = None


class BasketText(RuleText):
    """Bands in basis points of the whole, or where `relative` of the targets; money in dollars, `gas_cap` in gwei.

    `budget` is by default what one whole step may lose; it refills in `window` seconds.
    """

    assets: tuple[AssetText, ...] = Field(min_length=2)
    relative: bool = False
    destination_bps: int = 5_000
    cap_bps: int = BPS
    max_step: int = Field(gt=0)
    spot_bps: int = 100
    full_bps: int = 3 * BPS
    sigmas_bps: int = 0
    horizon: int = 0
    slippage_urgent_bps: int | None = None
    daily: int = 0
    gas_cap: Decimal = Decimal(0)
    public_bps: int = 0
    bounty_bps: int = 0
    bounty_cap: Decimal = Decimal(0)
    budget: Decimal | None = None
    window: int = 86_400


def worded(
    node: Node, settings: Settings, at: Address, who: Address, number: int, text: BasketText, head: Block
) -> Worded:
    """The rule for the contract `at`, and the allowance of each asset it lives from."""
    Baskets(node, at, [who])
    aave = aave_of(node, settings, head)
    tokens = tokens_on_aave(node, aave, [each.token for each in text.assets], head)
    asked = [token for token, each in zip(tokens, text.assets, strict=True) if each.feed is None]
    found = iter(feeds_of(node, aave, asked, head))
    feeds = [Address(each.feed) if each.feed else next(found) for each in text.assets]
    rule = _rule_of(node, text, tokens, feeds, head)
    grants = tuple(
        (
            Call(token.address, APPROVE.call(at, WITHOUT_LIMIT)),
            f"lets {at} take {token.symbol} {token.address}, without limit",
        )
        for token in tokens
    )
    return Worded(SET_RULE.call(number, rule_fields(rule)), rule_text(rule, tokens), grants)


def _rule_of(
    node: Node, text: BasketText, tokens: list[Asset], feeds: list[Address], head: Block
) -> BasketRule:
    calls = [Call(feed, method.call()) for feed in feeds for method in (LATEST_ROUND, FEED_DECIMALS)]
    answers = iter(ask_together(node, calls, head.hash))
    assets = []
    for said, token, feed in zip(text.assets, tokens, feeds, strict=True):
        price = _price(next(answers), next(answers), token, feed)
        assets.append(
            BasketAsset(
                token=token.address,
                feed=feed,
                max_age=said.max_age,
                low=max(price // _BOUND, 1) if said.low is None else scaled(said.low, 8, "a price"),
                high=price * _BOUND if said.high is None else scaled(said.high, 8, "a price"),
                target_bps=said.target_bps,
                band_bps=said.band_bps,
                widest_bps=said.band_bps if said.widest_bps is None else said.widest_bps,
            )
        )
    urgent = text.slippage_bps if text.slippage_urgent_bps is None else text.slippage_urgent_bps
    budget = mul_div_up(text.max_step * BASE, urgent, BPS)
    limits = BasketLimits(
        keeper=Address(text.keeper),
        expiry=text.expires(head.timestamp),
        cooldown=text.cooldown,
        daily=text.daily,
        slippage_bps=text.slippage_bps,
        slippage_urgent_bps=urgent,
        gas_cap=scaled(text.gas_cap, _GWEI_DECIMALS, "a gas cap in gwei"),
        public_bps=text.public_bps,
        bounty_bps=text.bounty_bps,
        bounty_cap=scaled(text.bounty_cap, 8, "bounty_cap"),
        budget=budget if text.budget is None else scaled(text.budget, 8, "budget"),
        window=text.window,
    )
    return BasketRule(
        assets=tuple(assets),
        relative=text.relative,
        destination_bps=text.destination_bps,
        cap_bps=text.cap_bps,
        max_step=text.max_step,
        spot_bps=text.spot_bps,
        full_bps=text.full_bps,
        sigmas_bps=text.sigmas_bps,
        horizon=text.horizon,
        limits=limits,
    )


def _price(told: bytes | None, places: bytes | None, token: Asset, feed: Address) -> int:
    """What a feed says now, in dollars of 8 decimals."""
    answer = LATEST_ROUND.read(told)[1] if told and places else 0
    if answer <= 0 or not places:
        raise Misconfigured(f"rule: the feed {feed} tells no price of {token.symbol}; say another")
    price: int = answer * BASE // 10 ** FEED_DECIMALS.read(places)[0]
    return price


def rule_text(rule: BasketRule, tokens: list[Asset]) -> str:
    """All that a rule asks for, in a sentence."""
    told = []
    for asset, token in zip(rule.assets, tokens, strict=True):
        band = _percent(asset.band_bps)
        if asset.widest_bps != asset.band_bps:
            band = f"{band} to {_percent(asset.widest_bps)}"
        low, high = (decimal_text(each, 8) for each in (asset.low, asset.high))
        told.append(
            f"{_percent(asset.target_bps)} {token.symbol} {token.address} ± {band}{' of that' * rule.relative}, priced "
            f"by {asset.feed}, {low} to {high} USD and at most {span_text(asset.max_age)} old"
        )
    limits = rule.limits
    told.append(
        f"out of a band back to {_percent(rule.destination_bps)} of it, at most {rule.max_step:,} USD at once"
    )
    if rule.sigmas_bps:
        sigmas = decimal_text(rule.sigmas_bps, 4)
        told.append(f"a band is {sigmas} sigmas over {span_text(rule.horizon)}")
    if rule.cap_bps < BPS:
        told.append(f"no asset above {_percent(rule.cap_bps)}")
    told.append(f"pools within {rule.spot_bps} bps of the feeds")
    if limits.slippage_urgent_bps != limits.slippage_bps:
        worst = decimal_text(rule.full_bps, 4)
        told.append(f"slippage up to {limits.slippage_urgent_bps} bps at {worst} times the band")
    told.append(f"loses at most {decimal_text(limits.budget, 8)} USD in {span_text(limits.window)}")
    if limits.daily:
        told.append(f"at most {limits.daily} a day")
    if limits.gas_cap:
        told.append(f"gas at most {decimal_text(limits.gas_cap, _GWEI_DECIMALS)} gwei")
    if limits.public_bps:
        told.append(f"open to anyone from an urgency of {_percent(limits.public_bps)}")
    if limits.bounty_bps:
        cap = decimal_text(limits.bounty_cap, 8)
        told.append(f"a bounty of {limits.bounty_bps} bps, at most {cap} USD")
    told += limits_text(limits.slippage_bps, limits.cooldown, limits.expiry, limits.keeper)
    return "; ".join(told)


def _percent(bps: int) -> str:
    return f"{decimal_text(bps, 2)} %"

"""The contract that is the law for baskets: its rules, its own verdict, the feeds it believes, and the call that acts.

Source: contracts/interfaces/IBasketThresholds.vyi; the words are contracts/basket_words.vy's and limits.vy's, what is
believed of a feed contracts/prices.vy's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from keeper.domain.baskets import BasketAsset, BasketLimits, BasketRule, BasketState
from keeper.domain.errors import Blind
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind
from keeper.protocols.methods import Method, address

_ASSET: Final = f"(address,address,{','.join(['uint256'] * 6)})"
_LIMITS: Final = f"(address,{','.join(['uint256'] * 11)})"
_RULE: Final = f"({_ASSET}[],bool,{','.join(['uint256'] * 7)},{_LIMITS})"
_TRADE: Final = "(address,address,uint24,uint256,uint256)"
_FINDING: Final = f"(uint8,uint256,uint256,bool,{_TRADE}[],string)"

FACTORY: Final = Method("FACTORY", (), ("address",))
SEQUENCER: Final = Method("SEQUENCER", (), ("address",))
VOLATILITY: Final = Method("VOLATILITY", (), ("address",))
SET_RULE: Final = Method("set_rule", ("uint256", _RULE), ())
CHECK: Final = Method("check", ("address", "uint256"), (_FINDING,))
WORDS_OF: Final = Method("words_of", ("address", "uint256"), ("uint256[]",))
REBALANCE: Final = Method(
    "rebalance", ("address", "uint256", f"({_TRADE}[],uint256)"), ("uint256", "uint256", "uint256")
)
LATEST_ROUND: Final = Method("latestRoundData", (), ("uint80", "int256", "uint256", "uint256", "uint80"))
FEED_DECIMALS: Final = Method("decimals", (), ("uint256",))

RULE_SET_TOPIC: Final = "0x" + keccak(text=f"RuleSet(address,uint256,{_RULE})").hex()
MOST_BALANCE: Final = 2**128
MOST_WORTH: Final = 2**120
_GRACE: Final = 3_600
_MAX_ANSWER: Final = 2**127
_MAX_DECIMALS: Final = 36
_CENTI: Final = 10**10


@dataclass(frozen=True, slots=True)
class Offer:
    """One trade as the contract words it."""

    sell: Address
    buy: Address
    fee: int
    amount_in: int
    min_out: int


@dataclass(frozen=True, slots=True)
class Finding:
    """The contract's own verdict; the trades are empty unless it is breached."""

    kind: Kind
    measure: int
    urgency: int
    open: bool
    trades: tuple[Offer, ...]
    why: str


def read_finding(returned: bytes) -> Finding:
    """What `check` returned."""
    ((kind, measure, urgency, is_open, trades, why),) = CHECK.read(returned)
    if kind >= len(Kind):
        raise Blind(f"contract: check answered with verdict {kind}, which there is not")
    offers = tuple(Offer(address(t[0]), address(t[1]), *t[2:]) for t in trades)
    return Finding(Kind(kind), measure, urgency, is_open, offers, why)


def rebalance_call(key: RuleKey, offers: Sequence[Offer], deadline: int) -> Call:
    """The call that acts on a rule; `min_out` and `deadline` are the keeper's own bounds inside the rule's."""
    trades = [(o.sell, o.buy, o.fee, o.amount_in, o.min_out) for o in offers]
    return Call(key.thresholds, REBALANCE.call(key.owner, key.id, (trades, deadline)))


def rule_fields(rule: BasketRule) -> tuple[object, ...]:
    """A rule in the order of the contract's struct."""
    limits = rule.limits
    return (
        tuple(
            (a.token, a.feed, a.max_age, a.low, a.high, a.target_bps, a.band_bps, a.widest_bps)
            for a in rule.assets
        ),
        rule.relative,
        rule.destination_bps,
        rule.cap_bps,
        rule.max_step,
        rule.spot_bps,
        rule.full_bps,
        rule.sigmas_bps,
        rule.horizon,
        (
            limits.keeper,
            limits.expiry,
            limits.cooldown,
            limits.daily,
            limits.slippage_bps,
            limits.slippage_urgent_bps,
            limits.gas_cap,
            limits.public_bps,
            limits.bounty_bps,
            limits.bounty_cap,
            limits.budget,
            limits.window,
        ),
    )


def unpack_rule(words: Sequence[int]) -> tuple[BasketRule | None, BasketState, tuple[int, ...]]:
    """A rule, its state and its tokens' units, from its words; None where no rule is set."""
    if not words:
        return None, BasketState(0, 0, 0), ()
    a, b, c, *assets = words
    rule = BasketRule(
        assets=tuple(_asset(*pair) for pair in zip(assets[::2], assets[1::2], strict=True)),
        relative=_bits(c, 208, 8) == 1,
        destination_bps=_bits(c, 192, 16),
        cap_bps=_bits(c, 176, 16),
        max_step=c >> 224,
        spot_bps=_bits(c, 128, 16),
        full_bps=_bits(c, 112, 16),
        sigmas_bps=_bits(c, 160, 16),
        horizon=_bits(c, 144, 16) * 3_600,
        limits=BasketLimits(
            keeper=_address(a),
            expiry=_bits(a, 56, 40),
            cooldown=_bits(a, 32, 24),
            daily=_bits(b, 32, 8),
            slippage_bps=_bits(b, 152, 16),
            slippage_urgent_bps=_bits(b, 136, 16),
            gas_cap=_bits(a, 0, 32) * 10**6,
            public_bps=_bits(b, 120, 16),
            bounty_bps=_bits(b, 104, 16),
            bounty_cap=_bits(b, 40, 64),
            budget=b >> 192,
            window=_bits(b, 168, 24),
        ),
    )
    state = BasketState(_bits(c, 72, 40), _bits(c, 8, 64), _bits(c, 0, 8))
    return rule, state, tuple(10 ** _bits(second, 8, 8) for second in assets[1::2])


def _asset(first: int, second: int) -> BasketAsset:
    return BasketAsset(
        token=_address(first),
        feed=_address(second),
        max_age=_bits(second, 72, 24),
        low=_bits(first, 0, 48),
        high=_bits(second, 16, 56),
        target_bps=_bits(first, 80, 16),
        band_bps=_bits(first, 64, 16),
        widest_bps=_bits(first, 48, 16),
    )


def _bits(word: int, at: int, width: int) -> int:
    return (word >> at) & ((1 << width) - 1)


def _address(word: int) -> Address:
    return address(f"0x{word >> 96:040x}")


def price_down(
    asset: BasketAsset, told: bytes | None, places: bytes | None, now: int
) -> tuple[int, str, int]:
    """A price in WAD, or 0 and why it is not believed; and its age in seconds."""
    if told is None or len(told) != 160:
        return 0, "oracle: a feed does not answer", 0
    answer = int.from_bytes(told[32:64], "big", signed=True)
    updated_at = int.from_bytes(told[96:128], "big")
    age = now - updated_at
    why = ""
    if answer <= 0:
        why = "oracle: a price is not positive"
    elif answer > _MAX_ANSWER:
        why = "oracle: a price is out of its bounds"
    elif not updated_at or age < 0:
        why = "oracle: a price has no believable time"
    elif age > asset.max_age:
        why = "oracle: a price is too old"
    elif places is None or len(places) != 32 or int.from_bytes(places, "big") > _MAX_DECIMALS:
        why = "oracle: a feed tells no usable decimals"
    if why:
        return 0, why, age
    price = answer * 10**18 // 10 ** int.from_bytes(places or b"", "big")
    if not price or not asset.low * _CENTI <= price <= asset.high * _CENTI:
        return 0, "oracle: a price is out of its bounds", age
    return price, "", age


def sequencer_obstacle(told: bytes | None, now: int) -> str:
    """Why no price is believed on a rollup whose uptime feed told this; empty when it is well."""
    started_at = int.from_bytes(told[64:96], "big") if told is not None and len(told) == 160 else 0
    if told is None or not 0 < started_at <= now:
        return "oracle: the sequencer feed does not answer"
    if int.from_bytes(told[32:64], "big"):
        return "oracle: the sequencer is down"
    return "oracle: the sequencer has only just come back" if now - started_at <= _GRACE else ""

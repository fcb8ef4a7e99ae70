"""The baskets under one thresholds contract as the chain shows them at one block.

Every turn reads all watched rules and all they are made of in one question; only where a rule was rewritten since the
last is a second asked, because what it is made of was not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from keeper.chain.node import Node
from keeper.chain.quotes import Belief
from keeper.chain.reads import ask_together
from keeper.chain.rule_keys import RuleKeys
from keeper.chain.thresholds import address_at, answered, expected_at, findings
from keeper.domain.baskets import BasketRule, BasketSight, Line, weighed, width, worth
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.protocols import basket_thresholds as law
from keeper.protocols import erc20, uniswap_v3, volatility
from keeper.protocols.liquidity import Venue

_CHECKS: Final = 20
_NEVER: Final = 2**256 - 1
Parts = tuple[tuple[Address, Address], ...]


class Baskets:
    """The rules of `owners` in the contract at `thresholds`; `Misconfigured` when there is no such contract."""

    def __init__(self, node: Node, thresholds: Address, owners: Sequence[Address]) -> None:
        self._node = node
        self.thresholds: Final = thresholds
        self.keys: Final = RuleKeys(node, thresholds, owners, law.RULE_SET_TOPIC)
        with expected_at(node, thresholds, "BasketThresholds"):
            self._factory, self._sequencer, self._volatility = (
                address_at(node, thresholds, method)
                for method in (law.FACTORY, law.SEQUENCER, law.VOLATILITY)
            )
        self._parts: dict[RuleKey, Parts] = {}

    def observe(self, block: Block) -> tuple[BasketSight, ...]:
        """Every watched rule and its basket."""
        return self.sights(self.keys.at(block), block)

    def sights(self, keys: Sequence[RuleKey], block: Block) -> tuple[BasketSight, ...]:
        """The keys' rules and baskets at `block`."""
        for _ in range(2):
            asked = {key: self._parts.get(key, ()) for key in keys}
            calls = [call for key in keys for call in self._calls(key, asked[key])]
            uptime = [] if self._sequencer == NOBODY else [Call(self._sequencer, law.LATEST_ROUND.call())]
            answers = iter(ask_together(self._node, [*uptime, *calls], block.hash))
            barred = law.sequencer_obstacle(next(answers), block.timestamp) if uptime else ""
            sights = [self._sight(key, asked[key], answers, barred, block.timestamp) for key in keys]
            if {key: self._parts.get(key, ()) for key in keys} == asked:
                return tuple(sights)
        raise Blind("chain: a rule's assets changed while they were read")

    def _calls(self, key: RuleKey, parts: Parts) -> Iterator[Call]:
        yield Call(self.thresholds, law.WORDS_OF.call(key.owner, key.id))
        for token, feed in parts:
            yield Call(feed, law.LATEST_ROUND.call())
            yield Call(feed, law.FEED_DECIMALS.call())
            yield Call(token, erc20.BALANCE_OF.call(key.owner))
            yield Call(self._volatility, volatility.SIGMA.call(feed))
            yield Call(self._volatility, volatility.AGE.call(feed))

    def _sight(
        self, key: RuleKey, parts: Parts, answers: Iterator[bytes | None], barred: str, now: int
    ) -> BasketSight:
        words = answered(next(answers), "words_of")
        read = [[next(answers) for _ in range(5)] for _ in parts]
        rule, state, units = law.unpack_rule(law.WORDS_OF.read(words)[0])
        self._parts[key] = tuple((asset.token, asset.feed) for asset in rule.assets) if rule else ()
        if rule is None or self._parts[key] != parts:
            return BasketSight(key, rule, state, (), "chain: not read yet", 0)
        lines: list[Line] = []
        why, oldest = barred, 0
        for asset, unit, (told, places, held, sigma, age) in zip(rule.assets, units, read, strict=True):
            if why:
                break
            price, why, seconds = law.price_down(asset, told, places, now)
            oldest = max(oldest, seconds)
            balance = _word(held)
            if not why and balance >= law.MOST_BALANCE:
                why = "token: a balance cannot be read"
            known = 0 if sigma is None else volatility.known_sigma(_word(sigma), _word(age))
            band = width(asset, rule, known)
            lines.append(Line(asset.token, price, unit, asset.target_bps, band, balance))
        if why:
            return BasketSight(key, rule, state, (), why, oldest)
        seen = weighed(lines, rule.cap_bps, rule.destination_bps)
        if worth(seen) >= law.MOST_WORTH:
            return BasketSight(key, rule, state, (), "basket: worth more than can be weighed", oldest)
        return BasketSight(key, rule, state, seen, "", oldest)

    def consult(
        self, sight: BasketSight, rule: BasketRule, block: Block
    ) -> tuple[law.Finding, dict[frozenset[Address], tuple[Venue, ...]]]:
        """The contract's own verdict, which has the last word, and the pools between what is above and below."""
        pairs = [(a.token, b.token) for a in sight.lines if a.over for b in sight.lines if not b.over]
        check = Call(self.thresholds, law.CHECK.call(sight.key.owner, sight.key.id))
        found, *answers = ask_together(self._node, [check, *self._pool_calls(pairs)], block.hash)
        return law.read_finding(answered(found, "check")), _by_pair(pairs, answers)

    def venues(
        self, pairs: Sequence[tuple[Address, Address]], block: Block
    ) -> dict[frozenset[Address], tuple[Venue, ...]]:
        """The pools of each pair that hold anything."""
        return _by_pair(pairs, ask_together(self._node, self._pool_calls(pairs), block.hash))

    def _pool_calls(self, pairs: Sequence[tuple[Address, Address]]) -> list[Call]:
        pools = [
            uniswap_v3.pool_address(self._factory, *pair, fee)
            for pair in pairs
            for fee in uniswap_v3.FEE_TIERS
        ]
        return [Call(p, m.call()) for p in pools for m in (uniswap_v3.SLOT0, uniswap_v3.LIQUIDITY)]

    def beliefs(self, sights: Sequence[BasketSight]) -> list[Belief]:
        """What each asset of a basket is held to be worth in the basket's first, and the pools of that pair."""
        found: dict[tuple[Address, Address], Belief] = {}
        for sight in sights:
            for line in sight.lines[1:]:
                first, pair = sight.lines[0], (line.token, sight.lines[0].token)
                pools = (uniswap_v3.pool_address(self._factory, *pair, fee) for fee in uniswap_v3.FEE_TIERS)
                worth = line.price * first.unit, first.price * line.unit
                found[pair] = Belief(*pair, worth, tuple(pools))
        return list(found.values())

    def findings(self, keys: Sequence[RuleKey], block: Block) -> list[law.Finding]:
        """The contract's own verdict on each rule."""
        return findings(self._node, keys, law.CHECK, law.read_finding, _CHECKS, block.hash)


def _word(answer: bytes | None) -> int:
    """The greatest number when there is no answer, or one of another size, as the contract reads it."""
    return int.from_bytes(answer, "big") if answer is not None and len(answer) == 32 else _NEVER


def _by_pair(
    pairs: Sequence[tuple[Address, Address]], answers: Sequence[bytes | None]
) -> dict[frozenset[Address], tuple[Venue, ...]]:
    told = iter(answers)
    return {frozenset(pair): tuple(_venues(told)) for pair in pairs}


def _venues(answers: Iterator[bytes | None]) -> Iterator[Venue]:
    for fee in uniswap_v3.FEE_TIERS:
        slot0, liquidity = next(answers), next(answers)
        if slot0 and liquidity:
            venue = Venue(uniswap_v3.SLOT0.read(slot0)[0], uniswap_v3.LIQUIDITY.read(liquidity)[0], fee)
            if venue.price and venue.liquidity:
                yield venue

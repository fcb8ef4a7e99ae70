"""Baskets within reach of a band, and what would stop the action: each contract is asked as if it were narrower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Final

from keeper.chain.as_if import Proof, ask_as_if, refusals_as_if
from keeper.chain.node import Node
from keeper.chain.reads import ask_together
from keeper.chain.thresholds import answered
from keeper.domain.baskets import BasketRule, BasketSight, Line, drift_measure, measure_up, worth
from keeper.domain.blocks import Block
from keeper.domain.foresight import Foresight, Horizon, Obstacle, Reach, each_once
from keeper.domain.plans import Call
from keeper.domain.units import BPS, NOBODY, Address
from keeper.domain.verdicts import Kind
from keeper.judge.basket_drift import judge
from keeper.judge.first_passage import farthest, reach
from keeper.judge.obstacles import by_cooldown, by_expiry, by_gas_cap, by_price_age, obstacle
from keeper.positions.port import Doubts
from keeper.protocols import as_if
from keeper.protocols.basket_thresholds import CHECK, WORDS_OF, Finding, read_finding, rebalance_call
from keeper.protocols.lenses import LENS

MOST: Final = 20
_WIDTH: Final = 10**8
_DEADLINE: Final = 2**40 - 1


@dataclass(frozen=True, slots=True)
class _Near:
    """A basket within its bands, the place of the asset nearest to the edge of its own, and that band as if reached."""

    sight: BasketSight
    rule: BasketRule
    asset: int
    band_bps: int
    reach: Reach


def foresights(
    node: Node,
    thresholds: Address,
    sights: Sequence[BasketSight],
    block: Block,
    horizon: Horizon,
    doubts: Doubts,
) -> tuple[Foresight, ...]:
    """The baskets within reach of a band, the soonest first."""
    found = [reached for sight in sights if (reached := _near(sight, block, horizon))]
    found = sorted(found, key=lambda each: (each.reach.early, each.sight.key))[:MOST]
    if not found:
        return ()
    whys = _asked(node, thresholds, found, block)
    told = []
    for each, why in zip(found, whys, strict=True):
        seen = [obstacle(why)] if why else []
        seen += _by_time(each, block, doubts)
        measure = drift_measure(measure_up(each.sight.lines))
        told.append(Foresight(each.sight.key, measure, each.reach, each_once(seen)))
    return tuple(told)


def _near(sight: BasketSight, block: Block, horizon: Horizon) -> _Near | None:
    rule = sight.rule
    if rule is None or not sight.lines or judge(sight, block.timestamp).kind is not Kind.WITHIN:
        return None
    total = worth(sight.lines)
    if total == 0:
        return None
    distances = [_distance(line, total) for line in sight.lines]
    asset = min(range(len(distances)), key=distances.__getitem__)
    if distances[asset] > farthest(horizon, horizon.sigma):
        return None
    line = sight.lines[asset]
    part = line.target_bps if rule.relative else BPS
    band = line.drift * _WIDTH // total // part - 1
    return _Near(sight, rule, asset, band, reach(distances[asset], horizon.sigma))


def _distance(line: Line, total: int) -> float:
    """How far the asset's price is, against all else in the basket, from where its share leaves the band."""
    share, drift, room = line.value / total, line.drift / total, line.room / total
    edge = share + (room - drift if line.over else drift - room)
    if not (0 < share < 1 and 0 < edge < 1):
        return float("inf")
    return abs(_log_odds(edge) - _log_odds(share)) or 1e-9


def _log_odds(share: float) -> float:
    return log(share / (1 - share))


def _by_time(each: _Near, block: Block, doubts: Doubts) -> list[Obstacle]:
    rule, limits = each.rule, each.rule.limits
    oldest = min(doubts.max_price_age, max(asset.max_age for asset in rule.assets))
    return [
        *by_expiry(limits.expiry, each.reach, block.timestamp),
        *by_cooldown(each.sight.state.last_acted, limits.cooldown, each.reach, block.timestamp),
        *by_gas_cap(limits.gas_cap, block.base_fee),
        *by_price_age(each.sight.price_age, oldest),
    ]


def _asked(node: Node, thresholds: Address, found: Sequence[_Near], block: Block) -> list[str]:
    """What the contract says of each as if it had left its band, and of the trades that it names; empty if nothing."""
    keys = [each.sight.key for each in found]
    reads = [Call(thresholds, WORDS_OF.call(key.owner, key.id)) for key in keys]
    slots: dict[int, int] = {}
    proofs = []
    for each, read, answer in zip(found, reads, ask_together(node, reads, block.hash), strict=True):
        (words,) = WORDS_OF.read(answered(answer, "words_of"))
        # What has hardly drifted has no narrower band: then the contract is asked as it is.
        so = as_if.basket_words(words, each.asset, each.band_bps) if each.band_bps > 0 else tuple(words)
        slots |= as_if.array_slots(as_if.place_of(each.sight.key, as_if.WORDS_SLOT), so)
        expected = b"".join(word.to_bytes(32, "big") for word in (32, len(so), *so))
        proofs.append(Proof(read, expected))
    checks = [Call(thresholds, CHECK.call(key.owner, key.id)) for key in keys]
    told = ask_as_if(node, thresholds, slots, checks, proofs, block)
    findings = [read_finding(answered(answer, "check")) for answer in told]
    able = [n for n, finding in enumerate(findings) if finding.kind is Kind.BREACHED]
    calls = [(_sender(found[n]), rebalance_call(keys[n], findings[n].trades, _DEADLINE)) for n in able]
    refused = dict(zip(able, refusals_as_if(node, thresholds, slots, calls, block), strict=True))
    return [_why(finding, refused.get(n, "")) for n, finding in enumerate(findings)]


def _why(finding: Finding, refusal: str) -> str:
    if finding.kind is Kind.BREACHED:
        return refusal
    return "" if finding.why == "basket: within its bands" else finding.why


def _sender(each: _Near) -> Address:
    keeper = each.rule.limits.keeper
    return LENS if keeper == NOBODY else keeper

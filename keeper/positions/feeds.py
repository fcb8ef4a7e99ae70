"""Feeds whose volatility is measured on chain: who measures them is whoever has their rounds counted.

In keeper.toml `kind = "feeds"` names a Volatility contract as `thresholds` and feeds as `owners`. A feed has no rule:
it is held as the rule 0 of itself, a round that is due is its breach, and that comes after all that is about money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.feeds import Feeds
from keeper.chain.node import Node
from keeper.domain.blocks import Block
from keeper.domain.errors import Unsafe
from keeper.domain.feeds import FeedSight, sigma_measure
from keeper.domain.flights import Receipt
from keeper.domain.foresight import Foresight, Horizon
from keeper.domain.plans import Move, Plan
from keeper.domain.quotes import Quote
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.judge.feed_rounds import judge
from keeper.positions.port import UNHURRIED, Doubts, Draft, Look, Seen
from keeper.protocols.volatility import POKE, poke_call

_LAST: Final = UNHURRIED + 2**130


class FeedPositions:
    """The `feeds` that the contract at `contract` measures; `Misconfigured` when there is no such contract."""

    def __init__(self, node: Node, contract: Address, feeds: Sequence[Address], doubts: Doubts) -> None:
        del doubts  # a price that is only measured is not acted on
        self.feeds: Final = Feeds(node, contract, feeds)

    def observe(self, block: Block) -> Seen:
        """Every feed's verdict: breached is one with a round to be counted."""
        sights = self.feeds.observe(block)
        verdicts = tuple(self._verdict(sight, block) for sight in sights)
        breaches = tuple(
            FeedBreach(verdict, sight)
            for verdict, sight in zip(verdicts, sights, strict=True)
            if verdict.kind is Kind.BREACHED
        )
        return Seen(verdicts, breaches)

    def look(self, block: Block) -> tuple[Look, ...]:
        """Every feed with what is remembered of it."""
        return tuple(
            Look(self._verdict(sight, block), "", _fields(sight), ()) for sight in self.feeds.observe(block)
        )

    def lost_bps_up(self, key: RuleKey, receipt: Receipt, before: Block, at: Block) -> int | None:
        """Nothing: a count moves no money."""
        del key, receipt, before, at
        return 0

    def quotes(self, keys: Sequence[RuleKey], block: Block, seconds: int) -> tuple[Quote, ...]:
        """None: no pool is traded in."""
        del keys, block, seconds
        return ()

    def foresee(self, block: Block, horizon: Horizon) -> tuple[Foresight, ...]:
        """None: what is due to be counted is no breach."""
        del block, horizon
        return ()

    def _verdict(self, sight: FeedSight, block: Block) -> Verdict:
        return judge(sight, self.feeds.least, block.timestamp)


@dataclass(frozen=True, slots=True)
class FeedBreach:
    """A feed with a round to be counted."""

    verdict: Verdict
    sight: FeedSight

    @property
    def keeper(self) -> Address:
        """Anyone may."""
        return NOBODY

    @property
    def nearness(self) -> int:
        """After everything else."""
        return _LAST

    def draft(self, deadline: int) -> Draft:
        """The call that counts it; a contract that has nothing to count says so when it is rehearsed."""
        del deadline
        key, now = self.verdict.key, sigma_measure(self.sight.sigma)

        def outcome(returned: bytes) -> tuple[tuple[Move, ...], Measure]:
            (counted,) = POKE.read(returned)
            if not counted:
                raise Unsafe("volatility: nothing is due to be counted")
            return (), now

        return Draft(Plan(key, "poke", (), now), poke_call(key.thresholds, key.owner), outcome)


def _fields(sight: FeedSight) -> dict[str, str | int]:
    return {
        "feed": sight.key.owner,
        "counted_at": sight.counted_at,
        "updated_at": sight.told.updated_at if sight.told else 0,
    }

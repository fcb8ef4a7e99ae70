"""The breakers of a running keeper: looked at after each turn, latched in the journal, and asked before each action.

What trips is decided in `breakers.py`; here it is gathered and written down. A latch outlives the process, and the
journal itself gives no nonce while there is one, whoever asks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from keeper.breakers import (
    DAY,
    EQUITY,
    FREQUENCY,
    GAS,
    NAMES,
    REVERTS,
    SLIPPAGE,
    TURNOVER,
    BreakerLimits,
    Trip,
    moved,
    prices_apart,
    too_far_off,
    too_many_reverts,
    too_much_gas,
    too_much_lost,
    too_much_sold,
    too_often,
    undone_when_final,
    without_quorum,
)
from keeper.chain.node import Node, Question
from keeper.chain.wire import block_of
from keeper.domain.blocks import Block
from keeper.domain.errors import NodeRefused
from keeper.domain.flights import Flight, Receipt
from keeper.domain.quotes import Quote
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.journal.journal import Journal, stopped_by

_BLOCKS_BETWEEN_LOOKS: Final = 16
"""How often the chain is asked whether what was final still is, as long as it simply grows."""


class Weighed(Protocol):
    """What the breakers ask of the positions under one contract."""

    def lost_bps_up(self, key: RuleKey, receipt: Receipt, before: Block, at: Block) -> int | None:
        """What share of its worth a position lost in the block `at` of an action, whose parent is `before`."""

    def quotes(self, keys: Sequence[RuleKey], block: Block, seconds: int) -> tuple[Quote, ...]:
        """The prices that rules go by beside those of the pools they would trade in."""


class Latches:
    """Watches one journal's flights, the positions they were about, and the finality of the chain behind `node`.

    What the actions of the keys `beside` this keeper's cost is weighed by whoever holds those.
    """

    def __init__(
        self,
        journal: Journal,
        node: Node,
        limits: BreakerLimits,
        final_depth: int,
        watched: Mapping[Address, Weighed] | None = None,
        beside: Collection[Address] = (),
    ) -> None:
        self._journal = journal
        self._node = node
        self._limits = limits
        self._final_depth = final_depth
        self._watched = dict(watched or {})
        self._beside = frozenset(beside)
        self._tripped_before: tuple[str, ...] = ()
        self._followed: Block | None = None
        self._looked_at: int | None = None

    def why_stopped(self) -> str | None:
        """The first latched breaker's reason, and how it is reset; None when none is."""
        return next((stopped_by(latch) for latch in self._journal.latches()), None)

    def watch(self, head: Block, flew: bool) -> tuple[str, ...]:
        """Look at everything once a turn is over, and latch what must be; the reasons of those that tripped now.

        The flights are looked at when one changed, `flew`, and the chain's finality now and then.
        """
        trips = self._of_flights(head.timestamp) if flew else []
        trips += self._of_finality(head)
        before, self._tripped_before = self._tripped_before, ()
        return before + self._latch(head.number, trips)

    def why_doubted(self, block: Block, key: RuleKey) -> str | None:
        """Why a rule is not to be acted on by the prices it goes by, which is latched; None when its pools agree."""
        watched = self._watched.get(key.thresholds)
        if not self._limits.divergence_bps or watched is None:
            return None
        trip = prices_apart(watched.quotes([key], block, self._limits.divergence_seconds), self._limits)
        if trip is None:
            return None
        self._tripped_before += self._latch(block.number, [trip])
        return trip.why

    def no_quorum(self, seconds: float) -> tuple[str, ...]:
        """Look at how long there has been no quorum of endpoints; the block is the last that was seen."""
        trip = without_quorum(seconds, self._limits)
        return self._latch(self._followed.number if self._followed else 0, [trip])

    def _latch(self, block: int, trips: Sequence[Trip | None]) -> tuple[str, ...]:
        return tuple(
            trip.why for trip in trips if trip is not None and self._journal.latch(trip.name, block, trip.why)
        )

    def _of_flights(self, now: int) -> list[Trip | None]:
        limits = self._limits
        counted = self._journal.unforgiven(NAMES, since=now - DAY)
        return [
            too_many_reverts(counted[REVERTS], limits),
            too_far_off(counted[SLIPPAGE], limits),
            too_much_gas(counted[GAS], now, limits),
            too_much_sold(counted[TURNOVER], now, limits),
            too_often(counted[FREQUENCY], now, limits),
            too_much_lost(counted[EQUITY], self._lost(counted[EQUITY]), now, limits),
        ]

    def _lost(self, flights: Sequence[Flight]) -> dict[str, int]:
        """What each action that is in a block cost its position, those not weighed in that block being weighed now."""
        acted = {flight.intent.id: flight for flight in flights if moved(flight)}
        tolls = self._journal.tolls(list(acted))
        for intent_id, flight in acted.items():
            assert flight.receipt is not None
            if flight.sender in self._beside:
                continue
            if tolls.get(intent_id, ("", None))[0] != flight.receipt.block_hash:
                lost_bps = self._weighed(flight.intent.plan.key, flight.receipt)
                self._journal.weigh(intent_id, flight.receipt.block_hash, lost_bps)
                tolls[intent_id] = flight.receipt.block_hash, lost_bps
        return {intent_id: lost or 0 for intent_id, (_, lost) in tolls.items()}

    def _weighed(self, key: RuleKey, receipt: Receipt) -> int | None:
        watched = self._watched.get(key.thresholds)
        if watched is None:
            return None
        try:
            before, at = (self._node.block(number) for number in (receipt.block - 1, receipt.block))
            if (at.hash, at.parent) != (receipt.block_hash, before.hash):
                return None  # it has left that block, and is weighed in its next
            return watched.lost_bps_up(key, receipt, before, at)
        except NodeRefused:
            return None  # state that old is not there any more

    def _of_finality(self, head: Block) -> list[Trip | None]:
        before, self._followed = self._followed, head
        grew = before is not None and head.parent == before.hash
        if grew and self._looked_at is not None and head.number < self._looked_at + _BLOCKS_BETWEEN_LOOKS:
            return []
        self._looked_at = head.number
        marked = self._journal.final()
        questions: list[Question] = [("eth_getBlockByNumber", ["finalized", False])]
        if marked is not None:
            questions.append(("eth_getBlockByNumber", [hex(marked[0]), False]))
        final, *now = self._node.ask_each(questions)
        newest = self._final(final, head)
        if marked is not None:
            is_now = _hash(now[0])
            # The chain may have been cut below it, or a node may not have it: only the first says something.
            if is_now is not None or head.number < marked[0]:
                trip = undone_when_final(*marked, is_now or "nothing")
                if trip is not None:
                    return [trip]
        if newest is not None and (marked is None or newest.number > marked[0]):
            self._journal.mark_final(newest.number, newest.hash)
        return []

    def _final(self, answer: Any, head: Block) -> Block | None:
        if isinstance(answer, dict):
            # Its number is what a quorum has reached; that number's block is what a quorum has there.
            return self._node.block(block_of(answer, "finalized").number)
        number = head.number - self._final_depth
        return self._node.block(number) if number > 0 else None


def _hash(answer: Any) -> str | None:
    return block_of(answer, "that was final").hash if isinstance(answer, dict) else None

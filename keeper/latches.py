"""The breakers of a running keeper: looked at after each turn, latched in the journal, and asked before each action.

What trips is decided in `breakers.py`; here it is gathered and written down. A latch outlives the process, and the
journal itself gives no nonce while there is one, whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from keeper.breakers import (
    DAY,
    FREQUENCY,
    GAS,
    NAMES,
    REVERTS,
    SLIPPAGE,
    TURNOVER,
    BreakerLimits,
    Trip,
    too_far_off,
    too_many_reverts,
    too_much_gas,
    too_much_sold,
    too_often,
    undone_when_final,
    without_quorum,
)
from keeper.chain.node import Node, Question, block_of
from keeper.domain.blocks import Block
from keeper.journal.journal import Journal, stopped_by

_BLOCKS_BETWEEN_LOOKS: Final = 16
"""How often the chain is asked whether what was final still is, as long as it simply grows."""


class Latches:
    """Watches one journal's flights and the finality of the chain behind `node`."""

    def __init__(self, journal: Journal, node: Node, limits: BreakerLimits, final_depth: int) -> None:
        self._journal = journal
        self._node = node
        self._limits = limits
        self._final_depth = final_depth
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
        return self._latch(head.number, trips)

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
        ]

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
            return block_of(answer, "finalized")
        number = head.number - self._final_depth
        return self._node.block(number) if number > 0 else None


def _hash(answer: Any) -> str | None:
    return str(answer["hash"]) if isinstance(answer, dict) and "hash" in answer else None

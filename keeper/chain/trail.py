"""What changed in which block, pinned to block hashes, so that a block that is taken back takes its changes along.

Assumes: whatever happens to one of `topics` is told by a log that names it in a topic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keeper.chain.node import Node, Question
from keeper.chain.wire import block_of
from keeper.domain.blocks import Block
from keeper.domain.errors import NodeRefused
from keeper.domain.units import Address

DEPTH: Final = 64
"""How many blocks may be missed or taken back before everything is to be read anew."""
_LATE: Final = 16
"""After so many blocks walked the logs of one are asked for again: an index of logs may lag behind its blocks."""


@dataclass(frozen=True, slots=True)
class _Step:
    hash: str
    changed: frozenset[int]
    walked: tuple[str, ...]


class Trail:
    """The last blocks walked, and which of the watched, by the numbers in `topics`, changed in each."""

    def __init__(self, node: Node, topics: Mapping[str, int]) -> None:
        self._node = node
        self._topics = topics
        self._steps: deque[_Step] = deque(maxlen=DEPTH)
        self._walked: tuple[str, ...] = ()

    def follows(self, block: Block) -> bool:
        """Whether nothing lies between the last block walked and this one."""
        return bool(self._steps) and self._steps[-1].hash == block.parent

    def question(self, block_hash: str, places: Sequence[Address]) -> Question:
        """The logs of one block that may be news."""
        return "eth_getLogs", [{"blockHash": block_hash, "address": list(places)}]

    def late_questions(self, places: Sequence[Address]) -> list[Question]:
        """The logs of blocks walked a while ago, whose answers are for `changed`."""
        if len(self._steps) < _LATE:
            return []
        return [self.question(hash_, places) for hash_ in self._steps[-_LATE].walked]

    def changed(
        self, block: Block, told: Any, late: Sequence[Any], places: Sequence[Address]
    ) -> frozenset[int] | None:
        """Who is not at `block` as when the last one was walked; None when nobody can say.

        `told` is the answer to `question` if the block follows, `late` are those to `late_questions`.
        """
        if self.follows(block):
            self._walked = (block.hash,)
            changed = self._named(told)
        else:
            changed = self._over_a_gap(block, places)
        if changed is None:
            return None
        # A block that was taken back since has no logs any more, and nobody needs them.
        return changed.union(*(self._named(each) or () for each in late))

    def walk(self, block: Block, changed: frozenset[int]) -> None:
        """Everything is now as at `block`, who `changed` since the last one walked having been read anew."""
        self._steps.append(_Step(block.hash, changed, self._walked))

    def forget(self) -> None:
        """Nothing is as it was at any block."""
        self._steps.clear()
        self._walked = ()

    def _over_a_gap(self, block: Block, places: Sequence[Address]) -> frozenset[int] | None:
        """The same when blocks were missed or taken back: from the last one walked that is still in the chain."""
        known = {step.hash: at for at, step in enumerate(self._steps)}
        missed: list[str] = []
        wanted = block.hash
        for parent in self._parents(block) if known else ():
            if wanted in known:
                break
            missed.append(wanted)
            wanted = parent
        if wanted not in known:
            return None
        self._walked = tuple(missed)
        changed = [step.changed for step in list(self._steps)[known[wanted] + 1 :]]
        for told in self._node.ask_each([self.question(hash_, places) for hash_ in missed]):
            named = self._named(told)
            if named is None:
                return None
            changed.append(named)
        return frozenset().union(*changed)

    def _parents(self, block: Block) -> Iterator[str]:
        """The hash of a block's parent, of that one's, and so on, as far as the node's chain bears them out."""
        yield block.parent
        numbers = range(block.number - 1, max(block.number - DEPTH, 0), -1)
        expected = block.parent
        for header in self._node.ask_each([("eth_getBlockByNumber", [hex(n), False]) for n in numbers]):
            if not isinstance(header, dict) or header.get("hash") != expected:
                return
            expected = block_of(header, expected).parent
            yield expected

    def _named(self, told: Any) -> frozenset[int] | None:
        if isinstance(told, NodeRefused) and told.is_about_rate:
            raise told
        if not isinstance(told, list):
            return None
        try:
            topics = {topic.lower() for log in told for topic in log["topics"][1:]}
        except (TypeError, KeyError, AttributeError):
            return None
        return frozenset(self._topics[topic] for topic in topics if topic in self._topics)

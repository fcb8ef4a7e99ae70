"""One journal shared by several keepers: what a share is, and which of them a keeper should have. Pure.

A keeper takes what is free up to an even part, and gives one up while another keeper has at least two fewer; so whoever
is alone has all, and a keeper that joins or is gone moves no more than must be moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """One of the shares of a journal; `among` is the whole of how it is shared, which its keepers must say alike."""

    name: str
    among: str


@dataclass(frozen=True, slots=True)
class Sight:
    """Who is there, this keeper included, and by whom each share is held that is not free."""

    me: str
    there: frozenset[str]
    held: Mapping[str, str]

    def fewest(self) -> int | None:
        """How many the other keeper has that has fewest; None where there is no other."""
        others = self.there - {self.me}
        counts = Counter(self.held.values())
        return min((counts[other] for other in others), default=None)


def to_take(sight: Sight, shares: Sequence[str], mine: Collection[str], overdue: bool) -> tuple[str, ...]:
    """The free shares that a keeper which has `mine` should try for now.

    Who has more than another leaves what is free to that one, unless that is `overdue`.
    """
    free = [name for name in shares if name not in sight.held and name not in mine]
    fewest = sight.fewest()
    if fewest is None or overdue:
        return tuple(free)
    if len(mine) > fewest:
        return ()
    part = -(-len(shares) // len(sight.there | {sight.me}))
    # Those who start together begin at different ends.
    if sight.me != min(sight.there | {sight.me}):
        free.reverse()
    return tuple(free[: max(part - len(mine), 0)])


def to_give_up(sight: Sight, mine: Sequence[str]) -> str | None:
    """The share that a keeper which has `mine` should leave to another now; None where all is even."""
    fewest = sight.fewest()
    return mine[-1] if fewest is not None and len(mine) >= fewest + 2 else None

"""Where a rule lives."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.domain.units import Address


@dataclass(frozen=True, slots=True, order=True)
class RuleKey:
    """A rule's place: the thresholds contract, its owner, and the owner's own number for it."""

    thresholds: Address
    owner: Address
    id: int

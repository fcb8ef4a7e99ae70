"""A price feed, and what Volatility remembers of it, at one block."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.domain.rules import RuleKey
from keeper.domain.verdicts import Measure


@dataclass(frozen=True, slots=True)
class Round:
    """A feed's latest answer, in its own decimals, and when it was given, in unix seconds."""

    answer: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class FeedSight:
    """What a feed says, None for nothing that can be read, and when the round was given that was counted last.

    `key` is the feed as the owner of a rule numbered 0; `sigma` is WAD a year, `counted_at` 0 before any was.
    """

    key: RuleKey
    told: Round | None
    counted_at: int
    sigma: int


def sigma_measure(sigma: int) -> Measure:
    """A volatility as the measure of a feed; 0 is none yet."""
    return Measure("sigma", sigma or None, 18)

"""Whether a feed has a round for Volatility to count, in integers and without I/O.

Source: contracts/Volatility.vy `poke`, whose reasons these are where it would refuse.
"""

from __future__ import annotations

from typing import Final

from keeper.domain.feeds import FeedSight, sigma_measure
from keeper.domain.verdicts import Kind, Verdict

MOST_ANSWER: Final = 2**88 - 1
"""A greater answer is refused, not counted."""


def judge(sight: FeedSight, least: int, now: int) -> Verdict:
    """The verdict on one feed; `least` seconds must lie between two counted rounds, and `now` is the block's time."""
    kind, why = _judged(sight, least, now)
    return Verdict(sight.key, kind, why, sigma_measure(sight.sigma))


def _judged(sight: FeedSight, least: int, now: int) -> tuple[Kind, str]:
    told = sight.told
    if told is None:
        return Kind.BLIND, "oracle: a feed does not answer"
    if told.answer <= 0:
        return Kind.BLIND, "oracle: a price is not positive"
    if told.answer > MOST_ANSWER:
        return Kind.BLIND, "oracle: a price is out of its bounds"
    if not 0 < told.updated_at <= now:
        return Kind.BLIND, "oracle: a price has no believable time"
    if sight.counted_at == 0:
        return Kind.BREACHED, "volatility: no round of this feed was ever counted"
    if told.updated_at < sight.counted_at + least:
        return Kind.WITHIN, "volatility: nothing is due to be counted"
    return Kind.BREACHED, "volatility: a round is due to be counted"

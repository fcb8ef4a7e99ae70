"""Counts, moments and spans as people read them; numbers are written in `units.py`, rounded down."""

from __future__ import annotations

from datetime import UTC, datetime


def count_text(count: int, noun: str) -> str:
    """`no rule`, `1 rule`, `3 rules`."""
    return f"no {noun}" if count == 0 else f"{count:,} {noun}{'' if count == 1 else 's'}"


def date_text(seconds: int) -> str:
    """A unix second as `2027-11-22 09:16 UTC`; `never` when it is beyond what a calendar holds."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "never"


def span_text(seconds: int) -> str:
    """`90 seconds`, `5 minutes`, `36 hours`, `12 days`: the largest unit of which there are two, rounded down."""
    for unit, noun in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * unit or (seconds == unit):
            return count_text(seconds // unit, noun)
    return count_text(seconds, "second")

"""How moments and numbers are written for people."""

from __future__ import annotations

from datetime import UTC, datetime


def clock_text(seconds: int, form: str = "%d %b %H:%M") -> str:
    """A moment, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime(form)


def usd_text(amount: float, places: int = 2) -> str:
    """Dollars: `$1,234.50`, `-$3.10`."""
    sign = "-" if round(amount, places) < 0 else ""
    return f"{sign}${abs(amount):,.{places}f}"


def health_text(health: float | None) -> str:
    """A health factor, rounded down so that 0.9999 never reads as 1; `no debt` where none is owed."""
    return "no debt" if health is None else f"{int(health * 1000) / 1000:.3f}"

"""Integer arithmetic with the rounding in the name, and the scales the chain uses.

Source: Aave V3 `WadRayMath` and `PercentageMath` for the scales.
"""

from __future__ import annotations

from typing import NewType

Address = NewType("Address", str)
"""A checksummed 20-byte address, or `NOBODY`."""

NOBODY = Address("0x" + "00" * 20)
WAD = 10**18
BPS = 10**4
"""Basis points, and also the scale of a rule's health factors: 10_000 is a health of 1."""
BASE = 10**8
"""Aave's base currency, USD with eight decimals."""
GWEI = 10**9
HEALTH_WAD_PER_BPS = WAD // BPS
NO_DEBT = 2**256 - 1
"""The health factor Aave reports for an account that owes nothing."""


def mul_div_down(x: int, y: int, denominator: int) -> int:
    """x * y / denominator, rounded down."""
    return x * y // denominator


def mul_div_up(x: int, y: int, denominator: int) -> int:
    """x * y / denominator, rounded up."""
    return -(-x * y // denominator)


def decimal_text(value: int, decimals: int, shown: int | None = None) -> str:
    """A number in units of 10 ** -`decimals` for people, rounded down to exactly `shown` of them.

    Without `shown` every digit is there, thousands are set apart, and zeros at the end are not written.
    """
    if shown is None:
        whole, rest = divmod(abs(value), 10**decimals)
        digits = f"{rest:0{decimals}d}".rstrip("0") if decimals else ""
        return "-" * (value < 0) + f"{whole:,}" + (f".{digits}" if digits else "")
    shown = min(decimals, shown)
    scaled = mul_div_down(value, 10**shown, 10**decimals)
    whole, rest = divmod(abs(scaled), 10**shown)
    return "-" * (scaled < 0) + str(whole) + (f".{rest:0{shown}d}" if shown else "")


def health_text(health_wad: int) -> str:
    """A health factor for people: four decimals, rounded down; an account without debt is `∞`."""
    return "∞" if health_wad == NO_DEBT else decimal_text(health_wad, 18, 4)

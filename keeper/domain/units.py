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


def health_text(health_wad: int) -> str:
    """A health factor for people: four decimals, rounded down; an account without debt is `∞`."""
    if health_wad == NO_DEBT:
        return "∞"
    whole, rest = divmod(health_wad // HEALTH_WAD_PER_BPS, BPS)
    return f"{whole}.{rest:04d}"

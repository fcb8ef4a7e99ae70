"""What the closed forms refuse: numbers outside the range in which they mean anything."""

from __future__ import annotations

import math

from keeper.domain.errors import Misconfigured


def positive(**numbers: float) -> None:
    """Raise `Misconfigured` naming the first number that is not finite and above zero."""
    for name, number in numbers.items():
        if not (math.isfinite(number) and number > 0):
            raise Misconfigured(f"theory: {name} must be a number above zero, not {number}")


def not_negative(**numbers: float) -> None:
    """Raise `Misconfigured` naming the first number that is not finite or is below zero."""
    for name, number in numbers.items():
        if not (math.isfinite(number) and number >= 0):
            raise Misconfigured(f"theory: {name} must be a number of at least zero, not {number}")

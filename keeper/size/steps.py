"""One sized step on a loan, whichever way it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROUNDS: Final = 24
"""How often a size and its price correct each other; contracts/loan_steps.vy says the same."""


@dataclass(frozen=True, slots=True)
class Step:
    """`amount` of the debt asset repaid or borrowed, `swapped` of the collateral sold or bought, in the pool of `fee`.

    `ratio` is the collateral's value per the debt's, in WAD, rounded against the owner.
    """

    fee: int
    amount: int
    swapped: int
    ratio: int

"""The stages these tests play on."""

from __future__ import annotations

from tests.contracts.basket_stages import basket_stage, baskets
from tests.contracts.range_stages import any_ranges, range_stages, ranges
from tests.contracts.stages import any_stage, stage, stages

__all__ = [
    "any_ranges",
    "any_stage",
    "basket_stage",
    "baskets",
    "range_stages",
    "ranges",
    "stage",
    "stages",
]

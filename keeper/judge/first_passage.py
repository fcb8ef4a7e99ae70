"""How long a measure may take to its trigger, from its distance and its volatility.

Assumes: the logarithm of the measure is a Brownian motion without drift, so that by the reflection principle it has
come as far as `distance` within t with probability 2 - 2 Φ(distance / (sigma √t)). Prices jump: it may be sooner.
For display and for the order of warnings, never for a decision about an action.
"""

from __future__ import annotations

from math import isinf, log
from statistics import NormalDist
from typing import Final

from keeper.domain.foresight import Horizon, Reach

EARLY: Final = 0.05
_YEAR: Final = 365 * 86_400
_NEVER: Final = 2**40
_EARLY_Z: Final = NormalDist().inv_cdf(1 - EARLY / 2)
_MEDIAN_Z: Final = NormalDist().inv_cdf(0.75)


def reach(distance: float, sigma: float) -> Reach:
    """Seconds until a log-measure has moved by `distance`, at a volatility of `sigma` a year; both above 0."""
    return Reach(_seconds(distance / (sigma * _EARLY_Z)), _seconds(distance / (sigma * _MEDIAN_Z)))


def farthest(horizon: Horizon, sigma: float) -> float:
    """The log-distance from which one in twenty has come in the horizon's time."""
    return sigma * _EARLY_Z * float((horizon.seconds / _YEAR) ** 0.5)


def log_distance(measure: int, edge: int) -> float:
    """How far apart two positive integers are, as logarithms."""
    return abs(log(measure) - log(edge))


def _seconds(root_years: float) -> int:
    if isinf(root_years):
        return _NEVER
    return min(int(root_years * root_years * _YEAR), _NEVER)

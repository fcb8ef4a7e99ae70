"""Bands for a basket of several assets: heuristics, for the exact band of n assets has no closed form.

Assumes: each asset against the rest of the basket held at its own proportions (one-vs-rest), the others left alone.
Source: the one-asset law of `bands` per asset (exact for n assets only by the corrector equation of Possamaï, Soner
and Touzi 2015, or dynamic programming); Masters, "Rebalancing", Journal of Portfolio Management 2003, as others quote
it. Daryanani, Journal of Financial Planning, January 2008 for the relative band.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner.results import Floats
from keeper.planner.theory.bands import Band, best_band
from keeper.planner.theory.inputs import not_negative, positive


def volatility_against_the_rest(weights: Sequence[float], covariance: Floats) -> Floats:
    """Each asset's volatility of return less that of the rest of the basket, by a year's covariance matrix.

    It gives trade frequency and tracking error per asset by `bands.band_statistics`; the best width does not need it.
    """
    held, risks = np.asarray(weights, np.float64), np.asarray(covariance, np.float64)
    if risks.shape != (len(held), len(held)):
        raise Misconfigured(f"theory: {len(held)} weights do not fit a covariance of shape {risks.shape}")
    if not np.isclose(held.sum(), 1.0, rtol=0, atol=1e-9) or (held <= 0).any() or (held >= 1).any():
        raise Misconfigured(f"theory: weights must lie between 0 and 1 and sum to 1, not {held.tolist()}")
    # Row i: one of asset i, short the others in their proportions.
    against = np.eye(len(held)) - (1 - np.eye(len(held))) * held / (1 - held)[:, None]
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", against, risks, against)))


def best_bands(
    weights: Sequence[float], risk_aversion: float, costs: Sequence[float], fixed_cost: float = 0.0
) -> tuple[Band, ...]:
    """`bands.best_band` per asset; neither volatility nor correlation moves it."""
    if len(weights) != len(costs):
        raise Misconfigured(f"theory: {len(weights)} weights and {len(costs)} costs")
    return tuple(
        best_band(weight, risk_aversion, cost, fixed_cost)
        for weight, cost in zip(weights, costs, strict=True)
    )


def masters_trigger(
    risk_tolerance: float, cost: float, volatility: float, rest_volatility: float, correlation: float
) -> float:
    """The half-width at which one asset's tracking risk outweighs its cost of trading, to be traded half-way back.

    Shrinks with the square of the asset's volatility against the rest, unlike `best_bands`: another objective.
    """
    positive(risk_tolerance=risk_tolerance)
    not_negative(cost=cost, volatility=volatility, rest_volatility=rest_volatility)
    against = volatility**2 + rest_volatility**2 - 2 * correlation * volatility * rest_volatility
    positive(relative_variance=against)
    return float(2 * risk_tolerance * cost / against)


def relative_band(weight: float, tolerance: float = 0.2, way_back: float = 0.5) -> Band:
    """The band of a share of the weight itself (60 % ± 20 % is 48 % to 72 %), traded `way_back` of its width back."""
    positive(weight=weight, tolerance=tolerance)
    return Band(weight * tolerance, weight * tolerance * (1 - way_back))

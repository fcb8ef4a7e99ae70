"""How likely a loan's health is to reach liquidation, and what health a tolerated chance asks for.

Assumes: `drift` and `carry` a year, debt and collateral not touched meanwhile. **Unsafe in the tail**: real ETH fell
from a health of 1.5 to liquidation within a day 0.13 % of the time, where the formula says never; ask
`bootstrap.observed_passage` and `bootstrap.resampled_passage` too.
Source: reflection of Brownian motion with drift; Belenko and Vosorov (arXiv 2505.08100) without it; Broadie,
Glasserman and Kou 1997 for looking once a step.
"""

from __future__ import annotations

import math

from scipy import optimize, special

from keeper.domain.errors import Misconfigured
from keeper.planner.theory.bands import OVERSHOOT
from keeper.planner.theory.inputs import not_negative, positive


def health_of(leverage: float, liquidation_threshold: float) -> float:
    """The health factor of a loan at a leverage (collateral over equity); infinite without debt."""
    positive(liquidation_threshold=liquidation_threshold)
    if leverage < 1:
        raise Misconfigured(f"theory: a leverage of {leverage} is no loan")
    return liquidation_threshold * leverage / (leverage - 1) if leverage > 1 else math.inf


def leverage_of(health: float, liquidation_threshold: float) -> float:
    """The leverage of a loan at a health factor."""
    positive(liquidation_threshold=liquidation_threshold)
    if health <= liquidation_threshold:
        raise Misconfigured(f"theory: at a health of {health} the debt is no less than the collateral")
    return health / (health - liquidation_threshold)


def drop_to_liquidation(health: float) -> float:
    """The fall of collateral against debt that leads to liquidation, as a fraction of its price."""
    positive(health=health)
    return 1 - 1 / health


def passage_probability(
    health: float,
    volatility: float,
    years: float,
    drift: float = 0.0,
    carry: float = 0.0,
    step: float = 0.0,
) -> float:
    """The chance that health touches 1 within `years`.

    `drift` is the collateral's expected return against the debt, `carry` the rate paid on debt less that earned on
    collateral, `step` the years between looks (0: watched without pause). `drift` = s²/2 leaves the logarithm still.
    """
    positive(health=health, volatility=volatility)
    not_negative(years=years, step=step)
    if health <= 1:
        return 1.0
    if years == 0:
        return 0.0
    way = math.log(health) + OVERSHOOT * volatility * math.sqrt(step)
    pace = drift - volatility**2 / 2 - carry
    spread = volatility * math.sqrt(years)
    straight = special.ndtr((-way - pace * years) / spread)
    # The exponent may be large where the tail is small: their product is not.
    reflected = math.exp(-2 * pace * way / volatility**2 + special.log_ndtr((-way + pace * years) / spread))
    return float(min(1.0, straight + reflected))


def health_for_probability(
    probability: float, volatility: float, years: float, drift: float | None = None, carry: float = 0.0
) -> float:
    """The health from which liquidation within `years` has this chance; without a drift, of a still logarithm."""
    positive(volatility=volatility, years=years)
    if not 0 < probability < 1:
        raise Misconfigured(f"theory: a probability of {probability} lies outside 0 to 1")
    if drift is None and carry == 0:
        return math.exp(-volatility * math.sqrt(years) * float(special.ndtri(probability / 2)))
    still = volatility**2 / 2 if drift is None else drift

    def excess(way: float) -> float:
        return passage_probability(math.exp(way), volatility, years, still, carry) - probability

    pull = abs(still - volatility**2 / 2 - carry) * years
    top = pull + 10 * volatility * math.sqrt(years) * (1 - float(special.ndtri(probability / 2)))
    return math.exp(float(optimize.brentq(excess, 0.0, top, xtol=1e-14)))

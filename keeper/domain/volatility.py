"""What volatility makes of a band or of a floor of health, to the digit of the contracts.

    sigma    annualised volatility, WAD (10**18 is 100 % a year)
    horizon  the time that the band should last, in seconds
    sigmas   how many standard deviations, in basis points

Source: contracts/volatility_bands.vy and exponents.vy, mirrored rounding by rounding (`tests/size` holds them equal).
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from keeper.domain.units import BPS, WAD, mul_div_down

MOST_AGE: Final = 3 * 86_400
"""Seconds after which what was measured is believed no more."""
_YEAR: Final = 365 * 86_400
_MOST_SIGMA: Final = 100 * WAD
_RAY: Final = 10**27
_LN_2: Final = 693_147_180_559_945_309_417_232_121
_HIGHEST: Final = 42 * WAD
_TERMS: Final = 27


def move_down(sigmas_bps: int, sigma: int, horizon: int) -> int:
    """How far a log-price moves over the horizon, in WAD."""
    root = isqrt(horizon * WAD * WAD // _YEAR)
    return sigmas_bps * mul_div_down(min(sigma, _MOST_SIGMA), root, WAD) // BPS


def floor_up(sigmas_bps: int, sigma: int, horizon: int, low_bps: int, high_bps: int) -> int:
    """The health, in basis points, from which such a move leads to 1; at its highest where sigma is 0, not known."""
    if sigma == 0:
        return high_bps
    health = exp_down(min(move_down(sigmas_bps, sigma, horizon), _HIGHEST))
    step = WAD // BPS
    return min(max((health + step - 1) // step, low_bps), high_bps)


def exp_down(x: int) -> int:
    """e to a power from 0 to 42, both in WAD."""
    doublings, rest = divmod(x * (_RAY // WAD), _LN_2)
    term = total = _RAY
    for n in range(1, _TERMS + 1):
        term = term * rest // (n * _RAY)
        total += term
    return (total << doublings) // (_RAY // WAD)

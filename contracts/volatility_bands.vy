# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Bands and floors that follow volatility, within what the owner fixed
@custom:contract-name volatility_bands
@license MIT
@notice Glossary

            sigma    annualised volatility, WAD (10**18 = 100 % a year)
            horizon  the time the band should last, seconds
            k, z     how many standard deviations, in basis points (10_000 = 1)

        A k-sigma band trades about equally often in calm and in storm; a z-sigma floor leaves health the same odds of
        reaching 1 within the horizon. Neither ever leaves the two bounds the owner wrote.
Source: over a time T a log-price moves by sigma * sqrt(T) in standard deviation; T is in years of 365 days.
"""

from . import exponents


_WAD: constant(uint256) = 10**18
_BPS: constant(uint256) = 10**4
_YEAR: constant(uint256) = 365 * 86_400
# Ten thousand per cent a year; more is no measurement.
_MOST_SIGMA: constant(uint256) = 100 * 10**18


@internal
@pure
def _move(k_bps: uint256, sigma: uint256, horizon: uint256) -> uint256:
    """
    @dev k * sigma * sqrt(T) in WAD, rounded down; k below 2**32, horizon below 2**40.
    """
    root: uint256 = isqrt(horizon * _WAD * _WAD // _YEAR)
    return k_bps * (min(sigma, _MOST_SIGMA) * root // _WAD) // _BPS


@internal
@pure
def _band(k_bps: uint256, sigma: uint256, horizon: uint256, narrow_bps: uint256, wide_bps: uint256) -> uint256:
    """
    @dev A weight band in basis points.
    """
    return min(max(self._move(k_bps, sigma, horizon) // (_WAD // _BPS), narrow_bps), wide_bps)


@internal
@pure
def _floor_health(
    z_bps: uint256, sigma: uint256, horizon: uint256, low_bps: uint256, high_bps: uint256
) -> uint256:
    """
    @dev A health floor in basis points (10_000 = 1): exp(z * sigma * sqrt(T)), rounded up to be on the safe side.
    """
    move: uint256 = min(self._move(z_bps, sigma, horizon), 42 * _WAD)
    health: uint256 = exponents._exp(convert(move, int256))
    step: uint256 = _WAD // _BPS
    return min(max((health + step - 1) // step, low_bps), high_bps)

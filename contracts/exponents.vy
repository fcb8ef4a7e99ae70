# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Exponentials and logarithms, in fixed point
@custom:contract-name exponents
@license MIT
@notice Arguments and results are WAD (10**18 = 1); sums are carried with 27 decimals. Both are within 2 units of the
        last place of the true value, the exponential relative to itself once it is above 1.
Source: ln x = k ln 2 + 2 artanh((m - 1) / (m + 1)) with m within [1, 2); exp x = 2**k exp r with 0 <= r < ln 2.
"""


_WAD: constant(uint256) = 10**18
_RAY: constant(uint256) = 10**27
_LN_2: constant(uint256) = 693_147_180_559_945_309_417_232_121
# Beyond these exp is 0 in WAD, or more than anybody here asks for.
_LOWEST: constant(int256) = -42 * 10**18
_HIGHEST: constant(int256) = 42 * 10**18
# artanh z for z <= 1/3: each term is a ninth of the one before, so 28 reach past the 27th decimal.
_LOG_TERMS: constant(uint256) = 28
# exp r for r < ln 2: r**27 / 27! < 10**-32.
_EXP_TERMS: constant(uint256) = 27


@internal
@pure
def _ln(numerator: uint256, denominator: uint256) -> int256:
    """
    @dev The natural logarithm of a quotient of two numbers, each above 0 and below 2**128; it rounds towards 0.
    """
    if numerator < denominator:
        return -convert(self._ln_above_one(denominator, numerator), int256)
    return convert(self._ln_above_one(numerator, denominator), int256)


@internal
@pure
def _ln_above_one(numerator: uint256, denominator: uint256) -> uint256:
    halvings: uint256 = 0
    scaled: uint256 = denominator
    for _: uint256 in range(128):
        if numerator < 2 * scaled:
            break
        scaled *= 2
        halvings += 1
    z: uint256 = (numerator - scaled) * _RAY // (numerator + scaled)
    square: uint256 = z * z // _RAY
    power: uint256 = z
    total: uint256 = 0
    for n: uint256 in range(_LOG_TERMS):
        if power == 0:
            break
        total += power // (2 * n + 1)
        power = power * square // _RAY
    return (halvings * _LN_2 + 2 * total) // (_RAY // _WAD)


@internal
@pure
def _exp(x: int256) -> uint256:
    """
    @dev 0 below -42, the value at 42 above it; it rounds down.
    """
    if x < _LOWEST:
        return 0
    if x >= 0:
        return self._exp_ray(convert(min(x, _HIGHEST), uint256)) // (_RAY // _WAD)
    return _RAY * _WAD // self._exp_ray(convert(-x, uint256))


@internal
@pure
def _exp_ray(x: uint256) -> uint256:
    """
    @dev With 27 decimals, for x from 0 to 42 in WAD.
    """
    wide: uint256 = x * (_RAY // _WAD)
    doublings: uint256 = wide // _LN_2
    rest: uint256 = wide % _LN_2
    term: uint256 = _RAY
    total: uint256 = _RAY
    for n: uint256 in range(1, _EXP_TERMS + 1):
        term = term * rest // (n * _RAY)
        if term == 0:
            break
        total += term
    return total << doublings

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Products wider than a word
@custom:contract-name wide
@license MIT
@notice `a * b / d` with the product kept whole in 512 bits and the rounding in the name. A quotient that does
        not fit a word (division by zero included) comes out as the greatest word instead of reverting, because
        a view that must never fail stands on these: to its callers, "greatest" reads "out of reach".
"""

NEVER: constant(uint256) = max_value(uint256)


@internal
@pure
def _times(a: uint256, b: uint256) -> uint256:
    return self._mul_div_down(a, b, 1)


@internal
@pure
def _mul_div_down(a: uint256, b: uint256, d: uint256) -> uint256:
    low: uint256 = unsafe_mul(a, b)
    # Modulo 2**256 - 1 the two halves of the product add up, so the high half is what `low` leaves of it.
    folded: uint256 = uint256_mulmod(a, b, max_value(uint256))
    high: uint256 = unsafe_sub(unsafe_sub(folded, low), convert(folded < low, uint256))
    if high >= d:
        return NEVER
    if high == 0:
        return unsafe_div(low, d)
    # Less its remainder the product divides exactly, and exact division is multiplication by an inverse.
    rest: uint256 = uint256_mulmod(a, b, d)
    high = unsafe_sub(high, convert(rest > low, uint256))
    low = unsafe_sub(low, rest)
    twos: uint256 = d & unsafe_add(~d, 1)
    odd: uint256 = unsafe_div(d, twos)
    spread: uint256 = unsafe_add(unsafe_div(unsafe_sub(0, twos), twos), 1)
    low = unsafe_div(low, twos) | unsafe_mul(high, spread)
    # Newton's step doubles the bits of the inverse that are right: 4, 8, .. 256.
    inverse: uint256 = unsafe_mul(3, odd) ^ 2
    for _: uint256 in range(6):
        inverse = unsafe_mul(inverse, unsafe_sub(2, unsafe_mul(odd, inverse)))
    return unsafe_mul(low, inverse)


@internal
@pure
def _mul_div_up(a: uint256, b: uint256, d: uint256) -> uint256:
    quotient: uint256 = self._mul_div_down(a, b, d)
    if quotient == NEVER or uint256_mulmod(a, b, d) == 0:
        return quotient
    return unsafe_add(quotient, 1)

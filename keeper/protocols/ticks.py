"""Ticks: prices on a scale of 1.0001, a pool's spacing of them, and its mean over time.

Source: contracts/ticks.vy, which is v3-core's TickMath and Oracle, mirrored rounding by rounding.
"""

from __future__ import annotations

from typing import Final

MIN_TICK: Final = -887272
MAX_TICK: Final = 887272
_WORD: Final = 2**256 - 1
_FACTORS: Final = (
    340265354078544963557816517032075149313,
    340248342086729790484326174814286782778,
    340214320654664324051920982716015181260,
    340146287995602323631171512101879684304,
    340010263488231146823593991679159461444,
    339738377640345403697157401104375502016,
    339195258003219555707034227454543997025,
    338111622100601834656805679988414885971,
    335954724994790223023589805789778977700,
    331682121138379247127172139078559817300,
    323299236684853023288211250268160618739,
    307163716377032989948697243942600083929,
    277268403626896220162999269216087595045,
    225923453940442621947126027127485391333,
    149997214084966997727330242082538205943,
    66119101136024775622716233608466517926,
    12847376061809297530290974190478138313,
    485053260817066172746253684029974020,
    691415978906521570653435304214168,
    1404880482679654955896180642,
)
"""2**128 * 1.0001**(-2**i / 2), as the chain rounds them."""


def sqrt_price_at(tick: int) -> int:
    """The square root of the tick's price in Q64.96, to the bit as the pool has it; within MIN and MAX."""
    ratio = 1 << 128
    for place, factor in enumerate(_FACTORS):
        if abs(tick) >> place & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = _WORD // ratio
    return -(-ratio >> 32)


def tick_at(sqrt_price: int) -> int:
    """The highest tick whose price is not above this one, as the pool itself finds it; within MIN and MAX."""
    low, high = MIN_TICK, MAX_TICK
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sqrt_price_at(middle) <= sqrt_price else (low, middle - 1)
    return low


def tick_down(tick: int, spacing: int) -> int:
    """The multiple of the spacing at or below `tick`, or the lowest there is."""
    return max(tick - tick % spacing, -(MAX_TICK - MAX_TICK % spacing))


def tick_up(tick: int, spacing: int) -> int:
    """The multiple of the spacing at or above `tick`, or the highest there is."""
    return min(tick + -tick % spacing, MAX_TICK - MAX_TICK % spacing)


def mean_tick_down(earlier: int, later: int, seconds: int) -> int:
    """The mean tick between two of a pool's running sums, which may have run over in between."""
    travelled = (later - earlier) & 2**56 - 1
    return (travelled - (travelled >> 55 << 56)) // seconds

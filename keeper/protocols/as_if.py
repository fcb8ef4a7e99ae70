"""A rule's words as they would be if its position stood just beyond its trigger now.

The trigger is moved to the position, and the target in proportion; prices and pools stay what they are, and
so agree with each other. What only time decides (a cooldown, a hold) is left out, and judged by the time to the breach.

Source: contracts/loan_words.vy and basket_words.vy for the words; the Vyper compiler's storage layout for their places.
Assumes: `_words` in slot 1 of every thresholds contract, and loans' `_terms_words` in slot 3. Whoever asks reads the
words back in the same question, and believes nothing where they are not what was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from eth_utils.crypto import keccak

from keeper.domain.loan_band import Edges, cover_down, edge_down
from keeper.domain.rules import RuleKey
from keeper.domain.units import HEALTH_WAD_PER_BPS, WAD, mul_div_up

WORDS_SLOT: Final = 1
TERMS_SLOT: Final = 3
_24_BITS: Final = 2**24 - 1
_LEAST_COVER: Final = WAD + WAD // 1_000
_16_BITS: Final = 2**16 - 1
_HOLDS: Final = 8 << 92
_SINCE_BREACH: Final = 2**48 - 1
"""Of a loan's word D: the hold, and the highest floor."""
_COOLDOWN_AT: Final = 32
_BAND_AT, _WIDEST_AT = 64, 48

Slots = Mapping[int, int]
"""Storage by place."""


def place_of(key: RuleKey, slot: int) -> int:
    """Where what a contract keeps of one rule begins, of a mapping in `slot` from owners to rules."""
    inner = keccak(slot.to_bytes(32, "big") + bytes(12) + bytes.fromhex(key.owner[2:]))
    return int.from_bytes(keccak(inner + key.id.to_bytes(32, "big")), "big")


def loan_words(
    words: Sequence[int], terms: Sequence[int], edges: Edges, measure: int, is_low: bool, in_leverage: bool
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """A loan's three words and its terms' three, breached by a hair at `measure`, on the side of the floor or not.

    `edges` are the band as it stands, which no longer follows volatility.
    """
    a, b, c = words
    d, e, _ = terms
    edge = edges.floor if is_low else edges.ceiling
    moved = min(_beyond(measure, is_low, in_leverage), _24_BITS)
    now = edge_down(moved, in_leverage)
    aim = mul_div_up(edges.target, now, edge)
    # A leverage is above 1, and its cover finite.
    target = _bps_of(max(aim, _LEAST_COVER) if in_leverage else aim, in_leverage)
    # What is too high has a floor below it already.
    floor, ceiling = (moved, 0) if is_low else (a >> 72 & _24_BITS, moved)
    band = floor << 72 | min(target, _24_BITS) << 48 | ceiling << 24
    a = a >> 96 << 96 | band
    b = (b & ~_HOLDS) >> 40 << 40
    return (a, b, c), (d & ~_SINCE_BREACH, e, 0)


def basket_words(words: Sequence[int], asset: int, band_bps: int) -> tuple[int, ...]:
    """A basket's words, with another band for the asset in that place, which no longer follows volatility."""
    held = list(words)
    held[0] &= ~(_24_BITS << _COOLDOWN_AT)
    at = 3 + 2 * asset
    kept = held[at] & ~(_16_BITS << _BAND_AT | _16_BITS << _WIDEST_AT)
    held[at] = kept | band_bps << _BAND_AT | band_bps << _WIDEST_AT
    return tuple(held)


def array_slots(start: int, words: Sequence[int]) -> Slots:
    """A dynamic array's items in storage, which follow its length."""
    return {start + 1 + n: word for n, word in enumerate(words)}


def struct_slots(start: int, words: Sequence[int]) -> Slots:
    """A struct's words in storage."""
    return {start + n: word for n, word in enumerate(words)}


def _beyond(measure: int, is_low: bool, in_leverage: bool) -> int:
    """The edge in basis points that a measure is just outside."""
    if in_leverage:
        leverage = cover_down(measure) // HEALTH_WAD_PER_BPS
        if is_low:
            return leverage if edge_down(leverage, True) > measure else leverage - 1
        return leverage + 1
    return measure // HEALTH_WAD_PER_BPS + 1 if is_low else (measure - 1) // HEALTH_WAD_PER_BPS


def _bps_of(edge: int, in_leverage: bool) -> int:
    """An edge of the band in the unit it is written in."""
    return (cover_down(edge) if in_leverage else edge) // HEALTH_WAD_PER_BPS

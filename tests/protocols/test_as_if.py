"""A rule's words as if it were breached: only the trigger moves, to where the position is, and no further."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.loan_band import cover_down, edge_down, edges
from keeper.domain.loans import Band
from keeper.domain.rules import RuleKey
from keeper.domain.units import WAD, Address
from keeper.protocols import basket_thresholds, loan_thresholds
from keeper.protocols.as_if import WORDS_SLOT, array_slots, basket_words, loan_words, place_of, struct_slots

COLLATERAL, DEBT, KEEPER = (f"{n:040x}" for n in (0xC011A7, 0xDEB7, 0xCEE9E4))
OWNER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
PLAIN, IN_LEVERAGE, HAS_D, HAS_E, HOLDS = 0, 1, 2, 4, 8


def words(band: Band, flags: int) -> tuple[int, int, int]:
    """As contracts/loan_words.vy packs them, with a cooldown and a time of the last action."""
    return (
        int(COLLATERAL, 16) << 96
        | band.floor_bps << 72
        | band.target_bps << 48
        | band.ceiling_bps << 24
        | 3_600,
        int(DEBT, 16) << 96 | flags << 92 | 77 << 80 | 2_000_000_000 << 40 | 1_900_000_000,
        int(KEEPER, 16) << 96 | 5 * 10**9,
    )


@given(st.integers(10_100, 40_000), st.integers(100, 20_000), st.floats(1.0001, 1.1), st.booleans())
def test_a_loans_words__as_if_its_floor_were_where_it_is__say_a_breach_by_a_hair_and_else_the_same(
    floor: int, gap: int, by: float, in_leverage: bool
) -> None:
    band = Band(floor + gap, floor, 0) if in_leverage else Band(floor, floor + gap, 0)
    held = words(band, (IN_LEVERAGE if in_leverage else PLAIN) | HAS_D | HOLDS)
    terms = (7 << 160 | 300 << 24 | 0, 0, 0)
    rule, _ = loan_thresholds.unpack_rule(*held, *terms)
    assert rule is not None
    measure = int(edges(rule).floor * by)
    if in_leverage and cover_down(measure) < WAD + WAD // 1_000:
        return
    so, more = loan_words(held, terms, edges(rule), measure, True, in_leverage)
    breached, last_acted = loan_thresholds.unpack_rule(*so, *more)
    assert breached is not None
    now = edges(breached)
    assert measure < now.floor <= now.target
    hair = edge_down(cover_down(measure) // 10**14 - 1, True) if in_leverage else measure + 10**14
    assert now.floor <= hair
    assert (last_acted, breached.limits.cooldown, breached.terms.hold) == (0, 0, 0)
    assert breached.terms == replace(rule.terms, hold=0)
    assert breached.limits == replace(rule.limits, cooldown=0)
    assert (breached.collateral, breached.debt) == (rule.collateral, rule.debt)


def test_a_loans_words__as_if_its_ceiling_were_where_it_is__are_breached_on_that_side() -> None:
    band = Band(14_000, 16_600, 20_000)
    held, terms = words(band, HAS_D), (10**9 << 160, 0, 0)
    rule, _ = loan_thresholds.unpack_rule(*held, *terms)
    assert rule is not None
    measure = 195 * WAD // 100
    so, more = loan_words(held, terms, edges(rule), measure, False, False)
    breached, _ = loan_thresholds.unpack_rule(*so, *more)
    assert breached is not None
    now = edges(breached)
    assert now.floor < now.target < now.ceiling < measure
    assert measure - now.ceiling <= 10**14


@given(st.integers(10_400, 150_000), st.integers(10_200, 40_000), st.floats(0.5, 0.9999))
def test_a_leverages_words__as_if_its_ceiling_were_where_it_is__fit_their_places_however_far_that_is(
    target: int, ceiling: int, by: float
) -> None:
    """The cover of a high leverage is hardly above 1, and what is proportionally lower would be none."""
    band = Band(target * 2, target, min(ceiling, target - 100))
    held, terms = words(band, IN_LEVERAGE | HAS_D), (10**9 << 160, 0, 0)
    rule, _ = loan_thresholds.unpack_rule(*held, *terms)
    assert rule is not None
    measure = max(int(edges(rule).ceiling * by), edges(rule).floor + 10**15)
    so, more = loan_words(held, terms, edges(rule), measure, False, True)
    breached, _ = loan_thresholds.unpack_rule(*so, *more)
    assert breached is not None
    assert breached.terms == rule.terms
    assert edges(breached).ceiling < measure
    assert breached.band.target_bps > 10_000
    assert breached.band.floor_bps == band.floor_bps


def test_a_loans_words__of_a_floor_that_follows_volatility__follow_it_no_more() -> None:
    held = words(Band(14_000, 17_000, 0), HAS_D | HAS_E)
    terms = (16_000, 9 << 192 | 86_400 << 168, int(KEEPER, 16) << 96 | 20_000 << 72 | 604_800 << 40)
    rule, _ = loan_thresholds.unpack_rule(*held, *terms)
    assert rule is not None
    assert edges(rule).floor == 16 * WAD // 10
    so, more = loan_words(held, terms, edges(rule), 163 * WAD // 100, True, False)
    breached, _ = loan_thresholds.unpack_rule(*so, *more)
    assert breached is not None
    assert breached.band == Band(16_301, 19_794, 0)
    assert (breached.terms.highest_bps, breached.terms.budget) == (0, 9)


def test_a_baskets_words__with_another_band_for_one_asset__differ_in_that_and_in_the_cooldown() -> None:
    a = int(KEEPER, 16) << 96 | 2_000_000_000 << 56 | 3_600 << 32 | 5
    c = 100 << 224 | 2 << 216 | 5_000 << 192 | 10_000 << 176
    assets = [
        int(DEBT, 16) << 96 | 5_000 << 80 | 500 << 64 | 900 << 48 | 7,
        int(KEEPER, 16) << 96 | 86_400 << 72,
    ] * 2
    held = [a, 9 << 192, c, *assets]
    before, _, _ = basket_thresholds.unpack_rule(held)
    after, _, _ = basket_thresholds.unpack_rule(basket_words(held, 1, 321))
    assert before is not None
    assert after is not None
    one, two = before.assets
    assert after.assets == (one, replace(two, band_bps=321, widest_bps=321))
    assert after.limits == replace(before.limits, cooldown=0)
    assert replace(after, assets=before.assets, limits=before.limits) == before


def test_places__of_two_rules__are_apart_and_items_follow_one_another() -> None:
    first, second = (place_of(RuleKey(OWNER, OWNER, n), WORDS_SLOT) for n in (0, 1))
    assert abs(first - second) > 2**64
    assert struct_slots(first, (1, 2)) == {first: 1, first + 1: 2}
    assert array_slots(first, (1, 2)) == {first + 1: 1, first + 2: 2}

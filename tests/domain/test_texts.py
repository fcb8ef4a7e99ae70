"""Numbers as people are shown them: exact, and rounded towards the lower where digits are cut."""

from __future__ import annotations

import pytest

from keeper.domain.loans import health_measure
from keeper.domain.plans import Asset, Move
from keeper.domain.texts import date_text, span_text
from keeper.domain.units import NO_DEBT, NOBODY, decimal_text
from keeper.domain.verdicts import Measure


@pytest.mark.parametrize(
    ("value", "decimals", "shown", "text"),
    [
        (1_377_099_999_999_999_999, 18, 4, "1.3770"),
        (-1, 18, 4, "-0.0001"),
        (-15_000, 4, 4, "-1.5000"),
        (7, 0, 4, "7"),
        (123, 2, 4, "1.23"),
        (5, 1, 0, "0"),
        (1_234_567_890, 6, None, "1,234.56789"),
        (10**6, 6, None, "1"),
        (-1, 6, None, "-0.000001"),
        (12, 0, None, "12"),
    ],
)
def test_decimal_text__whole_and_cut__reads_as_people_write(
    value: int, decimals: int, shown: int | None, text: str
) -> None:
    assert decimal_text(value, decimals, shown) == text


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        (health_measure(13 * 10**17), "health 1.3000"),
        (health_measure(NO_DEBT), "health ∞"),
        (health_measure(None), "health unknown"),
        (Measure("ticks outside", -120, 0), "ticks outside -120"),
    ],
)
def test_a_measure__in_a_line__names_itself(measure: Measure, text: str) -> None:
    assert str(measure) == text


def test_a_move__in_a_line__says_every_digit_and_the_symbol() -> None:
    assert Move("repay", Asset(NOBODY, "USDC", 6), 1_234_567_891).text == "repay 1,234.567891 USDC"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (300, "5 minutes"),
        (3_600, "1 hour"),
        (5_400, "90 minutes"),
        (86_400, "1 day"),
        (129_600, "36 hours"),
        (31_536_000, "365 days"),
    ],
)
def test_span_text__of_any_length__is_in_the_largest_unit_that_fits_twice(seconds: int, text: str) -> None:
    assert span_text(seconds) == text


def test_date_text__of_a_moment__is_a_date_and_beyond_all_calendars_never() -> None:
    assert date_text(1_826_875_014) == "2027-11-22 09:16 UTC"
    assert date_text(2**64) == "never"

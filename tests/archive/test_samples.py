"""Bars of prices that came at moments: golden ones, and what must hold of all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.archive.samples import Samples, bars_of
from keeper.domain.errors import Misconfigured

BAR = 100


def samples(*rows: tuple[int, float]) -> Samples:
    moments, prices = zip(*rows, strict=True)
    volume = np.arange(1.0, len(rows) + 1)
    return Samples(np.array(moments), np.array(prices, dtype=float), volume, 10 * volume)


GIVEN = samples(
    (950, 7.0), (1_000, 5.0), (1_050, 9.0), (1_150, 4.0), (1_180, 6.0), (1_420, 8.0), (1_499, 3.0)
)


def test_a_bar__opens_at_what_stood_and_knows_what_came_within_it() -> None:
    bars = bars_of("it", GIVEN, BAR, until=1_500)
    assert bars.time.tolist() == [1_000, 1_100, 1_400], "none for 900, which began before the first price"
    assert bars.open.tolist() == [5.0, 9.0, 6.0]
    assert bars.high.tolist() == [9.0, 9.0, 8.0]
    assert bars.low.tolist() == [5.0, 4.0, 3.0]
    assert bars.close.tolist() == [9.0, 6.0, 3.0]
    assert bars.volume is not None
    assert bars.liquidity is not None
    assert bars.volume.tolist() == [5.0, 9.0, 13.0]
    assert bars.liquidity.tolist() == [30.0, 50.0, 70.0]
    assert bars.notes == ()


def test_a_bar_without_news__asked_for_as_standing__is_the_price_that_stood_and_said_so() -> None:
    bars = bars_of("it", GIVEN, BAR, until=1_500, standing=True)
    assert bars.time.tolist() == [1_000, 1_100, 1_200, 1_300, 1_400]
    for quiet in (2, 3):
        assert {bars.open[quiet], bars.high[quiet], bars.low[quiet], bars.close[quiet]} == {6.0}
    assert bars.volume is not None
    assert bars.volume[2] == 0.0
    assert bars.notes == ("in 2 bars nothing happened: they are the price that stood",)


def test_a_bar__that_has_not_ended__is_left_out() -> None:
    assert bars_of("it", GIVEN, BAR, until=1_499).time.tolist() == [1_000, 1_100]


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        (samples((1_000, 5.0), (1_010, 6.0)), "data: it makes 1 whole bars of 100 s, and a history needs 2"),
        (samples((1_000, 5.0), (900, 6.0)), "data: it tells a price of 900 after one of 1000"),
        (Samples(np.array([]), np.array([])), "data: it has 0 prices to make bars of 100 s of"),
    ],
)
def test_prices__that_make_no_history__are_one_sentence(given_: Samples, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence):
        bars_of("it", given_, BAR, until=1_100)


moments_and_prices = st.lists(
    st.tuples(st.integers(1, 3_000), st.floats(1.0, 1e6)), min_size=1, max_size=40
).map(sorted)


@given(rows=moments_and_prices, later=st.lists(st.floats(1.0, 1e6), max_size=5))
def test_bars__whatever_comes_after_them__stay_as_they_were(
    rows: list[tuple[int, float]], later: list[float]
) -> None:
    try:
        bars = bars_of("it", samples(*rows), BAR, until=3_000)
    except Misconfigured:
        return
    more = [*rows, *((3_000 + n, price) for n, price in enumerate(later))]
    again = bars_of("it", samples(*more), BAR, until=3_000)
    for field in ("time", "open", "high", "low", "close"):
        assert getattr(again, field).tolist() == getattr(bars, field).tolist()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    prices = {price for _, price in rows}
    assert prices.issuperset(
        {*bars.open.tolist(), *bars.high.tolist(), *bars.low.tolist(), *bars.close.tolist()}
    )

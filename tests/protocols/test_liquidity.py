"""Swaps in one liquidity, and the one liquidity that several ticks amount to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.protocols.liquidity import Venue, sell, venue_of_swaps
from keeper.protocols.ticks import sqrt_price_at


@given(
    tick=st.integers(-200_000, 200_000),
    liquidity=st.integers(10**18, 10**26),
    sells_token0=st.booleans(),
    share=st.integers(50, 10_000),
    fee=st.sampled_from([100, 500, 3_000]),
)
def test_venue_of_swaps__in_one_liquidity__is_that_liquidity(
    tick: int, liquidity: int, sells_token0: bool, share: int, fee: int
) -> None:
    venue = Venue(sqrt_price_at(tick), liquidity, fee)
    reserve = (liquidity << 96) // venue.price if sells_token0 else liquidity * venue.price >> 96
    sold = reserve // share
    more = sold + sold // 256 + 1
    first, second = sell(sells_token0, sold, venue), sell(sells_token0, more, venue)
    assert first is not None
    assert second is not None
    if min(sold, first[0], second[0] - first[0]) < 10**8:
        return  # too few units for a price
    found = venue_of_swaps(sells_token0, (sold, first[0]), (more, second[0]), fee)
    assert found is not None
    again = sell(sells_token0, sold, found)
    assert again is not None
    assert abs(again[0] - first[0]) * 10**6 <= first[0]
    # The end of the little more is where the price is told, half of it beyond the end.
    assert abs(again[1] - first[1]) * 20 <= abs(venue.price - first[1])


def test_venue_of_swaps__that_tell_no_price__is_none() -> None:
    assert venue_of_swaps(True, (100, 5), (101, 5), 500) is None
    assert venue_of_swaps(True, (0, 0), (1, 0), 500) is None

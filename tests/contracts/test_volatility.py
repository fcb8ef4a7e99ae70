"""Volatility measured on chain: beside Python's own mathematics, and against those who would have it otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log, sqrt
from random import Random
from typing import Any

import boa
import pytest
from boa.interpret import set_search_paths
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.volatility import MOST_AGE, floor_up
from tests.contracts.loan_stage import CONTRACTS, NOW

STRANGER = "0x" + "22" * 20
NOBODY = "0x" + "00" * 20
WAD = 10**18
DOLLAR = 10**8
HOUR = 3_600
DAY = 24 * HOUR
YEAR = 365 * DAY
HALF_LIFE = 7 * DAY

HARNESS = """
# pragma version ==0.4.3
# pragma evm-version cancun
from contracts import exponents
from contracts import volatility_bands

@external
@pure
def ln(a: uint256, b: uint256) -> int256:
    return exponents._ln(a, b)

@external
@pure
def exp(x: int256) -> uint256:
    return exponents._exp(x)

@external
@pure
def move(k: uint256, sigma: uint256, horizon: uint256) -> uint256:
    return volatility_bands._move(k, sigma, horizon)

@external
@pure
def band(k: uint256, sigma: uint256, horizon: uint256, narrow: uint256, wide: uint256) -> uint256:
    return volatility_bands._band(k, sigma, horizon, narrow, wide)

@external
@pure
def floor_health(z: uint256, sigma: uint256, horizon: uint256, low: uint256, high: uint256) -> uint256:
    return volatility_bands._floor_health(z, sigma, horizon, low, high)
"""


@pytest.fixture(scope="module")
def sums() -> Iterator[Any]:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        yield boa.loads(HARNESS)


@pytest.fixture(scope="module")
def deployed() -> Iterator[tuple[Any, Any]]:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        boa.env.timestamp = NOW
        volatility = boa.load(str(CONTRACTS / "Volatility.vy"), HALF_LIFE, HOUR)
        yield volatility, boa.load(str(CONTRACTS / "Feed.vy"), "ETH / USD", 8, 2_500 * DOLLAR)


@pytest.fixture
def volatility(deployed: tuple[Any, Any]) -> Iterator[Any]:
    with boa.env.anchor():
        yield deployed[0]


@pytest.fixture
def feed(deployed: tuple[Any, Any]) -> Any:
    return deployed[1]


def lived(volatility: Any, feed: Any, prices: list[float], pause: int = HOUR) -> None:
    """Each price stands for `pause` seconds and is poked once."""
    for price in prices:
        boa.env.timestamp += pause
        feed.set(int(price * DOLLAR))
        volatility.poke(feed.address)


def expected(prices: list[float], times: list[int], half_life: int = HALF_LIFE) -> float:
    """The annualised volatility by the documentation's own recursion, in floating point."""
    rate, gathered = 0.0, 0
    for n in range(1, len(prices)):
        elapsed = times[n] - times[n - 1]
        kept = 2 ** (-elapsed / half_life)
        step = max(min(log(prices[n] / prices[n - 1]), 0.5), -0.5)
        rate = rate * kept + (1 - kept) * step**2 / elapsed
        gathered += elapsed
    return sqrt(rate / (1 - 2 ** (-gathered / half_life)) * YEAR) if gathered else 0.0


# The mathematics


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 2**127), st.integers(1, 2**127))
def test_ln__any_quotient__is_within_two_units_of_the_last_place(sums: Any, a: int, b: int) -> None:
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 60
        exact = (Decimal(a) / Decimal(b)).ln() * WAD
        assert abs(Decimal(sums.ln(a, b)) - exact) <= 2


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**12), st.integers(-(10**6), 10**6))
def test_ln__prices_close_together__keep_their_digits(sums: Any, a: int, by: int) -> None:
    b = max(a * 1_000_000 + by * a // 10**6, 1)
    assert sums.ln(b, a * 1_000_000) == pytest.approx(log(b / (a * 1_000_000)) * WAD, rel=1e-9, abs=400)


@settings(max_examples=80, deadline=None)
@given(st.integers(-43 * WAD, 42 * WAD))
def test_exp__any_argument__is_within_two_units_of_the_last_place(sums: Any, x: int) -> None:
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 60
        exact = (Decimal(x) / WAD).exp()
        assert abs(Decimal(sums.exp(x)) / WAD - exact) <= 2 * max(exact, 1) / WAD


@pytest.mark.parametrize(("x", "wanted"), [(0, WAD), (-(2**255), 0), (-42 * WAD - 1, 0)])
def test_exp__at_its_ends__is_exact(sums: Any, x: int, wanted: int) -> None:
    assert sums.exp(x) == wanted
    assert sums.exp(2**255 - 1) == sums.exp(42 * WAD)


# Bands and floors


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 50_000), st.integers(0, 5 * WAD), st.integers(1, YEAR))
def test_move__any_rule__is_k_sigma_root_t(sums: Any, k: int, sigma: int, horizon: int) -> None:
    wanted = k / 10_000 * sigma / WAD * sqrt(horizon / YEAR)
    assert sums.move(k, sigma, horizon) / WAD == pytest.approx(wanted, rel=1e-12, abs=1e-13)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**40 - 1),
    st.integers(1, 9_000),
    st.integers(0, 1_000),
)
def test_bands__any_sigma_at_all__stay_within_the_owners_bounds(
    sums: Any, k: int, sigma: int, horizon: int, narrow: int, more: int
) -> None:
    assert narrow <= sums.band(k, sigma, horizon, narrow, narrow + more) <= narrow + more
    low = 10_000 + narrow
    assert low <= sums.floor_health(k, sigma, horizon, low, low + more) <= low + more


def test_band__twice_the_volatility__is_twice_as_wide(sums: Any) -> None:
    # Formula 1.7: a twelfth of a year at 80 % and k = 1/4 is a band of 5.77 %.
    assert sums.band(2_500, 8 * WAD // 10, YEAR // 12, 1, 10_000) == 577
    assert sums.band(2_500, 4 * WAD // 10, YEAR // 12, 1, 10_000) == 288


@pytest.mark.parametrize(("z", "wanted"), [(19_600, 15_676), (25_758, 18_054)])
def test_floor__eighty_percent_over_thirty_days__is_the_published_health(
    sums: Any, z: int, wanted: int
) -> None:
    assert sums.floor_health(z, 8 * WAD // 10, 30 * DAY, 10_001, 100_000) == pytest.approx(wanted, abs=2)


# What is measured


PAUSES = st.lists(
    st.tuples(st.integers(HOUR, 2 * DAY), st.floats(-0.7, 0.7, allow_nan=False)), min_size=1, max_size=12
)


@settings(max_examples=12, deadline=None)
@given(PAUSES)
def test_sigma__any_history__is_what_floating_point_says(
    deployed: tuple[Any, Any], story: list[tuple[int, float]]
) -> None:
    volatility, feed = deployed
    with boa.env.anchor():
        prices, times = [2_500.0], [NOW]
        volatility.poke(feed.address)
        for pause, step in story:
            boa.env.timestamp += pause
            answer = max(int(prices[-1] * exp(step) * DOLLAR), DOLLAR)
            feed.set(answer)
            assert volatility.poke(feed.address)
            prices.append(answer / DOLLAR)
            times.append(boa.env.timestamp)
        measured = volatility.get_logs()[-1].sigma
        assert measured / WAD == pytest.approx(expected(prices, times), rel=1e-6, abs=1e-6)
        seasoned = times[-1] - NOW >= HALF_LIFE
        assert volatility.sigma(feed.address) == (measured if seasoned else 0)
        assert volatility.memory_of(feed.address)[1:] == (answer, times[-1], times[-1] - NOW)


@pytest.mark.parametrize("step", [0.0001, 0.01])
def test_sigma__steady_returns__settles_on_their_volatility(volatility: Any, feed: Any, step: float) -> None:
    volatility.poke(feed.address)
    lived(volatility, feed, [2_500 * exp(step * (n % 2)) for n in range(1, 29)], 6 * HOUR)
    assert volatility.sigma(feed.address) / WAD == pytest.approx(step * sqrt(365 * 4), rel=1e-3)


def test_sigma__storm_then_calm__half_of_its_square_is_forgotten_in_a_half_life(
    volatility: Any, feed: Any
) -> None:
    volatility.poke(feed.address)
    lived(volatility, feed, [2_500 * exp(0.02 * (n % 2)) for n in range(1, 22)], DAY)
    full = 1 - 2**-3
    stormy = volatility.sigma(feed.address)
    lived(volatility, feed, [2_500 * exp(0.02)] * 7, DAY)
    later = 1 - 2**-4
    forgotten = (volatility.sigma(feed.address) / stormy) ** 2 * later / full
    assert forgotten == pytest.approx(0.5, rel=1e-3)


# Those who would have it otherwise: V1 to V5 of the interface


def test_floor_health__of_what_was_measured__is_the_keepers_to_the_digit_and_none_while_too_little_or_too_old(
    volatility: Any, feed: Any
) -> None:
    asked = (feed.address, 20_000, 7 * 86_400)
    assert volatility.floor_health(*asked) == 0
    boa.env.timestamp += HOUR
    volatility.poke(feed.address)
    for n in range(HALF_LIFE // (12 * HOUR)):
        assert volatility.floor_health(*asked) == 0
        lived(volatility, feed, [2_500 * (1.03 if n % 2 else 1.0) + n], 12 * HOUR)
    sigma = volatility.sigma(feed.address)
    assert sigma > 0
    wanted = floor_up(20_000, sigma, 7 * 86_400, 0, 2**256 - 1)
    assert volatility.floor_health(*asked) == wanted > 10_000
    boa.env.timestamp += volatility.MAX_AGE()
    assert volatility.floor_health(*asked) == wanted
    boa.env.timestamp += 1
    assert volatility.floor_health(*asked) == 0
    assert volatility.MAX_AGE() == MOST_AGE


def test_floor_health__of_a_feed_that_never_moved__is_none(volatility: Any, feed: Any) -> None:
    lived(volatility, feed, [2_500.0] * (HALF_LIFE // HOUR + 2))
    assert volatility.memory_of(feed.address).gathered >= HALF_LIFE
    assert volatility.floor_health(feed.address, 20_000, 86_400) == 0


def test_v1__stranger_pokes_at_every_moment__measures_what_one_poke_an_hour_does(
    volatility: Any, feed: Any
) -> None:
    story = [2_500 * exp(0.01 * (n % 3 - 1)) for n in range(24)]
    with boa.env.anchor():
        volatility.poke(feed.address)
        lived(volatility, feed, story)
        honest = volatility.memory_of(feed.address)
    volatility.poke(feed.address)
    with boa.env.prank(STRANGER):
        for n, price in enumerate(story):
            # The same round again, and a newer one within the hour: neither counts.
            boa.env.timestamp += HOUR - 1
            assert not volatility.poke(feed.address)
            if n % 6 == 0:
                with boa.env.anchor():
                    memory = volatility.memory_of(feed.address)
                    with boa.env.prank(feed.OWNER()):
                        feed.set(9_999 * DOLLAR)
                    assert not volatility.poke(feed.address)
                    assert volatility.memory_of(feed.address) == memory
            boa.env.timestamp += 1
            with boa.env.prank(feed.OWNER()):
                feed.set(int(price * DOLLAR))
            assert volatility.poke(feed.address)
    assert volatility.memory_of(feed.address) == honest


def test_v1__stranger_holds_a_round_back__it_counts_with_its_own_time(volatility: Any, feed: Any) -> None:
    volatility.poke(feed.address)
    boa.env.timestamp += HOUR
    feed.set(2_600 * DOLLAR)
    with boa.env.anchor():
        volatility.poke(feed.address)
        prompt = volatility.memory_of(feed.address)
    boa.env.timestamp += 3 * DAY
    volatility.poke(feed.address)
    assert volatility.memory_of(feed.address) == prompt


@pytest.mark.parametrize(
    ("answer", "ahead", "why"),
    [
        (0, 0, "oracle: a price is not positive"),
        (-1, 0, "oracle: a price is not positive"),
        (2**88, 0, "oracle: a price is out of its bounds"),
        (2_500 * DOLLAR, 1, "oracle: a price has no believable time"),
        (2_500 * DOLLAR, -(NOW + HOUR), "oracle: a price has no believable time"),
    ],
)
def test_v2__feed_says_something_odd__is_refused_and_changes_nothing(
    volatility: Any, feed: Any, answer: int, ahead: int, why: str
) -> None:
    volatility.poke(feed.address)
    memory = volatility.memory_of(feed.address)
    boa.env.timestamp += HOUR
    feed.set_at(answer, boa.env.timestamp + ahead)
    with boa.reverts(why):
        volatility.poke(feed.address)
    assert volatility.memory_of(feed.address) == memory


@pytest.mark.parametrize("who", [NOBODY, STRANGER])
def test_v2__no_feed_at_all__is_refused(volatility: Any, who: str) -> None:
    with boa.reverts("oracle: a feed does not answer"):
        volatility.poke(who)
    assert volatility.sigma(who) == 0
    assert volatility.age(who) == 2**256 - 1


def test_v3__feed_is_wrong_by_a_thousand_once__is_remembered_as_two_bad_hours(
    volatility: Any, feed: Any
) -> None:
    volatility.poke(feed.address)
    lived(volatility, feed, [2_500 * exp(0.01 * (n % 2)) for n in range(1, 36)], 12 * HOUR)
    calm = volatility.sigma(feed.address) / WAD
    lived(volatility, feed, [2_500_000.0, 2_500.0])
    weight = (1 - 2 ** (-HOUR / HALF_LIFE)) / (1 - 2 ** (-35 * 12 * HOUR / HALF_LIFE))
    most = calm**2 + 2 * weight * 0.5**2 / HOUR * YEAR
    assert calm**2 < (volatility.sigma(feed.address) / WAD) ** 2 <= most * 1.001


def test_v4__stranger_pokes_a_feed_of_its_own__measures_nobody_elses(volatility: Any, feed: Any) -> None:
    volatility.poke(feed.address)
    memory = volatility.memory_of(feed.address)
    with boa.env.prank(STRANGER):
        false = boa.load(str(CONTRACTS / "Feed.vy"), "ETH / USD", 8, 1)
        volatility.poke(false.address)
        lived(volatility, false, [1.0, 1_000.0] * 3)
    assert volatility.memory_of(feed.address) == memory
    assert volatility.age(feed.address) == 6 * HOUR


def test_v5__the_whole_of_the_contract__has_one_door(volatility: Any) -> None:
    changing = {
        entry["name"]
        for entry in volatility.abi
        if entry["type"] == "function" and entry["stateMutability"] not in {"view", "pure"}
    }
    assert changing == {"poke"}


@pytest.mark.parametrize(
    ("half_life", "interval", "why"),
    [
        (DAY, 59, "volatility: min interval is below a minute"),
        (HOUR, HOUR + 1, "volatility: half-life is below the min interval"),
        (YEAR + 1, HOUR, "volatility: half-life is above a year"),
    ],
)
def test_volatility__deployed_to_measure_nothing__is_refused(half_life: int, interval: int, why: str) -> None:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.reverts(why):
        boa.load(str(CONTRACTS / "Volatility.vy"), half_life, interval)


# Who chooses when to poke


def shown(patience: int, wants: float) -> tuple[float, list[float]]:
    """The mean of all that was counted of a price whose hourly returns are one, and sigma hour by hour, sorted.

    One alone pokes, hourly at most, as soon as what would be counted is below `wants`, or `patience` hours have gone.
    """
    hours, half_life, chance = 40_000, HALF_LIFE // HOUR, Random(7)
    variance, gone, waited, squares = 1.0, 0.0, 0, 0.0
    seen = []
    for _ in range(hours):
        gone += chance.gauss(0, 1)
        waited += 1
        if waited == patience or gone * gone / waited < wants:
            kept = 2 ** (-waited / half_life)
            variance = kept * variance + (1 - kept) * gone * gone / waited
            squares += gone * gone
            gone, waited = 0.0, 0
        seen.append(sqrt(variance))
    return sqrt(squares / hours), sorted(seen)


@pytest.mark.parametrize(
    ("patience", "whole", "low", "middle", "high"),
    [(1, 1.0, 0.95, 1.0, 1.06), (24, 0.99, 0.65, 0.96, 1.30), (72, 0.93, 0.42, 0.84, 1.41)],
    ids=["hourly", "a-day", "three-days"],
)
def test_sigma__whoever_pokes_waits_for_what_is_small__is_off_by_as_much_as_the_interface_says(
    patience: int, whole: float, low: float, middle: float, high: float
) -> None:
    mean, seen = shown(patience, 0.1)
    found = (seen[len(seen) // 20], seen[len(seen) // 2], seen[-len(seen) // 20])
    assert mean == pytest.approx(whole, abs=0.01)
    assert found == pytest.approx((low, middle, high), abs=0.01)
    page = (CONTRACTS / "interfaces" / "IVolatility.vyi").read_text(encoding="utf-8")
    if patience > 1:
        assert f"{low:.2f} and {high:.2f}" in page
        assert f"about {middle:.2f}" in page

"""A price is believed while it makes sense, and the reason is told when it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest
from boa.interpret import set_search_paths
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.loan_stage import CONTRACTS, NOW

OWNER = "0x" + "11" * 20
NOBODY = "0x" + "00" * 20
WAD = 10**18
DOLLAR = 10**8
HOUR = 3_600
BOUNDS = (100 * WAD, 100_000 * WAD)

HARNESS = """
# pragma version ==0.4.3
# pragma evm-version cancun
from contracts import prices

initializes: prices
exports: prices.SEQUENCER

@deploy
def __init__(sequencer: address):
    prices.__init__(sequencer)

@external
@view
def price(source: prices.Source) -> uint256:
    return prices._price(source)

@external
@view
def try_price(source: prices.Source) -> (uint256, String[64]):
    return prices._try_price(source)

@external
@view
def require_sequencer():
    prices._require_sequencer()

@external
@view
def try_sequencer() -> String[64]:
    return prices._try_sequencer()
"""

# A feed that may say anything, with any decimals, in more words or fewer.
FEED = """
# pragma version ==0.4.3
# pragma evm-version cancun
decimals: public(uint256)
answer: public(int256)
updated_at: public(uint256)
words: public(uint256)

@external
def set(decimals: uint256, answer: int256, updated_at: uint256, words: uint256):
    self.decimals = decimals
    self.answer = answer
    self.updated_at = updated_at
    self.words = words

@external
@view
@raw_return
def latestRoundData() -> Bytes[192]:
    assert self.words != 0, "no"
    round: uint256 = self.words
    whole: Bytes[192] = abi_encode(round, self.answer, self.updated_at, self.updated_at, round, round)
    return slice(whole, 0, 32 * self.words)
"""

STARTED = """
# pragma version ==0.4.3
# pragma evm-version cancun
answer: public(int256)
started_at: public(uint256)

@external
def set(answer: int256, started_at: uint256):
    self.answer = answer
    self.started_at = started_at

@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    return 1, self.answer, self.started_at, block.timestamp, 1
"""


@pytest.fixture(scope="module")
def prices() -> Iterator[Any]:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        boa.env.timestamp = NOW
        yield boa.loads(HARNESS, NOBODY)


@pytest.fixture(scope="module")
def teller(prices: Any) -> Any:
    return boa.loads(FEED)


@pytest.fixture
def sequencer(prices: Any) -> Iterator[tuple[Any, Any]]:
    """The uptime feed and prices that mind it."""
    with boa.env.anchor():
        uptime = boa.loads(STARTED)
        yield uptime, boa.loads(HARNESS, uptime.address)


def told(teller: Any, answer: int, decimals: int = 8, ago: int = 0, words: int = 5) -> str:
    """The feed, which now says this."""
    teller.set(decimals, answer, NOW - ago, words)
    return str(teller.address)


def both(prices: Any, source: tuple[Any, ...]) -> tuple[int, str]:
    """What the answering twin says, after the reverting one was heard to say the same."""
    price, why = prices.try_price(source)
    if why:
        assert price == 0
        with boa.reverts(why):
            prices.price(source)
    else:
        assert prices.price(source) == price > 0
    return price, why


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2**100), st.integers(0, 36))
def test_price__any_decimals__is_told_in_wad_rounded_down(
    prices: Any, teller: Any, answer: int, decimals: int
) -> None:
    source = (told(teller, answer, decimals), HOUR, 0, 2**256 - 1)
    wanted = answer * WAD // 10**decimals
    assert both(prices, source) == ((wanted, "") if wanted else (0, "oracle: a price is out of its bounds"))


@pytest.mark.parametrize(
    ("answer", "ago", "why"),
    [
        (2_500 * DOLLAR, HOUR, ""),
        (2_500 * DOLLAR, HOUR + 1, "oracle: a price is too old"),
        (2_500 * DOLLAR, -1, "oracle: a price has no believable time"),
        (2_500 * DOLLAR, NOW, "oracle: a price has no believable time"),
        (0, 0, "oracle: a price is not positive"),
        (-1, 0, "oracle: a price is not positive"),
        (-(2**255), 0, "oracle: a price is not positive"),
        (2**255 - 1, 0, "oracle: a price is out of its bounds"),
        (2_500_000 * DOLLAR, 0, "oracle: a price is out of its bounds"),
        (100 * DOLLAR, 0, ""),
        (100 * DOLLAR - 1, 0, "oracle: a price is out of its bounds"),
        (100_000 * DOLLAR, 0, ""),
        (100_000 * DOLLAR + 1, 0, "oracle: a price is out of its bounds"),
    ],
)
def test_price__feed_says_something_odd__is_refused_with_the_reason(
    prices: Any, teller: Any, answer: int, ago: int, why: str
) -> None:
    found = both(prices, (told(teller, answer, ago=ago), HOUR, *BOUNDS))
    assert found == (0 if why else answer * 10**10, why)


@pytest.mark.parametrize("who", [NOBODY, OWNER, "token"])
def test_price__there_is_no_feed__is_refused_with_the_reason(prices: Any, who: str) -> None:
    with boa.env.anchor():
        if who == "token":
            who = boa.load(str(CONTRACTS / "mocks" / "mute_token_mock.vy"), 18).address
        assert both(prices, (who, HOUR, *BOUNDS)) == (0, "oracle: a feed does not answer")


@pytest.mark.parametrize("words", [0, 1, 4, 6])
def test_price__feed_reverts_or_says_too_little_or_much__is_refused_with_the_reason(
    prices: Any, teller: Any, words: int
) -> None:
    source = (told(teller, 2_500 * DOLLAR, words=words), HOUR, *BOUNDS)
    assert both(prices, source) == (0, "oracle: a feed does not answer")


@pytest.mark.parametrize("decimals", [37, 77, 2**256 - 1])
def test_price__decimals_are_absurd__is_refused_with_the_reason(
    prices: Any, teller: Any, decimals: int
) -> None:
    source = (told(teller, 10**38, decimals), HOUR, 0, 2**256 - 1)
    assert both(prices, source) == (0, "oracle: a feed tells no usable decimals")


def test_price__development_feed__is_believed(prices: Any) -> None:
    with boa.env.anchor():
        feed = boa.load(str(CONTRACTS / "Feed.vy"), "ETH / USD", 8, 2_500 * DOLLAR)
        assert both(prices, (feed.address, HOUR, *BOUNDS)) == (2_500 * WAD, "")


# The sequencer


def test_sequencer__there_is_none__is_never_down(prices: Any) -> None:
    assert prices.SEQUENCER() == NOBODY
    assert prices.try_sequencer() == ""
    prices.require_sequencer()


@pytest.mark.parametrize(
    ("answer", "ago", "why"),
    [
        (0, HOUR + 1, ""),
        (0, HOUR, "oracle: the sequencer has only just come back"),
        (0, 0, "oracle: the sequencer has only just come back"),
        (1, 10 * HOUR, "oracle: the sequencer is down"),
        (0, NOW, "oracle: the sequencer feed does not answer"),
        (0, -1, "oracle: the sequencer feed does not answer"),
    ],
)
def test_sequencer__is_down_or_only_just_back__is_told(
    sequencer: tuple[Any, Any], answer: int, ago: int, why: str
) -> None:
    uptime, prices = sequencer
    uptime.set(answer, NOW - ago)
    assert prices.try_sequencer() == why
    if why:
        with boa.reverts(why):
            prices.require_sequencer()
    else:
        prices.require_sequencer()


def test_sequencer__at_an_address_without_code__cannot_be_deployed(prices: Any) -> None:
    with boa.env.anchor(), boa.reverts("oracle: no contract at the sequencer feed"):
        boa.loads(HARNESS, OWNER)

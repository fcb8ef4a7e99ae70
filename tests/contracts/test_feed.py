"""The devnet's feed speaks as a Chainlink aggregator and says what its owner last told it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boa
import pytest
from boa.interpret import set_search_paths

from tests.contracts.loan_stage import CONTRACTS, NOW

OWNER = "0x" + "11" * 20
STRANGER = "0x" + "22" * 20


@pytest.fixture
def feed() -> Iterator[Any]:
    set_search_paths([str(CONTRACTS.parent)])
    with boa.env.anchor():
        boa.env.timestamp = NOW
        with boa.env.prank(OWNER):
            yield boa.load(str(CONTRACTS / "Feed.vy"), "ETH / USD", 8, 2_500 * 10**8)


def test_feed__just_deployed__answers_its_first_price(feed: Any) -> None:
    assert (feed.description(), feed.decimals(), feed.OWNER()) == ("ETH / USD", 8, OWNER)
    assert feed.latestRoundData() == (1, 2_500 * 10**8, NOW, NOW, 1)
    assert (feed.latestAnswer(), feed.latestTimestamp(), feed.latestRound()) == (2_500 * 10**8, NOW, 1)


def test_feed__is_set__answers_the_new_price_and_remembers_the_old(feed: Any) -> None:
    boa.env.timestamp = NOW + 60
    feed.set(1_900 * 10**8)
    (event,) = feed.get_logs()
    assert (event.current, event.roundId, event.updatedAt) == (1_900 * 10**8, 2, NOW + 60)
    assert feed.latestRoundData() == (2, 1_900 * 10**8, NOW + 60, NOW + 60, 2)
    assert feed.getRoundData(1) == (1, 2_500 * 10**8, NOW, NOW, 1)


@pytest.mark.parametrize("answer", [0, -1, 2**255 - 1])
def test_feed__is_told_something_wrong_or_stale__says_it(feed: Any, answer: int) -> None:
    feed.set_at(answer, NOW - 86_400)
    assert feed.latestRoundData() == (2, answer, NOW - 86_400, NOW - 86_400, 2)


def test_feed__stranger_sets_it__is_refused(feed: Any) -> None:
    with boa.env.prank(STRANGER):
        with boa.reverts("feed: only its owner sets it"):
            feed.set(1)
        with boa.reverts("feed: only its owner sets it"):
            feed.set_at(1, 1)


@pytest.mark.parametrize("round_id", [0, 2])
def test_feed__round_that_never_was__is_refused(feed: Any, round_id: int) -> None:
    with boa.reverts("feed: no data for this round"):
        feed.getRoundData(round_id)

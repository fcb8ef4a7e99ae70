"""The volatility that rules are planned with, beside the contract's own, bar by bar."""

from __future__ import annotations

from pathlib import Path

import boa
import numpy as np
import pytest
from boa.interpret import set_search_paths

from keeper.domain.units import WAD
from keeper.planner.volatility import HALF_LIFE, MIN_INTERVAL, fed

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
DOLLAR = 10**8


@pytest.mark.parametrize(
    ("seconds", "bars", "half_life"), [(3_600, 60, 86_400), (1_800, 80, 86_400), (86_400, 20, HALF_LIFE)]
)
def test_the_planners_volatility__at_every_bar__is_the_contracts_within_a_billionth(
    seconds: int, bars: int, half_life: int
) -> None:
    set_search_paths([str(CONTRACTS.parent)])
    draw = np.random.default_rng(seconds)
    prices = 2_500 * np.exp(np.cumsum(draw.normal(0, 0.01, bars)))
    # More than a return that the contract counts whole.
    prices[bars // 3] *= 3.0
    moments = 1_700_000_000 + 3_600 + seconds * np.arange(bars, dtype=np.int64)
    # A gap that is believed, and one that is not.
    moments[bars // 2 :] += 40_000
    moments[-bars // 4 :] += 4 * 86_400
    answers = [round(price * DOLLAR) for price in prices]
    told = fed(np.array(answers) / DOLLAR, moments, half_life)
    with boa.env.anchor():
        boa.env.timestamp = 1_700_000_000
        volatility = boa.load(str(CONTRACTS / "Volatility.vy"), half_life, MIN_INTERVAL)
        feed = boa.load(str(CONTRACTS / "Feed.vy"), "ETH / USD", 8, 2_500 * DOLLAR)
        known = 0
        for at, answer in enumerate(answers):
            boa.env.timestamp = int(moments[at])
            # What stands when the bar closes, before anybody counts its close.
            sigma = volatility.sigma(feed.address) if volatility.age(feed.address) <= 3 * 86_400 else 0
            assert told[at] == pytest.approx(sigma / WAD, rel=1e-9)
            known += sigma > 0
            feed.set(answer)
            volatility.poke(feed.address)
        assert 0 < known < bars

"""What can be played: every shipped window as its source has it, a path from a seed, and a sentence for all else."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from statistics import stdev

import pytest

from keeper.domain.errors import Misconfigured
from keeper.simulate.histories import Wanted, history

HOUR = 3600


def test_june_2022__as_shipped__falls_by_half_in_nine_days() -> None:
    told = history(Wanted("june-2022"))
    assert len(told.bars) == 9 * 24
    assert {
        after.open_time - before.open_time for before, after in zip(told.bars, told.bars[1:], strict=False)
    } == {HOUR}
    assert told.bars[0].open == 1788.8
    assert min(bar.low for bar in told.bars) == 881.56
    assert {bar.gas_gwei for bar in told.bars[72:96]} == {95.86}, "of the 13th"
    assert all(bar.usdc is None for bar in told.bars)
    assert "10 June 2022 00:00 to 19 June 2022 00:00" in told.title


def test_the_depeg__as_shipped__falls_to_nine_tenths_and_comes_back() -> None:
    told = history(Wanted("usdc-depeg"))
    dollars = [bar.usdc or 0.0 for bar in told.bars]
    assert len(dollars) == 72
    assert min(dollars) == 0.9008
    assert dollars.index(0.9008) == 17
    assert dollars[-1] > 0.99 < dollars[0]
    assert any("USDC: its price" in source for source in told.sources)


def test_a_history__cut_by_hours_and_by_times__is_of_those_alone() -> None:
    cut = history(Wanted("june-2022", start="2022-06-13", hours=5)).bars
    assert [bar.open_time for bar in cut] == [1655078400 + HOUR * n for n in range(5)]
    assert (
        "13 June 2022 00:00 to 13 June 2022 05:00"
        in history(Wanted("june-2022", "2022-06-13", hours=5)).sources[0]
    )
    (thursday,) = history(Wanted(hours=1)).bars
    assert thursday.open == 194.61


def test_gbm__from_one_seed__is_one_path_and_from_another_another() -> None:
    first, again, other = (history(Wanted("gbm", seed=seed, hours=9)).bars for seed in (3, 3, 4))
    assert first == again != other
    assert len(first) == 9
    for bar, later in pairwise(first):
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.close == later.open


def test_gbm__over_a_year__has_the_volatility_and_the_drift_asked_for() -> None:
    bars = history(Wanted("gbm", hours=8_760, volatility=0.6, drift=2.0, seed=5)).bars
    moves = [math.log(bar.close / bar.open) for bar in bars]
    assert stdev(moves) * math.sqrt(8_766) == pytest.approx(0.6, rel=0.03)
    still = history(Wanted("gbm", hours=8_760, volatility=0.0, drift=2.0)).bars
    assert still[-1].close / still[0].open == pytest.approx(math.exp(2.0 * 8_760 / 8_766))


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (
            Wanted("june-2021"),
            r"june-2021 is no scenario \(black-thursday, june-2022, usdc-depeg, gbm\), and no file",
        ),
        (Wanted("june-2022", hours=0), "--hours 0 is none of 1 to 8,784"),
        (Wanted("june-2022", hours=300), "--hours 300 of june-2022, which has 216 hours in all"),
        (
            Wanted("june-2022", seed=1, drift=0.1),
            "only --scenario gbm takes --drift and --seed; june-2022 is as it was",
        ),
        (Wanted("june-2022", start="2022-07-01"), "from 2022-07-01"),
        (Wanted("june-2022", start="2022-06-01", end="2022-06-02"), "none of it is in the time asked for"),
        (Wanted("usdc-depeg", start="soon"), "'soon' is no time"),
        (Wanted("gbm", end="2022-06-02"), "gbm is of no date"),
        (Wanted("gbm", volatility=-0.1), "--volatility -0.1 is none of 0 to 5 a year"),
        (Wanted("gbm", volatility=math.nan), "--volatility nan is none of"),
        (Wanted("gbm", drift=9.0), "--drift 9 is none of -5 to 5 a year"),
    ],
)
def test_what_cannot_be_played__is_one_sentence(wanted: Wanted, sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence):
        history(wanted)


def test_a_file__that_says_what_usdc_was_worth__moves_it(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_text(
        "open_time,open,high,low,close,usdc\n1583971200,200,201,180,182,1\n1583974800,182,183,150,152,0.97\n"
    )
    assert [bar.usdc for bar in history(Wanted(str(path))).bars] == [1.0, 0.97]
    path.write_text("open_time,open,high,low,close,usdc\n1583971200,200,201,180,182,0\n")
    with pytest.raises(Misconfigured, match=r"has usdc 0.0, which is no price"):
        history(Wanted(str(path)))

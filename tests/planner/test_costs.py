"""Costs: the depth fitted from quotes, gas from its history, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeper.domain.errors import Misconfigured
from keeper.planner.costs import Costs, Impact, ether_history, ether_impact, fit_impact, gas_at, read_quotes
from tests.planner.histories import random_history


def test_quotes__along_a_power_law_with_strays__give_the_law_back() -> None:
    values = np.geomspace(1e4, 1e8, 400)
    shares = 0.0012 * (values / 1e6) ** 0.7
    shares[::9] *= 50
    found = fit_impact(values, shares)
    assert found.exponent == pytest.approx(0.7, abs=0.02)
    assert found.scale == pytest.approx(0.0012, rel=0.05)


@pytest.mark.parametrize(
    ("size", "bps"), [(0.1e6, 3.0), (0.6e6, 6.7), (1.5e6, 13.0), (4e6, 24.0), (12e6, 56.0)]
)
def test_ethers_depth__at_the_sizes_its_source_tells_of__is_the_medians_told(size: float, bps: float) -> None:
    assert ether_impact().share(size) * 1e4 == pytest.approx(bps, rel=0.35)


def test_quotes__too_few_or_malformed__are_refused(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    for text, sentence in (
        ("value_usd,share_lost\n1000,0.001\n", "quotes of 1 sizes make no impact curve"),
        ("value_usd,share_lost\n", "has no quotes"),
        ("size,lost\n1,2\n", "must have numbers under value_usd and share_lost"),
        ("value_usd,share_lost\n1e4,0.01\n1e5,0.003\n1e6,0.001\n1e7,0.0003\n", "to the power -"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(Misconfigured, match=sentence):
            read_quotes(path)


def test_gas__on_days_of_crashes__is_what_was_paid_then() -> None:
    days = np.array(["2020-03-12T05", "2021-05-19T23", "2022-06-13T00"], dtype="datetime64[s]").astype(
        np.int64
    )
    gwei, notes = gas_at(days)
    assert gwei == pytest.approx([77.9, 298.8, 95.9], abs=0.1)
    assert notes == ()


def test_gas__beyond_its_history__is_the_nearest_years_median_and_noted() -> None:
    gwei, notes = gas_at([1_900_000_000])
    assert 10 < gwei[0] < 60
    assert "1 bars beyond it pay the nearest year's median" in notes[0]


def test_gas_in_money__by_hand__is_units_times_price_times_ether() -> None:
    history = replace(random_history(1), gas_gwei=None)
    money, _ = Costs(gas_units=200_000, gas_gwei=50.0, ether=2_000.0).gas_money(history)
    assert money == pytest.approx(np.full(300, 20.0))
    own = random_history(1)
    # Ether's price is that of the fill: the close judged, or with latency a later bar's open.
    for delay, ether in ((0, own.close), (1, own.open)):
        found, notes = Costs(gas_units=200_000, delay=delay).gas_money(own)
        assert found == pytest.approx(own.gas_gwei * 1e-9 * 200_000 * ether)
    assert notes == ("gas is paid in ether at the history's own price",)


def test_failures__one_in_five__make_an_action_pay_a_quarter_of_a_failed_ones_gas_more() -> None:
    assert Costs(failures=0.2, failed_gas=0.4).charges.attempts == pytest.approx(1.1)


def test_costs__that_cannot_be__are_refused() -> None:
    for wrong in ({"fee": 1.5}, {"fee": -0.1}, {"failures": 1.0}):
        with pytest.raises(Misconfigured, match="is no share between 0 and 1"):
            Costs(**wrong)
    with pytest.raises(Misconfigured, match="cannot be negative"):
        Costs(delay=-1)


def test_an_impact__of_no_scale_or_size__loses_nothing_and_never_more_than_all() -> None:
    assert Impact(0.0, 1.0).share(1e9) == 0
    assert Impact(0.01, 1.0).share(0) == 0
    assert Impact(0.01, 1.0).share(1e12) == 1


def test_the_packaged_ether__read_as_any_file__has_the_rows_its_provenance_tells() -> None:
    history = ether_history()
    assert len(history) == 55_740
    assert history.notes[0].startswith("128 bars are missing in 28 gaps")
    black = history.between("2020-03-12", "2020-03-13")
    assert len(black) == 48
    assert black.low.min() == 86.0

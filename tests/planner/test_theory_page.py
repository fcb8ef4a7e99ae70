"""The page about the planner's theory names what exists, and quotes what the code says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from keeper.planner.bootstrap import observed_lows, passage_share
from keeper.planner.cases import basket_case
from keeper.planner.costs import Costs, ether_history
from keeper.planner.results import YEAR
from keeper.planner.sweep import grid, sweep
from keeper.planner.theory.bands import band_statistics, best_band
from keeper.planner.theory.leverage import leverage_decay
from keeper.planner.theory.passage import passage_probability
from keeper.planner.volatility import realised

PAGE = Path(__file__).resolve().parents[2] / "docs" / "planner-theory.md"
TEXT = PAGE.read_text(encoding="utf-8")
TOPICS = ("assets", "bands", "crra", "leverage", "liquidity", "passage")


def test_a_function__named_on_the_page__exists() -> None:
    named = re.findall(r"`([a-z]+)\.([a-z_]+)`", TEXT)
    assert len(named) > 25
    for topic, name in named:
        place = f"keeper.planner.theory.{topic}" if topic in TOPICS else f"keeper.planner.{topic}"
        assert callable(getattr(importlib.import_module(place), name)), f"{topic}.{name}"


def test_every_closed_form__in_the_code__stands_on_the_page() -> None:
    told = set(re.findall(r"`[a-z]+\.([a-z_]+)`", TEXT))
    kept_back = {
        "weight_volatility",
        "merton_weight",
        "half_width_at_leading_order",
        "wealth_turnover_at_leading_order",
        "leverage_of",
        "break_even_turnover",
        "centred_loss",
        "impermanent_loss",
        "net_yield",
    }
    for topic in TOPICS:
        module = importlib.import_module(f"keeper.planner.theory.{topic}")
        public = {
            name
            for name, value in vars(module).items()
            if callable(value)
            and not isinstance(value, type)
            and getattr(value, "__module__", "") == module.__name__
        }
        assert {name for name in public if not name.startswith("_")} - told - kept_back == set(), topic


def test_a_link__on_the_page__leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#\s]+)\)", TEXT)
    assert len(links) > 8
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_a_figure__quoted_on_the_page__is_what_the_code_says() -> None:
    band = best_band(0.5, 5, 0.003, 1e-5)
    assert f"({band.trigger:.4f}, {band.destination:.4f})" in TEXT
    assert f"says {leverage_decay(3, 5.0435, 1.1832):.2f} where" in TEXT


def test_the_years_of_ether__quoted_on_the_page__are_those_that_ship() -> None:
    history = ether_history()
    yearly = realised(history.close, 3_600)
    assert f"volatility of {yearly:.0%}".replace("%", " %") in TEXT
    for health, days, chance, lived in (
        (1.5, 7, "0.33", "3.2"),
        (2.0, 30, "1.84", "4.8"),
        (1.5, 1, "0.00", "0.17"),
    ):
        formula = passage_probability(health, yearly, days * 86_400 / YEAR)
        share = passage_share(observed_lows(history.low, history.close, 24 * days), health)
        assert (f"{100 * formula:.2f}", f"{100 * share:.{len(lived) - 2}f}") == (chance, lived)
        assert f"{lived} %" in TEXT
        assert formula < 1e-6 or f"{chance} %" in TEXT

    case = basket_case([history], [0.5], Costs(fee=0.0))
    years = len(history.close) * 3_600 / YEAR
    traded = sweep(
        case, grid(case.columns, trigger=[0.05], destination=[0.0]), backend="serial"
    ).trades_per_year[0]
    formed = band_statistics(0.5, yearly, 0.05, 0.0).trades
    assert f"traded {traded * years:.0f} times where the form says {formed * years:.0f}" in TEXT

"""The page about the planner's theory names what exists, and quotes what the code says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from keeper.planner.theory.bands import best_band
from keeper.planner.theory.leverage import leverage_decay
from keeper.planner.theory.passage import passage_probability

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
    for health, days in ((1.5, 7), (2.0, 30)):
        chance = passage_probability(health, 0.9037, days / 365)
        assert f"{chance * 100:.2f} %" in TEXT

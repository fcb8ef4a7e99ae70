"""The page of a play in a browser: on a narrow screen it fits, and its plots' labels keep apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.report.page import write_html
from keeper.report.record import Record
from tests.watch.test_browser import browser

__all__ = ["browser"]
pytestmark = pytest.mark.browser

_OVERLAPS = """() => {
  const rows = [...document.querySelectorAll(".plot")].map(plot =>
    [...plot.querySelectorAll(".xtick text")].map(label => label.getBoundingClientRect()));
  const level = box => box.width > 0 && box.height < 20;  // neither hidden, turned, nor with a date below
  return rows.flatMap(row => row.slice(1).filter((box, n) =>
    level(box) && level(row[n]) && box.left < row[n].right)).length;
}"""


def test_the_page__five_hundred_pixels_wide__does_not_scroll_sideways_and_keeps_labels_apart(
    told: Record, tmp_path: Path, browser: Any
) -> None:
    acts = tuple(told.acts[n % len(told.acts)] for n in range(5))
    times = [told.acts[0].time + n * 10_800 for n in range(5)]
    several = tuple(replace(act, time=time) for act, time in zip(acts, times, strict=True))
    write_html(replace(told, acts=several), tmp_path / "demo.html")
    page = browser.new_page(viewport={"width": 500, "height": 900})
    page.goto((tmp_path / "demo.html").as_uri())
    page.wait_for_selector(".xtick text")
    width, overlaps = page.evaluate("document.documentElement.scrollWidth"), page.evaluate(_OVERLAPS)
    page.close()
    assert width <= 500
    assert overlaps == 0

"""What is told of a play: the page stands alone and is read by anyone, and text stays text."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from keeper.domain.texts import count_text
from keeper.report.page import write_html
from keeper.report.record import Record, summary
from keeper.report.screen import print_record
from keeper.report.texts import clock_text, health_text, usd_text
from tests.demo.conftest import Played

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


class Outline(HTMLParser):
    """A page's tags with their attributes, and the text inside its scripts, styles and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts.setdefault(self._inside[-1], []).append(data)


def page_of(record: Record, folder: Path) -> str:
    write_html(record, folder / "demo.html")
    return (folder / "demo.html").read_text(encoding="utf-8")


def test_the_page__of_a_play__asks_for_nothing_outside_itself(played: Played) -> None:
    outline = Outline((played.out / "demo.html").read_text(encoding="utf-8"))
    outside = [
        (tag, name)
        for tag, attributes in outline.tags
        for name in attributes
        if name in ("src", "href", "srcset", "action", "data", "poster", "background", "ping")
    ]
    assert outside == []
    assert not {"link", "iframe", "object", "embed", "base", "img"} & {tag for tag, _ in outline.tags}
    styles = " ".join(outline.texts["style"])
    assert "@import" not in styles
    assert "url(" not in styles
    policies = [a["content"] for tag, a in outline.tags if tag == "meta" and a.get("http-equiv")]
    assert policies == [POLICY]


def test_the_page__of_a_play__has_headings_in_order_and_every_plot_described(played: Played) -> None:
    outline = Outline((played.out / "demo.html").read_text(encoding="utf-8"))
    headings = [tag for tag, _ in outline.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    plots = [a for tag, a in outline.tags if tag == "div" and a.get("class") == "plot"]
    assert [plot["id"] for plot in plots] == ["price", "health", "cost", "equity", "range", "basket"]
    assert all(plot["role"] == "img" and len(plot["aria-label"] or "") > 40 for plot in plots)
    assert outline.tags[0] == ("html", {"lang": "en"})


def test_the_plots__in_the_page__show_both_loans_and_every_act(played: Played) -> None:
    outline = Outline((played.out / "demo.html").read_text(encoding="utf-8"))
    figures = [json.loads(text) for text in outline.texts["script"] if text.startswith("{")]
    price, health, cost, equity, _, _ = figures
    by_name = {trace.get("name"): trace for trace in price["data"]}
    assert by_name["keeper acts"]["y"] == [act.price for act in played.record.acts]
    assert by_name["liquidation"]["y"] == [seized.price for seized in played.record.seizures]
    names = [trace["name"] for trace in health["data"]]
    assert names == ["guarded", "twin", "target 1.60", "floor 1.40", "liquidation 1.00"]
    assert [trace["name"] for trace in cost["data"]] == ["pool fee", "slippage", "gas"]
    assert [len(trace["y"]) for trace in equity["data"]] == [3, 3], "the start, and each hour's end"


def test_the_page__with_a_range_and_a_basket__plots_and_lists_both(told: Record, tmp_path: Path) -> None:
    outline = Outline(page_of(told, tmp_path))
    plots = [a["id"] for tag, a in outline.tags if tag == "div" and a.get("class") == "plot"]
    assert plots[-2:] == ["range", "basket"]
    ranges, baskets = [json.loads(text) for text in outline.texts["script"] if text.startswith("{")][-2:]
    by_name = {trace.get("name"): trace for trace in ranges["data"]}
    assert by_name["recentred"]["y"] == [149.0]
    assert by_name["guarded range"]["y"] == [210.0] * 3
    by_name = {trace.get("name"): trace for trace in baskets["data"]}
    assert by_name["twin"]["y"] == [0.41] * 3
    cells = " ".join(outline.texts["td"])
    assert "$120.00 … $180.00" in cells
    assert "44.9% → 50.0%" in cells


def test_text_from_a_chain__on_the_page__is_never_markup(told: Record, tmp_path: Path) -> None:
    text = page_of(told, tmp_path)
    assert "<i>cooling</i>" not in text
    assert "&lt;i&gt;cooling&lt;/i&gt;" in text
    assert "<b>made up</b>" not in text
    assert "health: </script> low" not in text
    assert "health: &lt;/script&gt; low" in text
    assert "range: &lt;/script&gt; left" in text
    assert "weight: &lt;/script&gt; drifted" in text


def test_a_page__of_a_play_in_which_nothing_happened__says_so(told: Record, tmp_path: Path) -> None:
    quiet = replace(told, acts=(), seizures=(), reasons=(), failed=0, failed_gas=0.0, twin=told.guarded)
    text = page_of(quiet, tmp_path)
    assert "The keeper never had to act." in text
    assert "Nobody was liquidated." in text
    assert "The keeper had nothing to do." in text


def test_text_from_a_chain__on_the_screen__is_never_markup(told: Record) -> None:
    shown = io.StringIO()
    print_record(Console(file=shown, width=100, color_system=None), told)
    text = shown.getvalue()
    assert "rule: [red]<i>cooling</i> down" in text
    assert "-$0.25" in text, "a swap may gain on the oracle"
    assert "1 transaction came to nothing, for $2.50 of gas." in text
    assert "$200.00" in text


def test_the_screen__when_narrow__still_shows_every_figure(told: Record) -> None:
    shown = io.StringIO()
    print_record(Console(file=shown, width=80, color_system=None), told)
    assert "…" not in shown.getvalue()
    assert max(map(len, shown.getvalue().splitlines())) <= 80


def test_a_long_play__on_the_screen__is_drawn_in_few_columns(told: Record) -> None:
    hours = tuple(replace(told.hours[0], time=told.hours[0].time + n * 3600) for n in range(8_760))
    shown = io.StringIO()
    print_record(Console(file=shown, width=80, color_system=None), replace(told, hours=hours))
    assert max(map(len, shown.getvalue().splitlines())) <= 80


def test_the_summary__of_a_record__is_true_of_both_sides(told: Record) -> None:
    assert summary(told) == (
        "The guarded loan saw no liquidation, and its health was 1.389 at the lowest. Its twin saw 1 liquidation, "
        "which cost it $200.00, and was down to 0.999. The keeper acted for it 1 time, for $10.75 in all. After "
        "fees, slippage and gas the guarded loan ended with $990.00 more equity than its twin. The guarded range was "
        "moved 1 time and ended $96.75 ahead of its twin, gas counted. The guarded basket was reweighed 1 time and "
        "ended $97.50 ahead of its twin, gas counted."
    )
    behind = replace(told, guarded=replace(told.guarded, equity_end=6_000.0))
    assert "ended with $1,010.00 less equity" in summary(behind)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (usd_text(1_234.5), "$1,234.50"),
        (usd_text(-3.1), "-$3.10"),
        (usd_text(-0.001), "$0.00"),
        (health_text(0.99999), "0.999"),
        (health_text(None), "no debt"),
        (clock_text(1_583_971_200), "12 Mar 00:00"),
        (count_text(0, "turn"), "no turn"),
        (count_text(1, "turn"), "1 turn"),
        (count_text(1_200, "turn"), "1,200 turns"),
    ],
)
def test_numbers__for_people__read_as_people_write_them(shown: str, expected: str) -> None:
    assert shown == expected

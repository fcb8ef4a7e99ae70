"""A simulation's page: it stands alone, has every life in plots and tables, fits a phone, and text stays text."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.report.lives import Hostility, Life, LifeAct, LifeHour, Price, Simulated, Told
from keeper.report.lives_page import summary, write_lives
from keeper.report.record import Cost
from tests.watch.test_browser import browser

__all__ = ["browser"]

START = 1_583_971_200
HOURS = 6
ACT = LifeAct(
    block=57,
    time=START + 5_000,
    price=180.0,
    action="deleverage",
    moves="sell 11.2 WETH, repay 2000 USDC",
    before=1.39,
    after=1.6,
    gas=0.04,
    cost=Cost(1.0, -0.25, 7.2),
    delayed=2,
    why="health: </script><b>low</b>",
    tx="0xab",
)


def life(
    fall: float, *, acts: tuple[LifeAct, ...] = (), seized: int = 0, equity: float | None = 9_000.0
) -> Life:
    lows = [1.6 - fall * n for n in range(HOURS)]
    hours = tuple(
        LifeHour(START + n * 3600, low, low + 0.05, low + 0.02, equity and equity - 90.0 * n)
        for n, low in enumerate(lows)
    )
    return Life(
        blocks=90,
        outside=4,
        lowest=f"{lows[-1]:.4f}",
        highest="1.65",
        end="1.6",
        liquidations=tuple((START + 9_000 + n, 160.0) for n in range(seized)),
        acts=acts,
        failed=1 if acts else 0,
        gas_eth=0.05 if acts else 0.0,
        gas=9.0 if acts else 0.0,
        equity_start=equity,
        equity_end=equity and equity - 90.0 * (HOURS - 1) - (2_000.0 if seized else 0.0),
        hours=hours,
    )


@pytest.fixture
def told() -> Simulated:
    owner = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    marks = (("low", 1.4), ("target", 1.6), ("high", 2.5))
    return Simulated(
        title="fall <of> March",
        sources=("Prices: <b>made up</b>.",),
        notes=(),
        prices=tuple(
            Price(START + n * 3600, 190.0 - n, 170.0, 195.0, 189.0 - n, 1.0 - n / 50) for n in range(HOURS)
        ),
        rules=(
            Told(
                "0x1",
                owner,
                0,
                "loan",
                "health",
                "1.4 → 1.6",
                marks,
                life(0.03, acts=(ACT,)),
                life(0.13, seized=2),
            ),
            Told("0x2", owner, 0, "range", "ticks", "", (), life(0.01, equity=None), life(0.2, equity=None)),
        ),
        seconds=2.0,
    )


@pytest.fixture
def hostile(told: Simulated) -> Simulated:
    loan, rest = told.rules
    calm = replace(loan.guarded, equity_end=(loan.guarded.equity_end or 0.0) + 40.0, gas=6.0)
    return replace(told, rules=(replace(loan, calm=calm), rest), hostility=Hostility(2, 1, 3, 0, 31.5))


def page_of(told: Simulated, folder: Path) -> str:
    write_lives(told, folder / "lives.html")
    return (folder / "lives.html").read_text(encoding="utf-8")


def test_the_page__of_a_simulation__asks_for_nothing_outside_itself(
    hostile: Simulated, tmp_path: Path
) -> None:
    page = page_of(hostile, tmp_path)
    tags = re.findall(r"<([a-z]+)\s([^<>]*)>", page.partition("<script>")[0])
    assert not [tag for tag, rest in tags if re.search(r"\b(src|href|action|data|poster)=", rest)]
    assert "default-src 'none'" in page
    assert not re.search(r"\$[a-z]", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_the_page__of_a_simulation__holds_every_plot_as_sound_json(
    hostile: Simulated, tmp_path: Path
) -> None:
    found = re.findall(
        r'<script type="application/json" data-plot="([a-z0-9]+)">(.*?)</script>',
        page_of(hostile, tmp_path),
        re.DOTALL,
    )
    plots = {name: json.loads(data) for name, data in found}
    assert list(plots) == ["price", "dollar", "rule0", "rule1", "cost", "equity"]
    drawn = {name: {trace.get("name"): trace for trace in figure["data"]} for name, figure in plots.items()}
    assert drawn["price"]["keeper acts"]["y"] == [180.0]
    assert drawn["price"]["liquidation, with nobody"]["y"] == [160.0, 160.0]
    assert drawn["rule0"]["with the keeper"]["y"] == pytest.approx([1.6 - 0.03 * n for n in range(HOURS)])
    assert {"low 1.4", "target 1.6", "liquidation 1"} <= drawn["rule0"].keys()
    assert drawn["rule1"]["with nobody"]["y"] == pytest.approx([1.65 - 0.2 * n for n in range(HOURS)])
    assert [drawn["cost"][name]["y"] for name in ("pool fee", "slippage", "gas")] == [[1.0], [-0.25], [7.2]]
    assert drawn["equity"].keys() == {"with the keeper", "with the keeper, in peace", "with nobody"}
    assert not [name for name, data in found if re.search(r'"#0[1-6]0[1-6]0[1-6]"', data)]


def test_text__of_a_chain_or_a_file__is_never_markup(told: Simulated, tmp_path: Path) -> None:
    page = page_of(told, tmp_path)
    assert "health: &lt;/script&gt;&lt;b&gt;low&lt;/b&gt;" in page
    assert "fall &lt;of&gt; March" in page
    assert "Prices: &lt;b&gt;made up" in page


def test_the_summary__says_what_was_saved_and_what_hostility_cost(
    told: Simulated, hostile: Simulated
) -> None:
    assert summary(told) == (
        "6 hours over 2 rules. The keeper acted 1 time; with it there was no liquidation, with nobody 2 liquidations. "
        "1 further transaction came to nothing. After fees, slippage and gas the accounts with loans ended with "
        "$1,991.00 more than with nobody at work."
    )
    assert summary(hostile) == summary(told) + (
        " The mempool was hostile: it held back 2 transactions, outbid 1 transaction and sandwiched 3 transactions, "
        "at a gain of $31.50 to the sandwicher before gas. Beside the same hours in peace that cost $43.00, gas "
        "counted."
    )


def test_the_figures__as_json__are_all_there(hostile: Simulated) -> None:
    said = json.loads(json.dumps(hostile.to_json()))
    assert (said["saved_usd"], said["hostile"]["cost_usd"], said["pace"]) == (1_991.0, 43.0, 10_800.0)
    loan, rest = said["positions"]
    assert loan["guarded"]["acts"][0]["cost"] == {"fee": 1.0, "slippage": -0.25, "gas": 7.2}
    assert loan["guarded"]["acts"][0]["time"] == "2020-03-12T01:23:20Z"
    assert [len(loan[side]["course"]) for side in ("guarded", "alone", "calm")] == [HOURS] * 3
    assert rest["calm"] is None


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page__in_a_browser__draws_every_plot_and_fits(
    hostile: Simulated, tmp_path: Path, browser: Any, width: int, scheme: str
) -> None:
    page_of(hostile, tmp_path)
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text))
    page.goto((tmp_path / "lives.html").as_uri())
    page.wait_for_function("document.querySelectorAll('.plot .main-svg').length >= 12")
    if shots := os.environ.get("KEEPER_SHOTS"):
        page.screenshot(path=Path(shots) / f"lives-{width}.png", full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert complaints == []
    assert wide <= width

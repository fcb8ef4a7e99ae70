"""A plan's page: it stands alone, every plot's figures stand in a table too, and text stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeper.planner import metrics
from keeper.planner.cases import Case, basket_case, loan_case
from keeper.planner.costs import Costs
from keeper.planner.findings import Findings, Fold, Lived
from keeper.planner.frontier import frontier, theory_point
from keeper.planner.results import Floats
from keeper.planner.simulate_loan import Lending
from keeper.planner.sweep import grid, sweep
from keeper.report import plan_plots
from keeper.report.plan_page import summary, write_plan
from tests.planner.histories import random_history

COSTS = Costs(fee=0.001, gas_units=200_000)
PLOTS = ("frontier", "life", "cost", "drawdown", "distribution", "heat", "walk")


def found_in(case: Case, rules: Floats) -> Findings:
    scores = sweep(case, rules, backend="serial")
    fee = scores.certainty_fee_bps(5)
    best, rest = int(np.argmin(fee)), int(np.argmax(fee))

    def lived(name: str, at: int, **intervals: tuple[float, float]) -> Lived:
        told = dict(zip(case.columns, rules[at].tolist(), strict=True))
        return Lived(name, told, metrics.measure(case.path(rules[at]), 5), intervals)

    path = case.path(rules[best])
    chosen = lived("chosen", best, cost_bps=(10.0, 20.0))
    span = (int(path.time[0]), int(path.time[-1]))
    return Findings(
        title="A basket of half ether <&>",
        objective="least certainty-equivalent fee",
        risk_aversion=5.0,
        chosen=chosen,
        path=path,
        compared=(lived("a rule of thumb", rest),),
        scores=scores,
        cost=scores.cost_bps_per_year,
        risk=scores.tracking_error,
        risk_unit="tracking error a year",
        fee=fee,
        front=frontier(scores.cost_bps_per_year, scores.tracking_error),
        theory={"theory, aversion 5": theory_point(0.5, 0.8, 5, 0.001)},
        crashes={"2020-03-12": chosen.metrics},
        folds=(Fold(span, span, {"trigger": 0.05}, 10.0, 12.0, 9.0),),
        doubts=("The best of 9 is lucky: p = 0.4.",),
        notes=("gas is paid in ether",),
        rule_file="trigger = 0.05\n# </pre><script>alert(1)</script>",
    )


@pytest.fixture(scope="module")
def of_a_basket() -> Findings:
    case = basket_case([random_history(1, 4_000)], (0.5,), COSTS)
    return found_in(case, grid(case.columns, trigger=[0.01, 0.02, 0.05], destination_share=[0.0, 0.5, 1.0]))


@pytest.fixture(scope="module")
def of_a_loan() -> Findings:
    case = loan_case(random_history(2, 4_000), Lending(0.83, 0.5, 0.95, 0.05), COSTS)
    return found_in(case, grid(case.columns, floor=[0.0, 1.2, 1.4], target=[1.5]))


def page_of(found: Findings, folder: Path) -> str:
    write_plan(found, folder / "plan.html")
    return (folder / "plan.html").read_text(encoding="utf-8")


def test_the_page__of_a_plan__asks_for_nothing_outside_itself(of_a_basket: Findings, tmp_path: Path) -> None:
    page = page_of(of_a_basket, tmp_path)
    tags = re.findall(r"<([a-z]+)\s([^<>]*)>", page.partition("<script>")[0])
    assert not [tag for tag, rest in tags if re.search(r"\b(src|href|action|data|poster)=", rest)]
    assert "default-src 'none'" in page
    assert "$" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_the_page__of_a_plan__holds_every_plot_as_sound_json(of_a_basket: Findings, tmp_path: Path) -> None:
    page = page_of(of_a_basket, tmp_path)
    plots = re.findall(
        r'<script type="application/json" data-plot="([a-z]+)">(.*?)</script>', page, re.DOTALL
    )
    assert [name for name, _ in plots] == list(PLOTS)
    for name, data in plots:
        figure = json.loads(data)
        drawn = sum(len(trace.get("x") or []) for trace in figure["data"])
        assert not [trace["type"] for trace in figure["data"] if trace["type"].endswith("gl")], name
        assert drawn > 0, name
        assert "NaN" not in data
        assert not re.search(r'"#0[1-6]0[1-6]0[1-6]"', data), name


def test_the_frontiers_plot__of_a_loan__crosses_out_what_was_liquidated(of_a_loan: Findings) -> None:
    lost = of_a_loan.scores["liquidations"] > 0
    assert lost.any()
    assert not lost.all()
    traces = {trace["name"]: trace for trace in json.loads(plan_plots.frontier(of_a_loan))["data"]}
    crosses = traces["liquidated"]
    assert crosses["marker"]["symbol"] == "x"
    assert len(crosses["x"]) == np.count_nonzero(lost)
    assert len(traces["rules tried"]["x"]) == np.count_nonzero(~lost)


def test_the_frontiers_plot__of_a_plan__holds_theory_the_compared_and_the_chosen(
    of_a_basket: Findings,
) -> None:
    traces = {trace["name"]: trace for trace in json.loads(plan_plots.frontier(of_a_basket))["data"]}
    assert {
        "rules tried",
        "none beats these",
        "knee",
        "theory, aversion 5",
        "a rule of thumb",
        "chosen",
    } == set(traces)
    best = int(np.argmin(of_a_basket.fee))
    assert traces["chosen"]["x"] == pytest.approx([of_a_basket.cost[best]])
    assert traces["chosen"]["y"] == pytest.approx([of_a_basket.risk[best]])


def test_the_page__whose_words_are_markup__shows_them_as_words(of_a_basket: Findings, tmp_path: Path) -> None:
    page = page_of(of_a_basket, tmp_path)
    assert "<script>alert(1)" not in page
    assert "A basket of half ether &lt;&amp;&gt;" in page


def test_the_tables__of_a_plan__tell_figures_doubts_and_conventions(
    of_a_basket: Findings, tmp_path: Path
) -> None:
    page = page_of(of_a_basket, tmp_path)
    for told in (
        "Every figure",
        "Crashes, apart from the years around them",
        "Walking forward",
        "The rules that none beats",
        "The best of 9 is lucky: p = 0.4.",
        "gas is paid in ether",
        "A rule is judged on closes",
        "(10 to 20)",
        f"{of_a_basket.chosen.metrics.certainty_fee_bps:.1f} basis points a year",
    ):
        assert told in page, told
    assert page.count("knee") >= 2


def test_the_page__of_a_loan__tells_health_and_who_was_liquidated(
    of_a_loan: Findings, tmp_path: Path
) -> None:
    page = page_of(of_a_loan, tmp_path)
    assert "Health, lowest" in page
    assert "Liquidations" in page
    # One parameter varied alone: there is no map to draw, and without a walk no walk.
    alone = page_of(replace(of_a_loan, folds=()), tmp_path)
    assert 'data-plot="heat"' not in alone
    assert 'data-plot="walk"' not in alone
    assert "too short to walk forward in" in alone


def test_the_plot_of_a_life__with_infinite_health__has_gaps_and_no_infinity(of_a_loan: Findings) -> None:
    path = replace(
        of_a_loan.path, measure=np.where(of_a_loan.path.measure > 1.6, np.inf, of_a_loan.path.measure)
    )
    figure = json.loads(plan_plots.life(replace(of_a_loan, path=path)))
    measure = next(trace for trace in figure["data"] if trace["name"] == "health factor")
    assert None in measure["y"]
    assert {"liquidated"} & {trace["name"] for trace in figure["data"]} == (
        {"liquidated"} if of_a_loan.chosen.metrics.liquidations else set()
    )


def test_the_summary__of_a_plan__says_what_was_chosen_and_of_how_many(of_a_basket: Findings) -> None:
    told = summary(of_a_basket)
    assert told.startswith("Wanted: least certainty-equivalent fee. Of 9 rules tried")
    assert "risk aversion of 5" in told

"""The planner on the command line: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from keeper.cli import cli
from keeper.domain.errors import Misconfigured
from keeper.planning.groups import grouped

SOME = ["--from", "2020-01-01", "--to", "2020-06-30"]


def told(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_backtest_of_a_basket__on_a_file__tells_trades_turnover_deviation_value_and_cost(
    tmp_path: Path,
) -> None:
    from keeper.planner.costs import ether_history

    history = ether_history()
    path = tmp_path / "eth.csv"
    rows = zip(history.time, history.open, history.high, history.low, history.close, strict=True)
    lines = [",".join(map(repr, (int(row[0]), *map(float, row[1:])))) for row in rows]
    path.write_text("time,open,high,low,close\n" + "\n".join(lines) + "\n", encoding="utf-8")
    words = [
        "--prices",
        str(path),
        "--target",
        "0.5",
        "--trigger",
        "0.05",
        "--destination",
        "0",
        "--fee-bps",
        "10",
    ]
    found = told("backtest", "basket", *words)
    assert found["trades"] == 142
    assert found["final_value"] == pytest.approx(632_618.81, abs=0.5)
    assert found["turnover_per_year"] == pytest.approx(1.2047, abs=1e-3)
    assert found["rms_deviation"] == pytest.approx(0.0211, abs=1e-4)
    assert found["cost_bps_per_year"] == pytest.approx(10 * found["turnover_per_year"])
    assert any("128 bars are missing" in note for note in found["notes"])


def test_a_backtest_of_a_loan__by_leverage_or_by_healths__is_the_same_loan() -> None:
    first = told(
        "backtest", "loan", "--leverage", "2", "--within", "0.1", "--liquidation-threshold", "0.825", *SOME
    )
    healths = [str(0.825 * lev / (lev - 1)) for lev in (2.2, 2.0, 1.8)]
    words = [
        word for pair in zip(("--floor", "--target", "--ceiling"), healths, strict=True) for word in pair
    ]
    second = told("backtest", "loan", *words, "--liquidation-threshold", "0.825", *SOME)
    assert first["trades"] == second["trades"] > 5
    assert first["final_value"] == pytest.approx(second["final_value"])
    assert first["liquidations"] == 0


def test_a_backtest_of_a_range__tells_what_it_earned_and_lost() -> None:
    found = told("backtest", "range", "--width", "1.25", "--fee-yield", "0.1", *SOME)
    assert found["earned_bps"] > 0
    assert found["lvr_bps"] > 0
    assert found["trades"] > 0


def test_a_backtest__as_a_table__has_its_figures_and_notes() -> None:
    done = CliRunner().invoke(cli, ["backtest", "basket", "--target", "0.5", *SOME], catch_exceptions=False)
    assert done.exit_code == 0
    for word in ("trades", "turnover per year", "final value", "note:"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["basket", "--target", "1.5"], r"basket: weights of \[1.5, -0.5\] are not all above 0"),
        (
            ["basket", "--target", "0.2", "--target", "0.3", "--target", "0.5"],
            "basket: 3 weights do not fit 1 histories",
        ),
        (
            ["loan", "--floor", "1.7", "--target", "1.4"],
            "backtest: a rule of .*: its floor is not below the target",
        ),
        (["basket", "--target", "0.5", "--destination", "0.2"], "backtest: a rule of .* contradicts itself"),
        (["basket", "--target", "0.5", "--prices", "none.csv"], "history: none.csv cannot be read"),
        (["basket", "--target", "0.5", "--from", "2040-01-01"], "has no bars in the time asked for"),
        (["loan"], "loan: say where it shall stand, by --leverage or by --target"),
        (["loan", "--leverage", "2", "--target", "1.5"], "by --leverage or by healths, not by both"),
        (["range", "--width", "1.2"], "has no columns volume_usd and liquidity to earn by"),
    ],
)
def test_a_backtest__of_what_cannot_be__is_one_sentence(words: list[str], sentence: str) -> None:
    done = CliRunner().invoke(cli, ["backtest", *words])
    assert isinstance(done.exception, Misconfigured)
    assert re.search(sentence, str(done.exception))


def test_a_plan_of_a_loan__writes_the_rule_and_the_page_and_tells_both(tmp_path: Path) -> None:
    words = ["--leverage", "2", "--trials", "64", "--paths", "3", "--folds", "1", "--out", str(tmp_path)]
    words += ["--collateral", "0x" + "11" * 20, "--debt", "0x" + "22" * 20]
    found = told("plan", "loan", *words, "--from", "2020-02-15", "--to", "2020-12-31")
    written = tomllib.loads((tmp_path / "rule.toml").read_text(encoding="utf-8"))
    assert found["rule"] == written
    assert json.loads((tmp_path / "plan.json").read_text(encoding="utf-8")) == found
    assert found["kind"] == "loan"
    assert written["debt"] == "0x" + "22" * 20
    command = shlex.split(found["command"])
    assert Path(command[0]).name == "keeper"
    assert command[1:] == ["rule", "set", "OWNER", "--file", str(tmp_path / "rule.toml"), "--approve"]
    assert found["planned"]["metrics"]["liquidations"] == 0
    assert found["planned"]["intervals_90"]["cost_bps"][0] <= found["planned"]["intervals_90"]["cost_bps"][1]
    front = found["frontier"]
    assert front["cost_bps"] == sorted(front["cost_bps"])
    assert len(front["cost_bps"]) == len(front["risk"]) == len(front["rules"])
    assert {"2020-03-12"} == set(found["crashes"])
    assert (tmp_path / "plan.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    # The rule that was planned, lived again by a backtest with the same costs, is the same life.
    rule = found["planned"]["rule"]
    assert [each["name"] for each in found["contest"]] == ["fixed band", "band following volatility"]
    again = told(
        "backtest", "loan", "--floor", repr(rule["floor"]), "--target", repr(rule["target"]),
        *(["--ceiling", repr(rule["ceiling"])] if rule["ceiling"] is not None else []),
        "--supply-rate", "0.01", "--borrow-rate", "0.04", "--fee-bps", "5", "--gas-units", "510000", "--impact",
        "--failures", "0.05", "--latency", "1", "--from", "2020-02-15", "--to", "2020-12-31",
    )  # fmt: skip
    assert again["cost_bps"] == pytest.approx(found["planned"]["metrics"]["cost_bps"])


def test_a_plan__as_a_table__names_its_rule_its_rivals_and_its_doubts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = [
        "--target",
        "0.5",
        "--trials",
        "0",
        "--paths",
        "2",
        "--folds",
        "0",
        "--out",
        str(tmp_path),
        *SOME,
    ]
    done = CliRunner().invoke(cli, ["plan", "basket", *words], catch_exceptions=False)
    assert done.exit_code == 0
    for word in (
        "planned",
        "equivalent fee",
        "Drawdown, most",
        "theory, aversion 5",
        "The rule is the best of 400 tried",
        "plan.html",
    ):
        assert word in done.stdout
    assert "…" not in done.stdout


def test_a_plan__told_several_cooldowns_and_looks__tries_each(tmp_path: Path) -> None:
    words = [
        "--target",
        "0.5",
        "--trials",
        "0",
        "--paths",
        "0",
        "--folds",
        "0",
        "--out",
        str(tmp_path),
        *SOME,
    ]
    found = told(
        "plan", "basket", *words, "--cooldown", "0", "--cooldown", "86400", "--look", "1", "--look", "24"
    )
    assert "The rule is the best of 1,600 tried" in found["doubts"][0]
    assert found["planned"]["rule"]["cooldown"] in {0, 86_400}


def test_a_plan_of_a_loan__with_a_chance_to_keep_to__tells_its_interval_in_json_table_and_page(
    tmp_path: Path,
) -> None:
    words = [
        "--leverage",
        "2",
        "--trials",
        "0",
        "--paths",
        "0",
        "--folds",
        "0",
        "--out",
        str(tmp_path),
        *SOME,
    ]
    words += ["--objective", "p-liquidation", "--at-most", "0.2", "--confidence", "0.9", "--horizon", "30"]
    bound = told("plan", "loan", *words)["bound"]
    assert bound["of"] == "chance of liquidation"
    assert (bound["at_most"], bound["confidence"], bound["days"]) == (0.2, 0.9, 30)
    low, high = bound["interval"]
    assert 0 <= low <= bound["estimate"] <= high <= 0.2
    # A plan chooses twice, among fixed bands and among those that follow volatility, and shares its error.
    assert bound["interval_confidence"] == pytest.approx(1 - 0.05 / 2 ** (bound["attempts"] - 1))
    sentence = f"{bound['estimate']:.2%} of {bound['paths']} histories of 30 days"
    assert sentence in (tmp_path / "plan.html").read_text(encoding="utf-8")
    done = CliRunner().invoke(cli, ["plan", "loan", *words], catch_exceptions=False)
    assert sentence in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--at-most", "0.05", "--bound-paths", "20"], "20 histories cannot show a bound of 0.05"),
        (
            ["--at-most", "0.05", "--horizon", "999"],
            "a horizon of 999 days is 23976 bars, and the history has",
        ),
        (["--at-most", "2"], "a chance of liquidation of 2 cannot be shown to be kept"),
        (["--horizon", "30"], "p-liquidation needs a bound on chance of liquidation"),
    ],
)
def test_a_plan__of_a_chance_that_cannot_be_shown__is_one_sentence(words: list[str], sentence: str) -> None:
    effort = ["--trials", "0", "--paths", "0", "--folds", "0", *SOME]
    done = CliRunner().invoke(
        cli, ["plan", "loan", "--leverage", "2", "--objective", "p-liquidation", *words, *effort]
    )
    assert isinstance(done.exception, Misconfigured)
    assert sentence in str(done.exception)


@pytest.mark.parametrize("kind", ["basket", "loan", "range"])
def test_an_option__of_a_plan_and_of_a_backtest__is_one_and_the_same(kind: str) -> None:
    tree: Any = typer.main.get_command(cli)
    plan, backtest = (
        {option.name: option for option in tree.commands[name].commands[kind].params}
        for name in ("plan", "backtest")
    )
    shared = set(plan) & set(backtest) - {"target", "leverage", "cooldown", "look", "help"}
    assert {"prices", "start", "fee_bps", "gas_units", "quotes", "latency", "capital", "as_json"} <= shared
    for name in shared:
        first, second = plan[name], backtest[name]
        assert (first.opts, first.help) == (second.opts, second.help)
    # A plan charges what acting costs; a backtest what it is told.
    assert (plan["latency"].default, backtest["latency"].default) == (1, 0)
    assert (plan["impact"].default, backtest["impact"].default) == (True, False)


def test_a_group_of_options__of_a_command__comes_to_it_whole() -> None:
    told: list[Any] = []

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Pair:
        """Two options."""

        first: int = 1
        second: str = "two"

    def command(own: float, pair: Any) -> None:
        """What a user typed."""
        told.append((own, pair))

    command.__annotations__["pair"] = Pair
    app = typer.Typer()
    app.command()(grouped(command))
    assert CliRunner().invoke(app, ["3.5", "--second", "zwei"]).exit_code == 0
    assert told == [(3.5, Pair(first=1, second="zwei"))]


def test_a_plan__on_dask_without_a_scheduler__is_refused() -> None:
    done = CliRunner().invoke(cli, ["plan", "basket", "--target", "0.5", "--backend", "dask", *SOME])
    assert "--backend dask needs --scheduler" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["band", "--cost", "0.003", "--fixed-cost", "0.0001"], "trigger", 0.07241),
        (["health", "--leverage", "2"], "health", 1.65),
        (["crra", "--spread", "0.01"], "low", 0.58194),
        (["range", "--width", "1.25"], "efficiency", 9.472),
    ],
)
def test_theory__asked_for_a_figure_of_the_literature__gives_it(
    words: list[str], name: str, value: float
) -> None:
    assert told("theory", *words)[name] == pytest.approx(value, rel=2e-4)

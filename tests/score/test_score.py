"""What acting cost beside what it was to cost, of a keeper that really ran."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keeper.cli import cli
from keeper.domain.errors import Misconfigured
from tests.score.conftest import AHEAD, DROPPED, Ran

POOL_FEE = 0.0005


def told(ran: Ran, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(
        cli, ["score", "--config", str(ran.config), *words, "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def action(ran: Ran, kind: str) -> dict[str, Any]:
    (found,) = [each for each in told(ran)["actions"] if each["kind"] == kind]
    return dict(found)


def test_every_kind__in_one_journal__is_scored_and_added_up(ran: Ran) -> None:
    found = told(ran)
    assert [each["kind"] for each in found["actions"]] == ["loan", "range", "basket"]
    assert [each["money"] for each in found["actions"]][::2] == ["USD", "USD"]
    for each in found["actions"]:
        assert each["done"]
        assert each["blocks"] == 1
        for side in ("planned", "realised"):
            parts = dict(each[side])
            assert parts.pop("cost") == pytest.approx(sum(parts.values()))
            assert min(parts["gas"], parts["fee"]) > 0
    for summed in (found["rules"], found["kinds"]):
        assert sorted(each["kind"] for each in summed) == ["basket", "loan", "range"]
        by_kind = {each["kind"]: each for each in summed}
        for each in found["actions"]:
            together = by_kind[each["kind"]]
            assert together["realised"] == each["realised"]
            assert together["realised_bps"]["cost"] == pytest.approx(
                each["realised"]["cost"] / each["worth"] * 1e4
            )
            yearly = together["realised_bps"]["cost"] / ((found["to"] - found["from"]) / 31_557_600)
            assert together["a_year"]["cost_bps"] == pytest.approx(yearly)
    (note,) = found["notes"]
    assert note.startswith("a year's figures are ")


def test_a_basket__somebody_trading_first__paid_for_the_delay_what_its_account_shows(ran: Ran) -> None:
    found = action(ran, "basket")
    rate, sold, bought = ran.usdc_per_weth, ran.before.usdc - ran.after.usdc, ran.after.weth - ran.before.weth
    assert min(sold, bought) > 0, "a fallen ether is bought"
    parts = found["realised"]
    short = (sold / rate - bought) / 1e18 * DROPPED
    swapped = parts["fee"] + parts["impact"] + parts["delay"] + parts["slippage"]
    assert swapped == pytest.approx(short, rel=1e-6)
    assert parts["fee"] == pytest.approx(sold / 1e6 * POOL_FEE, rel=1e-3)
    moved = 1 / (rate * 1e12) - 1 / AHEAD
    assert parts["delay"] == pytest.approx(sold / 1e6 * (1 - POOL_FEE) * moved * DROPPED, rel=1e-3)
    assert abs(parts["slippage"]) < parts["impact"] / 10, "its depth was as rehearsed"
    assert found["planned"]["delay"] == found["planned"]["slippage"] == 0
    assert found["planned"]["fee"] == pytest.approx(parts["fee"], rel=1e-6)
    assert found["traded"] == pytest.approx(sold / 1e6, rel=1e-6)
    assert found["worth"] == pytest.approx(ran.before.usdc / 1e6 + ran.before.weth / 1e18 * DROPPED, rel=1e-6)


def test_a_loan__nobody_trading_first__paid_what_the_pool_took_and_was_rehearsed_to(ran: Ran) -> None:
    found = action(ran, "loan")
    before, after = ran.pool
    sold, bought = after.weth - before.weth, before.usdc - after.usdc
    assert min(sold, bought) > 0
    assert found["traded"] == pytest.approx(sold / 1e18 * DROPPED, rel=1e-6)
    parts = found["realised"]
    assert parts["fee"] == pytest.approx(sold / 1e18 * DROPPED * POOL_FEE, rel=1e-3)
    assert abs(parts["delay"]) + abs(parts["slippage"]) < parts["fee"] / 100
    assert parts["impact"] == found["planned"]["impact"] > 0
    short = sold / 1e18 * DROPPED - bought / 1e6  # the pool stood at the feeds' price
    assert parts["fee"] + parts["impact"] + parts["delay"] + parts["slippage"] == pytest.approx(
        short, rel=1e-2
    )


def test_a_position__as_it_was_decided_on__is_worth_what_the_chain_says_of_it(ran: Ran) -> None:
    net = (ran.loan.collateral_base - ran.loan.debt_base) / 1e8
    assert action(ran, "loan")["worth"] == pytest.approx(net, rel=1e-9)
    earned = action(ran, "range")["worth"] / ran.range_worth - 1
    assert 0 < earned < POOL_FEE, "its liquidity, and fees of having been traded through once"


def test_gas__in_money__is_what_the_receipt_says_at_the_price_of_the_plan_or_as_asked(ran: Ran) -> None:
    world = ran.world
    for each in told(ran)["actions"]:
        paid = int(each["gas_wei"]) / 1e18
        in_ether = 1.0 if each["money"] == "WETH" else DROPPED
        assert each["realised"]["gas"] == pytest.approx(paid * in_ether, rel=1e-3)
    dear = {each["kind"]: each for each in told(ran, "--ether", "9000")["actions"]}
    assert dear["loan"]["realised"]["gas"] == pytest.approx(int(dear["loan"]["gas_wei"]) / 1e18 * 9_000)
    unknown = told(ran, "--native", "XYZ")
    assert {each["realised"]["gas"] for each in unknown["actions"]} == {0.0}
    assert any("--ether" in note for note in unknown["notes"])
    by_address = told(ran, "--native", world.weth.token.lower())
    assert by_address["actions"] == told(ran)["actions"]


def test_a_score__of_some__counts_only_them_and_of_none_exits_4(ran: Ran) -> None:
    twin = ran.world.roles.twin
    assert [each["owner"] for each in told(ran, "--owner", twin.lower())["actions"]] == [twin]
    assert len(told(ran, "--rule", "0", "--from", "2020-01-01")["actions"]) == 3
    for words in (["--rule", "7"], ["--to", "2020-01-01"], ["--owner", ran.world.roles.keeper]):
        done = CliRunner().invoke(cli, ["score", "--config", str(ran.config), *words])
        assert (done.exit_code, done.stdout) == (4, "")
        assert done.stderr.startswith("journal: of what is asked for it holds no action")


def test_a_score__as_csv__has_a_row_for_each_action_and_the_same_figures(ran: Ran) -> None:
    done = CliRunner().invoke(cli, ["score", "--config", str(ran.config), "--csv"], catch_exceptions=False)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    found = told(ran)["actions"]
    assert [row["intent"] for row in rows] == [each["intent"] for each in found]
    for row, each in zip(rows, found, strict=True):
        assert float(row["cost"]) == each["realised"]["cost"]
        assert float(row["cost_planned"]) == each["planned"]["cost"]
        assert int(row["gas_wei"]) == int(each["gas_wei"])


def test_a_score__as_tables__names_every_part_and_rule(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = CliRunner().invoke(cli, ["score", "--config", str(ran.config)], catch_exceptions=False)
    assert done.exit_code == 0
    for word in ("deleverage", "reweigh", "recentre", "delay", "slippage", "all loans", "bp a year"):
        assert word in done.stdout
    (loan,) = (line.split() for line in done.stdout.splitlines() if line.startswith("deleverage"))
    parts = [float(figure.replace(",", "")) for figure in loan[3:]]
    assert sum(parts[:5]) == pytest.approx(parts[5], abs=0.03), "nothing is cut or folded"


def test_a_score__dearer_than_tolerated__exits_3(ran: Ran) -> None:
    codes = [
        CliRunner().invoke(cli, ["score", "--config", str(ran.config), "--tolerate", percent]).exit_code
        for percent in ("0", "10000")
    ]
    assert codes == [3, 0]


def plan_of(kind: str, **metrics: float) -> dict[str, Any]:
    told = {"trades": 12.0, "cost_bps": 40.0, "gas_bps": 5.0, "fee_bps": 20.0, "impact_bps": 15.0}
    return {
        "title": "A basket",
        "kind": kind,
        "planned": {"metrics": told | metrics, "intervals_90": {"cost_bps": [30.0, 55.0]}},
    }


def test_a_plan__beside_what_came_of_it__is_held_against_rules_of_its_kind(ran: Ran, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_of("basket")), encoding="utf-8")
    found = told(ran, "--plan", str(path))
    assert [each["kind"] for each in found["actions"]] == ["basket"]
    (realised,) = found["plan"]["realised"]
    (rule,) = found["rules"]
    years = (found["to"] - found["from"]) / 31_557_600
    assert realised["trades"] == pytest.approx(1 / years)
    assert realised["cost_bps"] == pytest.approx(rule["realised_bps"]["cost"] / years)
    assert found["plan"]["intervals_90"] == {"cost_bps": [30.0, 55.0]}
    done = CliRunner().invoke(
        cli, ["score", "--config", str(ran.config), "--plan", str(path)], env={"COLUMNS": "160"}
    )
    assert "beside the plan “A basket”" in done.stdout
    assert "30 to 55" in done.stdout


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"score: .*plan.json cannot be read"),
        ("target = 1", r"score: .*plan.json is not JSON"),
        ("{}", r"score: .*plan.json is no plan \(KeyError\('planned'\)"),
        (json.dumps(plan_of("basket") | {"planned": {"metrics": {}}}), "is no plan"),
    ],
)
def test_a_plan__that_is_none__is_one_sentence(
    ran: Ran, tmp_path: Path, content: str | None, sentence: str
) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    done = CliRunner().invoke(cli, ["score", "--config", str(ran.config), "--plan", str(path)])
    assert isinstance(done.exception, Misconfigured)
    with pytest.raises(Misconfigured, match=sentence):
        raise done.exception


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--owner", "0x12"], "score: 0x12 is not an address"),
        (["--from", "yesterday"], "score: 'yesterday' is no time"),
        (["--csv", "--json"], "score: ask for --csv or for --json, not for both"),
    ],
)
def test_a_question__that_cannot_be__is_one_sentence(ran: Ran, words: list[str], sentence: str) -> None:
    done = CliRunner().invoke(cli, ["score", "--config", str(ran.config), *words])
    assert isinstance(done.exception, Misconfigured)
    assert str(done.exception).startswith(sentence)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("loan", ["--target", "1.7"]), ("basket", ["--target", "0.5"]), ("range", ["--fee-yield", "0.1"])],
)
def test_a_rule_on_chain__as_it_is_shown__is_scored_beside_a_plan(
    ran: Ran, tmp_path: Path, kind: str, words: list[str]
) -> None:
    roles = ran.world.roles
    owner = {"loan": roles.owner, "basket": roles.twin, "range": roles.stranger}[kind]
    shown = CliRunner().invoke(
        cli, ["rule", "show", owner, "--config", str(ran.config), "--json"], catch_exceptions=False
    )
    (tmp_path / "rules.json").write_text(shown.stdout, encoding="utf-8")
    asked = ["plan", kind, *words, "--from", "2020-01-01", "--to", "2020-03-31", "--out", str(tmp_path)]
    quick = ["--trials", "0", "--paths", "0", "--folds", "0", "--compare", str(tmp_path / "rules.json")]
    done = CliRunner().invoke(cli, [*asked, *quick, "--json"], catch_exceptions=False)
    first, *others = json.loads(done.stdout)["compared"]
    assert first["name"] == f"{owner[:6]}… {kind} 0"
    assert first["metrics"]["trades"] > 0
    assert others, "the rules of thumb are there as before"

"""The play itself: real keeper, real contracts, and figures that agree with each other and with the journal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper import cli
from keeper.demo import process, stage
from keeper.demo.baskets import GUARDED
from keeper.devnet.world import World
from keeper.domain.errors import Blind, Misconfigured
from keeper.journal.journal import Reader
from tests.demo.conftest import CRASH, Played

ROOT = Path(__file__).resolve().parents[2]
QUIET_HOUR = ("--from", "2020-03-12T04:00", "--to", "2020-03-12T04:00")


def exit_code_of(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> object:
    """Run the console script in this process, which has imported everything already."""
    monkeypatch.setattr(sys, "argv", ["keeper", "demo", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_a_guarded_loan__through_a_crash__is_not_liquidated_while_its_twin_is(played: Played) -> None:
    guarded, twin = played.record.guarded, played.record.twin
    assert guarded.liquidations == 0
    assert guarded.min_health is not None
    assert 1.3 < guarded.min_health < 1.4, "it was below its floor for a block, and never near 1"
    assert twin.liquidations >= 1
    assert twin.min_health is not None
    assert twin.min_health < 1
    assert guarded.equity_start == pytest.approx(twin.equity_start, rel=1e-7)
    assert guarded.equity_end - played.record.cost.gas > twin.equity_end


def test_a_play__on_a_terminal__shows_how_far_it_is(played: Played) -> None:
    for wanted in ("building the chain", "starting the keeper", "50%", "health: guarded"):
        assert wanted in played.shown


def test_every_act__by_its_own_figures__raises_health_to_the_target_within_the_rule(played: Played) -> None:
    record = played.record
    assert len(record.acts) >= 2
    for act in record.acts:
        assert act.health_before < record.terms.floor
        assert act.health_after == pytest.approx(record.terms.target, rel=0.005)
        sold = act.sold * act.price
        assert act.cost.fee == pytest.approx(sold * 0.0005)
        assert act.cost.fee + act.cost.slippage == pytest.approx(sold - act.repaid)
        assert 0 < act.cost.fee + act.cost.slippage < sold * record.terms.slippage_bps / 10_000
        base_fee = 77.90 if act.time < record.hours[1].time else 84.76
        gas_used = act.cost.gas / act.price / (base_fee + 1) * 1e9
        assert 300_000 < gas_used < 700_000, "at the hour's base fee and a tip of one gwei"


def test_a_liquidation__of_the_twin__costs_it_the_bonus_on_what_was_repaid(played: Played) -> None:
    for seized in played.record.seizures:
        assert not seized.guarded
        assert seized.penalty == pytest.approx(0.05 * seized.repaid, rel=0.01)
    assert played.record.twin.penalty == pytest.approx(sum(s.penalty for s in played.record.seizures))


def test_a_guarded_range__through_a_crash__follows_the_price_while_its_twin_is_left_behind(
    played: Played,
) -> None:
    story = played.record.ranges
    assert story is not None
    assert story.acts
    for act in story.acts:
        assert act.after.holds(act.price)
        assert not act.before.holds(act.price)
        assert 0 < act.lost < story.guarded.value_start * 0.01, "the rule's slippage is a per cent"
        assert act.why == "range: the price is beyond its trigger"
    assert story.guarded.in_range > story.twin.in_range
    assert story.guarded.value_start == pytest.approx(story.twin.value_start, rel=1e-6)


def test_a_guarded_basket__through_a_crash__stays_about_its_band_while_its_twin_drifts(
    played: Played,
) -> None:
    story = played.record.baskets
    assert story is not None
    assert story.acts
    for act in story.acts:
        assert abs(act.before - story.target) > story.band
        assert abs(act.after - story.target) < story.band
        assert 0 < act.lost < story.guarded.value_start * 0.001
    assert story.guarded.drift < story.band + 0.02 < story.twin.drift
    assert story.guarded.value_start == story.twin.value_start


def test_the_keeper__in_its_own_process__takes_a_turn_on_every_block(played: Played) -> None:
    record = played.record
    assert record.late == 0
    assert record.failed == 0
    assert record.turns >= record.blocks > 2 * 4
    assert record.turns >= record.quiet + len({reason.block for reason in record.reasons})


def test_the_journal__left_beside_the_page__holds_the_same_acts_and_their_reasons(played: Played) -> None:
    with Reader(played.out / "demo" / "keeper.db") as journal:
        flights = journal.actions(played.record.owner)
        flights = tuple(flight for flight in flights if flight.intent.plan.action == "deleverage")
        assert [flight.receipt.hash for flight in flights if flight.receipt] == [
            act.tx for act in played.record.acts
        ]
        assert [flight.intent.why for flight in flights] == [act.why for act in played.record.acts]
        for reason in played.record.reasons:
            pages = [journal.verdicts(owner, reason.block) for owner in (played.record.owner, GUARDED)]
            assert reason.why in [verdict.why for page in pages if page for verdict in page.verdicts]


def test_the_figures__as_json__have_the_promised_shape_and_nothing_else(played: Played) -> None:
    said = json.loads((played.out / "demo.json").read_text())
    cost = {"gas": float, "fee": float, "slippage": float}
    act = {
        "block": int,
        "time": str,
        "repaid": float,
        "sold": float,
        "health_before": float,
        "health_after": float,
        "cost": cost,
        "why": str,
        "tx": str,
    }
    deed = {"block": int, "time": str, "cost": {"lost": float, "gas": float}, "why": str, "tx": str}
    assert shape(said) == {
        "guarded": {
            "liquidations": int,
            "min_health": float,
            "actions": [act] * len(said["guarded"]["actions"]),
            "equity_start": float,
            "equity_end": float,
            "cost": cost,
        },
        "twin": {"liquidations": int, "min_health": float, "equity_end": float},
        "range": {
            "guarded": {
                "in_range": float,
                "actions": [deed | {"lower": float, "upper": float}]
                * len(said["range"]["guarded"]["actions"]),
                "value_start": float,
                "value_end": float,
            },
            "twin": {"in_range": float, "value_start": float, "value_end": float},
        },
        "basket": {
            "guarded": {
                "max_drift": float,
                "actions": [deed | {"weight_before": float, "weight_after": float}]
                * len(said["basket"]["guarded"]["actions"]),
                "value_start": float,
                "value_end": float,
            },
            "twin": {"max_drift": float, "value_start": float, "value_end": float},
        },
        "blocks": int,
        "wall_s": float,
    }
    assert said == played.record.to_json()


def test_the_main_job__as_make_demo_runs_it__comes_to_what_the_readme_says(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "keeper.cli", "demo", "--json", "--out", str(tmp_path)]
    assert "\n\t@$(BIN)/keeper demo\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert json.loads((tmp_path / "demo.json").read_text()) == said
    assert {"guarded", "twin", "blocks", "wall_s"} <= said.keys()
    assert said["guarded"].keys() == {
        "liquidations", "min_health", "actions", "equity_start", "equity_end", "cost"
    }  # fmt: skip
    assert said["guarded"]["cost"].keys() == {"gas", "fee", "slippage"}
    assert said["twin"].keys() == {"liquidations", "min_health", "equity_end"}

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = re.search(r"stays above ([\d.]+) while its twin is liquidated (\w+) times", readme)
    assert told is not None
    assert said["guarded"]["liquidations"] == 0
    assert said["guarded"]["min_health"] > float(told[1]) > 1.36
    assert said["twin"]["liquidations"] == {"three": 3, "four": 4, "five": 5}[told[2]]
    assert said["guarded"]["equity_end"] > said["twin"]["equity_end"] + said["guarded"]["cost"]["gas"]
    assert len(said["guarded"]["actions"]) > 2
    assert said["blocks"] > 2 * 48 * 4, "two days of hours, each of which moves in steps"
    assert 0 < said["wall_s"] < 300


def shape(value: Any) -> Any:
    """The types of a JSON value, in its own form."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else type(value)


def test_the_command__with_json__prints_the_figures_alone_and_leaves_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code_of(monkeypatch, *QUIET_HOUR, "--json", "--out", tmp_path / "new" / "folder")
    assert code == 0
    said = json.loads(capsys.readouterr().out)
    assert said["guarded"]["actions"] == []
    left = tmp_path / "new" / "folder"
    assert json.loads((left / "demo.json").read_text()) == said
    assert sorted(path.name for path in left.iterdir()) == ["demo", "demo.html", "demo.json"]


def test_a_keeper__that_is_killed_under_way__ends_the_play_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = []
    boot = process.KeeperProcess.__init__

    def remember(self: process.KeeperProcess, *arguments: Any) -> None:
        boot(self, *arguments)
        pids.append(self.pid)

    def kill(done: int, what: str) -> None:
        if "health" in what and pids:
            os.kill(pids.pop(), signal.SIGKILL)

    monkeypatch.setattr(process.KeeperProcess, "__init__", remember)
    bars = tmp_path / "crash.csv"
    bars.write_text(CRASH)
    read, _ = stage.bars_of(bars, None, None)
    with pytest.raises(Blind, match=r"^demo: the keeper ended by signal 9; its last line: .+"):
        stage._played(read, tmp_path, kill)


def test_a_keeper__that_cannot_begin__is_quoted(tmp_path: Path, world: World) -> None:
    nowhere = replace(world, thresholds=world.roles.stranger)
    url = world.node.url.replace("http", "ws", 1)
    with (
        process.KeeperProcess(
            tmp_path, nowhere, url, [("loans", nowhere.thresholds, (world.roles.owner,))]
        ) as keeper,
        pytest.raises(
            Blind, match=r"ended with exit code 2; its last line: contract: there is no code at 0x"
        ),
    ):
        keeper.wait_for(0, 60)


@pytest.mark.parametrize(
    ("content", "start", "sentence"),
    [
        (None, None, "cannot be read"),
        ("", None, "is not CSV"),
        ("time,open,high,low\n2020-03-12,1,1,1\n", None, "no column close"),
        (CRASH, "2021-01-01", "no bars in the time asked for"),
        (CRASH, "yesterday", "is no time"),
        (CRASH.replace("125.00", "-1"), None, "which is no price"),
        (CRASH.replace("T11:", "T15:"), None, "has a gap"),
        (CRASH.replace("132.91,77", "much,77"), None, "where a number belongs"),
    ],
    ids=["missing", "empty", "column", "outside", "time", "negative", "gap", "word"],
)
def test_bars__that_cannot_be_played__are_refused_in_one_sentence(
    content: str | None, start: str | None, sentence: str, tmp_path: Path
) -> None:
    bars = tmp_path / "bars.csv"
    if content is not None:
        bars.write_text(content)
    with pytest.raises(Misconfigured) as refused:
        stage.demo(bars, start, None, tmp_path / "out", None)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_the_command__with_bars_that_are_none__exits_2_with_that_sentence_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(monkeypatch, "--bars", tmp_path / "none.csv", "--out", tmp_path) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "none.csv cannot be read" in said.err


def test_a_folder__that_cannot_be_written__is_said_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match=r"^demo: .*file/out cannot be written"):
        stage.demo(None, None, None, tmp_path / "file" / "out", None)


def test_bars__without_a_gas_column__are_played_at_a_gas_price_that_is_stated(tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text("time,open,high,low,close\n2020-03-12T10:00,167.97,168.89,125,132.91\n")
    read, sources = stage.bars_of(bars, None, None)
    assert [bar.gas_gwei for bar in read] == [stage.DEFAULT_GAS_GWEI]
    assert f"{stage.DEFAULT_GAS_GWEI:g} gwei throughout" in sources[1]

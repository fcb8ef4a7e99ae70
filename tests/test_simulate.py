"""`keeper simulate`: a history over two forks tells what a rule does to the positions there are, and moves nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.settings import read_settings
from keeper.simulate import print_simulated, simulate
from tests.conftest import SetRule
from tests.test_cli import config
from tests.test_progress import terminal_of

FALL = """open_time,open,high,low,close,gas_gwei
1583971200,200,201,180,182,20
1583974800,182,183,150,152,40
1583978400,152,160,126,130,60
"""


def test_simulate__a_fall__liquidates_who_is_alone_and_not_who_is_kept(
    world: World, set_rule: SetRule, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.5)
    set_rule(owner, 14_000, 16_000)
    settings = read_settings(config(world, tmp_path))
    manifest, bars = tmp_path / "devnet.json", tmp_path / "fall.csv"
    manifest.write_text(world.to_json())
    bars.write_text(FALL)
    before = world.node.head()

    terminal = io.StringIO()
    told = simulate(settings, manifest, str(bars), None, None, terminal_of(terminal))
    for wanted in ("with the keeper: ", "with nobody: "):
        assert wanted in terminal.getvalue(), "how far it is, is shown"

    (kept,), (alone,) = told.guarded.values(), told.alone.values()
    assert (kept.liquidations, alone.actions) == (0, 0)
    assert kept.actions >= 1
    assert alone.liquidations >= 1
    assert kept.lowest is not None
    assert alone.lowest is not None
    assert (alone.lowest.value or 0) < 10**18 < (kept.lowest.value or 0)
    assert kept.outside < alone.outside
    assert kept.equity_start == alone.equity_start
    assert (kept.equity_end or 0) > (alone.equity_end or 0) > 0
    assert kept.gas > 0
    assert world.node.head() == before, "the devnet itself has not moved"

    (position,) = told.to_json()["positions"]
    assert (position["owner"], position["kind"], position["rule"]) == (owner, "loan", 0)
    assert position["guarded"]["actions"] == kept.actions
    screen = io.StringIO()
    print_simulated(Console(file=screen, width=150), told)
    for wanted in ("loan rule 0", "with the keeper", "without", f"of {kept.blocks} blocks", "times as fast"):
        assert wanted in screen.getvalue()


def test_simulate__of_nothing__is_one_sentence(world: World, tmp_path: Path) -> None:
    settings = read_settings(config(world, tmp_path))
    with pytest.raises(Misconfigured, match="no devnet runs from this folder"):
        simulate(settings, tmp_path / "devnet.json", "black-thursday", None, None, None)
    (tmp_path / "devnet.json").write_text(world.to_json())
    with pytest.raises(Misconfigured, match="none of the watched owners has written a rule"):
        simulate(settings, tmp_path / "devnet.json", "black-thursday", None, None, None)

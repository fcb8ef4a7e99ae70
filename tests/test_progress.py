"""What takes longer than a second says so while it lasts: on standard error, and on a terminal alone."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from keeper.cli import cli
from keeper.demo.stage import progress

SOME = ("--from", "2020-01-01", "--to", "2020-02-29", "--target", "0.5")
BACKTEST = ("backtest", "basket", *SOME)
PLAN = ("plan", "basket", *SOME, "--trials", "2", "--paths", "2", "--folds", "1")


def terminal_of(file: io.StringIO) -> Console:
    """A console that takes a file for a wide terminal."""
    return Console(file=file, force_terminal=True, width=200)


@pytest.mark.parametrize(
    ("words", "said"),
    [(BACKTEST, "living the rule through 1,434 bars"), (PLAN, "search")],
    ids=["backtest", "plan"],
)
def test_what_takes_long__on_a_terminal__says_so_and_in_a_pipe_prints_its_result_alone(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    piped = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False)
    seen = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False, env={"FORCE_COLOR": "1"})
    assert piped.stderr == ""
    assert said in seen.stderr
    assert json.loads(seen.stdout) == json.loads(piped.stdout)


def test_the_demo_s_progress__on_eighty_columns__wraps_and_leaves_no_figure_out() -> None:
    file = io.StringIO()
    what = (
        "2020-03-12 06:00  ETH $1,234.56  health: guarded 1.4321, twin 1.2345; "
        "ranges: guarded $123,456, twin $123,456; baskets: guarded 12.3%, twin 45.6%"
    )
    with progress(Console(file=file, force_terminal=True, width=80), 2) as tell:
        tell(1, what)
    shown = Text.from_ansi(file.getvalue()).plain
    for figure in ("$1,234.56", "1.4321", "123,456", "12.3%", "45.6%"):
        assert figure in shown
    assert max(map(len, shown.splitlines())) <= 80

"""What takes longer than a second says so while it lasts: on standard error, and on a terminal alone."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from keeper.cli import cli

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

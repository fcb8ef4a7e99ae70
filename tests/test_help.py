"""What `--help` shows: an example for every command, and examples that a reader may type as they stand."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from keeper.cli import cli

# Not pydantic, by which typer reads numbers where it is installed.
HEAVY = [
    "alembic", "coincurve", "eth_abi", "eth_account", "numba", "numpy", "pandas", "plotly", "pyarrow",
    "scipy", "sqlalchemy", "starlette", "uvicorn", "web3", "websockets",
]  # fmt: skip


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(leaves(typer.main.get_command(cli)))


def examples(command: Any) -> list[str]:
    """The command lines after `Example:` in a command's help, each up to the end of its paragraph."""
    return [
        " ".join(told.split())
        for told in re.findall(r"Example: (.+?)(?:\n\s*\n|\Z)", command.help, re.DOTALL)
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command__asked_for_help__shows_an_example_that_parses(name: str) -> None:
    shown = examples(COMMANDS[name])
    assert shown, f"keeper {name} --help shows no example"
    for line in shown:
        program, *words = shlex.split(line)
        assert [program, *words[: len(name.split())]] == ["keeper", *name.split()]
        COMMANDS[name].make_context(name, words[len(name.split()) :])


def test_an_example__that_does_not_parse__is_found_out() -> None:
    for wrong in (["--nothing"], ["--block", "one"], []):
        with pytest.raises(Exception, match=r"No such option|a valid|Missing parameter"):
            COMMANDS["explain"].make_context("explain", wrong)


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["rule", "set", "--help"], ["run", "--help"]])
def test_a_trivial_command__loads_no_heavy_library(words: list[str]) -> None:
    code = (
        "import json, sys\n"
        "from keeper.cli import cli\n"
        f"try: cli({words})\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) == []
    assert "keeper" in done.stdout

"""What the documents tell a reader to type exists: make targets, keeper commands, ape scripts, and their flags."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from keeper.cli import cli

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/how-to/{path.name}" for path in (ROOT / "docs" / "how-to").glob("*.md")),
    "docs/performance.md",
    "docs/planner.md",
    "docs/runbook.md",
    "docs/scorecard.md",
    "docs/operating.md",
    "docs/threat-model.md",
    "docs/tutorial.md",
]
# Those that show no command are read for their links.
READ = sorted({*DOCUMENTS, *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))})
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What a reader has, and this project does not answer for.
SYSTEM = {
    "cat",
    "cd",
    "cp",
    "curl",
    "docker",
    "echo",
    "export",
    "git",
    "pip",
    "pipx",
    "python",
    "sleep",
    "sqlite3",
}


def commands(text: str) -> Iterator[list[str]]:
    """Every command line a document shows, in words: those of its blocks of commands, and those in its prose."""
    for language, block in FENCE.findall(text):
        lines = block.replace("\\\n", " ").splitlines()
        if language in ("", "sh", "bash") and lines and is_ours(words_of(lines[0])):
            yield from filter(None, map(words_of, lines))
    for code in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)):
        if is_ours(words := words_of(code)) and len(words) > 1:
            yield words


def words_of(line: str) -> list[str]:
    """A command line in words, without the variables it sets and without its comment."""
    words = shlex.split(line.replace("'", "_"), comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


def is_ours(words: list[str]) -> bool:
    """Whether a line asks something of this project, and so a block that begins with it is one of commands."""
    return bool(words) and words[0].removeprefix(".venv/bin/") in ("make", "keeper", "ape", "git")


def targets() -> set[str]:
    """The Makefile's own."""
    found = re.findall(
        r"^([a-z][a-z0-9-]*):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {"setup", "demo", "test", "check", "bench"} <= set(found)
    return set(found)


def flags(words: list[str]) -> set[str]:
    """The long options among some words."""
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def why_wrong(words: list[str]) -> str | None:
    """Why a reader who types this is let down; None when they are not."""
    name, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    if name == "make":
        asked = {word for word in rest if "=" not in word and not word.startswith("-")}
        unknown = sorted(asked - targets())
        return f"make has no target {unknown}" if unknown else None
    if name == "keeper":
        group: Any = typer.main.get_command(cli)
        command = group.commands.get(rest[0]) if rest and not rest[0].startswith("-") else group
        if command is None:
            return f"keeper has no command {rest[0]}"
        if hasattr(command, "commands") and len(rest) > 1 and command is not group:
            command, within = command.commands.get(rest[1]), rest[0]
            if command is None:
                return f"keeper {within} has no command {rest[1]}"
        known = {
            flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)
        }
        unknown = sorted(flags(rest) - known - {"--help"})
        return f"keeper {rest[0]} has no {unknown}" if unknown else None
    if name == "ape" and rest[:1] == ["run"]:
        script = ROOT / "scripts" / f"{rest[1]}.py"
        if not script.is_file():
            return f"there is no {script.name}"
        source = script.read_text(encoding="utf-8")
        known = {*re.findall(r'"(--[a-z-]+)"', source), "--network", "--account"}
        unknown = sorted(flags(rest) - known)
        return f"{script.name} has no {unknown}" if unknown else None
    if name in SYSTEM or name in ("ape", "pytest") or (ROOT / name).is_file():
        return None
    return f"{name} is nothing a reader has"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_command__shown_in_a_document__exists_with_its_flags(document: str) -> None:
    shown = list(commands((ROOT / document).read_text(encoding="utf-8")))
    assert shown, f"{document} shows no command"
    assert [reason for words in shown if (reason := why_wrong(words))] == []


def test_the_two_first_commands__in_the_readme__are_those_of_a_fresh_clone() -> None:
    shown = list(commands((ROOT / "README.md").read_text(encoding="utf-8")))
    assert ["make", "demo"] in shown
    assert ["make", "test"] in shown


@pytest.mark.parametrize("document", READ)
def test_a_path__linked_from_a_document__leads_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / document).read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    folder = (ROOT / document).parent
    assert [link for link in local if not (folder / link).exists()] == []


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "keeper nothing",
        "keeper look --nothing",
        "keeper plan nothing",
        "keeper plan loan --nothing",
        "ape run nothing",
        "nothing",
    ],
)
def test_a_command__that_does_not_exist__is_found_out(line: str) -> None:
    assert why_wrong(line.split()) is not None


def test_a_room__on_disk__is_in_the_table_and_in_the_drawing_of_the_rooms() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Rooms\n")[1]
    drawing = contributing.split("```")[1]
    table = "".join(re.findall(r"^\| (`.+?) \|", contributing.split("\n## ")[0], re.MULTILINE))
    rooms = {path.stem for path in (ROOT / "keeper").glob("*.py")} | {
        path.parent.name for path in (ROOT / "keeper").glob("*/__init__.py")
    }
    rooms -= {"__init__", "__main__"}
    assert set(re.findall(r"`(\w+)`", table)) == rooms
    assert set(re.findall(r"[a-z]\w+", drawing.removeprefix("text"))) == rooms


def test_the_two_pages_on_gas__each_name_the_others_figure() -> None:
    gas, performance = (
        (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("gas.md", "performance.md")
    )
    measured = re.search(r"^\| deleverage \| 3\.0\.2 \|.* ([\d.]+) \|$", gas, re.MULTILINE)
    benched = re.search(r"^\| `deleverage_gas_ratio`[^|]*\| ([\d.]+) ", performance, re.MULTILINE)
    assert measured is not None
    assert benched is not None
    assert f"says {measured[1]} of" in " ".join(performance.split())
    assert f"says {benched[1]} of" in " ".join(gas.split())

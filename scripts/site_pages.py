"""The pages of the site that are made rather than written: the front, the commands, the contracts, the code.

mkdocs calls the functions named `on_…` as it builds (`make site`). The README and CONTRIBUTING stay where a reader of
the repository looks for them and are pages all the same; a link to what is no page becomes its text.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from posixpath import join, normpath, relpath
from typing import Final

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

from keeper.cli import cli

ROOT: Final = Path(__file__).resolve().parents[1]
ROOMS: Final = ("domain", "judge", "size", "positions")
MOVED: Final = {"README.md": "docs/index.md", "CONTRIBUTING.md": "docs/contributing.md"}
"""Where a document at the top of the repository stands among the pages."""
_LINK: Final = re.compile(r"(!?)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?(?: \"([^\"]*)\")?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made to what is written."""
    made = {
        "index.md": (ROOT / "README.md").read_text(encoding="utf-8"),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "reference/commands.md": commands(),
        "reference/contracts.md": contracts(),
        "reference/python.md": python(),
    }
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead every link to its page, and none out of the site into files that a reader of it does not have."""
    here = page.file.src_uri
    stood = next((old for old, new in MOVED.items() if new == f"docs/{here}"), f"docs/{here}")

    def led(match: re.Match[str]) -> str:
        is_picture, text, target, anchor, title = match.groups()
        if "://" in target:
            return match[0]
        there = normpath(join(Path(stood).parent.as_posix(), target))
        page_of = MOVED.get(there, there).removeprefix("docs/")
        if files.get_file_from_path(page_of):
            return f"{is_picture}[{text}]({relpath(page_of, Path(here).parent.as_posix())}{anchor or ''})"
        return f'<span title="{there}{f"::{title}" if title else ""}">{text}</span>'

    return _LINK.sub(led, markdown)


def commands() -> str:
    """Every command with its options, as `--help` tells them."""
    group = typer.main.get_command(cli)
    context = typer.Context(group, info_name="keeper", resilient_parsing=True)
    return get_docs_for_click(obj=group, ctx=context, name="keeper", title="Commands")


def contracts() -> str:
    """What each interface of a deployable contract promises."""
    parts = ["# Contracts\n"]
    for path in sorted((ROOT / "contracts" / "interfaces").glob("I*Thresholds.vyi")):
        head = re.search(r'"""\n(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL)
        if head is None:
            raise ValueError(f"site: {path.name} has no head")
        parts.append(f"## {path.stem.removeprefix('I')}\n\n```text\n{head[1].rstrip()}\n```\n")
    return "\n".join(parts)


def python() -> str:
    """The rooms that think, and the turn, from their docstrings."""
    modules = ["keeper.turn"]
    for room in ROOMS:
        modules += [
            f"keeper.{room}.{path.stem}"
            for path in sorted((ROOT / "keeper" / room).glob("*.py"))
            if path.stem != "__init__" and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        ]
    return "# Python\n\n" + "\n".join(f"::: {module}\n" for module in modules)

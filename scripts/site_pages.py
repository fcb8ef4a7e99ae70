"""The pages of the site that are made rather than written: the front, the commands, the settings, the contracts, …

mkdocs calls the functions named `on_…` as it builds (`make site`). The README and CONTRIBUTING stay where a reader of
the repository looks for them and are pages all the same; a link to what is no page becomes its text.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from posixpath import join, normpath, relpath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click

import keeper.cli  # `ape run` takes a module with the name `cli` in it for a script of its own

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT: Final = Path(__file__).resolve().parents[1]
ROOMS: Final = ("domain", "judge", "size", "positions")
MOVED: Final = {"README.md": "docs/index.md", "CONTRIBUTING.md": "docs/contributing.md"}
"""Where a document at the top of the repository stands among the pages."""
_BOUNDS: Final = {
    "gt": "above",
    "ge": "at least",
    "lt": "below",
    "le": "at most",
    "min_length": "length at least",
}
_LINK: Final = re.compile(r"(!?)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?(?: \"([^\"]*)\")?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made to what is written."""
    made = {
        "index.md": (ROOT / "README.md").read_text(encoding="utf-8"),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "reference/commands.md": commands(),
        "reference/settings.md": settings(),
        "reference/rules.md": rules(),
        "reference/chains.md": chains(),
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
    group = typer.main.get_command(keeper.cli.cli)
    context = typer.Context(group, info_name="keeper", resilient_parsing=True)
    return get_docs_for_click(obj=group, ctx=context, name="keeper", title="Commands")


def settings() -> str:
    """Every key of keeper.toml, table by table."""
    from keeper import settings as settings_module  # noqa: PLC0415 - `ape run` imports every script to list it
    from keeper.settings import Settings  # noqa: PLC0415

    parts = ["# keeper.toml\n", _prose(settings_module.__doc__)]
    for name, field in Settings.model_fields.items():
        model = _model_of(field.annotation)
        many = get_origin(field.annotation) is tuple
        parts.append(
            f"## `{f'[[{name}]]' if many else f'[{name}]'}`\n\n{_prose(model.__doc__)}{_keys(model)}"
        )
        for inner, other in model.model_fields.items():
            if table := _model_in(other.annotation):
                parts.append(f"### `[{name}.{inner}]`\n\n{_prose(table.__doc__)}{_keys(table)}")
    return "\n".join(parts)


def rules() -> str:
    """Every key of the file that `keeper rule set --file` takes, kind by kind."""
    from keeper.rules.writing import KINDS  # noqa: PLC0415

    parts = [
        "# Rules as files\n",
        "A TOML file; `kind` says which of these it is, and is a loan without it.\n",
    ]
    for kind, (model, _) in KINDS.items():
        parts.append(f'## kind = "{kind}"\n\n{_prose(model.__doc__)}{_keys(model)}')
        for name, field in model.model_fields.items():
            if table := _model_in(field.annotation):
                parts.append(f"### `[[{name}]]`\n\n{_prose(table.__doc__)}{_keys(table)}")
    return "\n".join(parts)


def chains() -> str:
    """What is known to stand on which chain."""
    from keeper.protocols import deployments as deployments_module  # noqa: PLC0415
    from keeper.protocols.deployments import deployments  # noqa: PLC0415

    parts = ["# Chains\n", _prose(deployments_module.__doc__)]
    for chain in deployments().values():
        rows = [
            ("Aave V3 addresses provider", chain.provider),
            ("Aave V3 pool", chain.pool),
            ("Uniswap V3 factory", chain.factory),
            ("Uniswap V3 position manager", chain.position_manager),
        ]
        told = "".join(f"| {what} | `{at}` |\n" for what, at in rows)
        assets = "".join(f"| {name} | `{one.token}` | `{one.feed}` |\n" for name, one in chain.assets.items())
        parts.append(
            f"## {chain.title}\n\n`--chain {chain.name}`, {chain.chain_id}\n\n| what | address |\n|---|---|\n{told}\n"
            f"| asset | token | feed |\n|---|---|---|\n{assets}"
        )
    return "\n".join(parts)


def _keys(model: type[BaseModel]) -> str:
    rows = []
    for name, field in model.model_fields.items():
        if field.is_required():
            default = "must be said"
        else:
            given = field.get_default(call_default_factory=True)
            default = "" if given in (None, "", ()) or hasattr(given, "model_fields") else f"`{given}`"
        bounds = ", ".join(
            f"{words} {getattr(each, key)}"
            for each in field.metadata
            for key, words in _BOUNDS.items()
            if hasattr(each, key)
        )
        rows.append(f"| `{name}` | {_type_text(field.annotation)} | {default} | {bounds} |\n")
    return "| key | what | default | bounds |\n|---|---|---|---|\n" + "".join(rows)


def _type_text(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f'`"{each}"`' for each in get_args(kind))
    parts = [each for each in get_args(kind) if each is not type(None) and each is not Ellipsis]
    if get_origin(kind) is tuple:
        return f"list of {_type_text(parts[0])}"
    if get_origin(kind) is dict:
        return "table"
    if get_origin(kind) is Annotated:
        return _type_text(parts[0])
    if parts:
        return " or ".join(map(_type_text, parts))
    if hasattr(kind, "model_fields"):
        return "table"
    names = {"str": "text", "int": "whole number", "bool": "true or false", "Path": "file"}
    return names.get(kind.__name__, "number")


def _model_in(kind: Any) -> type[BaseModel] | None:
    """The table that a key holds, or a list or an option of it; None where it holds a value."""
    for each in (kind, *get_args(kind)):
        if isinstance(each, type) and hasattr(each, "model_fields"):
            return each
    return None


def _model_of(kind: Any) -> type[BaseModel]:
    found = _model_in(kind)
    if found is None:
        raise ValueError(f"site: {kind} is no table")
    return found


def _prose(doc: str | None) -> str:
    return f"{inspect.cleandoc(doc or '')}\n\n"


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

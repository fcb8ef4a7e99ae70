"""Rooms import downhill only, heavy libraries stand behind one door, and nothing is imported in a circle.

Every import statement counts: at the top, inside a function, under TYPE_CHECKING; `importlib.import_module` too.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEEPER = ROOT / "keeper"

# A room may import itself and what is listed, which stands above it. A new room is added here.
MAY_IMPORT: dict[str, set[str]] = {
    "domain": set(),
    "contracts": set(),
    "protocols": {"domain", "contracts"},
    "judge": {"domain"},
    "size": {"domain", "protocols"},
    "guard": {"domain"},
    "breakers": {"domain"},
    "planner": {"domain", "judge", "size"},
    "report": {"domain", "planner"},
    "journal": {"domain"},
    "chain": {"domain", "protocols", "judge"},
    "send": {"domain", "chain", "journal"},
    "latches": {"domain", "breakers", "chain", "journal"},
    "devnet": {"domain", "contracts", "protocols", "chain"},
    "positions": {"domain", "protocols", "judge", "size", "chain"},
    "foresight": {"domain", "judge", "chain", "positions", "send"},
    "turn": {"domain", "guard", "latches", "journal", "chain", "send", "positions", "foresight"},
    "clock": {"domain"},
    "settings": {"domain", "protocols"},
}
MAY_IMPORT["alerts"] = {"domain", "settings", "turn"}
# The composition root sees every room of a keeper, and none that only a devnet or a planner needs.
MAY_IMPORT["app"] = set(MAY_IMPORT) - {"devnet", "report", "planner"}
MAY_IMPORT["shards"] = {"domain", "journal", "turn", "settings", "app"}
MAY_IMPORT["doctor"] = set(MAY_IMPORT) - {"devnet", "report", "planner"}
MAY_IMPORT["desk"] = {"domain", "breakers", "protocols", "journal", "settings"}
MAY_IMPORT["score"] = {"domain", "protocols", "journal"}
MAY_IMPORT["show"] = {"desk", "doctor", "domain", "journal", "positions", "turn"}
MAY_IMPORT["watch"] = {
    "domain",
    "breakers",
    "protocols",
    "chain",
    "journal",
    "positions",
    "turn",
    "settings",
    "app",
    "show",
}
MAY_IMPORT["rules"] = {"domain", "protocols", "judge", "size", "chain", "settings", "app"}
MAY_IMPORT["init"] = {"domain", "protocols", "chain", "positions", "settings", "app"}
MAY_IMPORT["demo"] = {"domain", "protocols", "journal", "chain", "report", "devnet"}
MAY_IMPORT["simulate"] = {
    "domain",
    "protocols",
    "chain",
    "journal",
    "positions",
    "settings",
    "app",
    "score",
    "report",
    "devnet",
    "demo",
}
MAY_IMPORT["archive"] = {"domain", "protocols", "chain", "planner"}
MAY_IMPORT["planning"] = {"domain", "protocols", "chain", "planner", "report", "archive"}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
MAY_IMPORT["__main__"] = {"cli"}

# Who may import a library that is heavy, or that another might one day replace.
DOORS: dict[str, set[str]] = {
    "alembic": {"journal"},
    "apprise": {"alerts"},
    "apscheduler": {"clock"},
    "boto3": {"send"},
    "botocore": {"send"},
    "coincurve": {"send"},
    "distributed": {"planner"},
    "eth_account": {"send"},
    "eth_keys": {"send"},
    "google": {"send"},
    "joblib": {"planner"},
    "numba": {"planner"},
    "numpy": {"domain", "judge", "size", "planner", "report", "archive"},
    "optuna": {"planner"},
    "orjson": {"journal"},
    "plotly": {"report", "planner"},
    "prometheus_client": {"watch"},
    "pyarrow": {"devnet", "planner"},
    "pydantic": {"settings", "rules"},
    "rich": {"show", "demo", "report", "planning", "score", "simulate"},
    "scipy": {"planner"},
    "sqlalchemy": {"journal"},
    "starlette": {"watch"},
    "typer": {"cli", "planning"},
    "uvicorn": {"watch"},
    "web3": {"chain"},
    "websockets": {"chain"},
}
_UNDER_ANOTHER_NAME = {"botocore": "boto3", "google": "google_auth"}
NEVER = {"ape", "ape_foundry", "ape_vyper", "boa", "hypothesis", "pytest", "snekmate", "vyper"}


@dataclass(frozen=True, slots=True)
class Import:
    """`module` imports `name`, on a line; `name` is None where only running it would tell."""

    module: str
    name: str | None
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by dotted name."""
    found = {}
    for path in sorted(KEEPER.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_in(source: str, module: str, known: set[str]) -> Iterator[Import]:
    """Every import in a source; `from a import b` is an import of a.b where that is a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(module, inner if inner in known else node.module, node.lineno)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "import_module",
            "__import__",
        ):
            argument = node.args[0] if node.args else None
            is_text = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            yield Import(module, argument.value if is_text else None, node.lineno)  # type: ignore[union-attr]


@cache
def all_imports() -> tuple[Import, ...]:
    """Every import in the package."""
    return tuple(
        found
        for module, path in modules().items()
        for found in imports_in(path.read_text(encoding="utf-8"), module, set(modules()))
    )


def room(module: str) -> str:
    """The room of a module of the package; the package's own head is a room without a name."""
    return module.split(".")[1] if "." in module else ""


def test_every_room__on_disk_or_in_the_table__is_in_both() -> None:
    standing = {room(module) for module in modules()} - {""}
    assert standing == set(MAY_IMPORT)


def test_a_room__that_imports__imports_only_what_stands_above_it() -> None:
    ours = [found for found in all_imports() if (found.name or "").split(".")[0] == "keeper"]
    assert len(ours) > 50, "the walk must have seen the package"
    uphill = [
        str(found)
        for found in ours
        if (there := room(found.name or ""))
        and there != room(found.module)
        and there not in MAY_IMPORT.get(room(found.module), set())
    ]
    assert uphill == []


def test_the_table_of_rooms__read_downwards__lets_each_see_only_what_stands_above() -> None:
    above: set[str] = set()
    for name, allowed in MAY_IMPORT.items():
        assert allowed <= above, name
        above.add(name)


def test_modules__lazy_and_typing_imports_counted__form_no_circle() -> None:
    edges: dict[str, set[str]] = {module: set() for module in modules()}
    for found in all_imports():
        if found.name in edges and found.name != found.module:
            edges[found.module].add(found.name)
            # Importing a module runs the heads of the packages it lies in.
            parent = found.name.rpartition(".")[0]
            while parent:
                if not found.module.startswith(f"{parent}.") and parent != found.module:
                    edges[found.module].add(parent)
                parent = parent.rpartition(".")[0]
    while free := [module for module, to in edges.items() if not to & set(edges)]:
        for module in free:
            del edges[module]
    assert {module: to & set(edges) for module, to in edges.items()} == {}


def test_a_heavy_library__wherever_imported__stands_behind_its_door() -> None:
    outside = [
        str(found)
        for found in all_imports()
        if (library := (found.name or "").split(".")[0]) in DOORS and room(found.module) not in DOORS[library]
    ]
    assert outside == []


def test_the_package__in_production__needs_no_compiler_and_no_test_tool() -> None:
    assert [str(found) for found in all_imports() if (found.name or "").split(".")[0] in NEVER] == []


def test_a_library__that_the_package_imports__is_declared_as_its_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    declared = {re.split(r"[^A-Za-z0-9_-]", line)[0].lower().replace("-", "_") for line in wanted}
    libraries = {(found.name or "").split(".")[0] for found in all_imports()}
    libraries = {_UNDER_ANOTHER_NAME.get(name, name) for name in libraries}
    assert libraries - sys.stdlib_module_names - {"keeper"} <= declared


def test_an_import__by_computed_name__is_not_hidden_from_this_walk() -> None:
    assert [str(found) for found in all_imports() if found.name is None] == []


@pytest.mark.parametrize(
    "source",
    [
        "from keeper.app import run",
        "def f():\n    import keeper.app",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from keeper import app",
        "import importlib\nimportlib.import_module('keeper.app')",
    ],
)
def test_the_walk__on_each_way_to_import__sees_it(source: str) -> None:
    found = [i.name for i in imports_in(source, "keeper.domain.loans", {"keeper", "keeper.app"})]
    assert "keeper.app" in found


def test_the_command_line__when_only_imported__loads_no_heavy_library() -> None:
    heavy = sorted({*DOORS, "eth_abi"} - {"typer"})
    code = f"import keeper.cli, sys, json; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_what_a_person_asks_of_the_journal__needs_no_chain_no_key_and_no_clock() -> None:
    heavy = ["web3", "websockets", "urllib3", "eth_account", "coincurve", "apscheduler", "numpy", "alembic"]
    code = f"import keeper.desk, keeper.show, sys, json; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []

"""The table of faults: every row is there, and every test it names exists where it says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = {"A": 9, "B": 18, "C": 8, "D": 10, "E": 13, "F": 6}
ROW = re.compile(r"^\| ([A-F]\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\]\(\.\./(\S+) \"(test_\w+)\"\)")


def names_in(path: Path) -> set[str]:
    """The names of a file's test functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_table__row_by_row__is_the_whole_matrix() -> None:
    wanted = [f"{letter}{n}" for letter, most in ROWS.items() for n in range(1, most + 1)]
    assert [row[0] for row in ROW.findall(TABLE)] == wanted


def test_a_row__that_names_tests__names_ones_that_exist() -> None:
    named = LINK.findall(TABLE)
    assert len(named) > 80
    assert [(path, name) for path, name in named if name not in names_in(ROOT / path)] == []


def test_a_row__without_a_test__says_why() -> None:
    bare = [(key, said) for key, _, said in ROW.findall(TABLE) if not LINK.search(said)]
    assert {key for key, said in bare if len(said) > 20} == {key for key, _ in bare}
    assert len(bare) <= 7


def test_a_test__named_after_a_row__is_in_the_table() -> None:
    named = {name for _, name in LINK.findall(TABLE)}
    ours = {name for path in (ROOT / "tests" / "faults").glob("test_*.py") for name in names_in(path)}
    after_a_row = {name for name in ours if re.match(r"test_[a-f]\d+_", name)}
    assert after_a_row - named == set()

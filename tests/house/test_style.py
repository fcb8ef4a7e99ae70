"""Names and heads that a reader may rely on: contracts, their reasons, the tests, the modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
HEAD = ["# pragma version ==0.4.3", "# pragma optimize gas", "# pragma evm-version cancun"]
# Compiled for gas this one is above the 24,576 bytes a chain takes.
LARGE = {"BasketThresholds"}
FOR_ROOM = [HEAD[0], "# pragma optimize codesize", HEAD[2]]
CAMEL = re.compile(r"[A-Z][A-Za-z0-9]*")
SNAKE = re.compile(r"[a-z][a-z0-9_]*")


def sources() -> list[Path]:
    """Every Vyper file of ours."""
    found = sorted(p for p in CONTRACTS.rglob("*") if p.suffix in (".vy", ".vyi"))
    assert any(p.stem == "LoanThresholds" for p in found), "the walk must have seen the contracts"
    return found


def python_files(*rooms: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every Python file of some folders, parsed."""
    for name in rooms:
        paths = sorted((ROOT / name).rglob("*.py"))
        assert paths, f"{name}/ has no Python file"
        for path in paths:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def told(path: Path) -> str:
    """A path as a person would say it."""
    return str(path.relative_to(ROOT))


def test_a_contracts_name__by_its_case__says_what_it_is() -> None:
    wrong = []
    for path in sources():
        is_mock = path.stem.endswith("_mock")
        if path.suffix == ".vyi":
            fits = re.fullmatch(r"I[A-Z][A-Za-z0-9]*", path.stem) is not None
        else:
            fits = bool(SNAKE.fullmatch(path.stem) or CAMEL.fullmatch(path.stem))
        if not fits or is_mock != (path.parent.name == "mocks"):
            wrong.append(told(path))
    assert wrong == []


def test_a_deployable_contract__in_its_head__pins_its_compiler_and_says_how_it_is_switched_off() -> None:
    for path in (p for p in sources() if p.suffix == ".vy" and CAMEL.fullmatch(p.stem)):
        text = path.read_text(encoding="utf-8")
        head = FOR_ROOM if path.stem in LARGE else HEAD
        assert text.splitlines()[:3] == head, told(path)
        assert "@custom:kill " in text, told(path)
        assert f"@custom:contract-name {path.stem}\n" in text, told(path)
        assert "@license MIT" in text, told(path)


def test_a_vyper_file__on_its_first_line__pins_its_compiler() -> None:
    wrong = [told(p) for p in sources() if p.read_text(encoding="utf-8").splitlines()[0] != HEAD[0]]
    assert wrong == []


def test_a_revert_reason__wherever_it_stands__reads_room_and_sentence() -> None:
    reasons = [
        (told(path), reason)
        for path in sources()
        if path.suffix == ".vy" and path.parent.name != "mocks"
        for reason in re.findall(
            r'(?:\bassert\b[^"#]*?,|\braise)\s*\(?\s*"([^"]*)"', path.read_text(encoding="utf-8")
        )
    ]
    assert len(reasons) > 10
    assert [r for r in reasons if re.fullmatch(r"[a-z]+: [^ ].*[^. ]", r[1]) is None] == []


def test_a_tests_name__read_aloud__is_a_subject_and_what_is_true_of_it() -> None:
    # subject__condition__result, or subject__result where the result needs no condition.
    wrong = [
        f"{told(path)}: {node.name}"
        for path, tree in python_files("tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and re.fullmatch(r"test_[a-z0-9]+(_[a-z0-9]+)*(__[a-z0-9]+(_[a-z0-9]+)*){1,}", node.name) is None
    ]
    assert wrong == []


def test_actors__in_code_and_tests__are_roles_and_not_people() -> None:
    people = re.compile(r"\b(ali" + r"ce|bo" + r"b|char" + r"lie|mall" + r"ory)\b", re.IGNORECASE)
    texts = [*sources(), *(p for p, _ in python_files("keeper", "scripts", "tests"))]
    assert [told(p) for p in texts if people.search(p.read_text(encoding="utf-8"))] == []


def test_a_module__in_its_head__says_what_it_is() -> None:
    assert [told(p) for p, tree in python_files("keeper", "scripts") if not ast.get_docstring(tree)] == []


def test_a_name__of_a_module_or_class__says_more_than_that_it_does_something() -> None:
    empty = re.compile(r"(manager|helper|util|utils|base|common|misc|impl|service|engine)s?$", re.IGNORECASE)
    found = [
        f"{told(path)}: {name}"
        for path, tree in python_files("keeper", "scripts")
        for name in [path.stem, *(n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef))]
        if any(empty.fullmatch(word) for word in re.findall(r"[A-Z]?[a-z]+", name))
    ]
    assert found == []

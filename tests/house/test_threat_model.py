"""The threat model: every sentence of the interfaces has its row, every attack its link, every default its number."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from keeper.settings import Breakers, OperatorLimits

ROOT = Path(__file__).resolve().parents[2]
INTERFACES = ROOT / "contracts" / "interfaces"
ATTACKS = ROOT / "tests" / "attacks"
DOCUMENT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
# A part of the document, its interface, and the attacks on what that promises.
KINDS = {
    "Loans": ("ILoanThresholds.vyi", "test_loan_thresholds_threats.py"),
    "Ranges": ("IRangeThresholds.vyi", "test_range_thresholds_threats.py"),
    "Baskets": ("IBasketThresholds.vyi", "test_basket_thresholds_threats.py"),
}
ROW = re.compile(r"^\| (T\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(\.\./tests/attacks/(\S+) \"(test_\w+)\"\)")
NAMED = re.compile(r"\b(loan|range|basket)s ((?:[TSL]\d+(?:, | to )?)+)")


def promised(interface: Path) -> list[str]:
    """The numbers of an interface's sentences, in its order."""
    return re.findall(r"^ +(T\d+) ", interface.read_text(encoding="utf-8"), re.MULTILINE)


def rows(kind: str) -> dict[str, str]:
    """What a part of the document says each sentence is tried by."""
    part = DOCUMENT.split(f"\n### {kind}\n")[1].split("\n### ")[0]
    return {number: tried for number, _, tried in ROW.findall(part)}


@cache
def attacks(path: Path) -> dict[str, str]:
    """The tests of a file that are named after a sentence, and after which."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {name: found[1].upper() for name in names if (found := re.match(r"test_(t\d+)__", name))}


def test_the_kinds__listed_here__are_all_whose_interface_has_a_threat_model() -> None:
    with_one = {path.name for path in INTERFACES.glob("*.vyi") if promised(path)}
    assert with_one == {interface for interface, _ in KINDS.values()}
    assert {path.name for path in ATTACKS.glob("test_*_threats.py")} == {tried for _, tried in KINDS.values()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence__of_an_interface__has_its_row_in_the_same_order(kind: str) -> None:
    interface, _ = KINDS[kind]
    numbers = promised(INTERFACES / interface)
    assert len(numbers) > 10, "the walk must have seen the sentences"
    assert list(rows(kind)) == numbers


@pytest.mark.parametrize("kind", KINDS)
def test_an_attack__named_after_a_sentence__is_linked_in_its_row_and_nothing_else_is(kind: str) -> None:
    _, path = KINDS[kind]
    linked = {
        (number, file, name) for number, tried in rows(kind).items() for _, file, name in LINK.findall(tried)
    }
    assert linked == {(number, path, name) for name, number in attacks(ATTACKS / path).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row__with_its_links_taken_out__says_nothing_that_is_not_one(kind: str) -> None:
    rest = {number: LINK.sub("", tried).replace("<br>", "") for number, tried in rows(kind).items()}
    assert {number: left for number, left in rest.items() if left} == {}


def test_a_link__as_it_is_read__says_what_its_test_does() -> None:
    links = LINK.findall(DOCUMENT)
    assert len(links) > 90
    wrong = [(shown, name) for shown, _, name in links if shown != name.split("__")[1].replace("_", " ")]
    assert wrong == []


def test_a_sentence_or_an_assumption__spoken_of__is_there_to_be_read() -> None:
    spoken = [(kind, n) for kind, list_ in NAMED.findall(DOCUMENT) for n in re.findall(r"[TSL]\d+", list_)]
    assert len(spoken) > 10
    missing = []
    for kind, number in spoken:
        text = (INTERFACES / f"I{kind.title()}Thresholds.vyi").read_text(encoding="utf-8")
        if not re.search(rf"^ +{number} ", text, re.MULTILINE):
            missing.append((kind, number))
    assert missing == []


def test_a_default__written_for_operators__is_that_of_the_settings() -> None:
    written = dict(re.findall(r"`(\w+) = ([\d.]+)`", DOCUMENT))
    fields = OperatorLimits.model_fields | Breakers.model_fields
    given = {name: float(fields[name].default) for name in written}
    assert {name: float(number) for name, number in written.items()} == given
    # A breaker that is not spoken of is one that nobody knows to set.
    assert set(Breakers.model_fields) <= {*written, "sold_per_day"}

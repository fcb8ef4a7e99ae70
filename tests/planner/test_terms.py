"""Every term that an owner can write is lived through by the planner, or said to be left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keeper.planner.bars import History
from keeper.planner.cases import basket_case, loan_case, range_case
from keeper.planner.conventions import PARITY
from keeper.planner.costs import Costs
from keeper.planner.results import Kind
from keeper.planner.simulate_loan import Lending
from keeper.planner.terms import ASIDE, LIVED, aside_note
from tests.planner.histories import random_history

ROOT = Path(__file__).resolve().parents[2]
STRUCTS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "basket": {"IBasketThresholds.vyi": ("Asset", "Rule"), "ILimits.vyi": ("Limits",)},
    "loan": {"ILoanThresholds.vyi": ("Rule", "Terms")},
    "range": {"IRangeThresholds.vyi": ("Rule",)},
}


def terms_of(kind: Kind) -> set[str]:
    """The fields of what an owner writes."""
    found = set()
    for name, structs in STRUCTS[kind].items():
        text = (ROOT / "contracts" / "interfaces" / name).read_text()
        for struct in structs:
            (body,) = re.findall(rf"^struct {struct}:\n((?:    .*\n)+)", text, re.M)
            found |= set(re.findall(r"^    (\w+):", body, re.M))
    return found


@pytest.mark.parametrize("kind", ["basket", "loan", "range"])
def test_a_rules_terms__every_one__are_lived_through_or_left_out_and_not_both(kind: Kind) -> None:
    lived, aside = set(LIVED[kind]), set(ASIDE[kind])
    assert len(terms_of(kind)) > 10
    assert lived | aside == terms_of(kind)
    assert not lived & aside


@pytest.mark.parametrize("kind", ["basket", "loan", "range"])
def test_a_case__whatever_it_is_for__says_what_is_left_out_of_it(kind: Kind) -> None:
    history: History = random_history(0)
    case = {
        "basket": lambda: basket_case([history], [0.5], Costs()),
        "loan": lambda: loan_case(history, Lending(0.825, 0.5, 0.95, 0.05), Costs()),
        "range": lambda: range_case(history, Costs(), 0.1),
    }[kind]()
    assert aside_note(kind) in case.notes
    for term in ASIDE[kind]:
        assert re.search(rf"\b{term}\b", aside_note(kind))


def row_of(kind: Kind, at: int) -> list[str]:
    """The cells of a kind's row in the first or the second table of the page on planning."""
    page = (ROOT / "docs" / "planner.md").read_text()
    found: list[str] = re.findall(rf"^\| {kind} \|(.*)\|$", page, re.M)
    return found[at].split("|")


@pytest.mark.parametrize("kind", ["basket", "loan", "range"])
def test_the_page_on_planning__of_each_kind__names_every_term_there_is(kind: Kind) -> None:
    lived, aside = row_of(kind, 0)
    assert set(re.findall(r"`(\w+)`", lived)) == set(LIVED[kind])
    assert set(re.findall(r"`(\w+)`", aside)) == set(ASIDE[kind])


@pytest.mark.parametrize("kind", ["basket", "loan", "range"])
def test_the_page_on_planning__of_each_kind__says_how_far_the_chain_may_be(kind: Kind) -> None:
    measure, *shares = row_of(kind, 1)
    apart = PARITY[kind]
    assert float(measure.split()[0]) == apart.measure
    found = [float(share.strip().removesuffix(" %")) / 100 for share in shares]
    assert found == pytest.approx([apart.worth, apart.sold, apart.lost, apart.gas])

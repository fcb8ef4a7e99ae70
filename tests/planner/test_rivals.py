"""Rules that are there already, in every way they are written, and what is refused of them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from keeper.domain.errors import Misconfigured
from keeper.planner.cases import Case, basket_case, loan_case, range_case
from keeper.planner.costs import Costs
from keeper.planner.rivals import Setting, rivals
from keeper.planner.rule_file import Assets, rule_file
from keeper.planner.simulate_loan import Lending
from keeper.planner.sweep import grid
from tests.planner.histories import random_history

LOAN = Setting("loan", 3600, threshold=0.83)
BASKET = Setting("basket", 3600, targets=(0.6, 0.4))
RANGE = Setting("range", 3600)
SETTINGS = {each.kind: each for each in (LOAN, BASKET, RANGE)}
RULES = {
    "loan": {"floor": 1.4, "target": 1.65, "ceiling": 1.9, "cooldown": 600.0},
    "basket": {"trigger": 0.05, "destination": 0.0125, "cooldown": 3_600.0},
    "range": {"width": 0.2, "trigger": 0.25, "hold": 7.0, "cooldown": 0.0},
}


def case_of(kind: str) -> Case:
    history, costs = random_history(3, 400), Costs()
    if kind == "basket":
        return basket_case([history], [0.6], costs)
    if kind == "loan":
        return loan_case(history, Lending(0.83, 0.5, 0.95, 0.05), costs)
    return range_case(history, costs, fee_yield=0.1)


@pytest.mark.parametrize("kind", ["loan", "basket", "range"])
def test_a_rule__as_a_plan_writes_it__is_read_back_as_it_was(kind: str, tmp_path: Path) -> None:
    case = case_of(kind)
    (row,) = grid(case.columns, **RULES[kind])
    whole = dict(zip(case.columns, row.tolist(), strict=True))
    path = tmp_path / "rule.toml"
    path.write_text(rule_file(case.kind, whole, case.path(row), Assets(weights=(0.6, 0.4))), encoding="utf-8")
    (found,) = rivals([str(path)], SETTINGS[case.kind]).values()
    (again,) = grid(case.columns, **found)
    # A tick is a basis point, which a range's edges are rounded to.
    assert again == pytest.approx(row, abs=1e-4)


def test_a_plan__as_json__gives_its_planned_rule__and_no_ceiling_stays_none(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    rule = {**RULES["loan"], "ceiling": None}
    path.write_text(json.dumps({"kind": "loan", "planned": {"rule": rule}}), encoding="utf-8")
    assert rivals([str(path)], LOAN) == {str(path): {**RULES["loan"], "ceiling": math.inf}}


def test_a_rule__in_words__is_what_it_says() -> None:
    assert rivals(["trigger=0.05,is-relative=1"], BASKET) == {
        "trigger=0.05,is-relative=1": {"trigger": 0.05, "is_relative": 1.0}
    }


def shown(kind: str, **fields: Any) -> str:
    return json.dumps({"positions": [{"kind": kind, "owner": "0x" + "ab" * 20, "rule": 3, **fields}]})


OF_BASKET = {
    "asset_0": "0x01 4000 ± 500", "asset_1": "0x02 6000 ± 500", "bands": "of the whole", "destination_bps": 5_000,
    "cooldown": 60, "sigmas_bps": 0, "cap_bps": 10_000,
}  # fmt: skip
OF_RANGE = {
    "below": 600, "above": 600, "buffer": 50, "hold": 300, "cooldown": 0, "cutoff_low": -887_272,
    "cutoff_high": 887_272, "direction": "both", "placement": "around",
}  # fmt: skip
OF_LOAN = {"floor": "1.4000", "target": "1.7000", "ceiling": "0.0000", "cooldown": 60}


def test_rules_on_chain__as_they_are_shown__become_rules_to_live_through(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"

    def read(setting: Setting, **fields: Any) -> dict[str, float]:
        path.write_text(shown(setting.kind, **fields), encoding="utf-8")
        ((name, rule),) = rivals([str(path)], setting).items()
        assert name == f"0xabab… {setting.kind} 3"
        return rule

    assert read(BASKET, **OF_BASKET) == {
        "trigger": 0.05, "destination": 0.025, "is_relative": 0.0, "cooldown": 60.0,
    }  # fmt: skip
    plain = {"floor": 1.4, "target": 1.7, "ceiling": math.inf, "cooldown": 60.0}
    assert read(LOAN, **OF_LOAN) == {**plain, "speed": 1.0}
    assert read(LOAN, **OF_LOAN, speed_bps=500) == {**plain, "speed": 0.05}
    levered = read(LOAN, **OF_LOAN | {"floor": "2.5", "target": "2.0", "ceiling": "1.5", "unit": "leverage"})
    assert levered["floor"] == pytest.approx(0.83 * 2.5 / 1.5)
    assert levered["floor"] < levered["target"] < levered["ceiling"]
    found = read(RANGE, **OF_RANGE)
    assert found["width"] == pytest.approx(600 * math.log(1.0001))
    assert found["trigger"] == pytest.approx(650 * math.log(1.0001))
    assert found["hold"] == 1.0
    assert read(RANGE, **OF_RANGE, deviation=250)["deviation"] == pytest.approx(250 * math.log(1.0001))


@pytest.mark.parametrize(
    ("setting", "content", "sentence"),
    [
        (LOAN, "floor = 1.4", "compare: .* holds no rule of a loan (KeyError('target')"),
        (LOAN, "floor 1.4", "compare: .* is neither TOML nor JSON"),
        (LOAN, shown("basket", **OF_BASKET), "compare: .* shows no rule of a loan"),
        (
            LOAN,
            shown("loan", **OF_LOAN, unit="leverage", speed_bps=500),
            "has a speed in leverage, and one in health is simulated",
        ),
        (
            BASKET,
            json.dumps({"kind": "loan", "planned": {}}),
            "compare: .* plans a loan, and this is a basket",
        ),
        (
            BASKET,
            shown("basket", **OF_BASKET | {"asset_0": "0x01 5000 ± 500"}),
            "aims at 50% / 60%, and this plan",
        ),
        (
            BASKET,
            shown("basket", **OF_BASKET | {"asset_0": "0x01 4000 ± 300"}),
            "has a band of its own for each asset",
        ),
        (
            BASKET,
            shown("basket", **OF_BASKET | {"sigmas_bps": 9}),
            "has a sigmas_bps of 9, which is not simulated",
        ),
        (RANGE, shown("range", **OF_RANGE | {"above": 900}), "reaches 600 ticks down and 900 up"),
        (RANGE, shown("range", **OF_RANGE | {"placement": "beside"}), "has a placement of beside"),
    ],
)
def test_a_rule__that_cannot_be_lived_through__is_one_sentence(
    setting: Setting, content: str, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "rule"
    path.write_text(content, encoding="utf-8")
    pattern = re.escape(sentence).replace(re.escape(".*"), ".*")
    with pytest.raises(Misconfigured, match=pattern):
        rivals([str(path)], setting)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (["nowhere.toml"], "compare: nowhere.toml is no file, and no rule in words"),
        (["trigger=wide"], "compare: 'trigger=wide' is not a name and a number"),
        (["trigger=0.05", "trigger=0.05"], "compare: trigger=0.05 is named twice"),
    ],
)
def test_a_rival__that_is_none__is_one_sentence(said: list[str], sentence: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(sentence)):
        rivals(said, BASKET)

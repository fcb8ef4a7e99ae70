"""Sweeps: the grid, the same bits however they are run, and what an interruption leaves."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from keeper.domain.errors import Misconfigured
from keeper.planner import sweep as module
from keeper.planner.cases import BasketCase, basket_case, loan_case, range_case
from keeper.planner.costs import Costs, Impact
from keeper.planner.results import COLUMNS, Floats
from keeper.planner.simulate_loan import Lending
from keeper.planner.sweep import fingerprint, grid, sweep
from tests.planner.histories import random_history

COSTS = Costs(0.0005, Impact(0.002, 0.7), 250_000, failures=0.05, delay=1)


def some_case() -> BasketCase:
    return basket_case([random_history(1, 1_000)], [0.5], COSTS)


def some_rules() -> Floats:
    return grid(
        some_case().columns,
        trigger=np.linspace(0.005, 0.1, 100),
        destination_share=[0, 0.5, 1],
        cooldown=[0, 86_400],
    )


class Interrupted(Exception):
    """Someone pulled the plug."""


def test_a_grid__of_choices__is_every_combination_that_makes_sense() -> None:
    rules = grid(some_case().columns, trigger=[0.02, 0.05], destination=[0.0, 0.03], cooldown=[0, 60])
    # Of eight, those that would land outside their own band are none.
    assert rules[:, :2].tolist() == [[0.02, 0], [0.02, 0], [0.05, 0], [0.05, 0], [0.05, 0.03], [0.05, 0.03]]
    loan = loan_case(random_history(0), Lending(0.8, 0.5, 0.95, 0.05), COSTS)
    bands = grid(loan.columns, floor=[1.2, 1.6], target=[1.5], ceiling=[1.4, 2.0])
    assert bands[:, :3].tolist() == [[1.2, 1.5, 2.0]]


def test_rules__of_another_kind__are_scored_by_no_case() -> None:
    case = some_case()
    with pytest.raises(Misconfigured, match="rules of 5 numbers are not of its 6"):
        case.score(some_rules()[:, :5])


def test_a_grid__of_what_no_rule_has__is_refused() -> None:
    with pytest.raises(Misconfigured, match="a rule has no colour; it has trigger"):
        grid(some_case().columns, trigger=[0.1], colour=[1])
    with pytest.raises(Misconfigured, match="a rule needs a trigger"):
        grid(some_case().columns, cooldown=[1])
    with pytest.raises(Misconfigured, match="no rule is left to try"):
        sweep(some_case(), some_rules()[:0])


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_sweep__on_several_workers__has_the_bits_of_a_serial_one(backend: module.Backend) -> None:
    case, rules = some_case(), some_rules()
    assert len(rules) > 2 * module.CHUNK
    serial = sweep(case, rules, "serial")
    many = sweep(case, rules, backend, workers=2)
    for name in COLUMNS:
        assert (serial[name] == many[name]).all(), name
    assert serial["trades"].max() > 10


def test_a_sweep__of_eight_times_the_rules__takes_no_more_memory_beside_its_answer() -> None:
    case, few = some_case(), some_rules()[:512]
    sweep(case, few[:1], "serial")
    beside = []
    for rules in (few, np.tile(few, (8, 1))):
        tracemalloc.start()
        kept = sweep(case, rules, "serial")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        beside.append(peak - len(kept["trades"]) * len(COLUMNS) * 8)
    assert abs(beside[1] - beside[0]) < 200_000


def test_any_case__in_any_order_of_rules__scores_a_rule_the_same() -> None:
    history = random_history(1, 1_000)
    loan, range_ = (
        loan_case(history, Lending(0.8, 0.5, 0.95, 0.05), COSTS),
        range_case(history, COSTS, 0.2),
    )
    cases = [
        (some_case(), some_rules()),
        (loan, grid(loan.columns, floor=[1.1, 1.3], target=[1.5, 2.0])),
        (range_, grid(range_.columns, width=[0.1, 0.2], trigger_share=[1, 2])),
    ]
    for case, rules in cases:
        backwards = case.score(rules[::-1])[::-1]
        assert (case.score(rules) == backwards).all()


def test_a_sweep__interrupted__goes_on_from_the_chunks_it_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, rules = some_case(), some_rules()
    whole = sweep(case, rules, "serial")
    told: list[tuple[int, int]] = []

    def pull_the_plug(done: int, of: int) -> None:
        told.append((done, of))
        raise Interrupted

    with pytest.raises(Interrupted):
        sweep(case, rules, "serial", folder=tmp_path, on_progress=pull_the_plug)
    assert told == [(module.CHUNK, len(rules))]
    scored: list[int] = []
    real = module._score_chunk

    def watched(case: BasketCase, rules: Floats, start: int) -> tuple[int, Floats]:
        scored.append(start)
        return real(case, rules, start)

    monkeypatch.setattr(module, "_score_chunk", watched)
    again = sweep(case, rules, "serial", folder=tmp_path)
    assert scored == list(range(module.CHUNK, len(rules), module.CHUNK))
    for name in COLUMNS:
        assert (again[name] == whole[name]).all()
    scored.clear()
    sweep(case, rules, "serial", folder=tmp_path)
    assert scored == []


def test_a_chunk__half_written_or_of_another_sweep__is_not_believed(tmp_path: Path) -> None:
    case, rules = some_case(), some_rules()
    whole = sweep(case, rules, "serial", folder=tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / "0.npy").write_bytes(b"half")
    again = sweep(case, rules, "serial", folder=tmp_path)
    assert (again["final_value"] == whole["final_value"]).all()
    dearer = basket_case([random_history(1, 1_000)], [0.5], Costs(0.01))
    assert fingerprint(case, rules) != fingerprint(dearer, rules)
    assert fingerprint(case, rules) != fingerprint(case, rules[1:])
    assert fingerprint(case, rules) == fingerprint(some_case(), some_rules())


def test_progress__of_a_sweep__ends_with_all_of_its_rules() -> None:
    told: list[tuple[int, int]] = []
    rules = some_rules()
    sweep(some_case(), rules, "threading", 2, on_progress=lambda done, of: told.append((done, of)))
    assert told[-1] == (len(rules), len(rules))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_case__cut_in_time__is_the_same_as_one_built_of_those_bars() -> None:
    history = random_history(9, 600, gap=False)
    rules = grid(some_case().columns, trigger=[0.02, 0.05])
    cut = basket_case([history], [0.5], COSTS).cut(100, 400)
    built = basket_case([history.rows(100, 400)], [0.5], COSTS)
    assert (cut.score(rules) == built.score(rules)).all()

"""Rules lived through histories that might have been: the same bits on threads, in processes and on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import distributed
import numpy as np
import pytest

from keeper.domain.errors import Misconfigured
from keeper.planner.bars import History
from keeper.planner.cases import BasketCase, LoanCase, basket_case, loan_case
from keeper.planner.costs import Costs
from keeper.planner.ensemble import (
    FIGURES,
    Ensemble,
    Lives,
    ensemble,
    live_through,
    resampled_history,
    share_best,
)
from keeper.planner.results import Floats
from keeper.planner.simulate_loan import Lending
from keeper.planner.sweep import grid
from keeper.planner.workers import Backend, cluster, spread
from tests.planner.histories import random_history

COSTS = Costs(fee=0.001, gas_units=200_000)


def half_and_half(histories: Sequence[History]) -> BasketCase:
    return basket_case(histories, (0.5,), COSTS)


def in_thirds(histories: Sequence[History]) -> BasketCase:
    return basket_case(histories, (0.4, 0.3, 0.3), COSTS)


def a_loan(histories: Sequence[History]) -> LoanCase:
    return loan_case(histories[0], Lending(0.83, 0.5, 0.95, 0.05), COSTS)


def drawn_from(bars: int = 600) -> Ensemble:
    return ensemble([random_history(1, bars)], half_and_half, seed=7, mean_block=24)


def some_rules(case: BasketCase) -> Floats:
    return grid(case.columns, trigger=[0.01, 0.02, 0.05], destination_share=[0.0, 0.5, 1.0])


def bits(lives: Lives) -> bytes:
    return b"".join(np.ascontiguousarray(lives.figures[name]).tobytes() for name in FIGURES)


@pytest.fixture(scope="module")
def serial() -> Lives:
    drawn = drawn_from()
    return live_through(drawn, some_rules(half_and_half(drawn.histories)), 6, "serial")


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_an_ensemble__on_threads_or_in_processes__comes_to_the_serial_bits(
    backend: Backend, serial: Lives
) -> None:
    drawn = drawn_from()
    rules = some_rules(half_and_half(drawn.histories))
    assert bits(live_through(drawn, rules, 6, backend, workers=2)) == bits(serial)


def test_an_ensemble__on_a_cluster_of_two_workers__comes_to_the_serial_bits(serial: Lives) -> None:
    drawn = drawn_from()
    rules = some_rules(half_and_half(drawn.histories))
    told: list[tuple[int, int]] = []
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as local,
        cluster(local.scheduler_address),
    ):
        found = live_through(drawn, rules, 6, "dask", on_progress=lambda done, of: told.append((done, of)))
    assert bits(found) == bits(serial)
    assert told[-1] == (6, 6)


def test_an_ensemble__interrupted_and_asked_again__lives_only_what_is_left(
    tmp_path: Path, serial: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = drawn_from()
    rules = some_rules(half_and_half(drawn.histories))

    class Interrupted(Exception):
        """The user's, after two paths."""

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        live_through(drawn, rules, 6, "serial", folder=tmp_path, on_progress=stop)
    told: list[int] = []
    found = live_through(
        drawn, rules, 6, "serial", folder=tmp_path, on_progress=lambda done, of: told.append(done)
    )
    assert told == [3, 4, 5, 6]
    assert bits(found) == bits(serial)
    # Another seed is another ensemble; a torn file is lived through again.
    other = replace(drawn, seed=8)
    again: list[int] = []
    live_through(other, rules, 1, "serial", folder=tmp_path, on_progress=lambda done, of: again.append(done))
    assert again == [1]
    torn = sorted(tmp_path.glob("paths-*/0.npy"))[0]
    torn.write_bytes(torn.read_bytes()[:50])
    assert len(list(tmp_path.glob("paths-*"))) == 2
    assert bits(live_through(drawn, rules, 6, "serial", folder=tmp_path)) == bits(serial)


def test_a_path__of_a_history__keeps_clock_and_gas_beside_its_bars() -> None:
    history = random_history(3, 400)
    path = resampled_history(history, 24, seed=1, path=2)
    assert np.array_equal(path.time, history.time)
    assert path.gas_gwei is not None
    assert history.gas_gwei is not None
    gained, drawn = np.diff(np.log(history.close)), np.diff(np.log(path.close))
    # Each of the path's bars is one of the history's, with the gas it had there.
    source = np.array([int(np.argmin(np.abs(gained - each))) for each in drawn]) + 1
    assert gained[source - 1] == pytest.approx(drawn, abs=1e-12)
    assert np.array_equal(path.gas_gwei[1:], history.gas_gwei[source])


def test_an_ensemble__of_a_history_without_gas__pays_the_gas_of_where_each_bar_came_from() -> None:
    history = replace(random_history(3, 400), gas_gwei=None)
    drawn = ensemble([history], half_and_half, mean_block=24)
    gas = drawn.histories[0].gas_gwei
    assert gas is not None
    path = resampled_history(drawn.histories[0], 24, drawn.seed, 0)
    assert path.gas_gwei is not None
    assert set(path.gas_gwei) <= set(gas)


def test_an_ensemble__of_two_assets__draws_them_in_step() -> None:
    one, two = random_history(1, 500), random_history(2, 500)
    drawn = ensemble([one, two], in_thirds, seed=3)
    assert drawn.mean_block >= 1
    case = drawn.case(0)
    assert len(case.moment) == 500
    lives = live_through(drawn, grid(case.columns, trigger=[0.02]), 2, "serial")
    assert lives.figures["trades_per_year"].shape == (2, 1)


def test_the_figures__of_an_ensemble__rank_and_bound_its_rules(serial: Lives) -> None:
    fees = serial.certainty_fee_bps(5)
    expected = serial.figures["cost_bps_per_year"] + 2.5e4 * serial.figures["tracking_error"] ** 2
    assert fees == pytest.approx(expected)
    best = share_best(fees)
    assert best.sum() == pytest.approx(1.0)
    assert best[int(np.argmin(fees[0]))] >= 1 / 6
    low, high = serial.interval("trades_per_year", 0)
    assert 0 < low < high
    # A wider trigger acts less often, on every path.
    trades = serial.figures["trades_per_year"]
    assert np.all(trades[:, 0] > trades[:, 6])


def test_a_loan__among_paths__is_liquidated_on_the_share_that_is_told() -> None:
    drawn = ensemble([random_history(5, 500, hourly=0.02)], a_loan, seed=1, mean_block=24)
    rules = grid(a_loan(drawn.histories).columns, floor=[0.0, 1.3], target=[1.35])
    lives = live_through(drawn, rules, 20, "serial")
    lost = lives.share_liquidated()
    assert lost.tolist() == np.mean(lives.figures["liquidations"] > 0, axis=0).tolist()
    assert lost[0] > lost[1]


def test_jobs__spread_in_any_way__come_back_with_their_answers() -> None:
    for backend in ("serial", "threading"):
        found = dict(spread(pow, 2, range(40), backend, workers=2))
        assert found == {power: 2**power for power in range(40)}


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            partial(ensemble, [random_history(1, 50)], half_and_half, 0, 51.0),
            "bootstrap: no blocks of 51.0 out of 50",
        ),
        (
            lambda: live_through(drawn_from(), np.zeros((0, 6)), 3),
            "bootstrap: 3 paths of 0 rules are nothing to live through",
        ),
    ],
)
def test_an_ensemble__of_nothing__is_refused(ask: partial[object], sentence: str) -> None:
    with pytest.raises(Misconfigured, match=sentence):
        ask()


def test_a_folder__that_cannot_hold_paths__is_one_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    drawn = drawn_from()
    with pytest.raises(Misconfigured, match="cannot hold its paths"):
        live_through(
            drawn, some_rules(half_and_half(drawn.histories)), 1, "serial", folder=tmp_path / "taken"
        )


def test_a_scheduler__that_does_not_answer__is_one_error() -> None:
    with (
        pytest.raises(Misconfigured, match="plan: no dask scheduler answers at"),
        cluster("tcp://127.0.0.1:9", patience=0.5),
    ):
        pass

"""The conventions of every kernel, held by figures reckoned by hand: when it sees, when it fills, what vain tries cost.

The price of each bar leaves the band once and stays, or leaves it and is back; every bar's open is told apart from its
close. Gas is 100 gwei of 100,000 units: a hundredth of an ether.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.baskets import Line
from keeper.domain.loan_band import aim_down
from keeper.domain.loans import Band, Limits, LoanRule, Terms
from keeper.domain.units import BPS, HEALTH_WAD_PER_BPS, NOBODY, WAD, Address
from keeper.planner.bars import History
from keeper.planner.cases import Case, basket_case, loan_case, range_case
from keeper.planner.costs import Costs
from keeper.planner.results import FAILED, Floats, Kind, Path
from keeper.planner.simulate_loan import Lending, aim_of
from keeper.planner.sweep import grid
from keeper.size.reweigh import flows_down
from tests.planner.histories import random_history

KINDS: tuple[Kind, ...] = ("basket", "loan", "range")
CAPITAL = 10_000.0
STAYS = ((100.0, 100.0), (100.0, 100.0), (101.0, 140.0), (141.0, 142.0), (143.0, 144.0), (145.0, 146.0))
RETURNS = ((100.0, 100.0), (100.0, 100.0), (101.0, 140.0), (101.0, 100.0), (99.0, 100.0), (100.0, 100.0))


def bars(prices: tuple[tuple[float, float], ...]) -> History:
    """Hours by their open and close."""
    open_, close = (np.array(column) for column in zip(*prices, strict=True))
    time = 3600 * np.arange(len(prices), dtype=np.int64)
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    return History("by hand", 3600, time, open_, high, low, close, gas_gwei=np.full(len(prices), 100.0))


def case_of(kind: Kind, history: History, costs: Costs) -> Case:
    """A position of each kind that the prices above take out of its band."""
    builds: dict[Kind, Callable[[], Case]] = {
        "basket": lambda: basket_case([history], [0.5], costs, CAPITAL),
        "loan": lambda: loan_case(history, Lending(0.825, 0.5, 0.95, 0.05), costs, capital=CAPITAL),
        "range": lambda: range_case(history, costs, 0.0, capital=CAPITAL),
    }
    return builds[kind]()


def rule_of(kind: Kind, case: Case, **more: float) -> Floats:
    """Left at 140 and not at 101."""
    chosen: dict[Kind, dict[str, float]] = {
        "basket": {"trigger": 0.05},
        "loan": {"floor": 1.3, "target": 1.65, "ceiling": 1.8},
        "range": {"width": 0.1, "trigger": 0.1},
    }
    return grid(case.columns, **chosen[kind], **more)[0]


def lived(
    kind: Kind, prices: tuple[tuple[float, float], ...], costs: Costs, **more: float
) -> tuple[Case, Path]:
    case = case_of(kind, bars(prices), costs)
    return case, case.path(rule_of(kind, case, **more))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("delay", "bar", "price"), [(0, 2, 140.0), (1, 3, 141.0), (3, 5, 145.0)])
def test_a_breach__seen_at_a_close__is_filled_there_or_at_a_later_open(
    kind: Kind, delay: int, bar: int, price: float
) -> None:
    costs = Costs(fee=0.003, gas_units=100_000, delay=delay)
    _, path = lived(kind, STAYS, costs, cooldown=10**6)
    assert path.actions.bar.tolist() == [bar]
    # What the gas was paid at is the price of the fill.
    assert path.actions.gas[0] == pytest.approx(0.01 * price)
    assert path.actions.fee[0] == pytest.approx(0.003 * path.actions.traded[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_fill__due_after_the_last_bar__never_happens(kind: Kind) -> None:
    _, path = lived(kind, STAYS, Costs(delay=4))
    assert len(path.actions) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_attempt__that_finds_its_breach_gone__moves_nothing_and_costs_part_of_its_gas(kind: Kind) -> None:
    costs = Costs(fee=0.003, gas_units=100_000, delay=1)
    case, path = lived(kind, RETURNS, costs)
    actions = path.actions
    assert (actions.bar.tolist(), actions.side.tolist()) == ([3], [FAILED])
    assert actions.gas[0] == pytest.approx(0.4 * 0.01 * 101.0)
    assert actions.cost[0] == pytest.approx(actions.gas[0])
    without = case.path(rule_of(kind, case, look=10**6))
    assert path.equity[:3] == pytest.approx(without.equity[:3], rel=1e-12)
    assert without.equity[-1] - path.equity[-1] == pytest.approx(actions.gas[0], rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_attempts_that_revert__a_fifth_of_them__make_the_gas_of_an_action_a_tenth_more(kind: Kind) -> None:
    sure, unsure = (
        lived(kind, STAYS, Costs(gas_units=100_000, failures=share), cooldown=10**6)[1].actions
        for share in (0.0, 0.2)
    )
    assert unsure.bar.tolist() == sure.bar.tolist()
    assert unsure.gas == pytest.approx(1.1 * sure.gas)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_attempt__while_one_is_under_way__is_not_made(kind: Kind) -> None:
    # Out at every close from the third on: with three bars of latency one fill is due, and no other in between.
    _, path = lived(kind, STAYS, Costs(delay=3))
    assert path.actions.bar.tolist() == [5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("look", "bar"), [(1, 2), (2, 3), (5, 4), (7, None)])
def test_a_rule__that_looks_at_every_so_many_bars__sees_nothing_between(
    kind: Kind, look: int, bar: int | None
) -> None:
    _, path = lived(kind, STAYS, Costs(), look=look, cooldown=10**6)
    assert path.actions.bar.tolist() == ([] if bar is None else [bar])


@pytest.mark.parametrize("kind", KINDS)
def test_a_bars_extremes__however_far__decide_nothing(kind: Kind) -> None:
    calm = bars(((100.0, 100.0),) * 6)
    wild = replace(calm, high=np.full(6, 150.0))
    for history in (calm, wild):
        case = case_of(kind, history, Costs())
        assert len(case.path(rule_of(kind, case)).actions) == 0


@given(
    health_bps=st.integers(10_010, 40_000),
    floor_bps=st.integers(10_200, 14_000),
    speed=st.sampled_from([1, 500, 5_000, 9_999, 10_000]),
)
@settings(max_examples=200, deadline=None)
def test_a_step__part_of_the_way_to_its_target__is_aimed_as_the_live_keepers(
    health_bps: int, floor_bps: int, speed: int
) -> None:
    target, ceiling = 16_500, 20_000
    if floor_bps <= health_bps <= ceiling:
        return
    live = LoanRule(
        Address("0x" + "11" * 20), Address("0x" + "22" * 20), Band(floor_bps, target, ceiling),
        Limits(500, 0, 2**95, 2**39, NOBODY), Terms(borrow_step=2**95, speed_bps=speed % BPS),
    )  # fmt: skip
    wanted = aim_down(health_bps * HEALTH_WAD_PER_BPS, live) / WAD
    found = aim_of(health_bps / BPS, floor_bps / BPS, target / BPS, ceiling / BPS, speed / BPS)
    assert found == pytest.approx(wanted, rel=1e-12)


@given(
    weights=st.lists(st.integers(1_000, 6_000), min_size=3, max_size=5),
    moves=st.lists(st.floats(0.3, 3.0), min_size=5, max_size=5),
    trigger=st.sampled_from([0.02, 0.05]),
    share=st.sampled_from([0.0, 0.5, 0.9]),
    is_relative=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_basket_of_several__whichever_drifted__sells_what_the_live_keeper_sells(
    weights: list[int], moves: list[float], trigger: float, share: float, is_relative: bool
) -> None:
    targets = [weight / sum(weights) for weight in weights]
    values = [target * move for target, move in zip(targets, moves, strict=False)]
    total = sum(values)
    lines = []
    for value, target in zip(values, targets, strict=True):
        room = trigger * (target if is_relative else 1.0) * total
        off = value - target * total
        scaled = [int(each * WAD) for each in (value, abs(off), room, room * share)]
        lines.append(
            Line(
                NOBODY, 1, 1, 0, 0, 0, scaled[0], over=off > 0, drift=scaled[1], room=scaled[2], aim=scaled[3]
            )
        )
    flows = flows_down(lines, 2**200)
    sold = sum(flow for flow, line in zip(flows, lines, strict=True) if line.over) / WAD / total

    flat = random_history(0, 2, gap=False)
    histories = [
        replace(
            flat,
            open=np.array([1.0, 1.0]),
            high=np.full(2, 9.0),
            low=np.full(2, 0.1),
            close=np.array([1.0, move]),
        )
        for move in moves[: len(targets)]
    ]
    case = basket_case(histories, targets, Costs(fee=0.0), capital=1.0)
    chosen = grid(
        case.columns, trigger=[trigger], destination=[trigger * share], is_relative=float(is_relative)
    )[0]
    actions = case.path(chosen).actions
    if not len(actions):
        assert sold == pytest.approx(0.0, abs=1e-12)
        return
    assert actions.traded[0] / total == pytest.approx(sold, abs=1e-9)
    assert math.isfinite(actions.after[0])

"""Parity: hours of Black Thursday through the contracts with the real keeper, and by the planner's conventions.

Bars are a quarter of an hour, scaled to the price the devnet stands at. `PARITY` says how far the two may be apart.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeper.devnet.actors import Liquidator
from keeper.devnet.world import World
from keeper.planner.bars import History
from keeper.planner.conventions import PARITY
from keeper.planner.costs import GAS_UNITS, Costs
from keeper.planner.results import DOWN, FAILED, LIQUIDATED, UP, Kind
from keeper.planner.results import Path as Life
from keeper.planner.sweep import grid
from tests.conftest import KEEPER_KEY
from tests.planner.kept import Kept, keep_basket, keep_loan, keep_range
from tests.planner.lived import (
    FEE,
    SWAP,
    Deed,
    Seen,
    dollars_of,
    impact_of_pool,
    keeper_of,
    live,
    path_of,
    path_of_thursday,
)

WHEN = ("2020-03-12T09:00", "2020-03-13T09:00")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)


def life_of(kept: Kept, history: History, costs: Costs) -> Life:
    """The planner's."""
    case = kept.case(history, costs)
    return case.path(grid(case.columns, **kept.rule)[0])


def require_parity(kind: Kind, deeds: list[Deed], seen: list[Seen], path: Life, least: int) -> None:
    """At least so many actions, both ways; the same ones; and no two figures further apart than is stated."""
    apart, actions = PARITY[kind], path.actions
    assert [(deed.bar, deed.side) for deed in deeds] == list(
        zip(actions.bar.tolist(), actions.side.tolist(), strict=True)
    )
    assert len(deeds) >= least
    assert {deed.side for deed in deeds} == {UP, DOWN}
    assert path.measure == pytest.approx([each.measure for each in seen], abs=apart.measure)
    # The simulated position pays its gas; the real one's is paid by the keeper.
    paid = np.zeros(len(seen))
    for deed in deeds:
        paid[deed.bar + 1 :] += deed.gas
    bare = np.array([each.worth for each in seen]) - paid
    # Net worth is written after a bar's action, and was read before it.
    spent = np.zeros(len(seen))
    np.add.at(spent, actions.bar, actions.cost)
    assert path.equity + spent == pytest.approx(bare, rel=apart.worth)
    assert actions.traded == pytest.approx([deed.sold for deed in deeds], rel=apart.sold)
    assert actions.fee + actions.impact == pytest.approx([deed.lost for deed in deeds], rel=apart.lost)
    assert actions.gas == pytest.approx([deed.gas for deed in deeds], rel=apart.gas)


def test_a_loan__through_black_thursday_on_the_chain_and_in_the_planner__is_kept_by_the_same_actions(
    world: World, tmp_path: Path
) -> None:
    costs = Costs(FEE, impact_of_pool(world), GAS_UNITS["loan"])
    scenario, history = path_of_thursday(world, *WHEN)
    world.open_loan(world.roles.twin, 200, health=1.65)
    kept, liquidator, seized = keep_loan(world, 1.45, 1.85), Liquidator(world), []

    def liquidate(bar: int, block: int) -> None:
        del block
        while done := liquidator.act():
            seized.extend((bar, each.seized / 1e18 * history.close[bar]) for each in done)

    with keeper_of(world, tmp_path, "loans", kept.thresholds) as keeper:
        deeds, seen = live(world, keeper, scenario, kept.look, kept.middle, beside=liquidate)
    require_parity("loan", deeds, seen, life_of(kept, history, costs), least=6)

    alone = replace(kept, rule={"floor": 0.0, "target": 1.65})
    actions = life_of(alone, history, costs).actions
    assert set(actions.side.tolist()) == {LIQUIDATED}
    assert actions.bar.tolist() == [bar for bar, _ in seized]
    assert actions.traded / 10 == pytest.approx([value for _, value in seized], rel=PARITY["loan"].sold)


def test_a_basket__through_black_thursday_on_the_chain_and_in_the_planner__is_kept_by_the_same_actions(
    world: World, tmp_path: Path
) -> None:
    costs = Costs(FEE, impact_of_pool(world), GAS_UNITS["basket"])
    scenario, history = path_of_thursday(world, *WHEN)
    kept = keep_basket(world, 300)
    with keeper_of(world, tmp_path, "baskets", kept.thresholds) as keeper:
        deeds, seen = live(world, keeper, scenario, kept.look, kept.middle)
    require_parity("basket", deeds, seen, life_of(kept, history, costs), least=6)


@pytest.mark.parametrize("hold", [1, 3])
def test_a_range__through_black_thursday_on_the_chain_and_in_the_planner__is_moved_by_the_same_actions(
    world: World, tmp_path: Path, hold: int
) -> None:
    costs = Costs(FEE, impact_of_pool(world), GAS_UNITS["range"])
    scenario, history = path_of_thursday(world, *WHEN)
    # A price stays for its bar, and the turn comes at the bar's end: there the mean over the hold is that of its bars.
    settle = history.seconds - 13
    kept = keep_range(world, hold, 300 if hold == 1 else hold * history.seconds - 13)
    volume, liquidity = [], []

    def trade(bar: int, block: int) -> None:
        """What went through the pool on the way to this bar's price, and the liquidity it met."""
        asked = {"address": world.pool, "topics": [SWAP], "fromBlock": hex(block), "toBlock": hex(block)}
        swaps = (
            dollars_of(world, log["data"], history.close[bar]) for log in world.node.ask("eth_getLogs", asked)
        )
        volume.append(sum(max(swap) for swap in swaps))
        liquidity.append(world.call(world.pool, "liquidity()", "(uint128)")[0] / 1e12)

    with keeper_of(world, tmp_path, "ranges", kept.thresholds) as keeper:
        deeds, seen = live(world, keeper, scenario, kept.look, kept.middle, settle, trade)
    traded = replace(history, volume=np.array(volume), liquidity=np.array(liquidity))
    require_parity("range", deeds, seen, life_of(kept, traded, costs), least=3)


QUARTER = 900
LATE: dict[Kind, tuple[int, int, int, int]] = {
    "loan": (1_680, 1_420, 1_440, 1_950),
    "basket": (1_600, 1_440, 1_470, 2_200),
    "range": (1_790, 1_615, 1_640, 2_000),
}
"""Prices at which a band is left, left again, found again in vain, and left at its other end."""


def keep_late(kind: Kind, world: World) -> Kept:
    """A position of the kind whose band those prices leave."""
    if kind == "loan":
        return keep_loan(world, 1.4, 1.9)
    return keep_basket(world, 500) if kind == "basket" else keep_range(world, 1, 300)


@pytest.mark.parametrize("kind", ["loan", "basket", "range"])
def test_a_keeper__a_bar_late_on_the_chain_and_in_the_planner__fills_and_fails_alike(
    world: World, tmp_path: Path, kind: Kind
) -> None:
    impact, kept = impact_of_pool(world), keep_late(kind, world)
    low, lower, back, high = LATE[kind]
    # The price that a late fill meets is a dollar off the one that was judged.
    prices = [2_000, 2_000, low, *[low + 1] * 4, lower, *[back] * 3, high, *[high + 1] * 4]
    scenario, history = path_of(world, prices)
    settle = QUARTER - 24 if kind == "range" else 0
    with keeper_of(world, tmp_path, f"{kind}s", kept.thresholds) as keeper:
        deeds, _ = live(world, keeper, scenario, kept.look, kept.middle, settle, is_late=True)
    actions = life_of(kept, history, Costs(FEE, impact, GAS_UNITS[kind], delay=1)).actions
    apart = PARITY[kind]
    assert [(deed.bar, deed.side) for deed in deeds] == [(3, DOWN), (8, FAILED), (12, UP)]
    assert list(zip(actions.bar.tolist(), actions.side.tolist(), strict=True)) == [
        (deed.bar, deed.side) for deed in deeds
    ]
    assert actions.traded == pytest.approx([deed.sold for deed in deeds], rel=apart.sold)
    assert actions.fee + actions.impact == pytest.approx([deed.lost for deed in deeds], rel=apart.lost)
    first, vain, last = (deed.gas for deed in deeds)
    assert actions.gas[[0, 2]] == pytest.approx([first, last], rel=apart.gas)
    # Where an attempt reverts differs by the kind; the planner takes the dearest.
    assert 1 / 3 < vain / actions.gas[1] < 1 + apart.gas

"""Rules that follow volatility: the chain's own band, what a plan makes of it, and no look ahead."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.devnet.world import World
from keeper.domain.baskets import BasketAsset, BasketLimits, BasketRule, width
from keeper.domain.errors import Misconfigured
from keeper.domain.loan_band import standing as standing_on_chain
from keeper.domain.loans import Band, Limits, LoanRule, Terms
from keeper.domain.units import BPS, NOBODY, WAD, Address
from keeper.planner.bars import History
from keeper.planner.cases import (
    HORIZON,
    REFERENCE,
    WIDEST,
    WITH_VOLATILITY,
    basket_case,
    loan_case,
    moves_of,
    scales_of,
)
from keeper.planner.costs import Costs
from keeper.planner.findings import contest_told
from keeper.planner.objectives import objective
from keeper.planner.plan import Effort, plan
from keeper.planner.questions import AAVE_WETH, MOVING, STILL, basket_question, loan_question, range_question
from keeper.planner.results import DOWN, Floats
from keeper.planner.rivals import Setting, rivals
from keeper.planner.rule_file import Assets, rule_file
from keeper.planner.simulate_loan import standing
from keeper.planner.sweep import grid
from keeper.planner.volatility import HALF_LIFE, fed, move
from keeper.protocols.loan_thresholds import SET_RULE_AND_TERMS, rule_fields, terms_fields
from keeper.rules.baskets import BasketText
from keeper.rules.loans import LoanText
from keeper.rules.writing import read_rule
from tests.planner.histories import random_history

COSTS = Costs(0.001, gas_units=0)
QUICK = Effort(trials=0, paths=4, folds=0)


def test_volatility__at_a_bar__knows_the_closes_before_it_and_not_its_own() -> None:
    history = random_history(3, 600, gap=False)
    for at in (300, 450):
        changed = history.close.copy()
        changed[at:] *= np.exp(np.random.default_rng(at).normal(0, 0.1, len(changed) - at))
        first, second = fed(history.close, history.moment), fed(changed, history.moment)
        assert (first[: at + 1] == second[: at + 1]).all()
        assert first[at + 1] != second[at + 1]
        assert first[at] > 0


@given(
    floor=st.integers(10_100, 20_000),
    above=st.integers(60, 20_000),
    room=st.integers(200, 20_000),
    rise=st.integers(10, 30_000),
    sigmas=st.integers(1, 80_000),
    sigma=st.integers(0, 4 * WAD),
)
@settings(max_examples=200, deadline=None)
def test_a_loans_band__as_volatility_has_it__is_the_chains_within_a_basis_point(
    floor: int, above: int, room: int, rise: int, sigmas: int, sigma: int
) -> None:
    band = Band(floor, floor + above, floor + above + room)
    terms = Terms(borrow_step=1, highest_bps=floor + rise, sigmas_bps=sigmas, horizon=HORIZON, feed=NOBODY)
    rule = LoanRule(NOBODY, NOBODY, band, Limits(100, 0, 1, 2**39, NOBODY), terms, sigma)
    on_chain = standing_on_chain(rule)
    moved = float(move(sigma / WAD, HORIZON)) if sigma else math.inf
    found = standing(
        floor / BPS,
        band.target_bps / BPS,
        band.ceiling_bps / BPS,
        sigmas / BPS,
        terms.highest_bps / BPS,
        moved,
    )
    # The chain rounds the floor up to a basis point, and what moves with it in proportion.
    for told, expected in zip(
        found, (on_chain.floor_bps, on_chain.target_bps, on_chain.ceiling_bps), strict=True
    ):
        assert told * BPS <= expected + 1e-6
        assert told * BPS == pytest.approx(expected, abs=2.0 * expected / on_chain.floor_bps)


@given(trigger=st.floats(0.01, 0.2), sigma=st.floats(0.05, 5.0))
@settings(max_examples=40, deadline=None)
def test_a_baskets_band__as_its_rule_file_has_it__is_the_simulated_one_within_two_basis_points(
    trigger: float, sigma: float
) -> None:
    told = basket_file(trigger)
    moving, money = told["assets"]
    assets = tuple(
        BasketAsset(NOBODY, NOBODY, 0, 0, 0, each["target_bps"], each["band_bps"], each["widest_bps"])
        for each in (moving, money)
    )
    rule = replace(PLAIN_BASKET, assets=assets, sigmas_bps=told["sigmas_bps"], horizon=told["horizon"])
    simulated = trigger * min(max(sigma / REFERENCE, 1 / WIDEST), WIDEST)
    assert width(assets[0], rule, int(sigma * WAD)) / BPS == pytest.approx(
        min(simulated, 1.0) * BPS, abs=2 + 2e-4 / trigger * simulated * BPS
    )
    # Money does not move, and its band is never the first that is left.
    assert width(assets[1], rule, int(sigma * WAD)) >= width(assets[0], rule, int(sigma * WAD))


PLAIN_BASKET = BasketRule(
    (), False, 5_000, BPS, 1, 100, 30_000, 0, 0, BasketLimits(NOBODY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
)


HALVES = basket_case([random_history(1)], [0.5], COSTS)


def basket_file(trigger: float) -> dict[str, Any]:
    case = HALVES
    rule = grid(case.columns, trigger=trigger, destination_share=0.5, scale=WITH_VOLATILITY)[0]
    named = dict(zip(case.columns, rule.tolist(), strict=True))
    return tomllib.loads(rule_file("basket", named, case.path(rule), Assets(weights=(0.5, 0.5))))


def bars(close: Floats) -> History:
    opens = np.concatenate((close[:1], close[:-1]))
    time = 1_600_000_000 // 3600 * 3600 + 3600 * np.arange(len(close), dtype=np.int64)
    return History("by hand", 3600, time, opens, np.maximum(opens, close), np.minimum(opens, close), close)


def test_a_loan__whose_floor_follows_volatility__stands_low_in_calm_and_high_in_a_storm() -> None:
    calm = np.tile([100.0, 100.1], 300)
    storm = np.tile([100.0, 103.0], 100)
    history = bars(np.concatenate((calm, storm)))
    case = loan_case(history, AAVE_WETH, COSTS)
    rule = grid(case.columns, floor=1.2, target=1.6, sigmas=3, highest=1.8)[0]
    path = case.path(rule)
    week = HALF_LIFE // 3600
    # Nothing is known for the first week, so the floor is at its highest and the loan is brought up to it at once.
    assert path.low[:week] == pytest.approx(1.8)
    assert path.actions.side[0] == DOWN
    assert path.actions.bar[0] == 0
    assert path.actions.after[0] == pytest.approx(1.6 * 1.8 / 1.2)
    assert path.low[500] == pytest.approx(1.2)
    at = 700
    sigma = fed(history.close, history.moment)[at]
    assert path.low[at] == pytest.approx(min(math.exp(3 * sigma * math.sqrt(7 / 365)), 1.8))
    assert path.target[at] / path.low[at] == pytest.approx(1.6 / 1.2)
    assert path.low[at] > 1.25
    # The first violent hour is known at the next bar.
    assert path.low[601] == pytest.approx(1.2)
    assert path.low[-1] > path.low[620]


def test_scales_and_moves__while_nothing_is_known__are_those_the_chain_falls_back_on() -> None:
    history = random_history(2, 300, gap=False)
    assert np.isinf(moves_of(history.close, history.moment)[: HALF_LIFE // 3600]).all()
    scales = scales_of(history.close, history.moment)
    assert (scales[WITH_VOLATILITY, : HALF_LIFE // 3600] == WIDEST).all()
    assert (scales[WITH_VOLATILITY, 200:] < WIDEST).any()
    assert (scales[0] == 1).all()


def test_a_plan_of_a_loan__says_which_band_wins_and_by_how_much_and_compares_the_other() -> None:
    history = random_history(4, 1_500, hourly=0.01, gap=False)
    found = plan(
        loan_question(
            history, AAVE_WETH, 1.65, objective("liquidations", 0, 2), COSTS, (0.0, 0.0), 100_000.0
        ),
        QUICK,
    )
    first, second = found.contest
    assert {first.name, second.name} == {STILL, MOVING}
    assert first.fee_bps == found.fee.min() <= second.fee_bps
    assert first.rule == found.chosen.rule
    assert second.rule == found.compared[-1].rule
    assert found.compared[-1].name == f"best {second.name}"
    for each in (first, second):
        assert (each.rule["sigmas"] > 0) == (each.name == MOVING)
    assert second.beaten is not None
    (sentence,) = contest_told(found.contest)
    assert f"{second.fee_bps - first.fee_bps:.4g} bp a year ahead of the best {second.name}" in sentence


def test_a_plan_of_a_range__tells_of_widths_that_follow_volatility_and_plans_none() -> None:
    wish = objective("risk-aversion", None, 2)
    found = plan(range_question(random_history(2, 800, hourly=0.008), 0.05, wish, COSTS, 100_000.0), QUICK)
    assert found.chosen.rule["scale"] == 0
    assert (found.scores.parameters["scale"] == 0).all()
    (other,) = found.contest[1:]
    assert not other.is_on_chain
    assert "which no contract takes" in contest_told(found.contest)[0]


def test_a_plan_of_a_basket__for_tracking_error__tells_of_a_band_against_volatility_and_plans_none() -> None:
    wish = objective("tracking-error", 0.2, 5)
    found = plan(basket_question([random_history(1, 1_500)], [0.5], wish, COSTS, 100_000.0), QUICK)
    assert found.chosen.rule["scale"] in {0, WITH_VOLATILITY}
    assert [each.is_on_chain for each in found.contest].count(False) == 1


def following() -> tuple[dict[str, float], str]:
    case = loan_case(random_history(1, hourly=0.02), AAVE_WETH, COSTS)
    rule = grid(case.columns, floor=1.25, target=1.65, ceiling=2.1, sigmas=3, highest=1.5, speed=0.5)[0]
    named = dict(zip(case.columns, rule.tolist(), strict=True))
    return named, rule_file("loan", named, case.path(rule), Assets("0x" + "11" * 20, "0x" + "22" * 20, 6))


def test_a_rule_file__of_a_floor_that_follows_volatility__is_taken_by_the_contract(
    tmp_path: Path, world: World
) -> None:
    case = loan_case(random_history(1, hourly=0.02), AAVE_WETH, COSTS)
    named, without = following()
    rule = np.array(list(named.values()))
    assets = Assets("0x" + "11" * 20, "0x" + "22" * 20, 6, feed=world.weth.feed)
    text = rule_file("loan", named, case.path(rule), assets)
    (tmp_path / "rule.toml").write_text(text, encoding="utf-8")
    read = read_rule(tmp_path / "rule.toml", {})
    assert isinstance(read, LoanText)
    assert read.terms == {
        "speed_bps": 5_000,
        "highest_bps": 15_000,
        "sigmas_bps": 30_000,
        "horizon": 604_800,
        "feed": world.weth.feed,
    }
    terms = Terms(
        borrow_step=10**12,
        speed_bps=5_000,
        highest_bps=15_000,
        sigmas_bps=30_000,
        horizon=604_800,
        feed=world.weth.feed,
    )
    band = Band(*(int(each * BPS) for each in (read.floor, read.target, read.ceiling)))
    limits = Limits(100, 0, 10**12, 2**39, NOBODY)
    found = LoanRule(Address("0x" + "11" * 20), Address("0x" + "22" * 20), band, limits, terms)
    world.send(
        world.roles.owner,
        world.thresholds,
        SET_RULE_AND_TERMS.signature,
        0,
        rule_fields(found),
        terms_fields(terms),
    )
    # Without the feed, which no price tells, the file says what it wants; and no script's line leaves the terms out.
    assert '# Its terms need the feed of the collateral\'s price: feed = "ADDRESS".' in without
    assert "ape run" not in without


def test_a_rule_file__that_follows_volatility__compared_again_is_the_rule_it_was_made_of(
    tmp_path: Path,
) -> None:
    named, text = following()
    (tmp_path / "rule.toml").write_text(text, encoding="utf-8")
    (found,) = rivals([str(tmp_path / "rule.toml")], Setting("loan", 3600, threshold=0.83)).values()
    assert found == pytest.approx({name: named[name] for name in found})
    assert found["sigmas"] == 3
    shown = {
        "floor": "1.2500",
        "target": "1.6500",
        "unit": "health",
        "highest": "1.5000",
        "sigmas": "1.5000",
        "horizon": 4 * HORIZON,
    }
    (tmp_path / "shown.toml").write_text(
        "".join(f"{name} = {value!r}\n" for name, value in shown.items()), encoding="utf-8"
    )
    (found,) = rivals([str(tmp_path / "shown.toml")], Setting("loan", 3600, threshold=0.83)).values()
    assert (found["sigmas"], found["highest"]) == (3.0, 1.5)


def test_a_baskets_rule_file__that_follows_volatility__is_read_and_compared_again(tmp_path: Path) -> None:
    case = basket_case([random_history(1)], [0.5], COSTS)
    rule = grid(case.columns, trigger=0.05, destination_share=0.5, scale=WITH_VOLATILITY)[0]
    named = dict(zip(case.columns, rule.tolist(), strict=True))
    text = rule_file("basket", named, case.path(rule), Assets(weights=(0.5, 0.5)))
    (tmp_path / "rule.toml").write_text(text, encoding="utf-8")
    read = read_rule(tmp_path / "rule.toml", {"assets": ["0x" + "11" * 20, "0x" + "22" * 20]})
    assert isinstance(read, BasketText)
    assert read.sigmas_bps > 0
    setting = Setting("basket", 3600, (0.5, 0.5))
    (found,) = rivals([str(tmp_path / "rule.toml")], setting).values()
    assert found["trigger"] == pytest.approx(0.05, rel=1e-3)
    assert found["scale"] == WITH_VOLATILITY
    (tmp_path / "other.toml").write_text(
        text.replace("widest_bps = 2000", "widest_bps = 900", 1), encoding="utf-8"
    )
    with pytest.raises(Misconfigured, match="follows volatility otherwise than is simulated"):
        rivals([str(tmp_path / "other.toml")], setting)

"""From a history and a wish to a rule: objectives, the optimiser, the walk forward, the file for the chain."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path as FilePath

import numpy as np
import pytest

from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.domain.loans import Band, Limits, LoanRule
from keeper.domain.units import NOBODY, Address
from keeper.planner import metrics
from keeper.planner.cases import (
    AGAINST_VOLATILITY,
    FIXED,
    WITH_VOLATILITY,
    BasketCase,
    basket_case,
    loan_case,
)
from keeper.planner.costs import Costs, Impact, ether_history
from keeper.planner.findings import Lived
from keeper.planner.objectives import WISHES, objective
from keeper.planner.plan import Effort, outside, plan
from keeper.planner.questions import AAVE_WETH, basket_question, loan_question, range_question
from keeper.planner.results import COLUMNS, DOWN, Floats, Scores
from keeper.planner.rule_file import Assets, rule_file
from keeper.planner.search import Span, search
from keeper.planner.sweep import grid, sweep
from keeper.planner.theory.bands import best_band
from keeper.planner.walk import walk_forward
from keeper.protocols.loan_thresholds import SET_RULE, rule_fields
from keeper.rules.loans import LoanText
from keeper.rules.writing import read_rule
from tests.planner.histories import random_history

COSTS = Costs(0.001, Impact(0.001, 0.7), 150_000, gas_gwei=30.0, failures=0.05, delay=1)
QUICK = Effort(trials=64, paths=4, folds=2)


def some_case() -> BasketCase:
    return basket_case([random_history(1, 3_000, hourly=0.01)], [0.5], COSTS)


def some_rules() -> Floats:
    return grid(some_case().columns, trigger=np.geomspace(0.005, 0.3, 24), destination_share=[0, 0.5, 0.9])


def scored() -> Scores:
    return sweep(some_case(), some_rules(), "serial")


def test_a_wish__for_little_risk_at_a_bounded_cost__takes_the_safest_rule_that_keeps_to_it() -> None:
    scores = scored()
    cost = scores.cost_bps_per_year
    most = float(np.median(cost))
    fee = objective("cost", most, 5).fee(scores)
    best = int(np.argmin(fee))
    assert cost[best] <= most
    assert scores.tracking_error[best] == scores.tracking_error[cost <= most].min()
    assert np.isinf(fee[cost > most]).all()


def test_a_wish__for_few_trades__takes_a_wider_band_the_fewer_they_are() -> None:
    scores = scored()
    chosen = []
    for most in (400.0, 100.0, 25.0):
        best = int(np.argmin(objective("trades", most, 5).fee(scores)))
        assert scores.trades_per_year[best] <= most
        chosen.append(scores.parameters["trigger"][best])
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


def test_a_wish__by_its_kind__says_how_the_band_moves_with_volatility() -> None:
    assert objective("risk-aversion", None, 5).scaling == FIXED
    assert objective("trades", 12, 5).scaling == WITH_VOLATILITY
    assert objective("tracking-error", 0.02, 5).scaling == AGAINST_VOLATILITY
    assert objective("tracking-error", 0.02, 5).said == "least cost, tracking error at most 0.02 a year"


def test_a_wish__misspoken__is_refused_in_one_sentence() -> None:
    with pytest.raises(Misconfigured, match="there is no 'luck'; there are risk-aversion, tracking-error"):
        objective("luck", None, 5)
    with pytest.raises(Misconfigured, match="cost needs a bound on cost"):
        objective("cost", None, 5)
    with pytest.raises(Misconfigured, match="risk-aversion takes no bound"):
        objective("risk-aversion", 3, 5)
    with pytest.raises(Misconfigured, match="a risk aversion of 0"):
        objective("risk-aversion", None, 0)
    assert len(WISHES) == 8


def test_the_optimiser__between_the_grids_points__does_no_worse_and_finds_the_same_twice() -> None:
    wish = objective("risk-aversion", None, 5)
    best_of_grid = float(wish.fee(scored()).min())
    found = [
        search(
            some_case(),
            wish,
            {"trigger": Span(0.005, 0.3), "destination_share": Span(0, 0.95)},
            {},
            192,
            seed=3,
        )
        for _ in range(2)
    ]
    assert len(found[0]) == 192
    assert float(wish.fee(found[0]).min()) <= best_of_grid * 1.02
    for name in found[0].parameters:
        assert (found[0].parameters[name] == found[1].parameters[name]).all()
    # Later trials know where earlier ones did well.
    fee = wish.fee(found[0])
    assert np.median(fee[-64:]) < np.median(fee[:64])


def test_the_optimiser__between_several_cooldowns_and_looks__tries_whole_bars_between_them() -> None:
    wish = objective("risk-aversion", None, 5)
    question = basket_question(
        [random_history(1, 1_000)], [0.5], wish, COSTS, 100_000.0, (0.0, 40_000.0), (1.0, 5.0)
    )
    for family in question.families:
        assert family.spans["cooldown"] == (0.0, 40_000.0, 3_600.0)
        found = search(some_case(), wish, family.spans, family.fixed, 64, seed=1).parameters
        assert set(found["look"]) == {1, 2, 3, 4, 5}
        assert (found["cooldown"] % 3_600 == 0).all()
        assert 5 < len(set(found["cooldown"])) <= 12
        assert found["cooldown"].max() <= 40_000
    # Of one there is nothing to look for.
    (one, _) = basket_question([random_history(1, 1_000)], [0.5], wish, COSTS, 100_000.0, (7_200.0,)).families
    assert not {"cooldown", "look"} & set(one.spans)
    assert (one.fixed["cooldown"], one.fixed["look"]) == (7_200.0, 1.0)


def test_the_rules_of_thumb__of_a_loan__are_fixed_leverage_a_month_and_200_over_175() -> None:
    history = random_history(3, 2_000, hourly=0.004, gap=False)
    wish = objective("risk-aversion", None, 2)
    question = loan_question(history, AAVE_WETH, 1.65, wish, Costs(0.0, gas_units=0), (0, 0), 100_000.0)
    thumbs = {
        name: grid(loan_case(history, AAVE_WETH, Costs()).columns, **rule)[0]
        for name, rule in question.thumbs.items()
    }
    case = loan_case(history, AAVE_WETH, Costs(0.0, gas_units=0))
    lived = {name: case.path(rule) for name, rule in thumbs.items()}
    daily, monthly = lived["fixed leverage, each day"], lived["back to target every 30 days"]
    # Landing within the tolerance counts as there, so that some days need nothing.
    assert len(daily.actions) > 50
    assert len(monthly.actions) == 2_000 // 720
    assert set(np.diff(monthly.actions.bar).tolist()) == {720}
    near = lived["200 / 175 basis points of health"].actions
    assert (np.abs(near.before / 1.65 - 1) >= 0.02 - 1e-9).all()
    # Of 175 the chain's tolerance leaves 1 %.
    assert np.abs(near.after / 1.65 - 1) == pytest.approx(0.01, abs=0.003)


def test_the_optimiser__over_nothing__is_refused() -> None:
    wish = objective("risk-aversion", None, 5)
    with pytest.raises(Misconfigured, match="trigger cannot be looked for from 0.2 to 0.1"):
        search(some_case(), wish, {"trigger": Span(0.2, 0.1)}, {}, 8)


def test_a_walk__forward__chooses_by_what_was_known_and_is_judged_on_what_was_not() -> None:
    case, rules, wish = some_case(), some_rules(), objective("risk-aversion", None, 5)
    folds = walk_forward(case, rules, wish, 3)
    assert len(folds) == 3
    for fold, nxt in pairwise(folds):
        assert fold.trained[1] < fold.tested[0] <= fold.tested[1] < nxt.tested[0]
        assert nxt.trained[0] == fold.trained[0]
        assert fold.best_fee_bps <= fold.tested_fee_bps
    # Another future changes nothing of what was chosen before it.
    history = random_history(1, 3_000, hourly=0.01)
    until = 2_000
    order = np.concatenate((np.arange(until), np.random.default_rng(1).permutation(np.arange(until, 3_000))))
    other = replace(
        history,
        open=history.open[order],
        high=history.high[order],
        low=history.low[order],
        close=history.close[order],
    )
    again = walk_forward(basket_case([other], [0.5], COSTS), rules, wish, 3)
    assert again[0] == folds[0]
    assert again[1].rule == folds[1].rule
    assert again[2] != folds[2]
    with pytest.raises(Misconfigured, match="3000 bars cannot be walked in 99 folds"):
        walk_forward(case, rules, wish, 99)


def test_a_plan__for_half_ether__lands_near_the_closed_form_and_beats_rules_of_thumb() -> None:
    history = ether_history().between("2019-01-01", "2022-12-31")
    costs = Costs(0.003, gas_units=0)
    found = plan(
        basket_question([history], [0.5], objective("risk-aversion", None, 5), costs, 100_000.0), QUICK
    )
    band = best_band(0.5, 5, 0.003)
    assert found.chosen.rule["trigger"] == pytest.approx(band.trigger, rel=0.4)
    assert found.chosen.rule["destination"] > 0.4 * found.chosen.rule["trigger"]
    fees = [each.metrics.certainty_fee_bps for each in found.compared]
    assert found.chosen.metrics.certainty_fee_bps < min(fees)
    assert [each.name for each in found.compared][:3] == [
        "every 30 days",
        "every 91 days",
        "5 percentage points",
    ]
    assert set(found.crashes) == {"2020-03-12", "2021-05-19", "2022-06", "2022-11"}
    assert len(found.folds) == 2
    assert found.chosen.intervals["cost_bps"][0] < found.chosen.intervals["cost_bps"][1]
    assert found.doubts[0].startswith("The rule is the best of 464 tried on one history")
    assert any("reality check" in doubt for doubt in found.doubts)
    assert found.theory["theory, aversion 5"].band.trigger == pytest.approx(band.trigger, rel=1e-3)


def test_a_plan__for_a_loan__is_never_liquidated_on_the_history_it_asks_for_none_on() -> None:
    history = ether_history().between("2020-02-15", "2022-12-31")
    question = loan_question(
        history, AAVE_WETH, 1.65, objective("liquidations", 0, 2), COSTS, (0.01, 0.04), 100_000.0
    )
    found = plan(question, QUICK)
    assert found.chosen.metrics.liquidations == 0
    assert found.chosen.metrics.min_health > 1
    (none,) = [each for each in found.compared if each.name == "no rule"]
    assert none.metrics.liquidations > 0
    assert any("it is liquidated at least once" in doubt for doubt in found.doubts)
    lost = found.scores["liquidations"] > 0
    assert lost.any()
    assert not lost[found.front.members].any()
    told = tomllib.loads(found.rule_file)
    assert told["target"] == "1.6500"
    assert 1 < float(told["floor"]) < 1.65


def test_a_figure__outside_its_own_interval__is_a_doubt() -> None:
    case = loan_case(random_history(1), AAVE_WETH, COSTS)
    rule = {
        "floor": 1.3,
        "target": 1.65,
        "ceiling": math.inf,
        "cooldown": 0.0,
        "look": 1.0,
        "sigmas": 0.0,
        "highest": 0.0,
        "speed": 1.0,
    }
    measured = metrics.measure(case.path(np.array(list(rule.values()))), 5)
    depth = measured.max_drawdown
    within = Lived("usual", rule, measured, {"max_drawdown": (depth / 2, depth * 2)})
    beyond = Lived("odd", rule, measured, {"max_drawdown": (depth * 2, depth * 3), "trades": (-2.0, -1.0)})
    (doubt,) = outside((within, beyond))
    assert doubt.startswith("This history was no usual one for “odd”: ")
    assert f"drawdown {depth:.4g} beside {depth * 2:.4g} to {depth * 3:.4g}" in doubt


def test_a_plan__that_nothing_can_keep_to__says_so() -> None:
    question = basket_question(
        [random_history(1, 3_000)], [0.5], objective("cvar", 1e-6, 5), COSTS, 100_000.0
    )
    with pytest.raises(
        Misconfigured, match=r"none of \d+ rules keeps to least certainty-equivalent fee, CVaR of a day"
    ):
        plan(question, QUICK)


def test_a_plan__for_a_range__is_ranked_by_what_it_earns_beside_its_ideal() -> None:
    question = range_question(
        random_history(2, 2_000, hourly=0.008), 0.05, objective("risk-aversion", None, 2), COSTS, 100_000.0
    )
    found = plan(question, replace(QUICK, trials=0))
    assert found.fee.min() == found.fee[int(np.argmin(found.fee))]
    best = int(np.argmin(found.fee))
    scores = found.scores
    assert found.fee[best] == pytest.approx(
        scores.shortfall_bps_per_year[best] + 0.5e4 * 2 * scores.tracking_error[best] ** 2
    )
    assert tomllib.loads(found.rule_file)["below"] > 0


@pytest.mark.parametrize("ceiling", [math.inf, 2.1])
def test_a_rule_file__of_a_loan__is_read_by_the_keeper_and_refused_by_no_contract(
    tmp_path: FilePath, world: World, ceiling: float
) -> None:
    case = loan_case(random_history(1, hourly=0.02), AAVE_WETH, COSTS)
    rule = {
        "floor": 1.34567,
        "target": 1.65,
        "ceiling": ceiling,
        "cooldown": 600.0,
        "look": 1.0,
        "sigmas": 0.0,
        "highest": 0.0,
        "speed": 0.5 if math.isfinite(ceiling) else 1.0,
    }
    path = case.path(np.array(list(rule.values())))
    text = rule_file("loan", rule, path, Assets("0x" + "11" * 20, "0x" + "22" * 20, 6))
    (tmp_path / "rule.toml").write_text(text, encoding="utf-8")
    read = read_rule(tmp_path / "rule.toml", {})
    assert isinstance(read, LoanText)
    assert (read.floor, read.target) == (Decimal("1.3457"), Decimal("1.65"))
    assert read.ceiling == (Decimal("2.1") if math.isfinite(ceiling) else 0)
    assert read.max_step >= path.actions.traded[path.actions.side == DOWN].max()
    assert (read.borrow_step > 0) == math.isfinite(ceiling)
    assert read.terms == ({"speed_bps": 5_000} if math.isfinite(ceiling) else {})
    assert "# most repaid at once, in whole debt tokens" in text
    options = dict(re.findall(r"--([a-z-]+) (\d+)", text))
    band = Band(*(int(options[f"{edge}-bps"]) for edge in ("floor", "target", "ceiling")))
    assert band.floor_bps == 13_457
    limits = Limits(100, int(options["cooldown"]), int(options["max-step"]), 2**39, NOBODY)
    found = LoanRule(Address("0x" + "11" * 20), Address("0x" + "22" * 20), band, limits)
    world.send(world.roles.owner, world.thresholds, SET_RULE.signature, 0, rule_fields(found))


def test_a_rule_file__without_addresses__asks_for_them_in_its_command() -> None:
    case = loan_case(random_history(1), AAVE_WETH, COSTS)
    rule = {
        "floor": 1.3,
        "target": 1.65,
        "ceiling": math.inf,
        "cooldown": 0.0,
        "look": 1.0,
        "sigmas": 0.0,
        "highest": 0.0,
        "speed": 1.0,
    }
    text = rule_file("loan", rule, case.path(np.array(list(rule.values()))), Assets())
    assert text.startswith(
        "# keeper rule set OWNER --file rule.toml --approve --collateral ADDRESS --debt ADDRESS"
    )
    assert "collateral" not in tomllib.loads(text)


def test_a_rule_file__where_no_rule_was_best__says_so() -> None:
    case = loan_case(random_history(1), AAVE_WETH, COSTS)
    rule = {
        "floor": 0.0,
        "target": 1.65,
        "ceiling": math.inf,
        "cooldown": 0.0,
        "look": 1.0,
        "sigmas": 0.0,
        "highest": 0.0,
        "speed": 1.0,
    }
    text = rule_file("loan", rule, case.path(np.array(list(rule.values()))), Assets())
    assert text == "# The best of all rules tried is none.\n"


def test_every_column__of_scores__is_told_of_one_rule_by_name() -> None:
    row = scored().row(3)
    assert set(row) == {*some_case().columns, *COLUMNS}

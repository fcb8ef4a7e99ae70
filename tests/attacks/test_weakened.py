"""Each attack succeeds against a contract that lacks the guard which stops it.

What a threat's test sees refused would prove little if something else refused it, or if the test could not fail. Here
one guard at a time is taken out of the source, and the same attack, played again, must get through.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from vyper.compiler import compile_code
from vyper.compiler.input_bundle import FilesystemInputBundle

from keeper.devnet.artifacts import Compiled, compiled
from tests.attacks import test_basket_thresholds_threats as basket_threats
from tests.attacks import test_loan_thresholds_threats as loan_threats
from tests.attacks import test_range_thresholds_threats as range_threats
from tests.contracts.basket_stage import Stage as Baskets
from tests.contracts.loan_stage import CONTRACTS, create
from tests.contracts.loan_stage import Stage as Loans
from tests.contracts.range_stage import Stage as Ranges

ACCEPTED: Final = "the contract accepted"
"""What an attack that has to be refused says when it is not."""
LOANS, RANGES, BASKETS = "LoanThresholds", "RangeThresholds", "BasketThresholds"


@dataclass(frozen=True)
class Lack:
    """A guard that `contract` has in `file`, word for word and once, and what stands in its place.

    `attack` is the threat's test, `shows` what it says when it is not refused, `played_with` its parameters.
    """

    contract: str
    file: str
    guard: str
    attack: str
    instead: str = "assert True, "
    shows: str = ACCEPTED
    played_with: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        threat = self.attack.split("__")[0].removeprefix("test_")
        return f"{self.contract} {threat}: {' '.join(self.guard.split())[:60]}"


def lacks(contract: str, file: str, *rows: tuple[Any, ...]) -> tuple[Lack, ...]:
    return tuple(Lack(contract, file, *row) for row in rows)


LACKS: Final = (
    *lacks(
        LOANS,
        "LoanThresholds.vy",
        (
            "assert rule.keeper == empty(address) or rule.keeper == msg.sender, ",
            "test_t2__stranger_acts_on_a_rule_that_names_a_keeper__is_refused",
        ),
        (
            "assert case.measure < band.floor, ",
            "test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused",
        ),
        (
            "assert block.timestamp <= plan.deadline, ",
            "test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused",
        ),
        (
            "assert block.timestamp <= rule.expiry, ",
            "test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused",
        ),
        ("assert end <= aim + reach, ", "test_t4__keeper_repays_too_much_or_too_little__is_refused"),
        ("assert plan.amount <= max_step, ", "test_t4__keeper_repays_too_much_or_too_little__is_refused"),
        (
            "if self._falls_short(case.aim, end) and plan.amount < rule.max_step:",
            "test_t4__keeper_nibbles_for_the_fees_of_many_sales__is_refused",
            "if self._falls_short(case.aim, end) and False:",
        ),
        *(
            (
                (
                    "assert (case.before.debt - after.debt) * _BPS >= (case.before.collateral - after.collateral) * (\n"
                    "        _BPS - case.slippage_bps\n    ), "
                ),
                attack,
                "assert True, ",
                shows,
            )
            for attack, shows in (
                (
                    "test_t5__keeper_moves_the_pool_before_acting__cannot_take_more_than_the_slippage",
                    r"set\(\)",
                ),
                ("test_t5__keeper_picks_a_worse_pool_of_the_pair__is_held_to_the_same_bound", ACCEPTED),
                ("test_t15__the_bounty__is_capped_and_lies_within_the_slippage", ACCEPTED),
            )
        ),
        (
            "assert after.collateral < case.before.collateral, ",
            "test_t5__owner_sells_what_is_no_collateral__is_refused_as_its_cost_cannot_be_measured",
        ),
        (
            "assert msg.sender == self._pool_in_flight, ",
            "test_t6__stranger_pays_in_the_pools_stead__takes_no_collateral",
        ),
        (
            "extcall IERC20(order.debt).approve(aave_v3.AAVE, got, ",
            "test_t9__whatever_happened__nothing_spendable_is_left_behind",
            "extcall IERC20(order.debt).approve(aave_v3.AAVE, max_value(uint256), ",
            "== 0",
        ),
        ("assert end >= case.aim, ", "test_t11__keeper_borrows_too_much_too_early_or_again__is_refused"),
        (
            (
                "assert (after.collateral - case.before.collateral) * _BPS >= (after.debt - case.before.debt) * (\n"
                "        _BPS - case.slippage_bps\n    ), "
            ),
            "test_t11__keeper_moves_the_pool_before_borrowing__cannot_take_more_than_the_slippage",
            "assert True, ",
            r"set\(\)",
        ),
        (
            "assert msg.sender == self._pool_in_flight, ",
            "test_t12__anybody_calls_back_with_an_order_to_borrow__is_refused",
        ),
        *(
            ('assert why == "", why', attack, "pass")
            for attack in (
                "test_t14__keeper_acts_before_the_breach_has_held__is_refused",
                "test_t14__keeper_records_one_wick_and_acts_on_the_next__is_refused",
            )
        ),
    ),
    *lacks(
        LOANS,
        "loan_rules.vy",
        (
            "@external\ndef set_rule(",
            "test_t7__collateral_calls_back_while_it_is_paid__finds_the_door_locked",
            "@external\n@reentrant\ndef set_rule(",
            r"\(True, True\) == \(True, False\)",
            {"door": "set_rule"},
        ),
        (
            'assert self._words[msg.sender][id].a != 0, "rule: none is set"',
            "test_t1__stranger_writes_or_clears_rules__only_ever_its_own",
            "pass",
        ),
    ),
    *lacks(
        LOANS,
        "loan_words.vy",
        (
            " or block.timestamp > self._last_seen(ledger) + self._gap(hold):",
            "test_t14__keeper_leaves_out_one_sighting__the_hold_begins_anew",
            ":",
        ),
    ),
    *lacks(
        LOANS,
        "loan_sigma.vy",
        (
            "min(max(health, rule.floor_bps), terms.highest_bps)",
            "test_t16__stranger_pokes_a_feed_gone_wild__the_floor_stops_at_the_owners_highest",
            "max(health, rule.floor_bps)",
            "13000",
        ),
    ),
    *lacks(
        LOANS,
        "limits.vy",
        (
            "return state.spent - min(back, state.spent)",
            "test_t13__stolen_key_sells_low_again_and_again__takes_the_budget_and_no_more",
            "return 0",
            "assert 'health: at o",
        ),
        (
            "if limits.daily != 0 and self._count_today(state) >= limits.daily:",
            "test_t13__keeper_acts_too_often_in_a_day__is_refused",
            "if False:",
        ),
        (
            "return not self._is_public(limits, urgency)",
            "test_t15__stranger_acts_above_the_public_level__is_refused",
            "return False",
        ),
        (
            "return min(sold * limits.bounty_bps // _BPS, limits.bounty_cap)",
            "test_t15__the_bounty__is_capped_and_lies_within_the_slippage",
            "return sold * limits.bounty_bps // _BPS",
            "< 1e-06",
        ),
        (
            "if limits.gas_cap == 0 or urgency >= FULL_URGENCY:",
            "test_t15__gas_above_the_cap__bars_until_the_loan_is_in_danger",
            "if True:",
        ),
    ),
    *lacks(
        RANGES,
        "RangeThresholds.vy",
        (
            "assert rule.keeper == empty(address) or rule.keeper == msg.sender, ",
            "test_t2__stranger_acts_on_a_rule_that_names_a_keeper__is_refused",
        ),
        (
            "assert block.timestamp <= plan.deadline, ",
            "test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused",
        ),
        (
            "assert block.timestamp <= rule.expiry, ",
            "test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused",
        ),
        (
            "assert recentre._is_calm(look, allowed), ",
            "test_t5__keeper_acts_off_the_mean_or_leaves_it__is_refused",
        ),
        (
            "assert placed.lost <= range_rules._budget_left(rule, past), ",
            "test_t6__stolen_key_day_after_day__takes_the_budget_and_its_refilling_at_most",
            "assert True, ",
            r"assert set\(\) ==",
        ),
        (
            'assert msg.sender == pool and pool != empty(address), "pool: this caller is not the pool in flight"',
            "test_t7__false_pool_or_anybody_calls_back__is_refused",
            "pass",
        ),
    ),
    *lacks(
        RANGES,
        "range_rules.vy",
        (
            'assert self._words[msg.sender][id].a != 0, "rule: none is set"',
            "test_t1__stranger_writes_or_clears_rules__only_ever_its_own",
            "pass",
        ),
    ),
    *lacks(
        RANGES,
        "uniswap_v3_positions.vy",
        (
            "assert (\n        staticcall IUniswapV3Positions(MANAGER).ownerOf(token_id) == owner\n    ), ",
            "test_t1__position_is_sold__the_old_owners_rule_does_not_follow_it",
        ),
    ),
    *lacks(
        RANGES,
        "range_bars.vy",
        (
            "if block.timestamp < past.last_acted + rule.cooldown:",
            "test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused",
            "if False:",
        ),
        (
            "if wide._times(placed, _BPS) < wide._times(before, rule.placed_bps):",
            "test_t4__keeper_chooses_no_ticks__and_what_is_minted_is_the_rules_share",
            "if False:",
        ),
        (
            "if lost > slippage_bps * (range_rules.WHOLE // _BPS):",
            "test_t6__sandwich__takes_no_more_than_the_slippage",
            "if False:",
            r"assert set\(\) ==",
        ),
    ),
    *lacks(
        BASKETS,
        "BasketThresholds.vy",
        (
            "elif block.timestamp > plan.deadline:",
            "test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused",
            "elif False:",
        ),
        *(
            (
                (
                    "assert weights._agrees(\n"
                    "        spot, uniswap_v3._sorted(one.token, other.token), one, other, spot_bps\n    ), "
                ),
                attack,
                "assert True, ",
                ACCEPTED,
                played_with,
            )
            for attack, played_with in (
                ("test_t8__pool_has_strayed_from_the_feeds__is_not_traded_in", {"bps": 9_780}),
                ("test_t8__the_trade_itself_moves_the_pool_too_far__is_refused", {}),
            )
        ),
        (
            "if msg.sender != self._pool_in_flight or msg.sender == empty(address):",
            "test_t9__stranger_pretends_to_be_the_pool__takes_nothing",
            "if False:",
        ),
    ),
    *lacks(
        BASKETS,
        "weights.vy",
        (
            "if landing.sold > min(self._most_sold(before), max_step):",
            "test_t4__keeper_sells_too_much_or_too_little__is_refused",
            "if False:",
        ),
        (
            "elif short and landing.sold * _BPS < max_step * (_BPS - TOLERANCE_BPS):",
            "test_t4__keeper_sells_too_much_or_too_little__is_refused",
            "elif False:",
        ),
        (
            "elif now.over != was.over and now.drift > now.slack:",
            "test_t4__keeper_sells_the_wrong_way_or_across__is_refused",
            "elif False:",
        ),
        (
            "elif landing.lost * _BPS > landing.sold * slippage_bps:",
            "test_t5__keeper_moves_the_pools_before_acting__cannot_take_more_than_the_slippage",
            "elif False:",
            r"assert set\(\) ==",
        ),
    ),
    *lacks(
        BASKETS,
        "limits.vy",
        (
            "return state.spent - min(back, state.spent)",
            "test_t6__stolen_key_acts_all_day_at_the_worst_prices_it_can_make__loses_what_is_written",
            "return 0",
            r"assert \d+ <= ",
        ),
        (
            "return not self._is_public(limits, urgency)",
            "test_t2__stranger_acts_below_the_public_level__is_refused",
            "return False",
        ),
        (
            "if limits.gas_cap == 0 or urgency >= FULL_URGENCY:",
            "test_t3__keeper_pays_more_for_gas_than_the_cap__is_refused_until_it_is_urgent",
            "if True:",
            "assert '' == .gas: ",
        ),
    ),
    *lacks(
        BASKETS,
        "prices.vy",
        (
            "if block.timestamp - updated_at > source.max_age:",
            "test_t7__feed_goes_wrong_while_the_basket_is_in_breach__nobody_acts",
            "if False:",
            ACCEPTED,
            {"answer": 3_200 * 10**8, "ago": 7 * 86_400 + 60, "why": "oracle: a price is too old"},
        ),
    ),
)


@lru_cache(maxsize=2)
def compiled_without(contract: str, file: str, guard: str, instead: str) -> Compiled:
    with tempfile.TemporaryDirectory(prefix="keeper-weakened-") as folder:
        copy = Path(folder) / CONTRACTS.name
        shutil.copytree(CONTRACTS, copy)
        source = (copy / file).read_text(encoding="utf-8")
        assert source.count(guard) == 1, f"{file} has this {source.count(guard)} times: {guard}"
        (copy / file).write_text(source.replace(guard, instead), encoding="utf-8")
        path = copy / f"{contract}.vy"
        output = compile_code(
            path.read_text(encoding="utf-8"),
            path,
            resolved_path=path,
            output_formats=("abi", "bytecode"),
            input_bundle=FilesystemInputBundle([Path(folder)]),
        )
    return compiled(contract, {**output, "linkReferences": {}})


def play(lack: Lack, stage: Any, threats: ModuleType, *places: str) -> None:
    """The attack on a weakened contract, made with `places`, in the place of the one that stands on the stage."""
    contract = compiled_without(lack.contract, lack.file, lack.guard, lack.instead)
    weak = replace(stage, thresholds=create(stage.node, contract, *places))
    attack: Callable[..., None] = getattr(threats, lack.attack)
    with pytest.raises(AssertionError, match=lack.shows):
        attack(weak, **lack.played_with)


def play_on_loans(lack: Lack, stage: Loans) -> None:
    asked = [
        stage.ask(stage.thresholds, f"{name}()", "(address)") for name in ("SENSE", "CHECK", "VOLATILITY")
    ]
    play(lack, stage, loan_threats, stage.aave.addresses_provider, stage.uniswap.factory, *asked)


def of(contract: str) -> list[Lack]:
    return [lack for lack in LACKS if lack.contract == contract]


@pytest.mark.parametrize("lack", of(LOANS)[:1], ids=str)
def test_an_attack__on_a_contract_without_the_guard__succeeds(stage: Loans, lack: Lack) -> None:
    """One of those below, in every run: each contract without a guard has to be compiled."""
    play_on_loans(lack, stage)


@pytest.mark.nightly
@pytest.mark.parametrize("lack", of(LOANS), ids=str)
def test_every_attack__on_loans_without_the_guard__succeeds(stage: Loans, lack: Lack) -> None:
    play_on_loans(lack, stage)


@pytest.mark.nightly
@pytest.mark.parametrize("lack", of(RANGES), ids=str)
def test_every_attack__on_ranges_without_the_guard__succeeds(ranges: Ranges, lack: Lack) -> None:
    check = ranges.ask(ranges.thresholds, "CHECK()", "(address)")
    play(lack, ranges, range_threats, ranges.uniswap.position_manager, check)


@pytest.mark.nightly
@pytest.mark.parametrize("lack", of(BASKETS), ids=str)
def test_every_attack__on_baskets_without_the_guard__succeeds(baskets: Baskets, lack: Lack) -> None:
    play(lack, baskets, basket_threats, baskets.ask(baskets.thresholds, "CHECK()", "(address)"))

"""What is wrong with rules, each fault shown by rules that have it and by their neighbours that do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.domain.loans import Band, Limits, Loan, LoanMarket, LoanRule, PoolState, Sight, Terms
from keeper.domain.rules import RuleKey
from keeper.domain.units import BASE, NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.protocols.loan_thresholds import Action, Finding
from keeper.rules.faults import Fault
from keeper.rules.lint import Cases, lint
from keeper.rules.loan_faults import LoanCase

THRESHOLDS, OWNER = Address("0x" + "Aa" * 20), Address("0x" + "Bb" * 20)
WETH, USDC = Address("0x" + "0e" * 20), Address("0x" + "0c" * 20)
AWETH = Address("0x" + "Ae" * 20)
NOW = 1_700_000_000
QUIET = Finding(Kind.WITHIN, Action.DELEVERAGE, 2 * WAD, 0, 0, 0, "health: at or above the floor")
# 100 WETH at 2,000 USD against 80,000 USDC, with a liquidation threshold of 80 %: a health of 2.
LOAN = Loan(200_000 * BASE, 80_000 * BASE, 8_000, 2 * WAD)
# Deep: some 100 million USD in range at 2,000 USDC per WETH, WETH being token0.
POOL = PoolState(500, int(2_000e-12**0.5 * 2**96), 10**21, True)
MARKET = LoanMarket(2_000 * BASE, BASE, WAD, 10**6, 8_000, 80_000 * 10**6, (POOL,))


def rule(floor: int = 14_000, target: int = 17_000, ceiling: int = 0, **changes: Any) -> LoanRule:
    terms = {name: changes.pop(name) for name in ("borrow_step", "in_leverage") if name in changes}
    limits = Limits(100, 60, 10**12, NOW + 1_000, NOBODY)
    return LoanRule(WETH, USDC, Band(floor, target, ceiling), replace(limits, **changes), Terms(**terms))


def case(written: LoanRule, id: int = 0, loan: Loan | None = LOAN, **changes: Any) -> LoanCase:
    sight = Sight(RuleKey(THRESHOLDS, OWNER, id), written, 0, loan)
    return replace(LoanCase(sight, QUIET, MARKET, AWETH, 100 * WAD, 0.05, 0.02), **changes)


def faults(*cases: LoanCase) -> list[Fault]:
    return [each.fault for each in lint(Cases(cases), NOW)]


def test_a_rule__that_is_sound__has_no_fault() -> None:
    assert faults(case(rule())) == []
    assert faults(case(rule(18_000, 20_000), 0), case(rule(13_000, 25_000), 1, held=0)) == [Fault.NEVER] * 2


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"sight": None}, "it expired 3 days ago"),
        ({"market": None}, "Aave knows no market"),
        ({"market": replace(MARKET, repayable=0)}, "owes none of its debt asset"),
        ({"held": 0}, "has none of its collateral"),
    ],
)
def test_a_rule__that_can_never_fire__is_told_why(changed: dict[str, Any], why: str) -> None:
    given = case(rule(expiry=NOW - 3 * 86_400)) if "sight" in changed else case(rule(), **changed)
    (found,) = lint(Cases([given]), NOW)
    assert found.fault is Fault.NEVER
    assert why in found.why


def test_a_rule__whose_owner_owes_nothing__never_fires() -> None:
    assert faults(case(rule(), loan=None)) == [Fault.NEVER]
    assert faults(case(rule(), loan=replace(LOAN, debt_base=0))) == [Fault.NEVER]


def test_a_rule__breached_already__fires_now() -> None:
    breached = replace(QUIET, kind=Kind.BREACHED, why="health: below the floor")
    assert faults(case(rule(), finding=breached)) == [Fault.NOW]


def test_a_rule__that_its_contract_bars__cannot_act__and_cooling_down_is_no_fault() -> None:
    barred = replace(QUIET, kind=Kind.BARRED, why="allowance: the owner has granted none of the aToken")
    assert faults(case(rule(), finding=barred)) == [Fault.BARRED]
    assert faults(case(rule(), finding=replace(barred, why="rule: cooling down"))) == []


def test_a_target__that_needs_more_debt_or_collateral_than_there_is__is_unreachable() -> None:
    # From 1.4 to 1.7 takes 80,000 * 0.3 / 0.9 = 26,667 USDC, and as much in WETH.
    assert faults(case(rule(), market=replace(MARKET, repayable=26_000 * 10**6))) == [Fault.UNREACHABLE]
    assert faults(case(rule(), market=replace(MARKET, repayable=27_000 * 10**6))) == []
    assert faults(case(rule(), held=13 * WAD)) == [Fault.UNREACHABLE]
    assert faults(case(rule(), held=14 * WAD)) == []


def test_a_target__many_steps_away__is_unreachable_in_time() -> None:
    (found,) = lint(Cases([case(rule(max_step=1_000 * 10**6, cooldown=3_600))]), NOW)
    assert found.fault is Fault.UNREACHABLE
    assert "27 actions" in found.why
    assert "26 hours" in found.why
    assert faults(case(rule(max_step=3_000 * 10**6))) == []


def test_slippage__tighter_than_the_pools_fee_and_depth__is_told_with_both() -> None:
    (found,) = lint(Cases([case(rule(slippage_bps=4))]), NOW)
    assert found.fault is Fault.SLIPPAGE
    assert "it allows 4" in found.why
    thin = replace(POOL, liquidity=10**16)
    assert faults(case(rule(), market=replace(MARKET, pools=(thin,)))) == [Fault.SLIPPAGE]
    assert faults(case(rule(), market=replace(MARKET, pools=()))) == [Fault.SLIPPAGE]
    assert faults(case(rule(), market=replace(MARKET, pools=(thin, POOL)))) == []


def test_a_floor__within_a_months_interest_of_the_target__is_told() -> None:
    # ln(1.42 / 1.40) / 0.3 years is 17 days.
    (found,) = lint(Cases([case(rule(14_000, 14_200), borrow_rate=0.35, supply_rate=0.05)]), NOW)
    assert found.fault is Fault.DRIFT
    assert "30.0% a year" in found.why
    assert "17 days" in found.why
    assert faults(case(rule(14_000, 14_200), borrow_rate=0.05, supply_rate=0.35)) == []
    assert faults(case(rule(14_000, 17_000), borrow_rate=0.35, supply_rate=0.05)) == []


def test_two_rules__each_acting_on_what_the_other_left__loop() -> None:
    careful = case(rule(18_000, 24_000), 0)
    bold = case(rule(12_000, 15_000, 22_000, borrow_step=10**12), 1)
    (found,) = [each for each in lint(Cases([careful, bold]), NOW) if each.fault is Fault.LOOP]
    assert [key.id for key in found.keys] == [0, 1]
    assert "up to 2.4000" in found.why
    assert "down to 1.5000" in found.why
    without_borrowing = case(rule(12_000, 15_000, 22_000), 1)
    assert Fault.LOOP not in faults(careful, without_borrowing)


def test_two_rules__of_which_one_undoes_the_other_once__contradict() -> None:
    careful = case(rule(14_000, 24_000), 0)
    landing_high = case(rule(12_000, 15_000, 22_000, borrow_step=10**12), 1)
    assert faults(careful, landing_high) == [Fault.CONTRADICTION]
    guarding = case(rule(16_000, 17_000), 0)
    assert faults(guarding, landing_high) == [Fault.CONTRADICTION]
    assert faults(case(rule(14_000, 17_000), 0), landing_high) == []


def test_two_rules__in_different_units__are_not_compared() -> None:
    careful = case(rule(18_000, 24_000), 0)
    bold = case(rule(40_000, 30_000, 20_000, borrow_step=10**12, in_leverage=True), 1)
    assert Fault.LOOP not in faults(careful, bold)


def test_a_rule__below_one_that_does_the_same__never_fires() -> None:
    (found,) = lint(Cases([case(rule(13_000, 17_000), 0), case(rule(15_000, 18_000), 1)]), NOW)
    assert found.fault is Fault.NEVER
    assert [key.id for key in found.keys] == [0, 1]
    assert faults(case(rule(13_000, 17_000), 0), case(rule(15_000, 18_000, max_step=10**11), 1)) == []

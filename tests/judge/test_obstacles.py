"""Whose move an obstacle is, by the contracts' own words; and the obstacles that only time tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.domain.foresight import Cause, Obstacle, Reach, each_once
from keeper.judge import obstacles
from keeper.judge.obstacles import (
    GAS_CAP,
    by_cooldown,
    by_expiry,
    by_gas_cap,
    by_gas_money,
    by_memory,
    by_price_age,
    obstacle,
)

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
SOON = Reach(3_600, 30_000)
NOW = 1_000_000


def said_by_contracts() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in CONTRACTS.glob("*.vy"))


def test_a_reason_that_is_known_by_its_words__is_one_that_a_contract_says() -> None:
    sources = said_by_contracts()
    for why in (*obstacles._REASONS, GAS_CAP):
        assert f'"{why}"' in sources, why
    for room in obstacles._ROOMS:
        assert f'"{room}: ' in sources, room


@pytest.mark.parametrize(
    ("why", "cause"),
    [
        ("allowance: one is short of what must be sold", Cause.GRANT),
        ("delegation: the owner has delegated no credit in the debt asset", Cause.GRANT),
        ("pool: too thin for the repayment", Cause.POOL),
        ("pool: it remembers less than the hold", Cause.MEMORY),
        ("loan: the value lost is above the rule's slippage", Cause.POOL),
        ("aave: the debt's borrow cap leaves too little room", Cause.PROTOCOL),
        ("oracle: a price is not positive", Cause.PRICE),
        (GAS_CAP, Cause.GAS_PRICE),
        ("rule: the loss budget is spent", Cause.REST),
        ("rule: expired", Cause.EXPIRY),
        ("rule: max_step is too small to bring health back to 1", Cause.POSITION),
        ("loan: less of the collateral is held than must be sold", Cause.POSITION),
        ("error 0x930bb771", Cause.POSITION),
    ],
)
def test_an_obstacle__by_its_reason__has_the_cause_of_whose_move_it_is(why: str, cause: Cause) -> None:
    assert obstacle(why) == Obstacle(cause, why)


def test_obstacles__of_one_cause__are_told_by_the_first() -> None:
    first, second, other = obstacle("pool: one"), obstacle("pool: two"), obstacle("aave: three")
    assert each_once([first, second, other]) == (first, other)


def test_a_rule_that_ends__before_the_breach_is_likely__is_an_obstacle_and_one_that_does_not_is_none() -> (
    None
):
    (found,) = by_expiry(NOW + SOON.median - 1, SOON, NOW)
    assert (found.cause, found.why) == (Cause.EXPIRY, "rule: it expires at 1970-01-12 22:06 UTC, in 8 hours")
    assert [*by_expiry(NOW + SOON.median, SOON, NOW)] == []


def test_a_rule_that_rests__is_an_obstacle_only_if_it_may_be_breached_before_it_is_over() -> None:
    (found,) = by_cooldown(NOW, 7_200, SOON, NOW)
    assert found == Obstacle(Cause.REST, "rule: cooling down for another 2 hours")
    assert [*by_cooldown(NOW, 3_600, SOON, NOW)] == []
    assert [*by_cooldown(0, 2_000_000, SOON, NOW)] == [], "it never acted"


@pytest.mark.parametrize(("cap", "base_fee", "stops"), [(0, 10**12, False), (9, 10, True), (10, 10, False)])
def test_a_cap_on_the_price_of_gas__below_a_blocks_fee__is_an_obstacle(
    cap: int, base_fee: int, stops: bool
) -> None:
    assert [*by_gas_cap(cap, base_fee)] == ([Obstacle(Cause.GAS_PRICE, GAS_CAP)] if stops else [])


@pytest.mark.parametrize(
    ("age", "limit", "is_old"),
    [(86_400, 90_000, False), (88_200, 90_000, True), (None, 90_000, False), (3_600, 3_900, False)],
)
def test_a_price__at_its_feeds_own_pace__is_no_obstacle_and_one_about_to_be_too_old_is(
    age: int | None, limit: int, is_old: bool
) -> None:
    assert [found.cause for found in by_price_age(age, limit)] == ([Cause.PRICE] if is_old else [])


@pytest.mark.parametrize(("observations", "forgets"), [(1, True), (25, True), (26, False)])
def test_a_pool__that_could_be_traded_in_every_block__remembers_so_many_of_them(
    observations: int, forgets: bool
) -> None:
    assert [found.cause for found in by_memory(observations, 12, 300)] == ([Cause.MEMORY] if forgets else [])


def test_gas_money__for_as_many_actions_as_come_up_to_this_one__is_counted() -> None:
    assert [*by_gas_money(30, 10, 3)] == []
    (found,) = by_gas_money(29, 10, 3)
    assert found == Obstacle(Cause.GAS_MONEY, "gas: the sender can pay for 2 of the 3 actions up to this")

"""Accounts valued by the lens's sums are Aave's own, also when the sums are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from keeper.chain.accounts import Accounts
from keeper.chain.node import Node, Question
from keeper.devnet.world import World
from keeper.domain.loans import Sight
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.protocols import lenses

ROW = 8 * 64
HEAD = 2 + 2 * 64
COLLATERAL = 3 * 64


class Crooked(Node):
    """A node on which Aave has changed behind the lens's back, once `is_crooked`: every sum is a unit too high."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_crooked = True
        self.asked: list[int] = []

    def ask_each(self, questions: Sequence[Question]) -> list[Any]:
        answers = super().ask_each(questions)
        self.asked.append(len(questions))
        return [
            self._bent(question, answer) if self.is_crooked else answer
            for question, answer in zip(questions, answers, strict=True)
        ]

    def _bent(self, question: Question, answer: Any) -> Any:
        data = question[1][0].get("data", "")
        if data[2:10] != lenses._VALUE.selector.hex():
            return answer
        first, every = (int(data[10 + 64 * place : 74 + 64 * place], 16) for place in (5, 6))
        rows = [answer[at : at + ROW] for at in range(HEAD, len(answer), ROW)]
        bent = [_bent_row(row, n % every == first) for n, row in enumerate(rows)]
        return answer[:HEAD] + "".join(bent)


def _bent_row(row: str, is_compared: bool) -> str:
    """The contract itself tells Aave's numbers, and that they are others, of the accounts it compares."""
    if is_compared:
        return row[:-64] + f"{int(row[-64:], 16) ^ 1:064x}"
    collateral = int(row[COLLATERAL : COLLATERAL + 64], 16) + 1
    return row[:COLLATERAL] + f"{collateral:064x}" + row[COLLATERAL + 64 :]


@pytest.fixture
def keys(world: World) -> list[RuleKey]:
    """Three loans in the same reserves, the market maker's account, and one that is empty."""
    roles = world.roles
    for owner, health in ((roles.owner, 1.5), (roles.twin, 1.7), (roles.stranger, 2.0)):
        world.open_loan(owner, 10, health=health)
    owners = (roles.owner, roles.twin, roles.stranger, roles.deployer, roles.keeper)
    return [RuleKey(world.thresholds, owner, 0) for owner in owners]


def truth(world: World, keys: Sequence[RuleKey]) -> list[Any]:
    return [world.account_data(key.owner) for key in keys]


def loans(sights: Sequence[Sight]) -> list[Any]:
    return [sight.loan for sight in sights]


def test_sums__that_agree_with_aave__are_asked_for_in_one_question(world: World, keys: list[RuleKey]) -> None:
    node = Crooked(world.url)
    node.is_crooked = False
    accounts = Accounts(node, world.thresholds, world.aave.pool)
    for reading in range(len(keys) + 2):
        world.mine()
        node.asked.clear()
        assert loans(accounts.sights(keys, world.node.head())) == truth(world, keys)
        assert node.asked == [1] or reading == 0, "each combination is proven once"


def test_sums__that_never_agreed__are_not_believed(world: World, keys: list[RuleKey]) -> None:
    accounts = Accounts(Crooked(world.url), world.thresholds, world.aave.pool)
    for _ in range(len(keys) + 2):
        assert loans(accounts.sights(keys, world.node.head())) == truth(world, keys)


@pytest.mark.parametrize("readings", range(1, 4))
def test_sums__that_agree_no_longer__are_found_out_in_the_same_reading(
    world: World, keys: list[RuleKey], readings: int
) -> None:
    node = Crooked(world.url)
    node.is_crooked = False
    accounts = Accounts(node, world.thresholds, world.aave.pool)
    for _ in range(readings):
        accounts.sights(keys, world.node.head())
    node.is_crooked = True
    for _ in range(len(keys) + 2):
        assert loans(accounts.sights(keys, world.node.head())) == truth(world, keys)


def test_accounts__of_no_contract__come_without_rules(world: World, keys: list[RuleKey]) -> None:
    block = world.node.head()
    sights = Accounts(world.node, NOBODY, world.aave.pool).sights(keys, block)
    assert loans(sights) == truth(world, keys)
    assert {sight.rule for sight in sights} == {None}


def test_accounts__many_more_than_fit_a_question__come_in_order(world: World, keys: list[RuleKey]) -> None:
    node = Crooked(world.url)
    node.is_crooked = False
    crowd = [RuleKey(world.thresholds, Address(f"0x{n + 1:040x}"), 0) for n in range(lenses.MOST_ROWS)]
    sights = Accounts(node, world.thresholds, world.aave.pool).sights([*crowd, *keys], world.node.head())
    assert [sight.key for sight in sights] == [*crowd, *keys]
    assert loans(sights[-len(keys) :]) == truth(world, keys)
    assert node.asked[0] == 2

"""What the chain shows of loans, by whichever way the node lets itself be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from keeper.chain.loans import Loans
from keeper.chain.node import Node, Question
from keeper.devnet.transactions import in_one_block
from keeper.devnet.uniswap_v3 import add_liquidity
from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured, NodeRefused
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.positions.loans import MIRRORED_FROM
from tests.conftest import SetRule


class Stingy(Node):
    """A node that refuses state overrides, or calls over more than a few loans, as public ones do."""

    def __init__(self, url: str, most_bytes: int) -> None:
        super().__init__(url)
        self.most_bytes = most_bytes
        self.refused = 0

    def ask_each(self, questions: Sequence[Question]) -> list[Any]:
        return [
            self._refusal() if self._is_too_much(*question) else super(Stingy, self).ask_each([question])[0]
            for question in questions
        ]

    def _is_too_much(self, method: str, params: Sequence[Any]) -> bool:
        return method == "eth_call" and len(params) == 3 and len(params[0]["data"]) > self.most_bytes

    def _refusal(self) -> NodeRefused:
        self.refused += 1
        return NodeRefused("out of gas", -32000)


class Counting(Node):
    """A node that remembers its requests, one of which may be a batch."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.requests: list[list[Question]] = []

    def ask(self, method: str, *params: Any) -> Any:
        self.requests.append([(method, params)])
        return super().ask(method, *params)

    def ask_each(self, questions: Sequence[Question]) -> list[Any]:
        if questions:
            self.requests.append(list(questions))
        return super().ask_each(questions)


def test_a_turns_rules_accounts_and_prices__of_the_most_owners_not_mirrored__are_one_request_pinned_to_the_block(
    world: World, set_rule: SetRule
) -> None:
    roles = world.roles
    guarded = (roles.owner, roles.twin, roles.stranger)
    for owner, rules in zip(guarded, (1, 2, 3), strict=True):
        world.open_loan(owner, 10, health=1.5)
        for number in range(rules):
            set_rule(owner, id=number)
    nobodies = [Address(f"0x{n + 1:040x}") for n in range(MIRRORED_FROM - 1 - len(guarded))]
    node = Counting(world.url)
    loans = Loans(node, world.thresholds, [*guarded, *nobodies])
    loans.observe(world.node.head())
    for _ in range(
        3
    ):  # the first proves what it sums up once and for all, and rules are counted now and then
        world.mine()
        block = world.node.head()
        node.requests.clear()
        seen = loans.observe(block)
        if len(node.requests) == 1:
            break
    (batch,) = node.requests
    assert [sight.loan for sight in seen.sights] == [
        world.account_data(owner)
        for owner, rules in zip(guarded, (1, 2, 3), strict=True)
        for _ in range(rules)
    ]
    assert set(seen.price_ages) == {world.weth.token, world.usdc.token}
    for method, params in batch:
        pinned = params[0] if method == "eth_getLogs" else params[1]
        assert pinned["blockHash"] == block.hash


@pytest.mark.parametrize("most_bytes", [0, 3_000])
def test_a_node_that_refuses_the_lens_or_its_size__shows_the_same_loans(
    world: World, set_rule: SetRule, most_bytes: int
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.5)
    set_rule(owner)
    keys = [RuleKey(world.thresholds, who, n) for n in range(40) for who in (owner, world.roles.stranger)]
    block = world.node.head()
    plainly = Loans(world.node, world.thresholds, [owner]).sights(keys, block)
    stingy = Stingy(world.url, most_bytes)
    assert Loans(stingy, world.thresholds, [owner]).sights(keys, block) == plainly
    assert stingy.refused > 0
    assert plainly[0].loan == world.account_data(owner)


def test_an_address_without_code__is_misconfigured(world: World) -> None:
    with pytest.raises(Misconfigured, match="there is no code at"):
        Loans(world.node, world.roles.stranger, [])


def test_price_ages__are_those_of_the_feeds_behind_the_oracle(world: World, set_rule: SetRule) -> None:
    set_rule(world.roles.owner)
    loans = Loans(world.node, world.thresholds, [world.roles.owner])
    world.set_price("WETH", 2100)
    before = loans.observe(world.node.head()).price_ages
    world.warp(500)
    after = loans.observe(world.node.head()).price_ages
    assert before[world.weth.token] == 0
    assert after[world.weth.token] == 500


def test_a_pair_without_every_pool__is_looked_up_again_until_it_has_them(
    world: World, set_rule: SetRule
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.3)
    rule = set_rule(owner)
    loans = Loans(world.node, world.thresholds, [owner])
    key = RuleKey(world.thresholds, owner, 0)
    _, market = loans.consult(key, rule, world.node.head())
    assert [pool.fee for pool in market.pools] == [500]
    world.send(
        owner,
        world.uniswap.position_manager,
        "createAndInitializePoolIfNecessary(address,address,uint24,uint160)",
        *sorted((world.weth.token, world.usdc.token), key=lambda token: int(token, 16)),
        3000,
        world.oracle_sqrt_price(),
    )
    _, market = loans.consult(key, rule, world.node.head())
    assert market is not None
    assert [(pool.fee, pool.liquidity > 0) for pool in market.pools] == [(500, True), (3000, False)]

    amounts = {world.weth.token: 100 * 10**18, world.usdc.token: 200_000 * 10**6}
    world.give("WETH", owner, 100)
    world.give("USDC", owner, 200_000)
    with in_one_block(world.node, owner) as queue:
        for token, amount in amounts.items():
            queue.call(token, "approve(address,uint256)", world.uniswap.position_manager, amount)
        add_liquidity(queue, world.uniswap, amounts, 3000, owner)
    _, market = loans.consult(key, rule, world.node.head())
    assert market is not None
    assert [(pool.fee, pool.liquidity > 0) for pool in market.pools] == [(500, True), (3000, True)]

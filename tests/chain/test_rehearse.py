"""What a rehearsal says beside what the same transaction then does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keeper.chain.loans import Loans
from keeper.chain.node import Node
from keeper.chain.rehearse import rehearse
from keeper.devnet.transactions import Mined, receipt
from keeper.devnet.world import World
from keeper.domain.errors import NodeRefused, Unsafe
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY
from keeper.protocols.loan_thresholds import REBALANCE, rebalance_call
from tests.conftest import FOREVER, SetRule

Prepare = Callable[..., Call]


class Lending(Node):
    """A node whose answer to a call with borrowed code is the test's to give; it counts what else it is asked."""

    def __init__(self, url: str, answer: str | NodeRefused) -> None:
        super().__init__(url)
        self.answer = answer
        self.asked_to_lend = 0
        self.estimates = 0

    def ask(self, method: str, *params: Any) -> Any:
        if method == "eth_call" and len(params) == 3:
            self.asked_to_lend += 1
            if isinstance(self.answer, NodeRefused):
                raise self.answer
            return self.answer
        return super().ask(method, *params)

    def ask_each(self, questions: Any) -> list[Any]:
        self.estimates += sum(method == "eth_estimateGas" for method, _ in questions)
        return super().ask_each(questions)


@pytest.fixture
def prepare(world: World, set_rule: SetRule) -> Prepare:
    """A breached loan, and the call that the contract itself would size for it; `repay` in place of its size."""

    def make(repay: int | None = None, max_sell: int = 2**255, deadline: int = FOREVER, **rule: Any) -> Call:
        owner = world.roles.owner
        world.open_loan(owner, 100, health=1.3)
        set_rule(owner, **rule)
        key = RuleKey(world.thresholds, owner, 0)
        (finding,) = Loans(world.node, world.thresholds, [owner]).findings([key], world.node.head())
        return rebalance_call(key, finding.amount if repay is None else repay, max_sell, 500, deadline)

    return make


def act(world: World, call: Call) -> Mined:
    (sent,) = world.node.ask_many(
        [
            (
                "eth_sendTransaction",
                [
                    {
                        "from": world.roles.keeper,
                        "to": call.to,
                        "data": "0x" + call.data.hex(),
                        "gas": hex(2_000_000),
                    }
                ],
            )
        ]
    )
    return receipt(world.node, sent)


def test_rehearse__measured__is_at_least_the_gas_the_transaction_uses(world: World, prepare: Prepare) -> None:
    call = prepare()
    gas, _ = rehearse(world.node, call, world.roles.keeper, world.node.head().hash)
    used = act(world, call).gas_used
    assert used <= gas <= used * 5 // 4, "the chain gives back a fifth at most"


def test_rehearse__measured__is_within_three_per_cent_of_the_least_gas_that_suffices(
    world: World, prepare: Prepare
) -> None:
    call, at = prepare(), world.node.head().hash
    measured, _ = rehearse(world.node, call, world.roles.keeper, at)

    def suffices(gas: int) -> bool:
        try:
            world.node.call(call.to, call.data, at, gas=hex(gas), **{"from": world.roles.keeper})
        except NodeRefused:
            return False
        return True

    assert not suffices(measured * 97 // 100)
    assert suffices(measured * 103 // 100)


def test_rehearse__measured__tells_the_sale_and_the_health_that_come_true(
    world: World, prepare: Prepare
) -> None:
    call = prepare()
    _, returned = rehearse(world.node, call, world.roles.keeper, world.node.head().hash)
    log = next(log for log in act(world, call).logs if log["address"] == world.thresholds.lower())
    _, _, sold, _, after = (int(log["data"][2:][at : at + 64], 16) for at in range(0, 320, 64))
    told_sold, told_health = REBALANCE.read(returned)
    assert told_sold == sold
    assert abs(told_health - after) * 10**6 < after, "a block's interest lies between"


def test_rehearse__a_rehearsal__leaves_the_chain_as_it_was(world: World, prepare: Prepare) -> None:
    call = prepare()
    before = (world.account_data(world.roles.owner), world.node.head())
    rehearse(world.node, call, world.roles.keeper, before[1].hash)
    assert (world.account_data(world.roles.owner), world.node.head()) == before
    assert world.node.ask("eth_getCode", world.roles.keeper, "latest") == "0x"


def test_rehearse__estimated__says_the_same_and_enough_gas(world: World, prepare: Prepare) -> None:
    call, at = prepare(), world.node.head().hash
    measured, returned = rehearse(world.node, call, world.roles.keeper, at)
    lending = Lending(world.url, NodeRefused("not to be asked"))
    estimated, told = rehearse(lending, call, world.roles.keeper, at, estimate=True)
    assert (lending.asked_to_lend, lending.estimates) == (0, 1)
    assert told == returned
    assert abs(estimated - measured) < measured * 0.1
    assert act(world, call).gas_used <= estimated


@pytest.mark.parametrize(
    "answer",
    [NodeRefused("state overrides are not supported", -32602), "0x"],
    ids=["refused", "ignored"],
)
def test_rehearse__a_node_that_lends_no_code__is_asked_for_an_estimate(
    world: World, prepare: Prepare, answer: str | NodeRefused
) -> None:
    call, at = prepare(), world.node.head().hash
    lending = Lending(world.url, answer)
    rehearsal = rehearse(lending, call, world.roles.keeper, at)
    assert (lending.asked_to_lend, lending.estimates) == (1, 1)
    assert rehearsal == rehearse(world.node, call, world.roles.keeper, at, estimate=True)


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"repay": 0}, "plan: nothing to repay or borrow"),
    ({"repay": 10**9}, "health: short of the target with step to spare"),
    ({"max_sell": 1}, "plan: the sale would exceed its limit"),
    ({"deadline": 1}, "plan: past its deadline"),
    ({"floor_bps": 11_000, "repay": 10**9}, "health: at or above the floor"),
]


@pytest.mark.parametrize("way", ["measured", "estimated", "refused", "ignored"])
@pytest.mark.parametrize(("plan", "sentence"), REFUSALS)
def test_rehearse__a_call_that_reverts__is_unsafe_in_the_contracts_words(
    world: World, prepare: Prepare, plan: dict[str, Any], sentence: str, way: str
) -> None:
    call, at = prepare(**plan), world.node.head().hash
    node = {
        "refused": Lending(world.url, NodeRefused("no overrides")),
        "ignored": Lending(world.url, "0x"),
    }.get(way, world.node)
    with pytest.raises(Unsafe) as caught:
        rehearse(node, call, world.roles.keeper, at, estimate=way == "estimated")
    assert str(caught.value) == f"rehearsal: {sentence}"


def test_rehearse__a_rule_that_names_a_keeper__sees_the_sender_and_nobody_else(
    world: World, prepare: Prepare
) -> None:
    call, at = prepare(keeper=world.roles.keeper), world.node.head().hash
    _, returned = rehearse(world.node, call, world.roles.keeper, at)
    assert REBALANCE.read(returned)[0] > 0
    for sender in (world.roles.stranger, NOBODY):
        with pytest.raises(Unsafe, match="rehearsal: rule: another keeper is named"):
            rehearse(world.node, call, sender, at)


@pytest.mark.parametrize("estimate", [False, True])
def test_rehearse__without_a_key_of_its_own__is_done_as_anyone(
    world: World, prepare: Prepare, estimate: bool
) -> None:
    call, at = prepare(), world.node.head().hash
    _, returned = rehearse(world.node, call, NOBODY, at, estimate=estimate)
    assert REBALANCE.read(returned)[0] > 0


def test_rehearse__a_block_that_is_past__is_rehearsed_on_its_own_state(
    world: World, prepare: Prepare
) -> None:
    call, at = prepare(), world.node.head().hash
    before = rehearse(world.node, call, world.roles.keeper, at)
    act(world, call)
    assert rehearse(world.node, call, world.roles.keeper, at) == before
    with pytest.raises(Unsafe, match="rehearsal: "):
        rehearse(world.node, call, world.roles.keeper, world.node.head().hash)


def test_rehearse__a_node_that_knows_no_such_block__is_refused_and_not_unsafe(
    world: World, prepare: Prepare
) -> None:
    call = prepare()
    with pytest.raises(NodeRefused):
        rehearse(world.node, call, world.roles.keeper, "0x" + "42" * 32)

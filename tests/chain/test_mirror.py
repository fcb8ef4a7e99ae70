"""A mirror is at every block what the chain is, whatever became of the blocks in between and of the news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from keeper.chain.loans import Loans
from keeper.chain.mirror import COMPARED, Mirror, Mirrored
from keeper.chain.node import Node, Question
from keeper.chain.rule_keys import MOST_RULES
from keeper.chain.trail import DEPTH
from keeper.devnet.world import World
from keeper.domain.errors import NodeRefused, NodeUnreachable
from keeper.domain.units import Address
from keeper.judge.loan_worth import worth
from tests.conftest import SetRule


class Watched(Node):
    """A node that counts what it is asked, and whose logs may be `lost`, `refused` or `late`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.logs = "there"
        self.batches: list[list[str]] = []

    def ask_each(self, questions: Sequence[Question]) -> list[Any]:
        self.batches.append([method for method, _ in questions])
        answers = super().ask_each(questions)
        return [
            self._told(answer) if method == "eth_getLogs" else answer
            for (method, _), answer in zip(questions, answers, strict=True)
        ]

    def _told(self, answer: Any) -> Any:
        if self.logs == "late":
            raise NodeUnreachable("node: no answer")
        if self.logs == "refused":
            return NodeRefused("eth_getLogs: not here", -32601)
        return [] if self.logs == "lost" else answer


@pytest.fixture
def owners(world: World, set_rule: SetRule) -> tuple[Address, ...]:
    """Three loans with a rule each, and more owners without either than one turn compares."""
    roles = world.roles
    for owner, health in ((roles.owner, 1.5), (roles.twin, 1.7), (roles.stranger, 2.0)):
        world.open_loan(owner, 10, health=health)
        set_rule(owner)
    nobodies = [Address(f"0x{n + 1:040x}") for n in range(COMPARED)]
    return roles.owner, roles.twin, roles.stranger, *nobodies


@pytest.fixture
def node(world: World) -> Watched:
    return Watched(world.url)


@pytest.fixture
def mirror(world: World, node: Watched, owners: tuple[Address, ...]) -> Mirror:
    return Mirror(node, Loans(node, world.thresholds, owners))


def is_as_on_chain(world: World, mirror: Mirror, owners: Sequence[Address]) -> Mirrored:
    block = world.node.head()
    seen = mirror.observe(block, ())
    for account, owner in enumerate(owners):
        assert worth(seen.market, seen.held.of(account)) == world.account_data(owner)
    expected = {
        sight.key: sight.rule for sight in Loans(world.node, world.thresholds, owners).observe(block).sights
    }
    assert dict(zip(seen.rules.keys, seen.rules.rules, strict=True)) == expected
    return seen


def test_a_mirror__from_block_to_block__asks_once_and_reads_only_who_changed(
    world: World, mirror: Mirror, owners: tuple[Address, ...], node: Watched
) -> None:
    is_as_on_chain(world, mirror, owners)
    for _ in range(3):
        world.mine()
        node.batches.clear()
        assert is_as_on_chain(world, mirror, owners).said == ()
        assert len(node.batches) == 1
    world.borrow(world.roles.owner, "USDC", 100)
    node.batches.clear()
    is_as_on_chain(world, mirror, owners)
    assert 1 < len(node.batches) < 8


def test_every_kind_of_change__of_an_account_or_rule__is_seen_in_its_block(
    world: World, mirror: Mirror, owners: tuple[Address, ...], set_rule: SetRule
) -> None:
    is_as_on_chain(world, mirror, owners)
    roles, aave, usdc = world.roles, world.aave.pool, world.usdc
    world.supply(roles.twin, "WBTC", 1)
    is_as_on_chain(world, mirror, owners)
    world.send(
        roles.twin, aave, "setUserUseReserveAsCollateral(address,bool)", world.reserve("WBTC").token, False
    )
    is_as_on_chain(world, mirror, owners)
    world.send(roles.twin, world.weth.a_token, "transfer(address,uint256)", owners[-1], 10**17)
    is_as_on_chain(world, mirror, owners)
    world.approve(roles.stranger, usdc.token, aave)
    repay = "repay(address,uint256,uint256,address)"
    world.send(roles.stranger, aave, repay, usdc.token, 10**6, 2, roles.owner)
    is_as_on_chain(world, mirror, owners)
    world.set_price("WETH", 1_000)
    world.approve(roles.liquidator, usdc.token, aave)
    liquidate = "liquidationCall(address,address,address,uint256,bool)"
    world.send(roles.liquidator, aave, liquidate, world.weth.token, usdc.token, roles.owner, 10**9, False)
    is_as_on_chain(world, mirror, owners)
    set_rule(roles.owner, 15_000, 19_000)
    set_rule(roles.owner, 12_000, 19_000, id=1)
    is_as_on_chain(world, mirror, owners)
    world.send(roles.owner, world.thresholds, "clear_rule(uint256)", 0)
    is_as_on_chain(world, mirror, owners)


def test_blocks_that_are_missed__few_or_many__are_made_up_for(
    world: World, mirror: Mirror, owners: tuple[Address, ...], node: Watched
) -> None:
    is_as_on_chain(world, mirror, owners)
    for missed in (1, 5, DEPTH + 6):
        world.mine()
        world.borrow(world.roles.owner, "USDC", 100)
        world.mine(blocks=missed)
        node.batches.clear()
        assert is_as_on_chain(world, mirror, owners).said == ()
        read = sum(methods.count("eth_getLogs") for methods in node.batches)
        assert (read == missed + 2) == (missed < DEPTH), "block by block, or everything anew"


def test_a_block_that_is_taken_back__takes_its_changes_along(
    world: World, mirror: Mirror, owners: tuple[Address, ...], set_rule: SetRule
) -> None:
    is_as_on_chain(world, mirror, owners)
    before = world.snapshot()
    world.borrow(world.roles.owner, "USDC", 100)
    set_rule(world.roles.twin, id=1)
    is_as_on_chain(world, mirror, owners)
    world.supply(world.roles.twin, "WETH", 1)
    is_as_on_chain(world, mirror, owners)
    world.revert(before)
    assert is_as_on_chain(world, mirror, owners).said == (), "the very block it came from"
    world.mine(seconds=5)
    world.borrow(world.roles.stranger, "USDC", 50)
    assert is_as_on_chain(world, mirror, owners).said == ()


def test_news_that_never_came__within_as_many_turns_as_it_takes_to_compare_all__is_found_said_and_healed(
    world: World, mirror: Mirror, owners: tuple[Address, ...], node: Watched
) -> None:
    is_as_on_chain(world, mirror, owners)
    node.logs = "lost"
    world.borrow(world.roles.twin, "USDC", 1_000)
    said: list[str] = []
    for _ in range(-(-len(owners) // COMPARED)):
        block = world.node.head()
        said += mirror.observe(block, ()).said
        world.mine()
    (once,) = said
    assert once.startswith(f"mirror: {world.roles.twin} was not held as the chain has it at block")
    is_as_on_chain(world, mirror, owners)


def test_news_that_came_late__is_heard_when_the_logs_are_asked_for_again(
    world: World, owners: tuple[Address, ...], node: Watched
) -> None:
    """Before the twin's turn to be compared comes again."""
    nobodies = [Address(f"0x{n + 100:040x}") for n in range(30 * COMPARED)]
    crowd = (*owners, *nobodies)
    mirror = Mirror(node, Loans(node, world.thresholds, crowd))
    mirror.observe(world.node.head(), ())
    node.logs = "lost"
    world.borrow(world.roles.twin, "USDC", 1_000)
    mirror.observe(world.node.head(), ())
    node.logs = "there"
    twin, heard = crowd.index(world.roles.twin), []
    for _ in range(20):
        world.mine()
        seen = mirror.observe(world.node.head(), ())
        assert seen.said == ()
        heard.append(worth(seen.market, seen.held.of(twin)) == world.account_data(world.roles.twin))
    assert heard == sorted(heard)
    assert (heard[0], heard[-1]) == (False, True)


def test_more_owners_than_a_turn_can_read__are_read_in_several_and_it_is_said(
    world: World, mirror: Mirror, owners: tuple[Address, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keeper.chain.mirror.MOST_READ", 4)
    block = world.node.head()
    for left in (7, 4):  # whom an event names again is among them
        (said,) = mirror.observe(block, ()).said
        assert said == f"mirror: {left} owners are still to be read at block {block.number}"
        world.borrow(world.roles.owner, "USDC", 100)
        block = world.node.head()
    for _ in range(2):
        mirror.observe(block, ())
    assert is_as_on_chain(world, mirror, owners).said == ()


def test_a_node_that_tells_no_logs__has_everything_read_anew(
    world: World, mirror: Mirror, owners: tuple[Address, ...], node: Watched
) -> None:
    node.logs = "refused"
    for _ in range(3):
        world.borrow(world.roles.owner, "USDC", 100)
        assert is_as_on_chain(world, mirror, owners).said == ()


def test_a_turn_that_fails__leaves_the_mirror_where_it_was(
    world: World, mirror: Mirror, owners: tuple[Address, ...], node: Watched
) -> None:
    is_as_on_chain(world, mirror, owners)
    world.borrow(world.roles.owner, "USDC", 100)
    node.logs = "late"
    with pytest.raises(NodeUnreachable):
        mirror.observe(world.node.head(), ())
    node.logs = "there"
    world.mine()
    is_as_on_chain(world, mirror, owners)


def test_sums_that_aave_never_confirmed__are_left_to_aave(
    world: World, owners: tuple[Address, ...], node: Watched
) -> None:
    loans = Loans(node, world.thresholds, owners)
    loans.accounts.since_3_6 = True  # whose roundings are others
    seen = Mirror(node, loans).observe(world.node.head(), ())
    assert seen.said == ()
    assert [bool(fit) for fit in seen.held.fit] == [False] * 3 + [True] * COMPARED


def test_sums_that_aave_confirms_no_longer__are_said_once_and_left_to_aave(
    world: World, mirror: Mirror, owners: tuple[Address, ...]
) -> None:
    """As after an upgrade of Aave's, when reading anew does not help."""
    assert is_as_on_chain(world, mirror, owners).held.fit.all()
    mirror._market._rounds_apart = True
    said: list[str] = []
    for _ in range(4):
        world.mine()
        seen = mirror.observe(world.node.head(), ())
        said += seen.said
    assert len(said) == 1
    assert [bool(fit) for fit in seen.held.fit] == [False] * 3 + [True] * COMPARED


def test_sums_that_nobody_could_confirm_at_first__are_believed_once_they_can_be(
    world: World, mirror: Mirror, owners: tuple[Address, ...]
) -> None:
    world.set_price("WETH", 0)
    assert not mirror.observe(world.node.head(), ()).held.fit[:3].any()
    world.set_price("WETH", 2_000)
    for _ in range(-(-len(owners) // COMPARED)):
        seen = mirror.observe(world.node.head(), ())
        assert seen.said == ()
        world.mine()
    assert seen.held.fit.all()


def test_an_owner_with_more_rules_than_are_held__is_told_of(
    world: World, mirror: Mirror, owners: tuple[Address, ...], set_rule: SetRule
) -> None:
    owner = world.roles.owner
    for n in range(1, MOST_RULES + 1):
        set_rule(owner, id=n)
    seen = is_as_on_chain(world, mirror, owners)
    assert [(key.owner, key.id) for key in seen.unattended] == [(owner, MOST_RULES)]

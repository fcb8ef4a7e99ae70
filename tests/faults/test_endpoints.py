"""The sender on three endpoints of which one dies, lies or swallows: what it promises on one holds all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from keeper.chain.endpoints import Endpoints
from keeper.devnet.anvil import Anvil
from keeper.devnet.world import World
from keeper.domain.errors import Blind, NoQuorum
from keeper.domain.flights import State
from keeper.journal.journal import Journal
from tests.conftest import SetRule
from tests.faults.invariants import hold
from tests.faults.proxy import SEND, Drop, Error, Hang, Proxy, Rewrite, Swallow, proxied
from tests.send.conftest import Stage
from tests.send.flights_given import CHAIN, intent
from tests.test_cli import Running, actions, config

Three = tuple[Stage, list[Proxy]]
Break = Callable[[Proxy], None]

FAULTS: dict[str, Break] = {
    "gone": lambda proxy: proxy.on("*", Drop()),
    "hangs": lambda proxy: proxy.on("*", Hang(6.0)),
    "rate": lambda proxy: proxy.on("*", Error("limit exceeded", -32005)),
    "swallows": lambda proxy: proxy.on(SEND, Swallow()),
    "says it knows": lambda proxy: proxy.on(SEND, Error("already known")),
    "refuses": lambda proxy: proxy.on(SEND, Error("insufficient funds for gas * price + value")),
    "hides receipts": lambda proxy: proxy.on("eth_getTransactionReceipt", Rewrite(lambda _: None)),
    "hides transactions": lambda proxy: proxy.on("eth_getTransactionByHash", Rewrite(lambda _: None)),
    "counts too many": lambda proxy: proxy.on(
        "eth_getTransactionCount", Rewrite(lambda count: hex(int(count, 16) + 3))
    ),
    "backdates": lambda proxy: proxy.on(
        "eth_getBlockByNumber", Rewrite(lambda header: header and {**header, "timestamp": "0x1"})
    ),
    "heads with lists": lambda proxy: proxy.on(
        "eth_getBlockByNumber", Rewrite(lambda header: header and {**header, "parentHash": ["x"]})
    ),
    "receipts with lists": lambda proxy: proxy.on(
        "eth_getTransactionReceipt", Rewrite(lambda _: {"transactionHash": ["x"], "status": {}, "logs": 5})
    ),
    "prices a thousandfold": lambda proxy: proxy.on(
        "eth_getTransactionReceipt", Rewrite(lambda told: told and {**told, "effectiveGasPrice": hex(10**15)})
    ),
    "balances below nothing": lambda proxy: proxy.on(
        "eth_getBalance", Rewrite(lambda _: "-0x" + "f" * 9_000)
    ),
    "calls all final": lambda proxy: proxy.on(
        "eth_getBlockByNumber", Rewrite(lambda header: header and {**header, "number": hex(10**6)})
    ),
}


@pytest.fixture
def three(anvil: Anvil, tmp_path: Path) -> Iterator[Three]:
    with ExitStack() as stack:
        opened = [stack.enter_context(proxied(anvil.url)) for _ in range(3)]
        node = Endpoints([url for _, url in opened], CHAIN, timeout=2.0, patience=0.5)
        journal = stack.enter_context(Journal(tmp_path / "keeper.db"))
        stage = Stage(anvil.node, node, journal)
        stage.sender.recover(node.head())
        yield stage, [proxy for proxy, _ in opened]
        hold(stage)


def follow(stage: Stage) -> None:
    """Follow at a head that a quorum gives."""
    head = stage.node.head()
    stage.sender.follow(head)
    stage.sender.settle(head)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", [0, 2])
def test_an_action__whatever_one_endpoint_of_three_does__is_done_once(
    three: Three, fault: str, place: int
) -> None:
    stage, proxies = three
    FAULTS[fault](proxies[place])
    sent = stage.sender.launch(intent(1), stage.node.head())
    assert sent.state is State.BROADCAST
    stage.mine()
    follow(stage)
    assert stage.flight().state is State.INCLUDED, stage.flight().why
    stage.finalise()
    follow(stage)
    done = stage.flight()
    assert (done.state, len(done.attempts), stage.count(), stage.nonces()) == (State.FINAL, 1, 1, 1)
    assert stage.sender.launch(intent(2), stage.node.head()).nonce == 1


def test_a_quorum__that_is_lost__gives_no_nonce_and_loses_no_flight(three: Three) -> None:
    stage, proxies = three
    stage.sender.launch(intent(1), stage.node.head())
    stage.mine()
    head = stage.head()
    for proxy in proxies[:2]:
        proxy.on("*", Drop())
    with pytest.raises(NoQuorum):
        follow(stage)
    with pytest.raises(Blind):
        stage.sender.follow(head)
    assert stage.flight().state is State.BROADCAST
    for proxy in proxies:
        proxy.heal()
    follow(stage)
    assert (stage.flight().state, stage.count()) == (State.INCLUDED, 1)


def test_a_keeper__on_three_endpoints__acts_once_and_goes_on_when_one_dies(
    world: World, set_rule: SetRule, tmp_path: Path
) -> None:
    world.automine(False)
    with ExitStack() as stack:
        opened = [stack.enter_context(proxied(world.node.url)) for _ in range(3)]
        kept = Running(config(world, tmp_path), KEEPER_RPC_URL=" ".join(url for _, url in opened))
        try:
            kept.wait_until(kept.turns.read_text)
            opened[0][0].on("*", Drop())
            world.open_loan(world.roles.owner, 100, health=1.3)
            set_rule(world.roles.owner)
            world.mine()
            kept.wait_until(lambda: '"sent": [{' in kept.turns.read_text())
            world.mine()
            kept.wait_until(lambda: '"included"' in kept.turns.read_text())
        finally:
            assert kept.end() == 0
    assert actions(world) == 1
    assert all(json.loads(line)["trouble"] == [] for line in kept.turns.read_text().splitlines())

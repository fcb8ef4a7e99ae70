"""An Anvil that mines when told to, with a contract on it that counts, and a sender before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.domain.blocks import Block
from keeper.domain.flights import Change, Flight
from keeper.domain.plans import Intent
from keeper.journal.journal import Journal
from keeper.send.doors import Relay
from keeper.send.fees import SendLimits
from keeper.send.sender import Sender
from keeper.send.signers import LocalSigner, Secret
from tests.send.flights_given import CHAIN, COUNTER, COUNTER_CODE, KEEPER, KEEPER_KEY, LIMITS


@dataclass
class Stage:
    """A chain, and the keeper's way to it: `node` is how the keeper sees what `chain` is."""

    chain: Node
    node: Node
    journal: Journal
    signer: LocalSigner = field(default_factory=lambda: LocalSigner(Secret(KEEPER_KEY)))
    limits: SendLimits = LIMITS
    relays: Sequence[Relay] = ()

    def __post_init__(self) -> None:
        self.sender = Sender(self.node, self.journal, self.signer, CHAIN, self.limits, self.relays)

    def restart(self, node: Node | None = None) -> tuple[Change, ...]:
        """A new sender on the same journal, as after a crash."""
        self.node = node or self.node
        self.sender = Sender(self.node, self.journal, self.signer, CHAIN, self.limits, self.relays)
        return self.sender.recover(self.head())

    def head(self) -> Block:
        return self.chain.head()

    def launch(self, wanted: Intent) -> Flight:
        return self.sender.launch(wanted, self.head())

    def follow(self) -> tuple[Change, ...]:
        head = self.head()
        return self.sender.follow(head) + self.sender.settle(head)

    def flight(self, name: str = "intent 1") -> Flight:
        (found,) = [flight for flight in self.journal.actions() if flight.intent.id == name]
        return found

    def mine(self, blocks: int = 1) -> None:
        self.chain.ask("anvil_mine", hex(blocks))

    def finalise(self) -> None:
        self.mine(70)

    def outbid(self, wei: int) -> None:
        """Mine a block whose base fee is `wei`."""
        self.chain.ask("anvil_setNextBlockBaseFeePerGas", hex(wei))
        self.mine()

    def count(self, number: int = 1) -> int:
        """How often the counter was called with a number."""
        return int(self.chain.ask("eth_getStorageAt", COUNTER, hex(number), "latest"), 16)

    def nonces(self, tag: str = "latest") -> int:
        return int(self.chain.ask("eth_getTransactionCount", KEEPER, tag), 16)


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    """A chain of its own for each test: journals outlive no chain."""
    with Anvil() as running:
        running.node.ask("evm_setAutomine", False)
        running.node.ask("anvil_setCode", COUNTER, COUNTER_CODE)
        yield running


@pytest.fixture
def stage(anvil: Anvil, tmp_path: Path) -> Iterator[Stage]:
    with Journal(tmp_path / "keeper.db") as journal:
        ready = Stage(anvil.node, Node(anvil.url), journal)
        ready.sender.recover(ready.head())
        yield ready

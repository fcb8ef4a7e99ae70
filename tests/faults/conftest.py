"""A sender before a chain that mines when told to, through a proxy; after each fault the invariants must hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.journal.journal import Journal
from tests.faults.invariants import hold
from tests.faults.proxy import Proxy, proxied
from tests.send.conftest import Stage
from tests.send.flights_given import COUNTER, COUNTER_CODE

Faulty = tuple[Stage, Proxy]


@pytest.fixture
def anvil() -> Iterator[Anvil]:
    with Anvil() as running:
        running.node.ask("evm_setAutomine", False)
        running.node.ask("anvil_setCode", COUNTER, COUNTER_CODE)
        yield running


@pytest.fixture
def faulty(anvil: Anvil, tmp_path: Path) -> Iterator[Faulty]:
    with proxied(anvil.url) as (proxy, url), Journal(tmp_path / "keeper.db") as journal:
        stage = Stage(anvil.node, Node(url, timeout=2.0), journal)
        stage.sender.recover(stage.head())
        yield stage, proxy
        hold(stage)

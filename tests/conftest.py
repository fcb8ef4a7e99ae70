"""The chain the tests stand on: real Aave and Uniswap on one Anvil, seen through a second one that forks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings

from keeper.devnet.anvil import Anvil
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.world import World
from keeper.domain.loans import Band, Limits, LoanRule
from keeper.domain.units import NOBODY, Address
from keeper.protocols.loan_thresholds import SET_RULE, rule_fields
from keeper.settings import Settings, read_settings
from tests.postgres import databases, new_database

__all__ = ["databases", "new_database"]

# The same examples wherever the suite runs, so that red is the change's doing; nightly runs draw new ones.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("nightly", derandomize=False, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """Choose how examples are drawn."""
    settings.load_profile("nightly" if config.getoption("-m") == "nightly" else "suite")


FOREVER = 2**40 - 1
KEEPER_KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
"""The public development key of the keeper's role, Anvil's fourth account."""
NO_LIMIT = 2**96 - 1

SetRule = Callable[..., LoanRule]
Watching = Callable[..., Settings]


@pytest.fixture(scope="session")
def forked_world() -> Iterator[World]:
    """The devnet's world with the thresholds contract on it, through a fork."""
    with Anvil() as parent:
        world = deploy_thresholds(deploy_world(parent.url))
        with Anvil(fork_url=parent.url) as fork:
            yield world.through(fork.url)


@pytest.fixture
def world(forked_world: World) -> Iterator[World]:
    """The same world for every test: whatever one does to it is undone."""
    before = forked_world.snapshot()
    yield forked_world
    # What still waits is dropped first: automine would mine it, perhaps after the revert.
    forked_world.node.ask("anvil_dropAllTransactions")
    forked_world.automine(True)
    forked_world.revert(before)


@pytest.fixture
def watching(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watching:
    """Writes what a keeper reads to hold these owners' rules of one contract, with its key at hand."""
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)
    path = tmp_path / "keeper.toml"

    def write(thresholds: Address, owners: Sequence[Address], kind: str = "loans") -> Settings:
        listed = ", ".join(f'"{owner}"' for owner in owners)
        path.write_text(
            f"""
            [chain]
            id = {world.chain_id}
            url = "{world.node.url}"
            [[watch]]
            kind = "{kind}"
            thresholds = "{thresholds}"
            owners = [{listed}]
            """
        )
        return read_settings(path)

    return write


@pytest.fixture
def set_rule(world: World) -> SetRule:
    """Writes a rule for an owner with a WETH/USDC loan, and grants the aToken allowance it needs."""

    def write(
        owner: Address,
        floor_bps: int = 14_000,
        target_bps: int = 17_000,
        ceiling_bps: int = 25_000,
        *,
        slippage_bps: int = 100,
        cooldown: int = 60,
        max_step: int = NO_LIMIT,
        expiry: int = FOREVER,
        keeper: Address = NOBODY,
        allowance: int = 2**256 - 1,
        id: int = 0,
    ) -> LoanRule:
        rule = LoanRule(
            world.weth.token,
            world.usdc.token,
            Band(floor_bps, target_bps, ceiling_bps),
            Limits(slippage_bps, cooldown, max_step, expiry, keeper),
        )
        world.send(owner, world.thresholds, SET_RULE.signature, id, rule_fields(rule))
        world.approve(owner, world.weth.a_token, world.thresholds, allowance)
        return rule

    return write

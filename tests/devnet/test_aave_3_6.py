"""Aave 3.6: compiled once, then the same world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.devnet import aave_v36
from keeper.devnet.actors import Liquidator, move_pool_to
from keeper.devnet.anvil import Anvil
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured, NodeRefused
from keeper.domain.units import BASE, WAD

needs_compiling = pytest.mark.aave36
# The first run compiles for half a minute, and longer when the machine is busy.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def newer() -> Iterator[World]:
    """A world on Aave 3.6."""
    with Anvil() as anvil:
        yield deploy_thresholds(deploy_world(anvil.url, aave="3.6", weth_is_token0=True))


@pytest.fixture
def newer_world(newer: World) -> Iterator[World]:
    """The same, undone after the test."""
    before = newer.snapshot()
    yield newer
    newer.revert(before)


@needs_compiling
def test_the_newer_pool__asked_for_its_revision__is_not_the_older_ones(newer: World) -> None:
    assert newer.aave_version == "3.6"
    assert newer.call(newer.aave.pool, "POOL_REVISION()", "(uint256)")[0] >= 9
    assert newer.call(newer.aave.pool, "FLASHLOAN_PREMIUM_TOTAL()", "(uint128)") == (5,)


@needs_compiling
def test_the_newer_market__once_founded__prices_lends_and_accrues(newer_world: World) -> None:
    world, owner = newer_world, newer_world.roles.owner
    loan = world.open_loan(owner, 100, health="1.1")
    assert loan.health == pytest.approx(1.1 * WAD, rel=1e-6)
    world.warp(365 * 86_400)
    assert 1.02 < world.account_data(owner).debt_base / loan.debt_base < 1.06
    assert world.pool_sqrt_price() == world.oracle_sqrt_price()


@needs_compiling
def test_the_liquidator__on_the_newer_market__takes_half_of_a_loan_below_one(newer_world: World) -> None:
    world, owner = newer_world, newer_world.roles.owner
    world.open_loan(owner, 100, 150_000)
    world.set_price("WETH", 1_800)
    move_pool_to(world)
    (done,) = Liquidator(world).act()
    assert (done.user, done.collateral, done.debt) == (owner, "WETH", "USDC")
    assert done.repaid == pytest.approx(75_000 * 10**6, rel=1e-6)
    assert world.account_data(owner).health > WAD


@needs_compiling
def test_a_loan_too_large__on_the_newer_market__is_refused_with_its_custom_error(newer_world: World) -> None:
    with pytest.raises(NodeRefused, match=r"reverted: error 0x[0-9a-f]{8}"):
        newer_world.open_loan(newer_world.roles.owner, 100, 190_000)


@needs_compiling
def test_the_newer_world__through_a_fork__is_the_same(newer_world: World) -> None:
    newer_world.open_loan(newer_world.roles.owner, 100, 100_000)
    with Anvil(fork_url=newer_world.url) as fork:
        seen = newer_world.through(fork.url)
        assert seen.account_data(seen.roles.owner).debt_base == pytest.approx(100_000 * BASE, rel=1e-6)


def test_the_newer_aave__without_node__says_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    said: list[str] = []
    with pytest.raises(Misconfigured, match="needs Node 20 and npm"):
        aave_v36.load_compiled(said.append)
    assert said == ["devnet: compiling Aave 3.6, once; this takes about a minute"]


def test_the_newer_aave__when_npm_fails__repeats_its_words_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("node", "npm"):
        (tools / name).write_text("#!/bin/sh\necho 'no network' >&2\nexit 1\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(Misconfigured, match=r"fetching Aave 3\.6's sources failed: no network"):
        aave_v36.load_compiled()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("/somewhere/cache", "/somewhere/cache/keeper"), ("not/absolute", None), ("", None)],
)
def test_the_cache__by_the_xdg_variable_or_the_home__has_its_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, folder: str | None
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert aave_v36.cache_folder() == Path(folder or tmp_path / ".cache" / "keeper")

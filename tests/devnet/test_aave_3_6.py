"""Aave 3.6: compiled once, then the same world."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
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


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    return Compiler(tmp_path, monkeypatch)


class Compiler:
    """A Node and an npm that stand for the real ones, and a cache of their own; `runs` is how often Node was run."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tools, self.log, self.cache = folder / "tools", folder / "log", folder / "cache" / "keeper"
        self.tools.mkdir()
        self.log.touch()
        monkeypatch.setenv("XDG_CACHE_HOME", str(self.cache.parent))
        monkeypatch.setenv("PATH", f"{self.tools}{os.pathsep}/usr/bin{os.pathsep}/bin")
        self.tool("npm", "exit 0")
        self.prints(COMPILED)

    def tool(self, name: str, script: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\necho {name} >>{self.log}\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def prints(self, text: str, then: str = "") -> None:
        """Let Node print this, and then do more."""
        output = self.tools / "output"
        output.write_text(text, encoding="utf-8")
        self.tool("node", f"cat {output}\n{then}")

    @property
    def runs(self) -> int:
        return self.log.read_text(encoding="utf-8").split().count("node")


COMPILED = json.dumps(
    {"PoolLogic": {"abi": [], "bytecode": "0xfe", "linkReferences": {}}, "more": "than its sources " * 8_000}
)


def test_the_newer_aave__loaded_again__is_not_compiled_again(compiler: Compiler) -> None:
    said: list[str] = []
    for _ in range(3):
        assert aave_v36.load_compiled(said.append)("PoolLogic").code == "fe"
    assert compiler.runs == 1
    assert said == ["devnet: compiling Aave 3.6, once; this takes about a minute"]


def test_the_newer_aave__whose_compiler_is_killed_half_way__keeps_nothing(compiler: Compiler) -> None:
    compiler.prints(COMPILED[:20], then="kill -9 $$")
    with pytest.raises(Misconfigured, match=r"compiling Aave 3\.6 failed"):
        aave_v36.load_compiled()
    assert not compiler.cache.exists()


def test_the_newer_aave__written_half__is_never_read(compiler: Compiler) -> None:
    aave_v36.load_compiled()
    (kept,) = compiler.cache.iterdir()
    kept.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    said: list[str] = []
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(COMPILED) // 2, before[1]))  # a disk that fills up
        aave_v36.load_compiled(said.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said[-1] == (
        f"devnet: Aave 3.6 will be compiled anew next time: {kept} cannot be written (File too large)"
    )
    assert list(compiler.cache.iterdir()) == []

    kept.write_text(COMPILED[:20], encoding="utf-8")  # as another machine may have left it
    assert aave_v36.load_compiled()("PoolLogic").code == "fe"
    assert kept.read_text(encoding="utf-8") == COMPILED


@needs_compiling
def test_the_command__with_the_newer_aave__founds_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "keeper.cli", "devnet", "--json", "--port", "0", "--aave", "3.6"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = World.from_json(process.stdout.readline())
            assert told.aave_version == "3.6"
            assert told.call(told.aave.pool, "POOL_REVISION()", "(uint256)")[0] >= 9
            assert told.account_data(told.roles.owner).debt_base > 0
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


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

"""`keeper devnet` as its own process: what it leaves in its folder while it runs, and what it does not leave after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., tuple[subprocess.Popen[str], dict[str, Any]]]
COMMAND = (sys.executable, "-m", "keeper.cli", "devnet", "--json", "--port", "0")


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def begin(*more: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        process = subprocess.Popen(
            [*COMMAND, *more],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        manifest: dict[str, Any] = json.loads(line)
        return process, manifest

    yield begin
    for process in processes:
        end(process)


def end(process: subprocess.Popen[str]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    return process.returncode


def told(folder: Path) -> str:
    manifest: dict[str, str] = json.loads((folder / ".keeper" / "devnet.json").read_text())
    return manifest["url"]


def test_a_devnet__when_it_stops__takes_its_files_with_it(start: Start, tmp_path: Path) -> None:
    process, manifest = start()
    assert told(tmp_path) == manifest["url"]
    assert Node(manifest["url"]).ask_number("eth_chainId") == manifest["chain_id"]
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.splitlines()[-1] == (
        "devnet: stopped, and .keeper/devnet.json and .keeper/keeper.toml went with it; journals stay"
    )
    assert list((tmp_path / ".keeper").iterdir()) == []


def test_a_second_devnet__from_the_same_folder__is_refused_in_one_sentence(
    start: Start, tmp_path: Path, environment: dict[str, str]
) -> None:
    _, manifest = start()
    second = subprocess.run(
        COMMAND, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 2
    assert second.stderr.strip() == (
        f"devnet: one runs from this folder already, at {manifest['url']}; start another elsewhere"
    )
    assert told(tmp_path) == manifest["url"]


def test_a_fork__while_it_runs__stands_in_for_the_devnet_it_forked(start: Start, tmp_path: Path) -> None:
    _, devnet = start()
    fork, forked = start("--fork-url", devnet["url"])
    assert told(tmp_path) == forked["url"] != devnet["url"]
    assert end(fork) == 0
    assert told(tmp_path) == devnet["url"]


def test_a_fork__that_outlives_its_devnet__leaves_nothing_of_either(start: Start, tmp_path: Path) -> None:
    devnet, manifest = start()
    fork, forked = start("--fork-url", manifest["url"])
    end(devnet)
    assert told(tmp_path) == forked["url"]
    end(fork)
    assert list((tmp_path / ".keeper").iterdir()) == []


@pytest.mark.parametrize(
    ("chain_id", "why"),
    [
        (777_777, "devnet: no Aave V3 and Uniswap V3 are known on chain 777777"),
        (
            8453,
            (
                "chain: Aave's PoolAddressesProvider should stand at 0xe20fCBdBfFC4Dd138cE8b2E6FBb6CB49777ad64D, "
                "so this is not Base"
            ),
        ),
    ],
    ids=["unknown", "known_but_empty"],
)
def test_a_fork__of_a_chain_on_which_nothing_stands_that_is_known__stands_and_says_so(
    start: Start, tmp_path: Path, chain_id: int, why: str
) -> None:
    """Whoever knows where Aave and Uniswap are may still deploy on it."""
    with Anvil(chain_id=chain_id) as parent:
        place = "0x" + "77" * 20
        parent.node.ask("anvil_setCode", place, "0x60016000")
        fork, forked = start("--fork-url", parent.url)
        node = Node(forked["url"])
        assert forked["url"] != parent.url
        assert (node.ask_number("eth_chainId"), forked["chain_id"]) == (chain_id, chain_id)
        assert node.ask("eth_getCode", place, "latest") == "0x60016000", "what stands on the parent is there"
        assert "thresholds" not in forked
        assert not (tmp_path / ".keeper").exists(), "there is nothing yet that other commands could watch"
        fork.send_signal(signal.SIGTERM)
        _, said = fork.communicate(timeout=60)
    assert fork.returncode == 0
    assert said == (
        f"{why}; nothing of ours was placed on the fork, which `ape run deploy --network {forked['url']} "
        f"--chain-id {chain_id}` does, told where they are\n"
    )

"""docs/tutorial.md, typed as it stands by somebody in a clone, each block in its terminal."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ape.conftest import ROOT

BLOCK = re.compile(r'^```sh title="(terminal \d)(, left running)?"\n(.*?)^```', re.MULTILINE | re.DOTALL)
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
MANY = 120.0


class Clone:
    """A folder with the clone's files in it, and whatever was left running there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (
            ".venv",
            "ape-config.yaml",
            "contracts",
            "keeper",
            "node_modules",
            "pyproject.toml",
            "scripts",
        ):
            (folder / name).symlink_to(ROOT / name)
        self.ports = {"8545": free_port(), "8546": free_port()}
        self.environment = {
            "HOME": str(folder / "home"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(folder),
            "ETH_RPC_URL": f"http://127.0.0.1:{self.ports['8545']}",
            "COLUMNS": "120",
        }
        (folder / "home").mkdir()
        self._running: list[subprocess.Popen[str]] = []

    def typed(self, block: str) -> str:
        """A block as it is typed here: where two ports are free."""
        for written, free in self.ports.items():
            block = block.replace(written, free)
        return block.replace("keeper devnet\n", f"keeper devnet --port {self.ports['8545']}\n")

    def type(self, block: str) -> subprocess.CompletedProcess[str]:
        """Run a block to its end, each line whatever the one before came to."""
        return subprocess.run(
            ["/bin/sh", "-c", self.typed(block)],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=MANY, check=False,
        )  # fmt: skip

    def leave_running(self, block: str) -> None:
        """Start a block and go on to another terminal."""
        out = (self.folder / f"terminal-{len(self._running)}.txt").open("w", encoding="utf-8")
        with out:
            self._running.append(
                subprocess.Popen(
                    ["/bin/sh", "-c", self.typed(block)],
                    cwd=self.folder,
                    env=self.environment,
                    stdout=out,
                    stderr=out,
                    text=True,
                    start_new_session=True,
                )
            )

    def until(self, seen: str) -> None:
        """Wait for what the last one that was left running says."""
        told = self.folder / f"terminal-{len(self._running) - 1}.txt"
        give_up_at = time.monotonic() + MANY
        while seen not in (said := told.read_text(encoding="utf-8")):
            assert time.monotonic() < give_up_at, f"never saw {seen!r} in:\n{said}"
            time.sleep(0.2)

    def end(self) -> None:
        """Stop what was left running, the last one first."""
        for process in reversed(self._running):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(MANY)


def free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    made = Clone(tmp_path)
    yield made
    made.end()


SEEN = (
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "none of the watched owners has written a rule yet",
    "build/rule.toml",
    "check: within, health 1.4999",
    "good rules: 1 of 1 can be acted on",
    "block",
    "included",
    "7 hours in",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "block",
)
"""What a reader sees after each block, or the reader is lost."""


def test_the_tutorial__typed_as_it_stands__shows_what_it_says(clone: Clone) -> None:
    blocks = BLOCK.findall(TUTORIAL)
    assert len(blocks) == len(SEEN) == TUTORIAL.count("```sh")
    for (terminal, runs_on, block), seen in zip(blocks, SEEN, strict=True):
        if runs_on:
            clone.leave_running(block)
            clone.until(seen)
            continue
        done = clone.type(block)
        said = done.stdout + done.stderr
        assert seen in said, f"{terminal}:\n{block}\n{said}"
        assert "Traceback" not in said, said

"""`keeper run` in a process of its own, as an operator would start it, and what it says of each turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from keeper.devnet.world import BLOCK_SECONDS, World
from keeper.domain.errors import Blind
from keeper.domain.units import Address

Watch = tuple[str, Address, tuple[Address, ...]]
"""A kind of position, its contract, and whose rules are watched there."""
CONFIG: Final = "keeper.toml"
JOURNAL: Final = "keeper.db"
# Account 3 of the public mnemonic that every Anvil starts with.
_KEEPER_KEY: Final = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
_STOP_SECONDS: Final = 10.0
_MOST_REASONS: Final = 500
# Its own pid is all the shell outlives: when the pipe closes, this process is gone, and the keeper shall go too.
_WATCH: Final = 'read -r _; kill "$1" 2>/dev/null'


class KeeperProcess:
    """`keeper run` as an operator would start it, and what it says of each turn; use it as a context manager."""

    def __init__(
        self, folder: Path, world: World, heads: str, watched: Sequence[Watch], more: str = ""
    ) -> None:
        config = folder / CONFIG
        config.write_text(_config_text(world, heads, watched) + more, encoding="utf-8")
        self._log = folder / "keeper.log"
        self.turns = 0
        self.quiet = 0
        self.noted: list[int] = []
        self._block = -1
        self._spoke = ""
        self._ended = False
        self._news = threading.Condition()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keeper.cli", "run", "--config", str(config), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        self.pid: Final = self._process.pid
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._ear = threading.Thread(target=self._hear, name="keeper's output", daemon=True)
        self._ear.start()

    def wait_for(self, block: int, seconds: float) -> bool:
        """Whether it has taken its turn on `block` within the time; `Blind`, with its last line, when it has ended."""
        with self._news:
            self._news.wait_for(lambda: self._block >= block or self._ended, seconds)
            if self._block >= block:
                return True
            if not self._ended:
                return False
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        raise Blind(f"demo: the keeper ended {how}; its last line: {self.last_line()}")

    def last_line(self) -> str:
        """The last thing it complained of, or else said."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return (lines[-1] if lines else self._spoke).strip()[:500] or "(it said nothing)"

    def stop(self) -> None:
        """Let it finish its turn and end; stopping twice is harmless."""
        self._watch.kill()
        self._watch.wait()
        if self._watch.stdin is not None:
            self._watch.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._ear.join(_STOP_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            self._spoke = raw.decode(errors="replace")
            try:
                turn = json.loads(self._spoke)
                block, busy = turn["block"], _is_eventful(turn)
            except (ValueError, KeyError, TypeError):
                continue
            with self._news:
                self.turns += 1
                if not busy:
                    self.quiet += 1
                elif len(self.noted) < _MOST_REASONS:
                    self.noted.append(block)
                self._block = block
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def _is_eventful(turn: dict[str, Any]) -> bool:
    return bool(turn["sent"]) or any(verdict["verdict"] != "within" for verdict in turn["verdicts"])


def _environment() -> dict[str, str]:
    """This process's own, without what may be meant for another keeper; the same package is found from any folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (package, kept.get("PYTHONPATH", "")) if part)
    return {**kept, "KEEPER_KEY": _KEEPER_KEY, "PYTHONPATH": path}


def _config_text(world: World, heads: str, watched: Sequence[Watch]) -> str:
    said = f"""[chain]
id = {world.chain_id}
url = "{world.url}"
heads = "{heads}"
turn_seconds = {BLOCK_SECONDS}
"""
    for kind, thresholds, owners in watched:
        listed = ", ".join(f'"{owner}"' for owner in owners)
        said += f"""
[[watch]]
kind = "{kind}"
thresholds = "{thresholds}"
owners = [{listed}]
"""
    return (
        said
        + f"""
[journal]
path = "{JOURNAL}"
"""
    )

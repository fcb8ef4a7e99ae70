"""Who is under test: one process that sends, started, killed, paused and restarted as a supervisor and a mishap would.

The processes are forked off a server that has loaded the keeper once: each has its own pid and takes a real `kill -9`,
without the second an interpreter needs to load it all.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[3])
STABLE = multiprocessing.get_context("forkserver")
STABLE.set_forkserver_preload(
    ["keeper.app", "keeper.cli", "keeper.show", "eth_account", "tests.faults.campaign.crews"]
)

Life = Callable[[Path], None]
"""What the process does, given its folder, until it is stopped."""
_GLANCE = 0.004


def keeper(folder: Path) -> None:
    """The keeper, whole: its own command line, with keeper.toml and the journal in the folder."""
    from keeper.cli import main

    sys.argv = ["keeper", "run", "--json", "--config", str(folder / "keeper.toml")]
    main()


def forgetful(folder: Path) -> None:
    """The same, its journal lost each time it starts: what a campaign must find fault with, if it is any good."""
    for file in folder.glob("keeper.db*"):
        file.unlink()
    keeper(folder)


def _live(life: Life, folder: Path, said: Mapping[str, str]) -> None:
    os.environ.update(said)
    for name, number in (("stdout", 1), ("stderr", 2)):
        file = os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    life(folder)


def _stand_by() -> None:
    """Have the server that forks running; one that is started elsewhere than here still finds what it is to load."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = ROOT
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@dataclass
class Crew:
    """One sender's process, and the next when it has died; what they say is in `folder`, one line for each block."""

    life: Life
    folder: Path
    environment: Mapping[str, str]
    starts: int = 0
    kills: int = 0
    paused: bool = False
    kept_down: bool = False
    _process: BaseProcess | None = field(default=None, repr=False)
    _read: dict[str, int] = field(default_factory=dict, repr=False)
    _newest: int = -1

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self, **more: str) -> None:
        """A new process, what was left of the old one being killed first."""
        self.kill()
        self._process = STABLE.Process(
            target=_live, args=(self.life, self.folder, {**self.environment, **more}), daemon=True
        )
        _stand_by()
        self._process.start()
        self.starts += 1

    def kill(self) -> None:
        """`kill -9`, and see it dead."""
        if self._process is not None:
            self.kills += self.alive
            self._signal(signal.SIGKILL)
            self._process.join(20)
        self.paused = False

    def pause(self) -> None:
        self.paused = self.alive
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)
        self.paused = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let it do nothing for a moment."""
        if self.paused or not self.alive:
            yield
            return
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def end(self) -> int | None:
        """Ask it to end, and say how it did; None when it had to be killed or was dead."""
        if not self.alive:
            return None
        assert self._process is not None
        self.go_on()
        self._signal(signal.SIGTERM)
        self._process.join(20)
        code = self._process.exitcode
        self.kill()
        return code

    def strike(self) -> None:
        """`kill -9` from within a question it asks, without waiting for it to be dead."""
        self.kills += 1
        self._signal(signal.SIGKILL)

    def tend(self) -> None:
        """What a supervisor does: start it again when it is dead, unless it is to be down for a while."""
        if not self.kept_down and not self.alive:
            self.start()

    def attend(self, block: int, patience: float) -> None:
        """Wait until it has said that it looked at this block, or complained, but no longer than `patience` seconds."""
        if self.paused or self.kept_down:
            time.sleep(0.02)
            return
        complaints = self._size("stderr")
        give_up_at = time.monotonic() + patience
        while time.monotonic() < give_up_at and self.alive:
            if self._newest_block() >= block or self._size("stderr") > complaints:
                return
            time.sleep(_GLANCE)

    def said(self, name: str) -> str:
        """All it has said so far, on stdout or stderr."""
        path = self.folder / name
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def forget(self) -> None:
        """Expect the chain's blocks to be told anew: it was cut back."""
        self._newest = -1

    def _newest_block(self) -> int:
        """The block of the line said last, read no further than is new."""
        size, before = self._size("stdout"), self._read.get("stdout", 0)
        if size > before:
            with (self.folder / "stdout").open("rb") as file:
                file.seek(before)
                new = file.read(size - before)
            whole = new.rfind(b"\n") + 1
            self._read["stdout"] = before + whole
            for line in new[:whole].splitlines():
                if line.startswith(b'{"block": '):
                    self._newest = int(line[10 : line.index(b",")])
        return self._newest

    def _size(self, name: str) -> int:
        with suppress(FileNotFoundError):
            return (self.folder / name).stat().st_size
        return 0

    def _signal(self, sign: int) -> None:
        if self._process is not None and self._process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, sign)

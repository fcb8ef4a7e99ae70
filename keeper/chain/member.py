"""One endpoint among several: how it fared lately, and a thread of its own for what is asked of all at once.

Assumes: one thread asks `node`; what `start` is given runs in the other, so that a hung endpoint holds up nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final

from keeper.chain.node import Node
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, NodeUnreachable

_MOST_WAITING: Final = 8
_IDLE_SECONDS: Final = 30.0
_LONGEST_SHUN: Final = 30.0

Task = Callable[[Node], list[Any]]


class Member:
    """One endpoint: `node` for the thread that asks, and another connection with a thread for what is asked of all."""

    def __init__(self, url: str, timeout: float) -> None:
        self.node: Final = Node(url, timeout)
        self.name: Final = self.node.name
        self.head: Block | None = None
        self.chain_id: int | None = None
        self.quarantine = ""
        self.failures = 0
        self._side = Node(url, timeout)
        self._shunned_until = 0.0
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._asked = 0
        self._answered = 0

    @property
    def waiting(self) -> int:
        """How many questions its thread has not brought back."""
        return self._asked - self._answered

    @property
    def shunned(self) -> bool:
        """Whether it failed or asked for rest lately, so that others are asked first."""
        return time.monotonic() < self._shunned_until or self.node.rests > 0 or self._side.rests > 0

    def failed(self) -> None:
        """It gave no answer: ask it last for a while, longer each further time; asking for rest is no failure."""
        if self.node.rests or self._side.rests:
            return
        self.failures += 1
        self._shunned_until = time.monotonic() + min(2.0 ** min(self.failures, 8), _LONGEST_SHUN)

    def answered(self) -> None:
        """It gave one."""
        self.failures = 0

    def start(self, task: Task, told: Told, until: float) -> bool:
        """Have its thread do the task, unless that can only be begun after `until`; False when too much waits."""
        if self.waiting >= _MOST_WAITING:
            return False

        def job() -> None:
            outcome: list[Any] | Blind
            try:
                with self._side.within(until - time.monotonic()):
                    outcome = task(self._side)
            except Blind as error:
                outcome = error
            except Exception as error:  # noqa: BLE001 - a thread that died would never answer again
                outcome = NodeUnreachable(f"node: {self.name} could not be asked ({type(error).__name__})")
            self._answered += 1
            told.put((self, outcome))

        self._asked += 1
        with self._starting:
            self._jobs.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"ask {self.name}", daemon=True)
                self._thread.start()
        return True

    def _work(self) -> None:
        """Do what is asked, and end when nothing was for a while."""
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._starting:
                    if self._jobs.empty():
                        self._thread = None
                        return
                continue
            job()


Told = SimpleQueue[tuple[Member, list[Any] | Blind]]
"""What the members' threads brought back."""

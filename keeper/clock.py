"""When the keeper looks: one tick after the other, as often as a schedule or a hint makes one due.

APScheduler owns the schedule, and all its job does is to make a tick due; the ticks themselves run in the thread that
called `run`, so that none can overlap, be skipped as late, or be lost with a worker. Its job store stays in memory
because what must survive a crash is in the journal. Python's collector waits for the end of a tick, since walking
through all that the libraries have made takes it longer than a tick may.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Final

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

_SILENT = logging.getLogger(__name__)
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Clock:
    """Runs `tick` at once, every `seconds`, and whenever woken; a wake during a tick is answered right after it."""

    def __init__(self, tick: Callable[[], None], seconds: float) -> None:
        self._tick = tick
        self._due = threading.Event()
        self._stopped = threading.Event()
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
            logger=_SILENT,
        )
        self._scheduler.add_job(self._due.set, IntervalTrigger(seconds=seconds, timezone=UTC))

    def run(self) -> None:
        """Tick until `stop` is called from another thread, or a tick raises; the tick under way is finished."""
        self._due.set()
        self._scheduler.start()
        try:
            with _collecting_after() as collect:
                while True:
                    self._due.wait()
                    self._due.clear()
                    if self._stopped.is_set():
                        return
                    self._tick()
                    collect()
        finally:
            self._scheduler.shutdown(wait=False)

    def wake(self) -> None:
        """Ask for a tick now."""
        self._due.set()

    def stop(self) -> None:
        """Let `run` return after the tick under way; not for a signal handler, which may interrupt the very wait."""
        self._stopped.set()
        self._due.set()


class _Garbage:
    """Python's one collector, which all the clocks that run have stand still until the last of them has ended."""

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._clocks = 0
        self._was_enabled = False

    def hold(self) -> None:
        """Begin to keep it from running by itself."""
        with self._counting:
            if not self._clocks:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._clocks += 1

    def let_go(self) -> None:
        """End it, and with the last leave everything as it was."""
        with self._counting:
            self._clocks -= 1
            if not self._clocks:
                gc.unfreeze()
                if self._was_enabled:
                    gc.enable()


_GARBAGE: Final = _Garbage()


@contextmanager
def _collecting_after() -> Iterator[Callable[[], None]]:
    """Have garbage collected when asked and at no other time; what there is after the first time is never looked at."""

    def collect() -> None:
        gc.collect()
        if not gc.get_freeze_count():
            gc.freeze()

    _GARBAGE.hold()
    try:
        yield collect
    finally:
        _GARBAGE.let_go()

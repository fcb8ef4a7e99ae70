"""When the keeper looks: one repeating tick, brought forward by a hint; never two at once.

APScheduler owns the clock. Its job store stays in memory because what must survive a crash is in the journal, and the
tick is due however late it is (`misfire_grace_time=None`) because a late look is worth more than none.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

_TICK = "tick"
_SILENT = logging.getLogger(__name__)
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Clock:
    """Runs `tick` every `seconds`, and at once when woken; a wake during a tick is answered right after it."""

    def __init__(self, tick: Callable[[], None], seconds: float) -> None:
        self._tick = tick
        self._due = threading.Event()
        self._running = threading.Lock()
        self._stopped = threading.Event()
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
            # It warns of every tick that falls due during a long one; this class answers those itself.
            logger=_SILENT,
        )
        self._seconds = seconds

    def run(self) -> None:
        """Tick until `stop` is called from another thread or a signal handler; the tick under way is finished."""
        self._scheduler.add_job(
            self._tick_while_due,
            IntervalTrigger(seconds=self._seconds),
            id=_TICK,
            next_run_time=datetime.now(UTC),
        )
        self._scheduler.start()
        self._stopped.wait()
        self._scheduler.shutdown(wait=True)

    def wake(self) -> None:
        """Ask for a tick now."""
        self._due.set()
        if self._running.locked():
            return
        try:
            self._scheduler.modify_job(_TICK, next_run_time=datetime.now(UTC))
        except JobLookupError:
            return  # not started yet, or stopped already: the first tick comes at once anyway

    def stop(self) -> None:
        """Let `run` return; safe in a signal handler."""
        self._stopped.set()

    def _tick_while_due(self) -> None:
        with self._running:
            while not self._stopped.is_set():
                self._due.clear()
                self._tick()
                if not self._due.is_set():
                    break
        if self._due.is_set():
            self.wake()  # came between the last look at `_due` and the lock's release

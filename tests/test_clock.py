"""The clock, with real threads and ticks that wait for the test."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from keeper.clock import Clock

NEVER = 3600.0
SOON = 5.0
"""Seconds a busy machine may take over what should happen at once."""


class Ticks:
    """A tick that says when it starts, and ends when the test lets it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.started = 0
        self.ended = 0
        self.inside = 0
        self.most_inside = 0
        self.free = threading.Event()
        self.free.set()

    def __call__(self) -> None:
        with self.lock:
            self.started += 1
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        assert self.free.wait(30)
        with self.lock:
            self.inside -= 1
            self.ended += 1


def eventually(true: Callable[[], bool], seconds: float = SOON) -> bool:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if true():
            return True
        time.sleep(0.002)
    return true()


@contextmanager
def running(clock: Clock) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=clock.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        clock.stop()
        thread.join(SOON)
    assert not thread.is_alive(), "`run` did not return"


@pytest.fixture
def ticks() -> Iterator[Ticks]:
    ticks = Ticks()
    yield ticks
    ticks.free.set()


@pytest.fixture
def hurried_threads() -> Iterator[None]:
    """Threads give way to each other a thousand times as often, so that those who must not meet do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 1000)
    yield
    sys.setswitchinterval(before)


def test_clock__when_it_starts__ticks_at_once_and_then_every_interval(ticks: Ticks) -> None:
    began = time.monotonic()
    with running(Clock(ticks, 0.1)):
        assert eventually(lambda: ticks.ended >= 5)
        assert time.monotonic() - began >= 0.4


def test_clock__a_wake_while_idle__ticks_at_once_and_not_after_the_interval(ticks: Ticks) -> None:
    clock = Clock(ticks, NEVER)
    with running(clock):
        assert eventually(lambda: ticks.ended == 1)
        for count in range(2, 12):
            time.sleep(0.02)
            clock.wake()
            assert eventually(lambda count=count: ticks.ended == count), f"wake {count - 1} was not answered"


def test_clock__wakes_during_a_tick__are_answered_by_one_more_right_after(ticks: Ticks) -> None:
    ticks.free.clear()
    clock = Clock(ticks, NEVER)
    with running(clock):
        assert eventually(lambda: ticks.started == 1)
        for _ in range(5):
            clock.wake()
        time.sleep(0.1)
        assert ticks.started == 1
        ticks.free.set()
        assert eventually(lambda: ticks.ended == 2)
        time.sleep(0.2)
        assert ticks.started == 2


def test_clock__wakes_from_many_threads__are_never_answered_by_two_ticks_at_once() -> None:
    ticks = Ticks()

    def slow() -> None:
        ticks()
        time.sleep(0.003)

    clock = Clock(slow, 0.005)
    over = threading.Event()

    def hint() -> None:
        while not over.is_set():
            clock.wake()
            time.sleep(0.001)

    hinting = [threading.Thread(target=hint) for _ in range(4)]
    with running(clock):
        for thread in hinting:
            thread.start()
        assert eventually(lambda: ticks.ended >= 50, 20)
        over.set()
        for thread in hinting:
            thread.join()
    assert ticks.most_inside == 1


def test_clock__garbage__is_collected_after_a_tick_and_never_within_one() -> None:
    class Knot:
        """Knows itself, so that only the collector frees it."""

        def __init__(self) -> None:
            self.itself = self

    inside, within, knots = threading.Event(), list[str](), list[weakref.ref[Knot]]()

    def collecting(phase: str, _: dict[str, int]) -> None:
        if inside.is_set():
            within.append(phase)

    def knotting() -> None:
        inside.set()
        for _ in range(3):
            made = [Knot() for _ in range(gc.get_threshold()[0] * 12)]
            knots.append(weakref.ref(made[-1]))
        inside.clear()

    clock = Clock(knotting, NEVER)
    gc.callbacks.append(collecting)
    try:
        with running(clock):
            for count in range(3, 10, 3):
                assert eventually(lambda count=count: len(knots) == count and not any(ref() for ref in knots))
                assert not gc.isenabled()
                clock.wake()
    finally:
        gc.callbacks.remove(collecting)
    assert within == []
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_clocks__of_which_one_ends_before_another__leave_garbage_alone_until_the_last_has_ended(
    ticks: Ticks,
) -> None:
    first, last = Clock(ticks, NEVER), Clock(ticks, NEVER)
    with running(first) as thread:
        assert eventually(lambda: ticks.ended == 1)
        with running(last):
            assert eventually(lambda: ticks.ended == 2 and gc.get_freeze_count() > 0)
            first.stop()
            thread.join(SOON)
            assert not gc.isenabled()
            assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_clock__after_any_burst_of_wakes__a_tick_starts_after_the_last(
    ticks: Ticks, hurried_threads: None
) -> None:
    clock = Clock(ticks, NEVER)
    with running(clock):
        assert eventually(lambda: ticks.ended == 1)
        for burst in range(300):
            for _ in range(burst % 4):
                clock.wake()
                time.sleep(0.0002 * (burst % 5))
            before = ticks.started
            clock.wake()
            assert eventually(lambda before=before: ticks.started > before), f"burst {burst} was not answered"


def test_clock__stopped_during_a_tick__finishes_it_and_starts_no_other(ticks: Ticks) -> None:
    ticks.free.clear()
    clock = Clock(ticks, 0.01)
    with running(clock) as thread:
        assert eventually(lambda: ticks.started == 1)
        clock.wake()
        clock.stop()
        thread.join(0.2)
        assert thread.is_alive(), "the tick under way is waited for"
        ticks.free.set()
        thread.join(SOON)
        assert not thread.is_alive()
    assert (ticks.started, ticks.ended) == (1, 1)


def test_clock__stopped_while_idle__returns_promptly_and_wakes_no_more(ticks: Ticks) -> None:
    clock = Clock(ticks, NEVER)
    with running(clock) as thread:
        assert eventually(lambda: ticks.ended == 1)
        clock.stop()
        thread.join(SOON)
        assert not thread.is_alive()
    clock.wake()
    time.sleep(0.05)
    assert ticks.started == 1


def test_clock__woken_or_stopped_before_it_runs__takes_no_harm(ticks: Ticks) -> None:
    clock = Clock(ticks, NEVER)
    clock.wake()
    with running(clock):
        assert eventually(lambda: ticks.ended == 1)
    stopped = Clock(ticks, NEVER)
    stopped.stop()
    stopped.run()
    assert ticks.ended <= 2


def test_clock__a_tick_longer_than_many_intervals__does_not_pile_up(ticks: Ticks) -> None:
    ticks.free.clear()
    clock = Clock(ticks, 0.2)
    with running(clock):
        assert eventually(lambda: ticks.started == 1)
        time.sleep(1.5)
        ticks.free.set()
        before, at = ticks.started, time.monotonic()
        time.sleep(0.5)
        elapsed = time.monotonic() - at
        assert ticks.started - before <= elapsed / 0.2 + 2, "the seven that fell due are not made up for"
        assert eventually(lambda: ticks.ended >= 4), "and the interval goes on"
    assert ticks.most_inside == 1


def test_clock__a_tick_that_raises__ends_the_run_with_its_error() -> None:
    def stumble() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        Clock(stumble, 0.05).run()

"""What a person must know, told by the keeper itself: queued, tried again, told by another channel, never waited for.

A turn leaves what it has to say and goes on. A thread tells it through the first channel that takes it, and after all
have failed again, later each time. The heartbeat is for somebody else's clock, which tells when it stops.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from keeper.domain.errors import KeeperError, Misconfigured
from keeper.domain.foresight import GAS_CAP, Cause, Foreseen, Foresight, Obstacle
from keeper.domain.rules import RuleKey
from keeper.domain.texts import span_text
from keeper.domain.verdicts import Kind
from keeper.settings import AlertSettings
from keeper.turn import Turn

_MOST_WAITING: Final = 256
_RESTS: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
_QUIET_SECONDS: Final = 3_600.0
_FORESIGHT_SECONDS: Final = 86_400.0
_OF_ALL: Final = frozenset({Cause.GAS_PRICE, Cause.GAS_MONEY})
_HEARTBEAT_SECONDS: Final = 60.0
_HEARTBEAT_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Alert:
    """What happened in a few words, and in a sentence."""

    title: str
    body: str


Channel = Callable[[Alert], bool]
"""Tells somebody, and says whether that was taken; it may raise, and take its time."""


class News:
    """What of turns and troubles a person must know, each once while it lasts; `now` is in seconds of any clock."""

    def __init__(self, silent_seconds: float, unattended_seconds: float) -> None:
        self._silent_seconds = silent_seconds
        self._unattended_seconds = unattended_seconds
        self._last_turn: float | None = None
        self._is_silent = False
        self._since: dict[RuleKey, float] = {}
        self._told: set[RuleKey] = set()
        self._foretold: dict[tuple[RuleKey | None, Cause], float] = {}

    def of_turn(self, turn: Turn, now: float) -> Iterator[Alert]:
        """Alarms, tripped breakers, rules out of their bands for too long, and what would stop an action soon due."""
        for change in turn.changes:
            if change.alarm:
                key = change.flight.intent.plan.key
                yield Alert(
                    "a flight asks for a person", f"rule {key.id} of {key.owner}: {change.flight.why}"
                )
        for why in turn.tripped:
            yield Alert("a breaker has tripped", why)
        if self._is_silent:
            yield Alert("turns are taken again", f"turn: block {turn.block.number} was attended")
        self._last_turn, self._is_silent = now, False
        outside = {each.key: each for each in turn.verdicts if each.kind is not Kind.WITHIN}
        self._since = {key: self._since.get(key, now) for key in outside}
        self._told &= set(outside)
        for key, since in self._since.items():
            if now - since >= self._unattended_seconds and key not in self._told:
                self._told.add(key)
                said = f"rule {key.id} of {key.owner} for {now - since:.0f} s: {outside[key].why}"
                yield Alert("a rule is not held", said)

        if turn.foreseen is not None:
            yield from self._of_foresight(turn.foreseen, now)

    def _of_foresight(self, foreseen: Foreseen, now: float) -> Iterator[Alert]:
        """Each obstacle of each rule once, until it is mended or the rule has been out of reach for a day; what
        the keeper's own gas stops is told once for all rules, with the soonest.
        """
        found: dict[tuple[RuleKey | None, Cause], list[tuple[Foresight, Obstacle]]] = {}
        for each in foreseen.foresights:
            for obstacle in each.obstacles:
                is_of_all = obstacle.cause in _OF_ALL and obstacle.why != GAS_CAP
                whose = None if is_of_all else each.key
                found.setdefault((whose, obstacle.cause), []).append((each, obstacle))
        seen: set[RuleKey | None] = {each.key for each in foreseen.foresights}
        seen |= {None} if seen else set()
        self._foretold = {
            told: now if told[0] in seen else at
            for told, at in self._foretold.items()
            if (told in found if told[0] in seen else now - at < _FORESIGHT_SECONDS)
        }
        for told, ((each, obstacle), *others) in found.items():
            if told not in self._foretold:
                self._foretold[told] = now
                when = f"{span_text(each.reach.early)}, more likely {span_text(each.reach.median)}"
                more = f" and {len(others)} more" if others else ""
                said = f"rule {each.key.id} of {each.key.owner}{more}, breached perhaps in {when}: {obstacle.why}"
                yield Alert("an action would be stopped", said)

    def of_trouble(self, error: KeeperError, now: float) -> Iterator[Alert]:
        """One, once no turn was taken for so long."""
        since = self._last_turn = now if self._last_turn is None else self._last_turn
        if now - since >= self._silent_seconds and not self._is_silent:
            self._is_silent = True
            yield Alert("no turn is taken", f"for {now - since:.0f} s: {error}")


class Alerts:
    """Tells alerts through `channels`, the first that takes each having told it, and beats now and then.

    The same words are told once an hour. Where all channels fail for long the oldest are forgotten, and that is told.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        beat: Callable[[], None] | None = None,
        rests: Sequence[float] = _RESTS,
    ) -> None:
        self._channels = tuple(channels)
        self._beat = beat
        self._rests = tuple(rests)
        self._waiting: deque[Alert] = deque()
        self._forgotten = 0
        self._said: dict[Alert, float] = {}
        self._beats_at = 0.0
        self._beat_due = False
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._tell_all, name="alerts", daemon=True)
        self._thread.start()

    def say(self, alert: Alert) -> None:
        """Leave an alert to be told; never waits for a channel."""
        now = time.monotonic()
        with self._changed:
            if now - self._said.get(alert, -_QUIET_SECONDS) < _QUIET_SECONDS:
                return
            self._said = {each: at for each, at in self._said.items() if now - at < _QUIET_SECONDS}
            self._said[alert] = now
            if len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft()
                self._forgotten += 1
            self._waiting.append(alert)
            self._changed.notify()

    def alive(self) -> None:
        """A turn was taken: let whoever counts on it know, once a minute."""
        now = time.monotonic()
        with self._changed:
            if self._beat is not None and now >= self._beats_at:
                self._beats_at, self._beat_due = now + _HEARTBEAT_SECONDS, True
                self._changed.notify()

    def close(self, seconds: float = 5.0) -> None:
        """Tell what still waits, for so long at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    def _tell_all(self) -> None:
        failed = 0
        while True:
            with self._changed:
                rest = self._rests[min(failed, len(self._rests)) - 1] if failed else None
                self._changed.wait_for(self._has_something if not failed else self._must_hurry, rest)
                beat, self._beat_due = self._beat_due, False
                alert = self._waiting[0] if self._waiting else None
                forgotten = self._forgotten
                if alert is None and not beat and self._closing:
                    return
                closing = self._closing
            if beat and self._beat is not None:
                _quietly(self._beat)
            if alert is None:
                continue
            if self._tell(alert, forgotten):
                failed = 0
                with self._changed:
                    self._forgotten -= forgotten
                    if self._waiting and self._waiting[0] is alert:
                        self._waiting.popleft()
            elif closing:
                return
            else:
                failed += 1

    def _has_something(self) -> bool:
        return bool(self._waiting) or self._beat_due or self._closing

    def _must_hurry(self) -> bool:
        return self._beat_due or self._closing

    def _tell(self, alert: Alert, forgotten: int) -> bool:
        if forgotten:
            alert = Alert(alert.title, f"{alert.body} ({forgotten} alerts before it could not be told)")
        return any(_quietly(partial(channel, alert)) for channel in self._channels)


def _quietly(act: Callable[[], object]) -> bool:
    """Whether something was done, whatever it may raise."""
    try:
        return bool(act())
    except Exception:  # noqa: BLE001 - a channel is not ours, and the next one is tried
        return False


def channels_of(settings: AlertSettings) -> tuple[Channel, ...]:
    """A channel for each address, in their order; `Misconfigured` for one that cannot be read, without showing it."""
    if not settings.addresses:
        return ()
    try:
        import apprise  # noqa: PLC0415 - only who is to be told so has it installed
    except ImportError:
        raise Misconfigured(
            "alerts: apprise is not installed; pip install threshold-keeper[alerts]"
        ) from None

    def channel(place: int, address: str) -> Channel:
        told = apprise.Apprise()
        if not told.add(address):
            raise Misconfigured(
                f"alerts: address {place} of {len(settings.addresses)} is none that apprise can read"
            )
        return lambda alert: bool(told.notify(title=f"keeper: {alert.title}", body=alert.body))

    return tuple(channel(place, address) for place, address in enumerate(settings.addresses, 1))


def heartbeat(url: str) -> Callable[[], None] | None:
    """Asks for an address, as external clocks want it; None for none."""
    if not url:
        return None

    def beat() -> None:
        with urllib.request.urlopen(url, timeout=_HEARTBEAT_TIMEOUT) as answer:
            answer.read(1)

    return beat

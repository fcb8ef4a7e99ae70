"""Several keepers that share the rules of one journal: each takes turns for the shards whose leases it has.

A shard is a share of the owners, and a key. Every keeper can act for every shard, so that whoever takes one over goes
on with that key, its nonces and its flights; a shard held is a keeper as any other, in a thread of its own. Which
shards to try for and which to leave is decided by who else is there; that no two have one is the lease's work.

Assumes: every keeper of a journal has the same shards in its settings, which the journal proves, and the same owners.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from keeper.app import Ready, Stop, attend, leading, ready_for, stopped_by_a_signal
from keeper.domain.errors import JournalBroken, KeeperError, Misconfigured, Standby
from keeper.domain.units import Address
from keeper.journal.roll import Roll
from keeper.journal.shares import Share, Sight, to_give_up, to_take
from keeper.settings import Settings
from keeper.turn import Keeper, Turn

_Told = TypeVar("_Told")
_LOOK_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 1.0
"""How long what is free is left to a keeper that has fewer."""
_REST_SECONDS: Final = 2.0
"""How long a shard that could not be acted for is not tried again."""
_LONGEST_UNABLE_SECONDS: Final = 300.0
"""How long after that nothing is to be left to this keeper, at most: twice as long each time."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom a shard tells of its turns, of what went wrong and that it is held; never two at a time."""

    on_turn: Callable[[Turn], None]
    on_trouble: Callable[[KeeperError], None]
    on_open: Callable[[Keeper], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One shard and all that is needed to act for it, except its lease."""

    settings: Settings
    ready: Ready
    share: Share
    beside: frozenset[Address]


def parts_of(settings: Settings, dry_run: bool) -> dict[str, Part]:
    """Every shard, ready to be acted for; `Misconfigured` when two have one key."""
    found = {shard.name: settings.of_shard(shard) for shard in settings.shards}
    ready = {name: ready_for(mine, dry_run) for name, mine in found.items()}
    signers = {name: each.signer.address for name, each in ready.items() if each.signer is not None}
    require_keys_apart(signers)
    return {
        name: Part(
            mine,
            ready[name],
            Share(name, settings.among),
            frozenset(address for other, address in signers.items() if other != name),
        )
        for name, mine in found.items()
    }


def require_keys_apart(signers: Mapping[str, Address]) -> None:
    """`Misconfigured` when two shards would take each other's nonces."""
    whose: dict[Address, str] = {}
    for name, address in signers.items():
        if address in whose:
            raise Misconfigured(
                f"settings: shards: {whose[address]} and {name} both sign as {address}, and each needs a key of its own"
            )
        whose[address] = name


def run(settings: Settings, dry_run: bool, listen: Callable[[str], Listener]) -> None:
    """Take turns for as many shards as are this keeper's part until a signal ends it; the turns under way are finished.

    `listen` says who is told of a shard, which `Standby` is told to while all are held by others.
    """
    stopped = stopped_by_a_signal()
    parts = parts_of(settings, dry_run)
    talking = threading.Lock()
    listeners = {name: _in_turn(listen(name), talking) for name in parts}
    with Roll(settings.journal.place) as roll:
        holding = _Holding(parts, listeners)
        try:
            while not stopped.wait(_LOOK_SECONDS):
                holding.bury()
                try:
                    sight = roll.sign(holding.is_able)
                except JournalBroken as error:
                    if not holding.ever:
                        raise
                    holding.say("", error)
                    continue
                holding.follow(sight)
        finally:
            holding.end()


class _Holding:
    """The shards this process holds, or tries to."""

    def __init__(self, parts: Mapping[str, Part], listeners: Mapping[str, Listener]) -> None:
        self._parts = parts
        self._listeners = listeners
        self._held: dict[str, _Held] = {}
        self._free_since: dict[str, float] = {}
        self._rests_until: dict[str, float] = {}
        self._unable: dict[str, tuple[float, float]] = {}
        self._put_off_since: float | None = None
        self._said: dict[str, str] = {}
        self.ever = False

    @property
    def is_able(self) -> bool:
        """Whether more may be left to this keeper: else it would be left again and again what it cannot act for."""
        return all(until <= time.monotonic() for _, until in self._unable.values())

    def follow(self, sight: Sight) -> None:
        """Try for what is this keeper's part, or leave one shard to another."""
        now, names = time.monotonic(), list(self._parts)
        free = {name for name in names if name not in sight.held and name not in self._held}
        self._free_since = {name: self._free_since.get(name, now) for name in free}
        overdue = any(now - since > _PATIENCE_SECONDS for since in self._free_since.values())
        for name in to_take(sight, names, list(self._held), overdue):
            if now >= self._rests_until.get(name, now):
                self._held[name] = _Held(self._parts[name], self._listeners[name])
        settled = not free and all(held.led and not held.leaving for held in self._held.values())
        leave = to_give_up(sight, list(self._held)) if settled else None
        if leave is not None:
            self._held[leave].leave()
        others = {name: who for name, who in sight.held.items() if name in self._parts and who != sight.me}
        if len(others) == len(names):
            said = ", ".join(f"{name} by {who}" for name, who in others.items())
            self.say("", Standby(f"journal: every shard is held by another keeper ({said}); standing by"))

    def bury(self) -> None:
        """Forget the shards that are held no more; raises what a start that is refused is refused for."""
        led = [name for name, held in self._held.items() if held.led]
        if led:
            self.ever, self._put_off_since = True, None
        for name in ("", *led) if led else ():
            self._said.pop(name, None)
            self._unable.pop(name, None)
        for name, held in list(self._held.items()):
            if held.is_over():
                del self._held[name]
                if held.error is not None:
                    self._explain(name, held.error, held.led)

    def _explain(self, name: str, error: Exception, led: bool) -> None:
        """Raise what is not to be gone on with, and tell the rest; one shard's trouble is not the others'."""
        now = time.monotonic()
        if isinstance(error, Standby) and not led:  # another was first, or shares the journal otherwise
            since = self._put_off_since = self._put_off_since or now
            if now - since > _PATIENCE_SECONDS and not self._leads():
                self.say("", error)
            return
        is_in_vain = isinstance(error, Misconfigured) and not self._leads()
        if not isinstance(error, KeeperError) or not self.ever or is_in_vain:
            raise error
        if not isinstance(error, JournalBroken):
            self._rests_until[name] = now + _REST_SECONDS
            last, _ = self._unable.get(name, (_REST_SECONDS / 2, now))
            unable = min(2 * last, _LONGEST_UNABLE_SECONDS)
            self._unable[name] = unable, now + unable
        self.say(name, error)

    def _leads(self) -> bool:
        return any(held.led and not held.is_over() for held in self._held.values())

    def say(self, name: str, error: KeeperError) -> None:
        """Tell of a shard, or of all where none is named, the same thing once while it lasts."""
        if self._said.get(name) != str(error):
            self._said[name] = str(error)
            self._listeners[name or next(iter(self._listeners))].on_trouble(error)

    def end(self) -> None:
        """Finish the turns under way and give everything back."""
        for held in self._held.values():
            held.leave()
        for held in self._held.values():
            held.wait()


class _Held:
    """One shard, acted for in a thread of its own from the taking of its lease until it is left or lost."""

    def __init__(self, part: Part, listener: Listener) -> None:
        self._part = part
        self._listener = listener
        self._stop = Stop()
        self.led = False
        self.leaving = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._hold, name=f"shard-{part.share.name}", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Let the turn under way be the last."""
        self.leaving = True
        self._stop.set()

    def is_over(self) -> bool:
        """Whether nothing more is done for it here."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Until it is over."""
        self._thread.join()

    def _hold(self) -> None:
        part, listener = self._part, self._listener
        try:
            with leading(part.settings, part.ready, part.share, part.beside) as keeper:
                self.led = True
                listener.on_open(keeper)
                attend(keeper, part.settings, self._stop, listener.on_turn, listener.on_trouble)
        except Exception as error:  # noqa: BLE001 - raised again where the process can end of it
            self.error = error


def _in_turn(listener: Listener, talking: threading.Lock) -> Listener:
    """A listener that is told one thing at a time, whichever thread tells it."""

    def alone(tell: Callable[[_Told], None]) -> Callable[[_Told], None]:
        def told(what: _Told) -> None:
            with talking:
                tell(what)

        return told

    return Listener(alone(listener.on_turn), alone(listener.on_trouble), alone(listener.on_open))

"""Follows the journal, and wakes whoever waits when there is something new to show.

The journal is asked whether anything was written, which is cheap, so that the page is the same whether the keeper runs
in this process or in another.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from keeper.domain.errors import KeeperError
from keeper.domain.units import Address
from keeper.journal.annals import Annals
from keeper.settings import Settings
from keeper.watch.facts import MOST_FLIGHTS, state_json
from keeper.watch.outlook import Outlook, View, keystore_account

_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class State:
    """What the page shows, as JSON; `serial` grows with every change."""

    serial: int
    text: str


class Pulse:
    """The newest state of one keeper's journal, and of the chain behind it where that can be asked."""

    def __init__(self, settings: Settings, may_pause: bool = False) -> None:
        self._settings = settings
        self._may_pause = may_pause
        self._named = tuple(filter(None, [keystore_account(settings.key.keystore)]))
        self._senders: tuple[Address, ...] = ()
        self._changed = threading.Condition()
        self._state = State(0, "")
        self._view = View()
        self._seen: tuple[object, ...] = ()
        self._turn_seen_at = time.monotonic()
        self._turn = -1
        self._stopped = False
        self._outlook = Outlook(settings, self._accounts, self._show)
        self._thread = threading.Thread(target=self._run, name="watch-pulse", daemon=True)
        self._refresh(None, "journal: it is being opened")

    @property
    def journal(self) -> str:
        """Where the journal is."""
        return self._settings.journal.place

    @property
    def kinds(self) -> Mapping[str, str]:
        """What each watched contract holds rules for, in the singular."""
        return self._settings.kinds

    @property
    def view(self) -> View:
        """The chain as it was last seen."""
        return self._view

    @property
    def state(self) -> State:
        """What there is to show now."""
        return self._state

    def add_account(self, account: Address) -> None:
        """Watch this account's balance too."""
        self._named = (*self._named, account)

    def seconds_since_turn(self) -> float:
        """How long ago a new turn was last seen in the journal; since the start, when none was."""
        return time.monotonic() - self._turn_seen_at

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()
        self._outlook.start()

    def stop(self) -> None:
        """Follow no more, and send everybody who waits away."""
        self._outlook.stop()
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait(self, serial: int, seconds: float) -> State | None:
        """The state once it is another than that of `serial`; None when it stays the same for so long, or it ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._state.serial != serial, seconds)
            return None if self._stopped or self._state.serial == serial else self._state

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    def _run(self) -> None:
        with ExitStack() as opened:
            annals: Annals | None = None
            while not self._stopped:
                try:
                    if annals is None:
                        annals = opened.enter_context(Annals(self.journal))
                    self._refresh(annals, "")
                except KeeperError as error:
                    opened.close()
                    annals = None
                    self._refresh(None, str(error))
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped, _SECONDS)

    def _refresh(self, annals: Annals | None, trouble: str) -> None:
        view = self._view
        seen = ((annals.mark(), annals.latches()) if annals else (), view, trouble)
        if seen == self._seen:
            return
        chain_id, kinds = self._settings.chain.id, self.kinds
        if annals is None:
            content = {**state_json(chain_id, None, (), view, kinds=kinds), "trouble": trouble}
        else:
            newest = annals.newest()
            self._senders = annals.tally().senders
            flights = annals.latest_flights(MOST_FLIGHTS)
            content = {**state_json(chain_id, newest, flights, view, annals.latches(), kinds), "trouble": ""}
        content["may_pause"] = self._may_pause
        turn = annals.mark()[0] if annals else self._turn
        if turn != self._turn:
            self._turn, self._turn_seen_at = turn, time.monotonic()
        text = json.dumps(content)
        with self._changed:
            self._seen = seen
            self._state = State(self._state.serial + 1, text)
            self._changed.notify_all()

    def _accounts(self) -> tuple[Address, ...]:
        return tuple(sorted({*self._named, *self._senders}))

    def _show(self, view: View) -> None:
        self._view = view

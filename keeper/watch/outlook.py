"""What only the chain can tell a watcher: bands, the contract's word now, and the keeper's balance.

The page lives from the journal; this is beside it, may fail at any time, and says so.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from eth_utils.address import is_address

from keeper import app
from keeper.chain.node import Node
from keeper.domain.blocks import Block
from keeper.domain.errors import KeeperError
from keeper.domain.foresight import Foreseen
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.positions.port import Look, Positions
from keeper.protocols.methods import address
from keeper.settings import Settings

_REST_FACTOR: Final = 10
_SHORTEST_REST: Final = 2.0
_LONGEST_REST: Final = 600.0


@dataclass(frozen=True, slots=True)
class View:
    """The chain as it was last seen, and what is foreseen; `trouble` is why it is not seen now."""

    block: Block | None = None
    looks: Mapping[RuleKey, Look] = field(default_factory=dict)
    balances: Mapping[Address, int] = field(default_factory=dict)
    trouble: str = ""
    foreseen: Foreseen | None = None


class Outlook:
    """Looks at the chain in a thread of its own, rests ten times as long as that took, and tells `on_view`."""

    def __init__(
        self,
        settings: Settings,
        accounts: Callable[[], Sequence[Address]],
        on_view: Callable[[View], None],
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._on_view = on_view
        self._node: Node | None = None
        self._positions: tuple[Positions, ...] = ()
        self._view = View()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-outlook", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; the look under way ends by its own deadline."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            self._view = self._look(self._view)
            self._on_view(self._view)
            took = time.monotonic() - began
            self._stopped.wait(min(max(_REST_FACTOR * took, _SHORTEST_REST), _LONGEST_REST))

    def _look(self, last: View) -> View:
        try:
            if self._node is None:
                node = app.connect(self._settings)
                self._positions = app.watched(self._settings, node)
                self._node = node
            with self._node.within(self._settings.chain.turn_seconds):
                head = self._node.head()
                looks = {look.verdict.key: look for held in self._positions for look in held.look(head)}
                balances = {
                    account: self._node.ask_number("eth_getBalance", account, "latest")
                    for account in self._accounts()
                }
                # Of several accounts the fullest is most likely the one that pays.
                payer = max(balances, key=lambda account: balances[account], default=None)
                foreseen = app.foreseen(self._settings, self._node, self._positions, head, payer)
        except KeeperError as error:
            return replace(last, trouble=str(error))
        return View(head, looks, balances, foreseen=foreseen)


def keystore_account(path: Path | None) -> Address | None:
    """The account a keystore says it is of, which takes no password; None when it says nothing."""
    if path is None:
        return None
    try:
        named = json.loads(path.read_text(encoding="utf-8")).get("address")
    except (OSError, ValueError, AttributeError):
        return None
    return address(named) if isinstance(named, str) and is_address(named) else None

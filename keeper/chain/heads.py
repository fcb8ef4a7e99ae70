"""New heads pushed over a WebSocket: a hint to look now, never the news itself.

A node that stops talking without closing the socket looks like a quiet chain, so the clock polls as well.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

_SUBSCRIBE = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
_RECONNECT_SECONDS = (0.2, 1.0, 5.0, 15.0)


class Heads:
    """Calls `on_head` from its own thread whenever the node at `url` says that a block has come."""

    def __init__(self, url: str, on_head: Callable[[], None]) -> None:
        self._url = url
        self._on_head = on_head
        self._stopped = threading.Event()
        self._socket: Connection | None = None
        self._thread = threading.Thread(target=self._listen, name="heads", daemon=True)

    def start(self) -> None:
        """Listen from now on, reconnecting as often as it takes."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up and let the thread end."""
        self._stopped.set()
        if self._socket is not None:
            self._socket.close()
        self._thread.join(timeout=2.0)

    def _listen(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                with connect(
                    self._url, open_timeout=5.0, close_timeout=1.0, proxy=None, compression=None
                ) as socket:
                    self._socket = socket
                    if self._stopped.is_set():
                        return  # `stop` came too early to hang up on this one
                    socket.send(_SUBSCRIBE)
                    for message in socket:
                        failures = 0
                        if (
                            b"eth_subscription" in message
                            if isinstance(message, bytes)
                            else "eth_subscription" in message
                        ):
                            self._on_head()
            except (WebSocketException, OSError, TimeoutError):
                failures += 1
            self._stopped.wait(_RECONNECT_SECONDS[min(failures, len(_RECONNECT_SECONDS) - 1)])

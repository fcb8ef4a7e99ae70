"""The page on a port, beside a keeper or alone, until it is told to stop."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from uvicorn import Config, Server

from keeper.domain.errors import Misconfigured
from keeper.domain.units import Address
from keeper.settings import Settings
from keeper.watch.access import Access, token_beside
from keeper.watch.pages import build
from keeper.watch.pulse import Pulse

_HOST, _PORT = "127.0.0.1", "8787"
_LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_MOST_CONNECTIONS: Final = 64
_STOP_SECONDS: Final = 3


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the page stands, and where its token is; None when the environment gave it."""

    url: str
    token_file: Path | None
    is_open: bool
    """Whether other machines reach it, over plain HTTP."""
    add_account: Callable[[Address], None]
    """Names an account whose balance is to be watched, beside those the journal and the keystore know."""


@contextmanager
def serving(settings: Settings, place: str, may_pause: bool = False) -> Iterator[Standing]:
    """The page at `place` for as long as the block lasts; `Misconfigured` when it cannot stand there.

    It only reads, unless whoever signs in `may_pause` the keeper, and resume it.
    """
    host, port = host_and_port(place)
    token, token_file = token_beside(settings.journal.path)
    listening = _listen(host, port)
    is_loopback = _is_loopback(host)
    pulse = Pulse(settings, may_pause)
    hosts = _LOOPBACK_NAMES | {host} if is_loopback else None
    server = Server(
        Config(
            build(pulse, Access(token), hosts, may_pause),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    thread = threading.Thread(target=server.run, args=([listening],), name="watch", daemon=True)
    pulse.start()
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    try:
        yield Standing(
            f"http://{shown}:{listening.getsockname()[1]}/", token_file, not is_loopback, pulse.add_account
        )
    finally:
        pulse.stop()
        server.should_exit = True
        thread.join(_STOP_SECONDS + 2)
        listening.close()


def host_and_port(place: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT`, `PORT` or `HOST`, what is missing being loopback and 8787."""
    if place.isdigit():
        host, port = _HOST, place
    elif place.startswith("["):
        host, _, rest = place[1:].partition("]")
        port = rest.removeprefix(":") or _PORT
    else:
        host, _, port = place.partition(":")
        host, port = host or _HOST, port or _PORT
    if not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise Misconfigured(f"web: {place} is not a host and a port, such as {_HOST}:{_PORT}")
    return host, int(port)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_MOST_CONNECTIONS)  # so that who asks before the server runs only waits
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise Misconfigured(f"web: {host}:{port} cannot be listened on ({reason})") from error
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

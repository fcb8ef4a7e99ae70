"""Who may look: a token that is shown once in a header, and a session that a cookie holds after that.

A token in an address would end up in histories and logs, so it is only ever read from the `Authorization` header; no
page of another origin can set that one, which is also what keeps sign-in from being forged. Attempts are counted in all
and for each address, since behind a proxy everybody comes from one.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Final

from keeper.domain.errors import Misconfigured

TOKEN: Final = "KEEPER_WEB_TOKEN"  # noqa: S105 - the name of the variable
SESSION_SECONDS: Final = 12 * 3600
_SHORTEST: Final = 24
_MOST_SESSIONS: Final = 64
_MOST_ADDRESSES: Final = 1024
_WINDOW_SECONDS: Final = 60.0
_FAILURES_EACH: Final = 5
_FAILURES_TOGETHER: Final = 60


class Answer(Enum):
    """What comes of a token that was shown."""

    GRANTED = auto()
    WRONG = auto()
    TOO_OFTEN = auto()


class Access:
    """The token's digest, the sessions it opened, and how often it was guessed; safe between threads."""

    def __init__(self, token: str, now: Callable[[], float] = time.monotonic) -> None:
        self._digest = _digest(token)
        self._now = now
        self._lock = threading.Lock()
        self._sessions: dict[str, float] = {}
        self._failures: dict[str, list[float]] = {}

    def show(self, token: str, address: str) -> Answer:
        """Whether the token is the right one; not even looked at after too many wrong ones within a minute."""
        with self._lock:
            if self._is_guessing(address):
                return Answer.TOO_OFTEN
            if hmac.compare_digest(_digest(token), self._digest):
                self._failures.pop(address, None)
                return Answer.GRANTED
            if len(self._failures) >= _MOST_ADDRESSES and address not in self._failures:
                self._failures.pop(next(iter(self._failures)))
            self._failures.setdefault(address, []).append(self._now())
            return Answer.WRONG

    def open_session(self) -> str:
        """A new session's name, which is a secret too; the oldest one ends when there are too many."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            if len(self._sessions) >= _MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
            self._sessions[_digest(name).hex()] = self._now() + SESSION_SECONDS
        return name

    def has_session(self, name: str) -> bool:
        """Whether a session of this name was opened and has not ended."""
        with self._lock:
            ends = self._sessions.get(_digest(name).hex())
            return ends is not None and self._now() < ends

    def end_session(self, name: str) -> None:
        """Forget a session."""
        with self._lock:
            self._sessions.pop(_digest(name).hex(), None)

    def _is_guessing(self, address: str) -> bool:
        since = self._now() - _WINDOW_SECONDS
        for each, times in list(self._failures.items()):
            recent = [when for when in times if when > since]
            if recent:
                self._failures[each] = recent
            else:
                del self._failures[each]
        together = sum(map(len, self._failures.values()))
        return len(self._failures.get(address, ())) >= _FAILURES_EACH or together >= _FAILURES_TOGETHER


def token_beside(journal: Path) -> tuple[str, Path | None]:
    """The token of the environment, else the one in a file beside the journal that only its owner can read.

    The file is made when there is none; its path is given so that a person can be told where to look. `Misconfigured`
    when the token is short, or others can read it.
    """
    if given := os.environ.get(TOKEN):
        if len(given) < _SHORTEST:
            raise Misconfigured(
                f"web: {TOKEN} has {len(given)} characters, and at least {_SHORTEST} are wanted"
            )
        return given, None
    path = journal.with_name(f"{journal.name}.token")
    try:
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return _read(path), path
        token = secrets.token_urlsafe(32)
        with os.fdopen(file, "w") as made:
            made.write(token)
    except OSError as error:
        raise Misconfigured(f"web: {path} cannot be used ({error.strerror})") from error
    return token, path


def _read(path: Path) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise Misconfigured(
            f"web: {path} can be read by others (its mode is {mode:03o}); remove it, or chmod 600 it"
        )
    token = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(token) < _SHORTEST:
        raise Misconfigured(
            f"web: {path} holds {len(token)} characters, and at least {_SHORTEST} are wanted; remove it"
        )
    return token


def _digest(text: str) -> bytes:
    # Of one length whatever was sent, so that comparing tells nothing of the token's.
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()

"""A JSON-RPC proxy that does to any question what real endpoints and networks do, before a real node or after it."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_utils.crypto import keccak

SEND = "eth_sendRawTransaction"
Call = dict[str, Any]


@dataclass(frozen=True)
class Drop:
    """The connection is cut, `after` the node has seen the question or before."""

    after: bool = False


@dataclass(frozen=True)
class Status:
    """An HTTP status instead of an answer; with `after` the node has seen the question."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"<html>oops</html>"
    after: bool = False


@dataclass(frozen=True)
class Hang:
    """Nothing for so many seconds, and then no answer."""

    seconds: float


@dataclass(frozen=True)
class Error:
    """A JSON-RPC error; with `after` the node has seen the question all the same."""

    message: str
    code: int = -32000
    after: bool = False
    data: Any = None


@dataclass(frozen=True)
class Swallow:
    """A raw transaction is said to be taken, with its own hash, and never passed on."""


@dataclass(frozen=True)
class Rewrite:
    """The node's own result, changed."""

    change: Callable[[Any], Any]


Fault = Drop | Status | Hang | Error | Swallow | Rewrite
Rule = Callable[[Call], Fault | None]


class Proxy:
    """`rules` are asked in order what happens to each call, the first that says anything having its way.

    `asked` are the methods that arrived, `sent` the raw transactions, in order.
    """

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.rules: list[Rule] = []
        self.asked: list[str] = []
        self.sent: list[str] = []

    def on(self, methods: str, fault: Fault) -> None:
        """Let this happen to every call of these methods, `*` being all, from now on."""
        wanted = methods.split()
        self.rules.append(lambda call: fault if "*" in wanted or call["method"] in wanted else None)

    def heal(self) -> None:
        """Let everything pass again."""
        self.rules.clear()

    def count(self, method: str) -> int:
        return self.asked.count(method)

    def forward(self, calls: list[Call]) -> list[Any]:
        request = urllib.request.Request(
            self.behind, json.dumps(calls).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = {each["id"]: each for each in json.loads(answer.read())}
        return [told[call["id"]] for call in calls]

    def answer(self, body: bytes) -> bytes | Status | None:
        """What the client gets: a body, a status, or None for a cut connection."""
        said = json.loads(body)
        calls: list[Call] = said if isinstance(said, list) else [said]
        faults: list[Fault | None] = []
        for call in calls:
            self.asked.append(call["method"])
            if call["method"] == SEND:
                self.sent.append(call["params"][0])
            faults.append(next((f for rule in list(self.rules) if (f := rule(call)) is not None), None))
        for fault in faults:
            if isinstance(fault, Hang):
                time.sleep(fault.seconds)
                return None
            if isinstance(fault, Drop | Status):
                if fault.after:
                    self.forward(calls)
                return fault if isinstance(fault, Status) else None
        answers = self._answers(calls, faults)
        return json.dumps(answers if isinstance(said, list) else answers[0]).encode()

    def _answers(self, calls: list[Call], faults: list[Fault | None]) -> list[Any]:
        passed = [c for c, f in zip(calls, faults, strict=True) if not _is_kept_back(f)]
        told = {each["id"]: each for each in self.forward(passed)} if passed else {}
        answers: list[Any] = []
        for call, fault in zip(calls, faults, strict=True):
            answer = told.get(call["id"])
            if isinstance(fault, Error):
                error = {"code": fault.code, "message": fault.message}
                if fault.data is not None:
                    error["data"] = fault.data
                answer = {"jsonrpc": "2.0", "id": call["id"], "error": error}
            elif isinstance(fault, Swallow):
                hash_ = keccak(bytes.fromhex(call["params"][0][2:])).hex()
                answer = {"jsonrpc": "2.0", "id": call["id"], "result": "0x" + hash_}
            elif isinstance(fault, Rewrite) and answer is not None and "result" in answer:
                answer = {**answer, "result": fault.change(answer["result"])}
            answers.append(answer)
        return answers


def _is_kept_back(fault: Fault | None) -> bool:
    return isinstance(fault, Swallow) or (isinstance(fault, Error) and not fault.after)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news; all else is told."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def proxied(behind: str, make: Callable[[str], Proxy] = Proxy) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the node at `behind`, or what is made in its place, and its address."""
    proxy = make(behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            whole = len(body) == length  # else whoever asked was killed
            answer = proxy.answer(body) if whole else None
            if answer is None:
                self.close_connection = True
                return
            status = answer if isinstance(answer, Status) else Status(200, body=answer)
            with suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(status.code)
                for name, value in status.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(status.body)))
                self.end_headers()
                self.wfile.write(status.body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

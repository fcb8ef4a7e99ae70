"""A JSON-RPC proxy that does to `eth_sendRawTransaction` what real nodes and networks do, before Anvil or after it."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import rlp

SEND = "eth_sendRawTransaction"


class FaultyNode:
    """`fault` is what happens to the next sends; `sent` are the raw transactions that arrived, in order.

    drop_before, 500_before: the node never sees it. drop_after, 500_after: it does, and the answer is lost. duplicate:
    it sees it twice. refuse: not forwarded, answered with `error`. refuse_after: forwarded, answered with `error`.
    geth: a replacement must raise both bids by a tenth, or reth's way by more than that.
    """

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.fault = ""
        self.error = {"code": -32000, "message": "internal error"}
        self.without_finalized = False
        self.sent: list[str] = []
        self._best: dict[int, tuple[int, int]] = {}

    def forward(self, body: bytes) -> bytes:
        request = urllib.request.Request(self.behind, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def answer(self, body: bytes) -> bytes | int | None:
        """What the client gets: a body, an HTTP status, or None for a closed connection."""
        call = json.loads(body)
        if isinstance(call, list):
            return self._batch(call)
        if call["method"] != SEND:
            return self.forward(body)
        self.sent.append(call["params"][0])
        if self.fault in ("drop_before", "500_before"):
            return None if self.fault == "drop_before" else 500
        if self.fault == "refuse":
            return self._error(call)
        if self.fault == "geth" and not self._outbids(call["params"][0]):
            self.error = {"code": -32000, "message": "replacement transaction underpriced"}
            return self._error(call)
        answered = self.forward(body)
        if self.fault == "duplicate":
            answered = self.forward(body)
        if self.fault in ("drop_after", "500_after"):
            return None if self.fault == "drop_after" else 500
        return self._error(call) if self.fault == "refuse_after" else answered

    def _batch(self, calls: list[dict[str, Any]]) -> bytes:
        if not self.without_finalized:
            return self.forward(json.dumps(calls).encode())
        missing = [call["id"] for call in calls if "finalized" in call["params"]]
        rest = [call for call in calls if call["id"] not in missing]
        answers = json.loads(self.forward(json.dumps(rest).encode())) if rest else []
        error = {"code": -32602, "message": "unknown block tag finalized"}
        answers += [{"jsonrpc": "2.0", "id": id_, "error": error} for id_ in missing]
        order = [call["id"] for call in calls]
        return json.dumps(sorted(answers, key=lambda answer: order.index(answer["id"]))).encode()

    def _error(self, call: dict[str, Any]) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": self.error}).encode()

    def _outbids(self, raw: str) -> bool:
        fields = rlp.decode(bytes.fromhex(raw[4:]))
        nonce, tip, max_fee = (int.from_bytes(fields[n], "big") for n in (1, 2, 3))
        before = self._best.get(nonce)
        higher = before is None or (10 * tip > 11 * before[0] and 10 * max_fee > 11 * before[1])
        if not higher and before != (tip, max_fee):
            return False
        self._best[nonce] = (tip, max_fee)
        return True


@contextmanager
def faulty(behind: str) -> Iterator[tuple[FaultyNode, str]]:
    """A proxy before the node at `behind`, and its address."""
    node = FaultyNode(behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            answer = node.answer(self.rfile.read(int(self.headers["Content-Length"])))
            if answer is None:
                self.close_connection = True
                return
            status, content = (200, answer) if isinstance(answer, bytes) else (answer, b"<html>oops</html>")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield node, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

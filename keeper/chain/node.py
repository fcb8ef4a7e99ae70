"""One JSON-RPC endpoint, asked in single calls or in one batch, never twice by itself.

A web3.py provider writes and reads the JSON-RPC, and the standard library's http.client carries it: web3.py's own
carriers send a transaction again without saying so, and take six times as long. Its method formatters cost more than
the node does and are not used.
"""

from __future__ import annotations

import select
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, cast
from urllib.parse import SplitResult, unquote, urlsplit
from weakref import finalize

from web3.exceptions import Web3Exception
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from keeper.chain.wire import block_of, bytes_of, checked, number_of, why_not_parsed
from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured, NodeRefused, NodeUnreachable
from keeper.domain.units import Address

Named = Callable[[bytes], Mapping[str, str]]
Question = tuple[str, Sequence[Any]]
"""A JSON-RPC method and its parameters."""
# ValueError is JSON that cannot be read or has a number of thousands of digits, RecursionError one of thousands of
# brackets; the last two are how web3.py takes an answer of the wrong shape.
_NO_ANSWER: Final = (
    HTTPException,
    OSError,
    ValueError,
    RecursionError,
    Web3Exception,
    AttributeError,
    TypeError,
)
_ASKS_FOR_REST: Final = frozenset({429, 503})
# An endpoint may ask for rest, not for retirement.
_LONGEST_REST: Final = 300.0
_LONGEST_OWN_REST: Final = 32.0
_PIECE: Final = 2**16
# The longest answers we ask for: a lens's row of a rule is 256 bytes in 512 letters, and all rules near a trigger come
# in one batch, 51 MB for 100,000 of them; a block with its transactions is 8 MiB at most in RLP (EIP-7934), and two to
# three times that in JSON.
_MOST_BYTES: Final = 2**26
_LONGEST_MESSAGE: Final = 2_000


class _Failed(HTTPException):
    """What came back is no answer, in our own words."""


class _Busy(_Failed):
    """The endpoint asked to be asked less often; `seconds` is how long, None when it did not say."""

    def __init__(self, said: str, seconds: float | None) -> None:
        super().__init__(said)
        self.seconds = seconds


class _Provider(JSONBaseProvider):
    """Posts each request once over a kept connection; `seconds` bounds the whole of it."""

    def __init__(self, url: str, named: Named | None) -> None:
        super().__init__()
        self._named = named
        parts = urlsplit(url)
        self.seconds = 10.0
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"content-type": "application/json", **_authorization(parts)}
        host = parts.hostname or ""
        self._connection = (
            HTTPSConnection(host, parts.port or 443)
            if parts.scheme == "https"
            else HTTPConnection(host, parts.port or 80)
        )
        finalize(self, self._connection.close)

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        before = next(self.request_counter)
        told: Any = self.decode_rpc_response(self._post(self.encode_rpc_request(method, params)))
        if isinstance(told, dict) and "result" in told and told.get("id") != before + 1:
            raise _Failed("an answer to another question")
        return cast("RPCResponse", told)

    def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> Any:
        before = next(self.request_counter)
        answers: Any = self.decode_rpc_response(self._post(self.encode_batch_rpc_request(requests)))
        for answer in answers if isinstance(answers, list) else ():
            if isinstance(answer, dict) and not before < answer.get("id", 0) <= before + len(requests):
                raise _Failed("an answer to another question")
        return answers

    def _post(self, body: bytes) -> bytes:
        give_up_at = time.monotonic() + self.seconds
        connection = self._connection
        connection.timeout = self.seconds
        if connection.sock is not None:
            if _was_closed(connection):
                connection.close()
            else:
                connection.sock.settimeout(self.seconds)
        try:
            headers = {**self._headers, **(self._named(body) if self._named else {})}
            connection.request("POST", self._target, body, headers)
            return self._read(connection.getresponse(), give_up_at)
        except BaseException:
            connection.close()  # whatever is still to come on it would be taken for the next answer
            raise

    def _read(self, answer: HTTPResponse, give_up_at: float) -> bytes:
        if answer.status in _ASKS_FOR_REST:
            raise _Busy(f"HTTP {answer.status}", _rest_asked(answer.headers.get("Retry-After")))
        if answer.status >= 300:
            raise _Failed(f"HTTP {answer.status}")
        told = bytearray()
        while piece := answer.read1(_PIECE):
            told += piece
            # A timeout bounds each read only: a node that drips would hold a turn for ever.
            if time.monotonic() > give_up_at or len(told) > _MOST_BYTES:
                raise _Failed(f"{len(told)} bytes and no end within {self.seconds:.1f} s")
        answer.close()  # which it is by itself only when its end came as a surprise
        objection = why_not_parsed(told)
        if objection:
            raise _Failed(f"{len(told)} bytes {objection}")
        return bytes(told)


def _was_closed(connection: HTTPConnection) -> bool:
    """Whether a kept connection has something to say unasked, which is that the other end has closed it."""
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return bool(waiting.poll(0))


def _authorization(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"authorization": "Basic " + b64encode(secret.encode()).decode()}


class Node:
    """An endpoint at `url`, which may hold a secret; `name` is what may be shown of it.

    Every question is given up after `timeout` seconds, or sooner when `within` says so. An endpoint that asks for rest
    (HTTP 429 or 503, JSON-RPC -32005) is asked nothing until it is over: for as long as it says, else a second, and
    twice as long each further time. `named` makes headers for a request's body, where an endpoint wants to know whose
    it is.
    """

    def __init__(self, url: str, timeout: float = 10.0, named: Named | None = None) -> None:
        self.url: Final = url
        self.name: Final = shown_url(url)
        self.timeout: Final = timeout
        self._give_up_at = float("inf")
        self._rests_until = 0.0
        self._own_rest = 1.0
        if urlsplit(url).scheme not in ("http", "https"):
            raise Misconfigured(f"node: {self.name} is neither http:// nor https://")
        try:
            self._provider = _Provider(url, named)
        except HTTPException:
            raise Misconfigured(f"node: {self.name} is no address") from None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bound everything asked inside the block by one deadline."""
        before = self._give_up_at
        self._give_up_at = min(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._give_up_at = before

    @property
    def rests(self) -> float:
        """Seconds for which this endpoint has asked to be left alone from now."""
        return max(0.0, self._rests_until - time.monotonic())

    def ask(self, method: str, *params: Any) -> Any:
        """The result of one call; `NodeRefused` when the node answers with an error."""
        self._set_timeout(method)
        try:
            answer = self._provider.make_request(RPCEndpoint(method), list(params))
        except _NO_ANSWER as error:
            raise self._unreachable(method, error) from error
        try:
            return _result(method, params, answer)
        except NodeRefused as refusal:
            self._heed(refusal)
            raise

    def ask_bytes(self, method: str, *params: Any) -> bytes:
        """Like `ask`, of what must answer with bytes in hex."""
        return bytes_of(self.ask(method, *params), method)

    def ask_number(self, method: str, *params: Any) -> int:
        """Like `ask`, of what must answer with a number in hex."""
        return number_of(self.ask(method, *params), method)

    def ask_many(self, questions: Sequence[Question]) -> list[Any]:
        """The results of one JSON-RPC batch, in order; the first error among them is raised."""
        answers = self.ask_each(questions)
        for answer in answers:
            if isinstance(answer, NodeRefused):
                raise answer
        return answers

    def ask_each(self, questions: Sequence[Question]) -> list[Any]:
        """Like `ask_many`, but a question the node refused is answered by its `NodeRefused`."""
        if not questions:
            return []
        self._set_timeout(questions[0][0])
        try:
            answers = self._provider.make_batch_request([(RPCEndpoint(m), list(p)) for m, p in questions])
        except _NO_ANSWER as error:
            raise self._unreachable(questions[0][0], error) from error
        results: list[Any] = []
        told = _in_order(answers, len(questions), self.name)
        for (method, params), answer in zip(questions, told, strict=True):
            try:
                results.append(_result(method, params, answer))
            except NodeRefused as refusal:
                self._heed(refusal)
                results.append(refusal)
        return results

    def head(self) -> Block:
        """The newest block's header."""
        return self.block("latest")

    def block(self, tag: str | int) -> Block:
        """A block's header by number, or by tag such as `finalized`."""
        header = self.ask("eth_getBlockByNumber", hex(tag) if isinstance(tag, int) else tag, False)
        return block_of(header, str(tag))

    def call(self, to: Address, data: bytes, at: str, **fields: Any) -> bytes:
        """What `eth_call` returns at the block whose hash is `at`."""
        message = {"to": to, "data": "0x" + data.hex(), **fields}
        return self.ask_bytes("eth_call", message, {"blockHash": at})

    def _set_timeout(self, method: str) -> None:
        now = time.monotonic()
        left = self._give_up_at - now
        if left <= 0:
            raise NodeUnreachable(f"node: the time for this turn was up before {method} was asked")
        if now < self._rests_until:
            raise NodeUnreachable(
                f"node: {self.name} wants to be left alone for another {self._rests_until - now:.1f} s"
            )
        self._provider.seconds = min(self.timeout, left)

    def _heed(self, refusal: NodeRefused) -> None:
        if refusal.is_about_rate:
            self._rest(None)

    def _rest(self, seconds: float | None) -> None:
        """Ask nothing for as long as the node says, or for twice as long as the last time it did not say."""
        now = time.monotonic()
        if seconds is None:
            if now - self._rests_until > _LONGEST_OWN_REST:
                self._own_rest = 1.0
            seconds = self._own_rest
            self._own_rest = min(2 * seconds, _LONGEST_OWN_REST)
        self._rests_until = now + seconds

    def _unreachable(self, method: str, error: Exception) -> NodeUnreachable:
        if isinstance(error, _Busy):
            self._rest(error.seconds)
        # Only our own words, because a library's may hold the address and its secret.
        what = str(error) if isinstance(error, _Failed) else type(error).__name__
        return NodeUnreachable(f"node: {self.name} gave no answer to {method} ({what})")


def _rest_asked(header: str | None) -> float | None:
    """The seconds that a `Retry-After` asks for, as a number or as a date; None for what is neither."""
    if header is None:
        return None
    try:
        if header.strip().isdigit():
            seconds = float(header)
        else:
            when = parsedate_to_datetime(header)
            seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except ValueError:
        return None
    return min(max(seconds, 0.0), _LONGEST_REST)


def _in_order(answers: Any, count: int, name: str) -> list[Any]:
    """A batch's answers by their ids; a missing, doubled or foreign id would shift them to other questions."""
    told = [answer for answer in answers if isinstance(answer, dict)] if isinstance(answers, list) else []
    ids = sorted(answer["id"] for answer in told if isinstance(answer.get("id"), int))
    if len(told) != count or len(ids) != count or ids != list(range(ids[0], ids[0] + count)):
        raise NodeUnreachable(f"node: {name} answered a batch of {count} with something else")
    return sorted(told, key=lambda answer: int(answer["id"]))


def _result(method: str, params: Sequence[Any], answer: Any) -> Any:
    """What the node answered, if it can be an answer; what it refused is `NodeRefused`, in words that can be shown."""
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise NodeUnreachable(f"node: the answer to {method} is not JSON-RPC")
    error = answer.get("error")
    if error is None:
        return checked(method, params, answer["result"])
    code, data = (error.get("code"), error.get("data")) if isinstance(error, dict) else (None, None)
    said = error.get("message") if isinstance(error, dict) else error
    said = said if isinstance(said, str) else "no message"
    said = said[:_LONGEST_MESSAGE].encode("utf-8", "replace").decode()
    raise NodeRefused(
        f"{method}: {said}", code if isinstance(code, int) else 0, data if isinstance(data, str) else ""
    )


def shown_url(url: str) -> str:
    """An endpoint without what providers hide in it: scheme, host and port."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise Misconfigured(f"node: {parts.hostname} is no address: {str(error).lower()}") from None
    return f"{parts.scheme}://{parts.hostname}{port}"

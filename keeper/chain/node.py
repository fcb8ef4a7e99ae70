"""One JSON-RPC endpoint, asked in single calls or in one batch, never twice by itself.

web3.py's providers carry the bytes (HTTP, or a unix socket for a path); its retries are switched off because they
would send a transaction again without saying so, and its method formatters are not used because they cost more than
the node does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from web3.exceptions import Web3Exception
from web3.providers.ipc import IPCProvider
from web3.providers.rpc import HTTPProvider
from web3.types import RPCEndpoint

from keeper.domain.blocks import Block
from keeper.domain.errors import NodeRefused, NodeUnreachable
from keeper.domain.units import Address

# The last two are how web3.py takes an answer of the wrong shape.
_NO_ANSWER: Final = (
    requests.RequestException,
    OSError,
    JSONDecodeError,
    UnicodeDecodeError,
    Web3Exception,
    AttributeError,
    TypeError,
)
Question = tuple[str, Sequence[Any]]
"""A JSON-RPC method and its parameters."""


class _Http(HTTPProvider):
    """web3.py's HTTP provider with the time left as its timeout."""

    seconds: float = 10.0

    def get_request_kwargs(self) -> Any:
        return {**super().get_request_kwargs(), "timeout": self.seconds}


class Node:
    """An endpoint at `url`: `http(s)://…`, or the path of a unix socket.

    Every question is given up after `timeout` seconds, or sooner when `within` says so.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self.url: Final = url
        self.name: Final = shown_url(url)
        self.timeout: Final = timeout
        self._give_up_at = float("inf")
        self._provider: _Http | IPCProvider
        if url.startswith(("http://", "https://")):
            session = requests.Session()
            session.trust_env = False
            self._provider = _Http(url, session=session, exception_retry_configuration=None)
        else:
            self._provider = IPCProvider(url, timeout=int(timeout))

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bound everything asked inside the block by one deadline."""
        before = self._give_up_at
        self._give_up_at = min(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._give_up_at = before

    def ask(self, method: str, *params: Any) -> Any:
        """The result of one call; `NodeRefused` when the node answers with an error."""
        self._set_timeout(method)
        try:
            answer = self._provider.make_request(RPCEndpoint(method), list(params))
        except _NO_ANSWER as error:
            raise self._unreachable(method, error) from error
        return _result(method, answer)

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
        _require_one_answer_each(answers, len(questions), self.name)
        results: list[Any] = []
        for (method, _), answer in zip(questions, answers, strict=True):
            try:
                results.append(_result(method, answer))
            except NodeRefused as refusal:
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
        return bytes.fromhex(self.ask("eth_call", message, {"blockHash": at})[2:])

    def _set_timeout(self, method: str) -> None:
        left = self._give_up_at - time.monotonic()
        if left <= 0:
            raise NodeUnreachable(f"node: the time for this turn was up before {method} was asked")
        if isinstance(self._provider, _Http):
            self._provider.seconds = min(self.timeout, left)

    def _unreachable(self, method: str, error: Exception) -> NodeUnreachable:
        return NodeUnreachable(f"node: {self.name} gave no answer to {method} ({type(error).__name__})")


def block_of(header: Any, tag: str) -> Block:
    """A header as JSON-RPC writes it, as a `Block`."""
    try:
        return Block(
            number=int(header["number"], 16),
            hash=header["hash"],
            parent=header["parentHash"],
            timestamp=int(header["timestamp"], 16),
            base_fee=int(header.get("baseFeePerGas") or "0x0", 16),
        )
    except (TypeError, KeyError, ValueError) as error:
        raise NodeUnreachable(f"node: no readable header for block {tag}") from error


def _require_one_answer_each(answers: Any, count: int, name: str) -> None:
    """The provider sorts a batch by id; a missing, doubled or foreign id would shift answers to other questions."""
    ids = (
        [answer.get("id") for answer in answers if isinstance(answer, dict)]
        if isinstance(answers, list)
        else []
    )
    first = ids[0] if ids else None
    if not isinstance(first, int) or ids != list(range(first, first + count)):
        raise NodeUnreachable(f"node: {name} answered a batch of {count} with something else")


def _result(method: str, answer: Any) -> Any:
    if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
        raise NodeUnreachable(f"node: the answer to {method} is not JSON-RPC")
    error = answer.get("error")
    if error is None:
        return answer["result"]
    if not isinstance(error, dict):
        raise NodeRefused(f"{method}: {error}")
    data = error.get("data")
    raise NodeRefused(
        f"{method}: {error.get('message', 'no message')}",
        int(error.get("code", 0)),
        data if isinstance(data, str) else "",
    )


def shown_url(url: str) -> str:
    """An endpoint without what providers hide in it: scheme and host only, or the path of a socket."""
    parts = urlsplit(url)
    return (
        f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        if parts.hostname
        else url
    )

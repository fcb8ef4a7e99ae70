"""The node's answers, and what stands for an answer but is none."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from keeper.chain.node import Node, shown_url
from keeper.domain.errors import Misconfigured, NodeRefused, NodeUnreachable

Answer = Callable[[Any], str]


@pytest.fixture
def node_answering() -> Iterator[Callable[[Answer], Node]]:
    """A node on loopback that answers every request body with what the given function makes of it."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> Node:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = answer(asked).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(BrokenPipeError):
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return Node(f"http://127.0.0.1:{server.server_port}/secret-key", timeout=0.5)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def answers(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"jsonrpc": "2.0", "id": each["id"], "result": each["method"]} for each in asked]


def test_a_batch_answered_out_of_order__is_put_in_order(node_answering: Callable[[Answer], Node]) -> None:
    node = node_answering(lambda asked: json.dumps(answers(asked)[::-1]))
    assert node.ask_many([("a", []), ("b", []), ("c", [])]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows[:-1],
        lambda rows: [rows[0], rows[0], rows[2]],
        lambda rows: [*rows[:2], {**rows[2], "id": 999}],
        lambda rows: [*rows[:2], {**rows[2], "id": None}],
        lambda rows: [*rows[:2], "?"],
        lambda rows: [*rows, {**rows[2], "id": rows[2]["id"] - 0.5}],
        lambda rows: {"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": "no batches"}},
    ],
)
@pytest.mark.filterwarnings("ignore:Received batch response")
def test_a_batch_whose_answers_cannot_be_told_apart__is_no_answer(
    node_answering: Callable[[Answer], Node], spoil: Callable[[Any], Any]
) -> None:
    node = node_answering(lambda asked: json.dumps(spoil(answers(asked))))
    with pytest.raises(NodeUnreachable, match="node: "):
        node.ask_many([("a", []), ("b", []), ("c", [])])


@pytest.mark.parametrize("body", ["<html>busy</html>", "", "null", "[]", '{"id": 1}', '"result"', "{"])
def test_an_answer_that_is_not_json_rpc__is_no_answer(
    node_answering: Callable[[Answer], Node], body: str
) -> None:
    with pytest.raises(NodeUnreachable):
        node_answering(lambda _: body).ask("eth_chainId")


@pytest.mark.parametrize(
    "result",
    ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "1" * 5_000, '"\\ud800"', "NaN"],
    ids=["deep list", "deep object", "long number", "surrogate", "not a number"],
)
def test_json_that_no_reader_is_made_for__is_no_answer(
    node_answering: Callable[[Answer], Node], result: str
) -> None:
    node = node_answering(
        lambda asked: (
            f'{{"id": {asked["id"]}, "result": {result}}}'
            if isinstance(asked, dict)
            else "[" + ",".join(f'{{"id": {each["id"]}, "result": {result}}}' for each in asked) + "]"
        )
    )
    with pytest.raises(NodeUnreachable):
        node.ask_number("eth_chainId")
    with pytest.raises(NodeUnreachable):
        node.ask_many([("eth_chainId", []), ("eth_blockNumber", [])])


def test_more_parts_than_any_answer_has__are_not_read_at_all(
    node_answering: Callable[[Answer], Node],
) -> None:
    many = "[" + "[]," * 2**20 + "[]]"
    node = node_answering(lambda asked: f'{{"id": {asked["id"]}, "result": {many}}}')
    with node.within(20), pytest.raises(NodeUnreachable, match=r"\d+ bytes of more than 1048576 parts"):
        node.ask("eth_getLogs", {})


@pytest.mark.parametrize("result", ["null", '"0xzz"', "7", "[]", "{}"])
def test_a_result_of_the_wrong_kind__is_no_answer(
    node_answering: Callable[[Answer], Node], result: str
) -> None:
    node = node_answering(lambda asked: f'{{"id": {asked["id"]}, "result": {result}}}')
    for ask in (node.ask_bytes, node.ask_number):
        with pytest.raises(NodeUnreachable, match="the answer to eth_call is not"):
            ask("eth_call")
    with pytest.raises(NodeUnreachable, match="no readable header"):
        node.head()


@pytest.mark.parametrize(
    "error",
    [
        '{"code": null}',
        '{"code": "x", "message": "\\ud800"}',
        '"no"',
        '"\\ud800"',
        '{"data": {}}',
        '{"code": 1e999, "message": {"a": [1]}}',
    ],
)
def test_an_error_of_any_shape__is_a_refusal_that_can_be_written_down(
    node_answering: Callable[[Answer], Node], error: str
) -> None:
    node = node_answering(lambda asked: f'{{"id": {asked["id"]}, "error": {error}}}')
    with pytest.raises(NodeRefused) as caught:
        node.ask("eth_call")
    str(caught.value).encode()


def test_an_error_of_a_million_letters__is_told_in_a_few(node_answering: Callable[[Answer], Node]) -> None:
    error = json.dumps({"code": 3, "message": "a" * 10**6})
    node = node_answering(lambda asked: f'{{"id": {asked["id"]}, "error": {error}}}')
    with pytest.raises(NodeRefused) as caught:
        node.ask("eth_call")
    assert len(str(caught.value)) < 2_100


def test_an_error__keeps_its_code_and_data(node_answering: Callable[[Answer], Node]) -> None:
    error = {"code": 3, "message": "execution reverted", "data": "0x1234"}
    node = node_answering(lambda asked: json.dumps({"id": asked["id"], "error": error}))
    with pytest.raises(NodeRefused, match="eth_call: execution reverted") as caught:
        node.ask("eth_call")
    assert (caught.value.code, caught.value.data) == (3, "0x1234")


def test_an_error__never_names_the_secret_in_an_endpoint_s_address(
    node_answering: Callable[[Answer], Node],
) -> None:
    node = node_answering(lambda _: "")
    with pytest.raises(NodeUnreachable) as caught:
        node.ask("eth_chainId")
    assert "secret-key" not in str(caught.value)
    assert shown_url("https://user:pass@rpc.example:8545/v3/key?x=1") == "https://rpc.example:8545"


def test_a_node_that_does_not_answer__is_given_up_in_the_time_left(
    node_answering: Callable[[Answer], Node],
) -> None:
    def sleepy(asked: Any) -> str:
        time.sleep(2)
        return json.dumps({"id": asked["id"], "result": "late"})

    node = node_answering(sleepy)
    begun = time.monotonic()
    with node.within(0.2), pytest.raises(NodeUnreachable):
        node.ask("eth_chainId")
    assert time.monotonic() - begun < 1.5
    with node.within(0), pytest.raises(NodeUnreachable, match="the time for this turn was up"):
        node.ask("eth_chainId")


def test_a_node_that_drips__is_given_up_in_the_time_left() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(100):
                connection.sendall(b" ")
                time.sleep(0.1)

    dripping = threading.Thread(target=drip, daemon=True)
    dripping.start()
    begun = time.monotonic()
    with pytest.raises(NodeUnreachable, match="no end within"):
        Node(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.5).ask("eth_chainId")
    assert time.monotonic() - begun < 3
    listener.close()
    dripping.join(timeout=5)


def test_a_kept_connection_that_the_node_has_closed__is_made_anew_and_nothing_is_sent_twice() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def answer() -> None:
        for id_ in (0, 1):
            connection, _ = listener.accept()
            with connection:
                asked = b""
                while not asked.endswith(b"}"):
                    asked += connection.recv(65536)
                heard.append(asked)
                body = json.dumps({"jsonrpc": "2.0", "id": id_ * 2 + 1, "result": hex(id_)}).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    answering = threading.Thread(target=answer, daemon=True)
    answering.start()
    node = Node(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=5.0)
    assert node.ask_number("eth_first") == 0
    time.sleep(0.1)
    assert node.ask_number("eth_second") == 1
    answering.join(timeout=5)
    listener.close()
    assert [b"eth_first" in request for request in heard] == [True, False]


def test_an_address_that_is_none__is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match="is no address"):
        Node("http://one two/")
    with pytest.raises(Misconfigured, match="is no address: port out of range"):
        Node("http://127.0.0.1:99999")

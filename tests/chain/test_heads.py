"""New heads, pushed by a real Anvil and by a server that behaves as badly as the test wants."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from keeper.chain.heads import Heads
from keeper.devnet.anvil import Anvil

PROMPTLY = 2.5
"""Seconds: a peer that does not answer the close is given one, the thread two."""
A_HEAD = json.dumps(
    {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": {}}}
)


class Count:
    def __init__(self) -> None:
        self.heads = 0

    def __call__(self) -> None:
        self.heads += 1

    def reaches(self, heads: int, seconds: float = 10.0) -> bool:
        return eventually(lambda: self.heads >= heads, seconds)


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if true():
            return True
        time.sleep(0.005)
    return true()


@contextmanager
def listening(url: str, on_head: Callable[[], None]) -> Iterator[Heads]:
    heads = Heads(url, on_head)
    heads.start()
    try:
        yield heads
    finally:
        began = time.monotonic()
        heads.stop()
        assert time.monotonic() - began < PROMPTLY
    assert eventually(lambda: not heads._thread.is_alive(), 6.0), "its thread ends with it"


class Peer:
    """A WebSocket server that remembers who came, and does with each what it is told to."""

    def __init__(self, behave: Callable[[ServerConnection], None], port: int = 0) -> None:
        self.behave = behave
        self.asked: list[dict[str, object]] = []
        self.server: Server = serve(self._talk, "127.0.0.1", port, compression=None, close_timeout=0.5)
        self.port: int = self.server.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def _talk(self, connection: ServerConnection) -> None:
        try:
            self.asked.append(json.loads(connection.recv()))
            self.behave(connection)
        except (ConnectionClosed, OSError):
            return

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()


@contextmanager
def peer(behave: Callable[[ServerConnection], None], port: int = 0) -> Iterator[Peer]:
    it = Peer(behave, port)
    try:
        yield it
    finally:
        it.close()


def until_closed(connection: ServerConnection) -> None:
    for _ in connection:
        pass


def test_heads__every_block_of_a_real_node__is_a_hint() -> None:
    count = Count()
    with Anvil() as anvil, listening(anvil.url.replace("http", "ws"), count):
        # Anvil tells of what is mined after it took the subscription.
        assert eventually(lambda: anvil.node.ask("evm_mine") is not None and count.heads > 0)
        time.sleep(0.1)
        before = count.heads
        for heads in range(1, 6):
            anvil.node.ask("evm_mine")
            assert count.reaches(before + heads)


def test_heads__a_real_node_that_went_away_and_came_back__is_listened_to_again() -> None:
    count = Count()
    with Anvil() as first:
        port = int(first.url.rpartition(":")[2])
        heads = Heads(first.url.replace("http", "ws"), count)
        heads.start()
        assert eventually(lambda: first.node.ask("evm_mine") is not None and count.heads > 0)
    try:
        with Anvil(port=port) as second:
            before = count.heads
            assert eventually(lambda: second.node.ask("evm_mine") is not None and count.heads > before, 20)
            began = time.monotonic()
            heads.stop()
            assert time.monotonic() - began < PROMPTLY
    finally:
        heads.stop()


def test_heads__it_asks_for_new_heads__and_only_a_notice_is_a_hint() -> None:
    def answer(connection: ServerConnection) -> None:
        connection.send(json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x1"}))
        connection.send("no JSON at all")
        connection.send(json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -1, "message": "no"}}))
        connection.send(A_HEAD)
        connection.send(A_HEAD.encode())
        until_closed(connection)

    count = Count()
    with peer(answer) as server, listening(server.url, count):
        assert count.reaches(2)
        time.sleep(0.1)
        assert count.heads == 2
        assert server.asked[0]["method"] == "eth_subscribe"
        assert server.asked[0]["params"] == ["newHeads"]


def test_heads__a_peer_that_hangs_up_after_each_head__is_called_again_each_time() -> None:
    count = Count()
    with peer(lambda connection: connection.send(A_HEAD)) as server, listening(server.url, count):
        assert count.reaches(4)
    assert len(server.asked) >= 4


def test_heads__a_peer_that_breaks_off_without_a_word__is_called_again() -> None:
    def break_off(connection: ServerConnection) -> None:
        connection.send(A_HEAD)
        connection.socket.shutdown(socket.SHUT_RDWR)

    count = Count()
    with peer(break_off) as server, listening(server.url, count):
        assert count.reaches(3)


def test_heads__a_message_that_is_not_text__ends_that_call_and_not_the_listening() -> None:
    def garble(connection: ServerConnection) -> None:
        connection.send(b"\xff\xfe eth_subscription".replace(b"eth_", b"\x80"), text=True)
        connection.send(A_HEAD)
        until_closed(connection)

    count = Count()
    with peer(garble) as server, listening(server.url, count) as heads:
        assert eventually(lambda: count.heads > 0 or len(server.asked) > 1)
        assert heads._thread.is_alive()


def test_heads__a_mute_peer__gives_no_hint_and_does_not_hold_up_the_stop() -> None:
    count = Count()
    with peer(until_closed) as server, listening(server.url, count) as heads:
        assert eventually(lambda: len(server.asked) == 1)
        time.sleep(0.3)
        assert count.heads == 0
        assert heads._thread.is_alive()


@pytest.fixture
def deaf() -> Iterator[str]:
    """Takes connections and never says a word, not even that it speaks WebSocket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


def test_heads__a_peer_that_does_not_even_shake_hands__does_not_hold_up_the_stop(deaf: str) -> None:
    count = Count()
    with listening(deaf, count):
        time.sleep(0.2)
    assert count.heads == 0


def test_heads__nobody_at_that_address__is_no_error_and_stop_is_immediate() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    heads = Heads(f"ws://127.0.0.1:{port}", Count())
    heads.start()
    time.sleep(0.5)
    assert heads._thread.is_alive()
    began = time.monotonic()
    heads.stop()
    assert time.monotonic() - began < 1.0
    assert not heads._thread.is_alive()


def test_heads__nobody_at_first__is_found_once_it_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    def announce(connection: ServerConnection) -> None:
        connection.send(A_HEAD)
        until_closed(connection)

    count = Count()
    with listening(f"ws://127.0.0.1:{port}", count):
        time.sleep(0.3)
        with peer(announce, port):
            assert count.reaches(1)


def test_heads__stopped_in_the_instant_it_got_through__hangs_up_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the handshake and the moment the socket is known to `stop`."""
    from keeper.chain import heads as room

    connected, go_on = threading.Event(), threading.Event()
    connect = room.connect

    def connect_slowly(*arguments: Any, **options: Any) -> Any:
        got_through = connect(*arguments, **options)
        connected.set()
        assert go_on.wait(10)
        return got_through

    monkeypatch.setattr(room, "connect", connect_slowly)
    count = Count()
    with peer(until_closed) as server:
        heads = Heads(server.url, count)
        heads.start()
        assert connected.wait(10)
        stopping = threading.Thread(target=heads.stop)
        stopping.start()
        time.sleep(0.1)
        go_on.set()
        stopping.join(10)
        assert eventually(lambda: not heads._thread.is_alive(), 2.0), "it still listens after `stop`"

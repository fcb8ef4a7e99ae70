"""Several endpoints as one node: real chains behind them, and between a proxy that plays what goes wrong."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from keeper.chain.endpoints import Endpoints, connect
from keeper.chain.node import Node
from keeper.devnet.anvil import DEV_ACCOUNTS, Anvil
from keeper.domain.errors import Misconfigured, NodeRefused, NodeUnreachable, NoQuorum
from tests.faults.proxy import SEND, Drop, Error, Hang, Proxy, Rewrite, Status, proxied

CHAIN = 31337
SENDER = DEV_ACCOUNTS[0]

Open = Callable[[str], tuple[Proxy, str]]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def anvil(stack: ExitStack) -> Anvil:
    running = stack.enter_context(Anvil())
    running.node.ask("evm_setAutomine", False)
    running.node.ask("anvil_mine", "0x3")
    return running


@pytest.fixture
def three(stack: ExitStack, anvil: Anvil) -> tuple[Endpoints, list[Proxy]]:
    """Three ways to one chain, a proxy on each."""
    opened = [stack.enter_context(proxied(anvil.url)) for _ in range(3)]
    return Endpoints([url for _, url in opened], CHAIN, timeout=3.0, patience=0.5), [p for p, _ in opened]


def mine(anvil: Anvil, blocks: int = 1) -> None:
    anvil.node.ask("anvil_mine", hex(blocks))


def raise_number(by: int) -> Callable[[Any], Any]:
    return lambda result: hex(int(result, 16) + by)


def test_one_address__is_a_plain_node__and_costs_what_one_costs(anvil: Anvil) -> None:
    node = connect([anvil.url], CHAIN, 10.0)
    assert type(node) is Node
    with pytest.raises(Misconfigured, match="is on chain 31337, and the settings say 5"):
        connect([anvil.url], 5, 10.0)


def test_three_endpoints__that_agree__answer_as_one(
    three: tuple[Endpoints, list[Proxy]], anvil: Anvil
) -> None:
    node, _ = three
    node.prove()
    assert node.head() == anvil.node.head()
    mine(anvil)
    assert node.head() == anvil.node.head()
    assert node.block(0) == anvil.node.block(0)
    assert node.ask_number("eth_getTransactionCount", SENDER, "latest") == 0
    assert node.ask_number("eth_getBalance", SENDER, "latest") == 10_000 * 10**18
    assert [each.ailing for each in node.health()] == [""] * 3
    assert [each.lag for each in node.health()] == [0] * 3


def test_an_ordinary_read__is_asked_of_one_endpoint_alone(three: tuple[Endpoints, list[Proxy]]) -> None:
    node, proxies = three
    node.head()
    time.sleep(0.1)
    for proxy in proxies:
        proxy.asked.clear()
    node.ask("eth_getCode", SENDER, "latest")
    assert [proxy.asked for proxy in proxies] == [["eth_getCode"], [], []]


@pytest.mark.parametrize(
    "fault",
    [
        Drop(),
        Status(500),
        Status(403),
        Status(200, body=b"<html>busy</html>"),
        Status(200, body=b"null"),
        Status(200, body=b'[{"jsonrpc": "2.0", "id": 77777, "result": "0x0"}]'),
        Error("header not found"),
        Error("resource not found", -32001),
        Error("daily request count exceeded, request rate limited", -32005),
        Hang(5.0),
    ],
    ids=repr,
)
def test_an_endpoint_that_fails__hands_the_question_on_within_two_seconds(
    three: tuple[Endpoints, list[Proxy]], fault: Any
) -> None:
    node, proxies = three
    node.head()
    proxies[0].on("eth_getBalance", fault)
    begun = time.monotonic()
    assert node.ask_number("eth_getBalance", SENDER, "latest") == 10_000 * 10**18
    assert time.monotonic() - begun < 2.0
    assert node.ask_many([("eth_getBalance", [SENDER, "latest"])]) == [hex(10_000 * 10**18)]


def test_a_revert__is_the_answer_and_asked_of_nobody_else(three: tuple[Endpoints, list[Proxy]]) -> None:
    node, proxies = three
    head = node.head()
    for proxy in proxies:  # any may be the first that holds the head
        proxy.on("eth_call", Error("execution reverted", 3, data="0x1234"))
    with pytest.raises(NodeRefused, match="execution reverted") as caught:
        node.call(SENDER, b"", head.hash)
    assert caught.value.data == "0x1234"
    assert sum(proxy.count("eth_call") for proxy in proxies) == 1


def test_a_stopped_node__is_waited_for_once_and_then_passed_over(stack: ExitStack, anvil: Anvil) -> None:
    hung = stack.enter_context(Anvil(fork_url=anvil.url))
    node = Endpoints([hung.url, anvil.url, f"{anvil.url}/?again"], CHAIN, timeout=3.0, patience=0.5)
    node.head()
    time.sleep(0.1)
    os.kill(hung.pid, signal.SIGSTOP)
    try:
        taken = []
        for _ in range(3):
            begun = time.monotonic()
            assert node.ask_number("eth_getBalance", SENDER, "latest") > 0
            assert node.head() == anvil.node.head()
            taken.append(time.monotonic() - begun)
        taken.sort()
        assert taken[-1] < 2.0
        assert taken[-2] < 0.4
    finally:
        os.kill(hung.pid, signal.SIGCONT)


def test_every_endpoint_silent__is_no_quorum_and_soon_said(three: tuple[Endpoints, list[Proxy]]) -> None:
    node, proxies = three
    node.head()
    for proxy in proxies:
        proxy.on("*", Drop())
    with pytest.raises(NoQuorum, match="2 of 3 endpoints must agree on a block, and do not: none answered"):
        node.head()
    with pytest.raises(NodeUnreachable):
        node.ask("eth_getBalance", SENDER, "latest")


def test_too_few_endpoints_for_a_quorum__blind_what_matters_and_nothing_else(
    three: tuple[Endpoints, list[Proxy]],
) -> None:
    node, proxies = three
    node.head()
    for proxy in proxies[1:]:
        proxy.on("*", Drop())
    assert node.ask_number("eth_getBalance", SENDER, "latest") > 0
    with pytest.raises(
        NoQuorum, match="1 of 3 endpoints answered eth_getTransactionCount and can be believed, and 2 must"
    ):
        node.ask_number("eth_getTransactionCount", SENDER, "latest")
    with pytest.raises(NoQuorum):
        node.head()
    for proxy in proxies[1:]:
        proxy.heal()
    node.head()
    assert node.ask_number("eth_getTransactionCount", SENDER, "latest") == 0


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_a_nonce__that_one_endpoint_makes_up__is_not_believed(
    three: tuple[Endpoints, list[Proxy]], liar: int
) -> None:
    node, proxies = three
    node.head()
    proxies[liar].on("eth_getTransactionCount", Rewrite(raise_number(7)))
    assert node.ask_number("eth_getTransactionCount", SENDER, "latest") == 0
    balance, count = node.ask_each(
        [("eth_getBalance", [SENDER, "latest"]), ("eth_getTransactionCount", [SENDER, "latest"])]
    )
    assert (int(count, 16), int(balance, 16)) == (0, 10_000 * 10**18)


def test_a_nonce__that_all_tell_differently__is_refused(three: tuple[Endpoints, list[Proxy]]) -> None:
    node, proxies = three
    node.head()
    for by, proxy in enumerate(proxies):
        proxy.on("eth_getTransactionCount", Rewrite(raise_number(by)))
    with pytest.raises(NodeRefused, match="do not agree"):
        node.ask_number("eth_getTransactionCount", SENDER, "latest")


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_a_receipt__that_one_endpoint_makes_up_or_hides__is_not_believed(
    three: tuple[Endpoints, list[Proxy]], anvil: Anvil, liar: int
) -> None:
    node, proxies = three
    sent = anvil.node.ask("eth_sendTransaction", {"from": SENDER, "to": DEV_ACCOUNTS[1], "value": "0x1"})
    node.head()
    proxies[liar].on(
        "eth_getTransactionReceipt",
        Rewrite(lambda _: {"transactionHash": sent, "blockHash": "0x" + "11" * 32, "status": "0x1"}),
    )
    assert node.ask("eth_getTransactionReceipt", sent) is None
    mine(anvil)
    node.head()
    proxies[liar].heal()
    proxies[liar].on("eth_getTransactionReceipt", Rewrite(lambda _: None))
    assert node.ask("eth_getTransactionReceipt", sent)["status"] == "0x1"
    (held,) = node.ask_each([("eth_getTransactionReceipt", [sent])])
    assert held["transactionHash"] == sent


FORGED: dict[str, Callable[[Any], Any]] = {
    "price": lambda told: {**told, "effectiveGasPrice": hex(10**15)},
    "block": lambda told: {**told, "blockNumber": "0x1"},
    "logs": lambda told: {**told, "logs": [_log("0x" + "01" * 32)]},
    "log that is none": lambda told: {**told, "logs": [{"address": 5, "topics": [["a"]], "data": None}]},
    "lists": lambda _: {"transactionHash": ["x"], "blockHash": ["y"], "status": {}},
    "no object": lambda _: ["x"],
}


def _log(data: str) -> dict[str, Any]:
    return {"address": SENDER, "topics": [], "data": data}


@pytest.mark.parametrize("forged", FORGED)
def test_a_receipt__forged_by_the_first_to_answer__is_not_believed(
    three: tuple[Endpoints, list[Proxy]], anvil: Anvil, forged: str
) -> None:
    node, proxies = three
    sent = anvil.node.ask("eth_sendTransaction", {"from": SENDER, "to": DEV_ACCOUNTS[1], "value": "0x1"})
    mine(anvil)
    node.head()
    proxies[2].on("eth_getTransactionReceipt", Rewrite(FORGED[forged]))
    for proxy in proxies[:2]:
        proxy.rules.append(lambda call: time.sleep(0.1) if "Receipt" in call["method"] else None)
    honest = anvil.node.ask("eth_getTransactionReceipt", sent)
    assert node.ask("eth_getTransactionReceipt", sent) == honest
    assert node.ask_each([("eth_getTransactionReceipt", [sent])]) == [honest]


@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize(
    "change",
    [
        {"parentHash": ["x"]},
        {"parentHash": "\ud800"},
        {"baseFeePerGas": "0x" + "f" * 400},
        {"baseFeePerGas": "-0xfff"},
        {"number": "-0x1"},
        {"hash": 5},
    ],
    ids=repr,
)
def test_a_head__that_cannot_be_one__is_no_vote_and_costs_its_endpoint_its_place(
    three: tuple[Endpoints, list[Proxy]], anvil: Anvil, place: int, change: dict[str, Any]
) -> None:
    node, proxies = three
    node.head()
    proxies[place].on("eth_getBlockByNumber", Rewrite(lambda header: header and {**header, **change}))
    mine(anvil)
    assert node.head() == anvil.node.head()
    final = node.ask("eth_getBlockByNumber", "finalized", False)
    assert final == anvil.node.ask("eth_getBlockByNumber", "finalized", False)
    time.sleep(0.2)
    assert node.health()[place].failures > 0


def test_a_balance_or_a_call__that_cannot_be_one__is_asked_of_the_next(
    three: tuple[Endpoints, list[Proxy]],
) -> None:
    node, proxies = three
    head = node.head()
    proxies[0].on("eth_getBalance", Rewrite(lambda _: "-0x" + "f" * 9_000))
    proxies[0].on("eth_call", Rewrite(lambda _: ["x"]))
    assert node.ask_number("eth_getBalance", SENDER, "latest") == 10_000 * 10**18
    assert node.call(SENDER, b"", head.hash) == b""


def test_finality__is_as_far_as_a_quorum_has_it(three: tuple[Endpoints, list[Proxy]], anvil: Anvil) -> None:
    node, proxies = three
    mine(anvil, 100)
    head = node.head()
    proxies[0].on("eth_getBlockByNumber", Rewrite(lambda header: {**header, "number": hex(head.number)}))
    final = node.ask("eth_getBlockByNumber", "finalized", False)
    assert int(final["number"], 16) == int(
        anvil.node.ask("eth_getBlockByNumber", "finalized", False)["number"], 16
    )


def test_an_endpoint_that_lags__serves_no_read_and_votes_on_nothing(stack: ExitStack, anvil: Anvil) -> None:
    behind = stack.enter_context(Anvil(fork_url=anvil.url))
    node = Endpoints([behind.url, anvil.url, f"{anvil.url}/?again"], CHAIN, timeout=3.0)
    node.head()
    mine(anvil, 5)
    head = node.head()
    assert head == anvil.node.head()
    time.sleep(0.3)
    lagging = node.health()[0]
    assert (lagging.lag, "lags 5 blocks behind" in lagging.ailing) == (5, True)
    anvil.node.ask("anvil_setBalance", SENDER, "0x7")
    assert node.ask_number("eth_getBalance", SENDER, "latest") == 7


def test_a_head__once_returned__is_not_taken_back_by_endpoints_that_lag(
    stack: ExitStack, anvil: Anvil
) -> None:
    first, first_url = stack.enter_context(proxied(anvil.url))
    behind = stack.enter_context(Anvil(fork_url=anvil.url))
    node = Endpoints([first_url, anvil.url, behind.url], CHAIN, timeout=3.0)
    mine(anvil, 2)
    head = node.head()
    assert head == anvil.node.head()
    first.on("*", Drop())
    with pytest.raises(NoQuorum, match=f"a quorum shows block 3, and block {head.number} was seen before"):
        node.head()
    first.heal()
    assert node.head() == head


def test_a_chain_that_was_wound_back__everywhere__is_followed(
    three: tuple[Endpoints, list[Proxy]], anvil: Anvil
) -> None:
    node, _ = three
    before = anvil.node.ask("evm_snapshot")
    mine(anvil, 5)
    node.head()
    anvil.node.ask("evm_revert", before)
    assert node.head() == anvil.node.head()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_endpoint_on_another_fork__is_quarantined_with_its_reason_until_it_agrees(
    stack: ExitStack, anvil: Anvil, place: int
) -> None:
    fork = stack.enter_context(Anvil(fork_url=anvil.url))
    fork.node.ask("evm_setAutomine", False)
    proxy, url = stack.enter_context(proxied(fork.url))
    urls = [anvil.url, f"{anvil.url}/?again"]
    urls.insert(place, url)
    node = Endpoints(urls, CHAIN, timeout=3.0)
    node.head()
    fork.node.ask("evm_increaseTime", 1)
    for chain in (fork, anvil):
        chain.node.ask("anvil_mine", "0x2")
    seen = []
    for _ in range(3):  # the third answer may come after the other two have agreed
        seen.append(node.head())
        time.sleep(0.05)
    assert set(seen) == {anvil.node.head()}
    theirs = fork.node.head().hash
    assert (
        f"has {theirs} as block {seen[0].number}, and a quorum has {seen[0].hash}"
        in node.health()[place].ailing
    )
    anvil.node.ask("anvil_setBalance", SENDER, "0x7")
    assert node.ask_number("eth_getBalance", SENDER, "latest") == 7
    proxy.behind = anvil.url
    for _ in range(3):
        mine(anvil)
        assert node.head() == anvil.node.head()
        time.sleep(0.05)
    assert node.health()[place].ailing == ""


def test_two_endpoints_on_two_forks__are_no_quorum_and_neither_is_believed(
    stack: ExitStack, anvil: Anvil
) -> None:
    fork = stack.enter_context(Anvil(fork_url=anvil.url))
    node = Endpoints([anvil.url, fork.url], CHAIN, timeout=3.0)
    node.head()
    fork.node.ask("evm_increaseTime", 100)
    for chain in (fork, anvil):
        chain.node.ask("evm_mine")
    for quorum in (None, 1):
        with pytest.raises(NoQuorum):
            Endpoints([anvil.url, fork.url], CHAIN, 3.0, quorum).head() if quorum is None else node.head()


def test_an_endpoint_on_another_chain__is_left_alone__and_a_quorum_of_them_refused(
    stack: ExitStack, anvil: Anvil
) -> None:
    other = stack.enter_context(Anvil(chain_id=5))
    proxy, url = stack.enter_context(proxied(other.url))
    node = Endpoints([url, anvil.url, f"{anvil.url}/?again"], CHAIN, timeout=3.0)
    node.prove()
    time.sleep(0.1)
    node.head()
    assert "is on chain 5, not on 31337" in node.health()[0].ailing
    proxy.asked.clear()
    with pytest.raises(NodeRefused):
        node.ask(SEND, "0x02")
    assert SEND not in proxy.asked
    with pytest.raises(Misconfigured, match="the settings say 31337, and .* is on chain 5"):
        connect([url, f"{other.url}/?again", anvil.url], CHAIN, 3.0)


def test_an_endpoint_that_asks_for_rest__is_left_alone_for_as_long(
    three: tuple[Endpoints, list[Proxy]],
) -> None:
    node, proxies = three
    node.head()
    time.sleep(0.1)
    proxies[0].on("eth_getBalance", Status(429, {"Retry-After": "1"}))
    for _ in range(20):
        assert node.ask_number("eth_getBalance", SENDER, "latest") > 0
    assert [proxy.count("eth_getBalance") for proxy in proxies] == [1, 20, 0]
    proxies[0].heal()
    time.sleep(1.1)
    assert node.ask_number("eth_getBalance", SENDER, "latest") > 0
    assert proxies[0].count("eth_getBalance") == 2


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [
        (Status(429, {"Retry-After": "7"}), 6, 7),
        (Status(503, {"Retry-After": "7"}), 6, 7),
        (Status(429, {"Retry-After": "864000"}), 299, 300),
        (Status(429), 0.5, 1),
        (Status(429, {"Retry-After": "soon"}), 0.5, 1),
        (Error("limit exceeded", -32005), 0.5, 1),
        (Error("Too Many Requests", 429), 0.5, 1),
        (Error("query returned more than 10000 results", -32005), 0, 0),
        (Error("execution reverted", 3), 0, 0),
        (Status(500), 0, 0),
    ],
    ids=repr,
)
def test_a_node_alone__rests_for_as_long_as_it_is_asked_to(
    stack: ExitStack, anvil: Anvil, fault: Any, least: float, most: float
) -> None:
    proxy, url = stack.enter_context(proxied(anvil.url))
    node = Node(url)
    proxy.on("*", fault)
    with pytest.raises((NodeRefused, NodeUnreachable)):
        node.ask("eth_chainId")
    assert least <= node.rests <= most
    proxy.heal()
    if least:
        with pytest.raises(NodeUnreachable, match="wants to be left alone for another"):
            node.ask("eth_chainId")
        assert proxy.count("eth_chainId") == 1
    else:
        assert node.ask_number("eth_chainId") == CHAIN


def test_a_date_to_come_back_at__is_a_time_to_rest(stack: ExitStack, anvil: Anvil) -> None:
    proxy, url = stack.enter_context(proxied(anvil.url))
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    proxy.on("*", Status(429, {"Retry-After": when}))
    node = Node(url)
    with pytest.raises(NodeUnreachable, match="HTTP 429"):
        node.ask("eth_chainId")
    assert 20 < node.rests <= 30


def test_bytes__go_to_every_endpoint__and_one_that_takes_them_is_enough(
    three: tuple[Endpoints, list[Proxy]], anvil: Anvil
) -> None:
    node, proxies = three
    node.head()
    proxies[0].on(SEND, Hang(5.0))
    proxies[1].on(SEND, Error("internal error"))
    raw = anvil.node.ask(
        "eth_signTransaction",
        {
            "from": SENDER,
            "to": DEV_ACCOUNTS[1],
            "value": "0x1",
            "gas": "0x5208",
            "gasPrice": hex(10**11),
            "nonce": "0x0",
        },
    )
    begun = time.monotonic()
    hash_ = node.ask(SEND, raw)
    assert time.monotonic() - begun < 1.0
    assert anvil.node.ask("eth_getTransactionByHash", hash_)["hash"] == hash_
    time.sleep(0.1)
    assert [proxy.sent for proxy in proxies] == [[raw]] * 3


def test_bytes__that_one_refused_and_another_never_answered__are_nobody_knows_where(
    three: tuple[Endpoints, list[Proxy]],
) -> None:
    node, proxies = three
    node.head()
    for proxy in proxies[:2]:
        proxy.on(SEND, Error("insufficient funds for gas * price + value"))
    proxies[2].on(SEND, Drop())
    with pytest.raises(NodeUnreachable, match="nobody took the transaction: .* insufficient funds"):
        node.ask(SEND, "0x02")


def test_bytes__that_all_refuse__carry_every_reason(three: tuple[Endpoints, list[Proxy]]) -> None:
    node, proxies = three
    node.head()
    for proxy in proxies:
        proxy.on(SEND, Error("insufficient funds"))
    with pytest.raises(NodeRefused, match="insufficient funds") as caught:
        node.ask(SEND, "0x02")
    assert [other.message for other in caught.value.others] == [f"{SEND}: insufficient funds"] * 2


def test_a_transaction__that_any_endpoint_holds__is_held(
    three: tuple[Endpoints, list[Proxy]], anvil: Anvil
) -> None:
    node, proxies = three
    sent = anvil.node.ask("eth_sendTransaction", {"from": SENDER, "to": DEV_ACCOUNTS[1], "value": "0x1"})
    node.head()
    for proxy in proxies[:2]:
        proxy.on("eth_getTransactionByHash", Rewrite(lambda _: None))
    assert node.ask("eth_getTransactionByHash", "0x" + "00" * 32) is None
    for _ in range(3):
        held = node.ask("eth_getTransactionByHash", sent)
        assert held is None or held["hash"] == sent
    proxies[0].heal()
    proxies[1].on("*", Drop())
    assert node.ask("eth_getTransactionByHash", sent)["hash"] == sent


def test_the_time_of_a_turn__bounds_everything_asked_of_all(three: tuple[Endpoints, list[Proxy]]) -> None:
    node, proxies = three
    node.head()
    for proxy in proxies:
        proxy.on("*", Hang(5.0))
    begun = time.monotonic()
    with node.within(0.4):
        for ask in (node.head, lambda: node.ask(SEND, "0x02"), lambda: node.block(0)):
            with pytest.raises(NodeUnreachable):
                ask()
    assert time.monotonic() - begun < 1.5


@pytest.mark.parametrize(
    ("urls", "quorum"), [([], None), (["http://a", "http://a"], None), (["http://a"], 2)]
)
def test_endpoints__that_cannot_make_a_quorum__are_refused(urls: list[str], quorum: int | None) -> None:
    with pytest.raises(Misconfigured):
        Endpoints(urls, CHAIN, quorum=quorum)

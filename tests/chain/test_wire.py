"""What enters from a node: sound answers are read, and anything else is no answer, whatever is wrong with it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.wire import block_of, bytes_of, checked, number_of, receipt_of, spenders_of, why_not_parsed
from keeper.domain.blocks import Block
from keeper.domain.errors import NodeUnreachable
from keeper.domain.flights import Log, Receipt
from tests.chain.junk import HASH, HEADER, JUNK, LOG, OTHER, POOL, RECEIPT, TRANSACTION, spoilt

QUESTIONS = [
    ("eth_blockNumber", []),
    ("eth_call", [{}, "latest"]),
    ("eth_chainId", []),
    ("eth_estimateGas", [{}]),
    ("eth_getBalance", [POOL, "latest"]),
    ("eth_getBlockByNumber", ["latest", False]),
    ("eth_getBlockByNumber", ["0x10", True]),
    ("eth_getCode", [POOL, "latest"]),
    ("eth_getTransactionByHash", [HASH]),
    ("eth_getTransactionCount", [POOL, "latest"]),
    ("eth_getTransactionReceipt", [HASH]),
    ("eth_sendRawTransaction", ["0x02"]),
]


def test_a_sound_answer__is_read_with_its_hex_in_lower_case() -> None:
    shouted = {**HEADER, "hash": "0x" + "AB" * 32}
    assert block_of(shouted, "latest") == Block(16, HASH, OTHER, 0x65000000, 7)
    assert block_of({**HEADER, "baseFeePerGas": None}, "latest").base_fee == 0
    assert spenders_of(HEADER, "latest") == ((POOL, 7, HASH),)
    log = Log(POOL, (HASH, OTHER), "0x" + "01" * 64)
    assert receipt_of(RECEIPT) == Receipt(HASH, 16, OTHER, True, 21_000, 10**9, (log,))
    assert number_of("0x00ff", "eth_getBalance") == 255
    assert bytes_of("0xFf00", "eth_call") == b"\xff\x00"


@pytest.mark.parametrize(
    ("method", "answer", "named"),
    [
        ("eth_getBalance", "-0x" + "f" * 9_000, "eth_getBalance is not a number"),
        ("eth_getBalance", "0x" + "f" * 65, "eth_getBalance is not a number"),
        ("eth_getTransactionCount", "0x" + "f" * 16, "eth_getTransactionCount is not below"),
        ("eth_getTransactionCount", "-0x5", "eth_getTransactionCount is not a number"),
        ("eth_call", "0x 1 2", "eth_call is not bytes"),
        ("eth_call", "12", "eth_call is not bytes"),
        ("eth_sendRawTransaction", "\ud800" * 100, "eth_sendRawTransaction is not 32 bytes"),
        ("eth_getBlockByNumber", {**HEADER, "number": "-0x1"}, "number is not a number"),
        ("eth_getBlockByNumber", {**HEADER, "number": hex(2**63)}, "number is not below"),
        ("eth_getBlockByNumber", {**HEADER, "timestamp": hex(2**40)}, "timestamp is not below"),
        ("eth_getBlockByNumber", {**HEADER, "baseFeePerGas": "-0xfff"}, "baseFeePerGas is not a number"),
        ("eth_getBlockByNumber", {**HEADER, "baseFeePerGas": "0x" + "f" * 400}, "baseFeePerGas is not a"),
        ("eth_getBlockByNumber", {**HEADER, "parentHash": ["x"]}, "parentHash is not 32 bytes"),
        ("eth_getBlockByNumber", {**HEADER, "parentHash": "\ud800"}, "parentHash is not 32 bytes"),
        ("eth_getBlockByNumber", {**HEADER, "hash": "0x" + "11" * 33}, "hash is not 32 bytes"),
        ("eth_getBlockByNumber", {**HEADER, "transactions": [HASH]}, "the transactions of block"),
        ("eth_getTransactionByHash", {"a": 1}, "hash is not 32 bytes"),
        ("eth_getTransactionReceipt", {**RECEIPT, "blockHash": ["y"]}, "blockHash is not 32 bytes"),
        ("eth_getTransactionReceipt", {**RECEIPT, "status": "0x2"}, "status is not below 2"),
        ("eth_getTransactionReceipt", {**RECEIPT, "gasUsed": "0x" + "f" * 64}, "gasUsed is not below"),
        ("eth_getTransactionReceipt", {**RECEIPT, "logs": [{**LOG, "address": 5}]}, "address of a receipt's"),
        ("eth_getTransactionReceipt", {**RECEIPT, "logs": [{**LOG, "topics": [["a"]]}]}, "a topic of a"),
        ("eth_getTransactionReceipt", {**RECEIPT, "logs": [{**LOG, "topics": [HASH] * 5}]}, "5 topics"),
        (
            "eth_getTransactionReceipt",
            {**RECEIPT, "logs": [{**LOG, "data": None}]},
            "data of a receipt's log",
        ),
    ],
)
def test_an_answer_that_cannot_be_one__is_none_and_its_field_is_named(
    method: str, answer: Any, named: str
) -> None:
    params = ["0x10", True] if method == "eth_getBlockByNumber" else [HASH]
    with pytest.raises(NodeUnreachable, match=named) as caught:
        checked(method, params, answer)
    assert len(str(caught.value)) < 200, "a stranger's text is not repeated"
    str(caught.value).encode()


def deep(levels: int, opened: str = "[", closed: str = "]") -> bytes:
    return (opened * levels + closed * levels).encode()


@pytest.mark.parametrize(
    "body",
    [
        deep(100_000),
        deep(100_000, '{"a":', "}"),
        deep(33, '["]",', "]"),
        deep(33, '["\\"]",', "]"),
        b"[" * 500_000,
        b'["' + b"[" * 1_000 + b'",',
        b'[["' * 33 + b'\\"' * 10_000 + b"\\",
        b"[" + b"[]," * 2**19 + b"[]]",
        b"[" * 2**20 + b'"',
    ],
    ids=["lists", "objects", "hidden", "escaped", "open", "unclosed", "escapes", "many", "too open"],
)
def test_text_with_too_many_brackets__is_not_parsed(body: bytes) -> None:
    begun = time.monotonic()
    assert why_not_parsed(body) != ""
    assert time.monotonic() - begun < 10.0, "and is not looked at for long"


@pytest.mark.parametrize(
    "value",
    [
        [HEADER] * 1_000,
        [{"message": 'expected ] or } before [[[ and \\ and "]"'}] * 100,
        json.loads(deep(31)),
        {"result": "0x" + "ab" * 10**6},
    ],
    ids=["blocks", "brackets in words", "as deep as may be", "long"],
)
def test_text_of_a_sound_answer__is_parsed(value: Any) -> None:
    assert why_not_parsed(json.dumps([value]).encode()) == ""


def test_what_is_not_there__is_an_answer_where_it_may_be() -> None:
    for method, params in QUESTIONS:
        if method in ("eth_getBlockByNumber", "eth_getTransactionByHash", "eth_getTransactionReceipt"):
            assert checked(method, params, None) is None
        else:
            with pytest.raises(NodeUnreachable):
                checked(method, params, None)


@given(question=st.sampled_from(QUESTIONS), answer=JUNK)
def test_junk__as_any_answer__is_no_answer_at_worst(question: tuple[str, list[Any]], answer: Any) -> None:
    with suppress(NodeUnreachable):
        assert checked(*question, answer) is answer


@given(
    header=spoilt(HEADER)
    | spoilt(TRANSACTION).map(lambda transaction: {**HEADER, "transactions": [transaction]})
)
def test_junk__in_any_field_of_a_header__is_no_answer_at_worst(header: dict[str, Any]) -> None:
    with suppress(NodeUnreachable):
        block = block_of(checked("eth_getBlockByNumber", ["0x10", True], header), "0x10")
        assert 0 <= block.number < 2**62
        assert 0 <= block.base_fee < 2**256
        assert {len(block.hash), len(block.parent)} == {66}


@given(receipt=spoilt(RECEIPT) | spoilt(LOG).map(lambda log: {**RECEIPT, "logs": [log, LOG]}))
def test_junk__in_any_field_of_a_receipt_or_its_logs__is_no_answer_at_worst(receipt: dict[str, Any]) -> None:
    with suppress(NodeUnreachable):
        found = receipt_of(checked("eth_getTransactionReceipt", [HASH], receipt))
        assert 0 <= found.gas_used < 2**62
        assert all(len(topic) == 66 for log in found.logs for topic in log.topics)

"""What a quorum stands behind, told from answers alone: no endpoint, no thread, and nothing that raises."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.agreement import agreed_head, decided, gist, reached
from keeper.chain.wire import block_of
from keeper.domain.errors import NodeRefused
from tests.chain.junk import HASH, HEADER, JUNK, LOG, OTHER, POOL, RECEIPT, TRANSACTION, spoilt

RECEIPT_OF = "eth_getTransactionReceipt"
BLOCK_OF = "eth_getBlockByNumber"
FORGED: dict[str, dict[str, Any]] = {
    "price": {"effectiveGasPrice": "0x38d7ea4c68000"},
    "block number": {"blockNumber": "0x11"},
    "block hash": {"blockHash": HASH},
    "status": {"status": "0x0"},
    "gas": {"gasUsed": "0x5209"},
    "no logs": {"logs": []},
    "log doubled": {"logs": [LOG, LOG]},
    "log address": {"logs": [{**LOG, "address": "0x" + "66" * 20}]},
    "log topics": {"logs": [{**LOG, "topics": [HASH]}]},
    "log data": {"logs": [{**LOG, "data": "0x" + "03" * 64}]},
    "unreadable": {"logs": [{**LOG, "address": 5}]},
    "lists": {"transactionHash": ["x"], "blockHash": ["y"], "status": {}},
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_receipt__forged_by_one_of_three__is_never_the_one_believed(forged: str) -> None:
    lie = {**RECEIPT, **FORGED[forged]}
    for answers in permutations([lie, RECEIPT, {**RECEIPT, "type": "0x2"}]):
        found = decided(RECEIPT_OF, [HASH], answers, 2)
        assert found is not None
        assert found[0] in (RECEIPT, {**RECEIPT, "type": "0x2"})
    assert decided(RECEIPT_OF, [HASH], [lie, RECEIPT], 2) is None, "two that differ wait for the third"


def test_two_receipts__written_differently__agree() -> None:
    other = {
        **RECEIPT,
        "gasUsed": "0x005208",
        "transactionHash": "0x" + "AB" * 32,
        "logs": [{**LOG, "address": "0x" + "5A" * 20, "removed": False}],
        "cumulativeGasUsed": "0x1",
    }
    assert decided(RECEIPT_OF, [HASH], [other, RECEIPT], 2) == (other,)


@pytest.mark.parametrize("field", ["number", "hash", "parentHash", "timestamp", "baseFeePerGas"])
def test_a_header__with_one_field_changed_by_one_of_three__is_not_believed(field: str) -> None:
    lie = {**HEADER, field: OTHER if field == "hash" else HASH if field == "parentHash" else "0x9"}
    for answers in permutations([lie, HEADER, HEADER]):
        assert decided(BLOCK_OF, ["0x10", False], answers, 2) == (HEADER,)


def test_the_transactions_of_a_block__changed_by_one_of_three__are_not_believed() -> None:
    lie = {**HEADER, "transactions": [{**TRANSACTION, "hash": OTHER}]}
    for answers in permutations([lie, HEADER, HEADER]):
        assert decided(BLOCK_OF, ["0x10", True], answers, 2) == (HEADER,)


def test_a_count__that_is_none__stands_behind_nothing() -> None:
    count = ("eth_getTransactionCount", [POOL, "latest"])
    assert decided(*count, ["x", None, "0x1", "0x01"], 2) == ("0x1",)
    assert decided(*count, ["x", "x", "x"], 2) is None
    assert decided(*count, [], 1) is None
    refusal = NodeRefused("no")
    assert decided(*count, [refusal, "0x1", NodeRefused("never")], 2) == (refusal,)


def test_finality__is_the_highest_block_that_a_quorum_has_reached() -> None:
    headers = [{**HEADER, "number": hex(number)} for number in (7, 9, 8)]
    assert reached(headers, 2) == (headers[2],)
    assert reached([{**HEADER, "number": "zz"}, *headers[:1]], 2) is None
    assert reached([{**HEADER, "parentHash": ["x"]}, {**HEADER, "number": "-0x1"}], 1) is None
    assert reached([None, None], 2) == (None,)


def test_a_head__with_one_vote_too_few_or_as_many_for_another__is_none() -> None:
    one, other = block_of(HEADER, "latest"), block_of({**HEADER, "timestamp": "0x1"}, "latest")
    assert agreed_head([], 1) is None
    assert agreed_head([one], 2) is None
    assert agreed_head([one, other], 1) is None
    assert agreed_head([one, other, one], 2) == one


@given(
    question=st.sampled_from(
        [
            (RECEIPT_OF, [HASH]),
            (BLOCK_OF, ["0x10", False]),
            (BLOCK_OF, ["0x10", True]),
            (BLOCK_OF, ["finalized", False]),
            ("eth_getTransactionCount", [POOL, "latest"]),
            ("eth_getTransactionByHash", [HASH]),
            ("eth_chainId", []),
            ("eth_call", [{}, "latest"]),
        ]
    ),
    answers=st.lists(JUNK | spoilt(HEADER) | spoilt(RECEIPT) | st.just(NodeRefused("no")), max_size=4),
    quorum=st.integers(1, 3),
)
def test_junk__from_any_endpoint__is_compared_without_an_exception(
    question: tuple[str, list[Any]], answers: list[Any], quorum: int
) -> None:
    method, params = question
    found = decided(method, params, answers, quorum)
    assert found is None or any(found[0] is answer for answer in answers) or found == (None,)
    assert all(hash(gist(method, params, answer)) is not None for answer in answers)

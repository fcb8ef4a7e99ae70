"""Answers of a node, sound ones and such as no honest node gives, for whoever reads them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

HASH = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32
POOL = "0x" + "5a" * 20

LOG: dict[str, Any] = {"address": POOL, "topics": [HASH, OTHER], "data": "0x" + "01" * 64, "logIndex": "0x0"}
RECEIPT: dict[str, Any] = {
    "transactionHash": HASH,
    "blockHash": OTHER,
    "blockNumber": "0x10",
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x3b9aca00",
    "logs": [LOG],
}
TRANSACTION: dict[str, Any] = {"hash": HASH, "from": POOL, "nonce": "0x7"}
HEADER: dict[str, Any] = {
    "number": "0x10",
    "hash": HASH,
    "parentHash": OTHER,
    "timestamp": "0x65000000",
    "baseFeePerGas": "0x7",
    "transactions": [TRANSACTION],
}

_TEXT = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", "0x", "-0x1", "0x_1", "0x 1", " 0x1", "0x" + "f" * 65, "0x" + "f" * 9_000, "-0x" + "f" * 9_000]
    )
    | st.sampled_from(
        [
            "\ud800",
            "0x" + "11" * 31,
            "0x" + "11" * 33,
            "0x" + "zz" * 32,
            "0x1\n",
            "0x\N{ARABIC-INDIC DIGIT ONE}",
        ]
    ),
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**300), 2**300) | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
"""Whatever a JSON reader may return, and texts near to what is meant."""


def spoilt(answer: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The answer with junk in one of its fields, or without it."""

    def spoil(field: str) -> st.SearchStrategy[dict[str, Any]]:
        without = {name: value for name, value in answer.items() if name != field}
        return st.just(without) | JUNK.map(lambda junk: {**answer, field: junk})

    return st.sampled_from(sorted(answer)).flatmap(spoil)

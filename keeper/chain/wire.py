"""What a node's answers must be, looked at where they enter: whoever reads them later need not doubt their shape.

An answer that is none of what its method may give is no answer, as a silent node's is none; the field is named, and
never quoted. That it is well formed says nothing of its truth.

Source: the Ethereum execution API's `QUANTITY`, `DATA`, block, receipt and log; EIP-2681 for nonces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from keeper.domain.blocks import Block
from keeper.domain.errors import NodeUnreachable
from keeper.domain.flights import Log, Receipt
from keeper.domain.units import Address

_WEI: Final = 2**256
# Far beyond any chain, and a journal of 64-bit numbers still holds what is added to one.
_COUNT: Final = 2**62
# The end of the year 9999: beyond it no date can be shown.
_TIME: Final = 253_402_300_800
_MOST_TOPICS: Final = 4
# Each `[],` becomes sixty bytes in memory; a block of 1,500 transactions has some 50,000 commas and brackets.
_MOST_PARTS: Final = 2**20
# Ours are no deeper than ten. The standard library's reader recurses in C, and how far is what other libraries set.
_DEEPEST: Final = 32
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def why_not_parsed(body: bytes | bytearray) -> str:
    """What in the text of an answer would take too much memory or stack to read; empty when nothing would."""
    opened = body.count(b"[") + body.count(b"{")
    if opened + body.count(b",") > _MOST_PARTS:
        return f"of more than {_MOST_PARTS} parts"
    if opened <= _DEEPEST:
        return ""
    left = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    for _ in range(_DEEPEST):
        before = len(left)
        left = left.replace(b"[]", b"").replace(b"{}", b"")
        if not left:
            return ""
        if len(left) == before:
            break
    return f"in more than {_DEEPEST} brackets, or in brackets that do not match"


def checked(method: str, params: Sequence[Any], answer: Any) -> Any:
    """The answer as it came, if it can be one to this question; else `NodeUnreachable`. Other methods pass."""
    if method in _NUMBERS:
        number_of(answer, method, _NUMBERS[method])
    elif method in _BYTES:
        bytes_of(answer, method)
    elif method in _MAY_BE_NULL:
        if answer is not None:
            _MAY_BE_NULL[method](answer, params)
    elif method == "eth_sendRawTransaction":
        _hash(answer, f"the answer to {method}")
    return answer


def number_of(answer: Any, method: str, below: int = _WEI) -> int:
    """A number as JSON-RPC writes it; `NodeUnreachable` for what is none, or is not below what it can be."""
    return _number(answer, f"the answer to {method}", below)


def bytes_of(answer: Any, method: str) -> bytes:
    """Bytes as JSON-RPC writes them; `NodeUnreachable` for what is none."""
    return _bytes(answer, f"the answer to {method}")


def block_of(header: Any, tag: str) -> Block:
    """A header as JSON-RPC writes it, as a `Block`; hashes in lower case."""
    what = f"no readable header for block {tag}: its"
    field = _fields(header, f"no readable header for block {tag}: it")
    return Block(
        number=_number(field("number"), f"{what} number", _COUNT),
        hash=_hash(field("hash"), f"{what} hash"),
        parent=_hash(field("parentHash"), f"{what} parentHash"),
        timestamp=_number(field("timestamp"), f"{what} timestamp", _TIME),
        base_fee=_number(field("baseFeePerGas") or "0x0", f"{what} baseFeePerGas", _WEI),
    )


def spenders_of(header: Any, tag: str) -> tuple[tuple[Address, int, str], ...]:
    """Who used which nonce by which transaction, of a block that was asked for with its transactions."""
    what = f"the transactions of block {tag}"
    found = []
    for transaction in _list(_fields(header, what)("transactions"), what):
        field = _fields(transaction, what)
        found.append(
            (
                Address(_text(field("from"), _ADDRESS, f"{what}: from")),
                _number(field("nonce"), f"{what}: nonce", _COUNT),
                _hash(field("hash"), f"{what}: hash"),
            )
        )
    return tuple(found)


def receipt_of(answer: Any) -> Receipt:
    """A receipt with its logs as JSON-RPC writes it; everything in hex in lower case."""
    field = _fields(answer, "a receipt")
    return Receipt(
        hash=_hash(field("transactionHash"), "a receipt's transactionHash"),
        block=_number(field("blockNumber"), "a receipt's blockNumber", _COUNT),
        block_hash=_hash(field("blockHash"), "a receipt's blockHash"),
        succeeded=_number(field("status"), "a receipt's status", 2) == 1,
        gas_used=_number(field("gasUsed"), "a receipt's gasUsed", _COUNT),
        gas_price=_number(field("effectiveGasPrice"), "a receipt's effectiveGasPrice", _WEI),
        logs=tuple(_log(log) for log in _list(field("logs"), "a receipt's logs")),
    )


def _log(answer: Any) -> Log:
    field = _fields(answer, "a receipt's log")
    topics = _list(field("topics"), "the topics of a receipt's log")
    if len(topics) > _MOST_TOPICS:
        raise NodeUnreachable(f"node: a receipt's log has {len(topics)} topics")
    data = field("data")
    _bytes(data, "the data of a receipt's log")
    return Log(
        address=_text(field("address"), _ADDRESS, "the address of a receipt's log"),
        topics=tuple(_hash(topic, "a topic of a receipt's log") for topic in topics),
        data=data.lower(),
    )


def _header(answer: Any, params: Sequence[Any]) -> None:
    tag = str(params[0])
    block_of(answer, tag)
    if len(params) > 1 and params[1] is True:
        spenders_of(answer, tag)


def _receipt(answer: Any, _: Sequence[Any]) -> None:
    receipt_of(answer)


def _transaction(answer: Any, _: Sequence[Any]) -> None:
    _hash(_fields(answer, "a transaction")("hash"), "a transaction's hash")


_NUMBERS: Final = {
    "eth_blockNumber": _COUNT,
    "eth_chainId": _COUNT,
    "eth_estimateGas": _COUNT,
    "eth_getBalance": _WEI,
    "eth_getTransactionCount": _COUNT,
}
_BYTES: Final = frozenset({"eth_call", "eth_getCode"})
_MAY_BE_NULL: Final[Mapping[str, Callable[[Any, Sequence[Any]], None]]] = {
    "eth_getBlockByNumber": _header,
    "eth_getTransactionByHash": _transaction,
    "eth_getTransactionReceipt": _receipt,
}


def _fields(answer: Any, what: str) -> Callable[[str], Any]:
    if not isinstance(answer, dict):
        raise NodeUnreachable(f"node: {what} is not an object")
    return answer.get


def _list(answer: Any, what: str) -> list[Any]:
    if not isinstance(answer, list):
        raise NodeUnreachable(f"node: {what} is not a list")
    return answer


def _number(answer: Any, what: str, below: int) -> int:
    if not isinstance(answer, str) or not _QUANTITY.fullmatch(answer):
        raise NodeUnreachable(f"node: {what} is not a number of 256 bits in hex")
    number = int(answer, 16)
    if number >= below:
        raise NodeUnreachable(f"node: {what} is not below {below}")
    return number


def _bytes(answer: Any, what: str) -> bytes:
    if isinstance(answer, str) and answer[:2] == "0x":
        try:
            told = bytes.fromhex(answer[2:])
        except ValueError:
            told = b""
        if 2 * len(told) == len(answer) - 2:  # which space between the digits would not be
            return told
    raise NodeUnreachable(f"node: {what} is not bytes")


def _hash(answer: Any, what: str) -> str:
    return _text(answer, _HASH, what)


def _text(answer: Any, shape: re.Pattern[str], what: str) -> str:
    if not isinstance(answer, str) or not shape.fullmatch(answer):
        raise NodeUnreachable(f"node: {what} is not {'32' if shape is _HASH else '20'} bytes in hex")
    return answer.lower()

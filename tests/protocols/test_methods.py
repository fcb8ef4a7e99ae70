"""Selectors, calldata and reasons, against those everyone knows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import Blind
from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.protocols import aave_v3, erc20, loan_thresholds, multicall3, uniswap_v3
from keeper.protocols.methods import Method, address, revert_reason

SOMEONE = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
TRANSFER = Method("transfer", ("address", "uint256"), ("bool",))


@pytest.mark.parametrize(
    ("method", "selector"),
    [
        (TRANSFER, "a9059cbb"),
        (erc20.BALANCE_OF, "70a08231"),
        (aave_v3.GET_USER_ACCOUNT_DATA, "bf92857c"),
        (aave_v3.GET_RESERVE_DATA, "35ea6a75"),
        (aave_v3.LATEST_ROUND, "feaf968c"),
        (erc20.SYMBOL, "95d89b41"),
    ],
)
def test_method__a_known_function__has_its_known_selector(method: Method, selector: str) -> None:
    assert method.selector.hex() == selector


def test_together__any_calls__are_multicall3s_aggregate3_which_none_fails() -> None:
    call = multicall3.together([Call(SOMEONE, b"\x01\x02")])
    assert call.to == "0xcA11bde05977b3631167028862bE2a173976CA11"
    assert call.data[:4].hex() == "82ad56cb"
    assert call.data[4:] == encode(["(address,bool,bytes)[]"], [[(SOMEONE, True, b"\x01\x02")]])


@given(st.lists(st.one_of(st.none(), st.binary(max_size=100)), max_size=20))
def test_apart__what_multicall3_returns__is_each_answer_or_none_where_it_reverted(
    answers: list[bytes | None],
) -> None:
    returned = encode(
        ["(bool,bytes)[]"],
        [[(answer is not None, b"a reason" if answer is None else answer) for answer in answers]],
    )
    assert multicall3.apart(returned, len(answers)) == answers


def test_method__calldata__is_the_selector_and_a_word_an_argument() -> None:
    data = TRANSFER.call(SOMEONE, 5)
    assert data.hex() == "a9059cbb" + SOMEONE[2:].lower().rjust(64, "0") + f"{5:064x}"


def test_method__its_signature__spells_structs_out() -> None:
    assert loan_thresholds.REBALANCE.signature == (
        "rebalance(address,uint256,(uint8,uint256,uint256,uint24,uint256))"
    )


@given(st.binary(max_size=400))
def test_read__any_bytes__are_a_value_or_blind(returned: bytes) -> None:
    for method in (loan_thresholds.CHECK, aave_v3.GET_RESERVE_DATA, erc20.SYMBOL, TRANSFER):
        with suppress(Blind):
            assert len(method.read(returned)) == len(method.outputs)


NUMBERS = Method("numbers", (), ("uint8", "int24", "int256", "bool", "address", "uint256"))
STRUCT = Method("struct", (), ("(uint256,bool,int8,address)",))
NARROW = st.integers(-(2**23), 2**23).map(lambda number: number % 2**256)
ANY_WORD = st.one_of(st.integers(0, 2), NARROW, st.integers(0, 2**160), st.integers(0, 2**256 - 1))


@given(st.lists(ANY_WORD, max_size=8), st.binary(max_size=40))
def test_read__words_of_any_kind__are_read_as_the_codec_reads_them(words: list[int], rest: bytes) -> None:
    returned = b"".join(word.to_bytes(32, "big") for word in words) + rest
    for method in (NUMBERS, STRUCT, TRANSFER, aave_v3.GET_RESERVE_DATA, uniswap_v3.SLOT0):
        try:
            expected = decode(method.outputs, returned)
        except DecodingError:
            with pytest.raises(Blind):
                method.read(returned)
        else:
            assert method.read(returned) == expected


ASKED = Method("asked", ("uint8", "int24", "bool", "address", "uint256"), ())
ANY_VALUE = st.one_of(
    st.integers(-(2**256), 2**256),
    st.integers(-(2**23) - 1, 2**23),
    st.integers(-1, 256),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.binary(min_size=19, max_size=21).map(lambda raw: "0x" + raw.hex()),
    st.binary(min_size=20, max_size=20),
)


@given(st.lists(ANY_VALUE, min_size=4, max_size=6))
def test_calldata__of_anything__is_what_the_codec_writes_or_refuses(values: list[Any]) -> None:
    fitting = [5, -1, True, SOMEONE, 2**200]
    for at, value in enumerate(values[:5]):
        one_other = [*fitting[:at], value, *fitting[at + 1 :]]
        for arguments in (one_other, values):
            try:
                expected = encode(ASKED.inputs, arguments)
            except (EncodingError, TypeError, ValueError) as refusal:
                with pytest.raises(type(refusal)):
                    ASKED.call(*arguments)
            else:
                assert ASKED.call(*arguments) == ASKED.selector + expected


def test_read__nothing_where_a_word_is_due__is_blind_as_when_no_contract_stands_there() -> None:
    with pytest.raises(Blind, match="chain: transfer returned 0 bytes that cannot be read"):
        TRANSFER.read(b"")


def test_read__text_that_is_not_utf_8__is_blind() -> None:
    with pytest.raises(Blind, match="chain: symbol returned 96 bytes that cannot be read"):
        erc20.SYMBOL.read(encode(["bytes"], [b"\xff\xfe"]))


def a_finding(kind: int, why: bytes) -> bytes:
    return encode(["(uint8,uint8,uint256,uint256,uint256,uint24,bytes)"], [(kind, 1, 1, 2, 3, 500, why)])


def test_read_finding__what_check_returned__comes_field_by_field() -> None:
    finding = loan_thresholds.read_finding(a_finding(1, b"health: below the floor"))
    assert (finding.kind.name, finding.action.name) == ("BREACHED", "RELEVERAGE")
    assert (finding.health, finding.amount, finding.swapped, finding.fee) == (1, 2, 3, 500)
    assert finding.why == "health: below the floor"


def test_address__any_spelling__is_checksummed() -> None:
    assert address(SOMEONE.lower()) == address("0x" + SOMEONE[2:].upper()) == SOMEONE


ERROR_STRING = bytes.fromhex("08c379a0")


def test_revert_reason__error_of_string__is_its_sentence() -> None:
    assert revert_reason(ERROR_STRING + encode(["string"], ["rule: expired"])) == "rule: expired"


def test_revert_reason__a_custom_error_or_a_panic__is_its_selector_or_code() -> None:
    # HealthFactorLowerThanLiquidationThreshold(), as later versions of Aave say it; and arithmetic that overflows.
    assert revert_reason(bytes.fromhex("6679996d")) == "error 0x6679996d"
    assert revert_reason(bytes.fromhex("4e487b71") + (17).to_bytes(32, "big")) == "panic 0x11"


def test_revert_reason__nothing__is_said_to_be_nothing() -> None:
    assert revert_reason(b"") == "no reason given"


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\x00" * 31,
        b"\xff" * 64,
        encode(["bytes"], [b"\xff\xfe\xfd"]),
        encode(["string"], ["long"])[:-32],
    ],
)
def test_revert_reason__an_error_of_string_that_is_none__is_called_unreadable(rest: bytes) -> None:
    assert revert_reason(ERROR_STRING + rest) == "an unreadable reason"


@given(st.binary(max_size=300), st.booleans())
def test_revert_reason__any_bytes__are_a_sentence_and_never_an_error(rest: bytes, is_text: bool) -> None:
    assert revert_reason(ERROR_STRING + rest if is_text else rest) is not None

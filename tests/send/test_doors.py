"""Which doors are open when: nothing private becomes public before it may, and nothing public private again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.blocks import Block
from keeper.domain.flights import Purpose
from keeper.send.doors import doors_now, named_by_a_key
from keeper.send.fees import Discretion, urgency
from tests.send.flights_given import LIMITS, attempt

RELAYS = ("one", "two")
HIDDEN = replace(LIMITS, discretion=Discretion(RELAYS, public_after_blocks=5, public_urgency=2))


def head(number: int = 100, now: int = 1_000) -> Block:
    return Block(number, f"0x{number:064x}", f"0x{number - 1:064x}", now, 10**9)


@pytest.mark.parametrize(
    ("number", "left", "after", "urgent", "public"),
    [
        (100, 300, 5, 2, False),
        (104, 300, 5, 2, False),
        (105, 300, 5, 2, True),
        (100, 75, 5, 2, False),
        (100, 74, 5, 2, True),
        (100, 149, 5, 1, True),
        (10**6, 1, 0, 3, False),
        (10**6, -1, 0, 2, False),
    ],
)
def test_an_action__given_to_relays_in_block_100__goes_public_when_the_operator_says(
    number: int, left: int, after: int, urgent: int, public: bool
) -> None:
    limits = replace(LIMITS, discretion=Discretion(RELAYS, after, urgent))
    hidden = replace(attempt(block=100), doors=RELAYS)
    doors = doors_now(Purpose.ACT, (hidden,), head(number), 1_000 + left, limits)
    assert doors == (("public",) if public else RELAYS)


def test_a_first_attempt__is_given_to_relays_but_where_it_presses_at_once_or_there_are_none() -> None:
    assert doors_now(Purpose.ACT, (), head(), 1_300, HIDDEN) == RELAYS
    assert doors_now(Purpose.ACT, (), head(), 1_050, HIDDEN) == ("public",)
    assert doors_now(Purpose.ACT, (), head(), 1_300, LIMITS) == ("public",)


@given(
    st.sampled_from(Purpose),
    st.lists(st.sampled_from([(), ("one",), RELAYS, ("public",), ("one", "public")]), max_size=4),
    st.integers(100, 200),
    st.integers(-100, 400),
    st.integers(0, 50),
    st.integers(0, 3),
)
def test_whatever_was_tried__what_is_private_stays_so_until_it_may_not_and_what_is_public_always(
    purpose: Purpose, tried: list[tuple[str, ...]], number: int, left: int, after: int, urgent: int
) -> None:
    limits = replace(LIMITS, discretion=Discretion(RELAYS, after, urgent))
    attempts = [replace(attempt(n + 1, block=100), doors=doors) for n, doors in enumerate(tried)]
    doors = doors_now(purpose, attempts, head(number), 1_000 + left, limits)
    hidden = all(each and "public" not in each for each in tried)
    may = (0 < after <= number - 100 and bool(tried)) or urgency(left, limits) >= urgent
    assert doors == (RELAYS if purpose is Purpose.ACT and hidden and not may else ("public",))


def test_a_request__named_by_a_key__is_signed_over_its_body_by_the_address_it_names() -> None:
    headers, body = named_by_a_key(), b'{"method": "eth_sendBundle"}'
    name, signature = headers(body)["X-Flashbots-Signature"].split(":")
    signed = encode_defunct(text="0x" + keccak(body).hex())
    assert Account.recover_message(signed, signature=signature) == name
    assert headers(b"another")["X-Flashbots-Signature"].split(":")[0] == name
    assert named_by_a_key()(body)["X-Flashbots-Signature"].split(":")[0] != name

"""What this operator will not do: each reason, and none."""

from __future__ import annotations

import pytest

from keeper.domain.blocks import Block
from keeper.domain.flights import Lately, State
from keeper.domain.units import GWEI, NOBODY, Address
from keeper.guard import rests, why_not
from tests.send.flights_given import KEEPER, STRANGER, flight

LIMIT = 300 * GWEI


def a_block(base_fee: int = 20 * GWEI) -> Block:
    return Block(100, "0x" + "01" * 32, "0x" + "00" * 32, 1_700_000_000, base_fee)


@pytest.mark.parametrize("reverted", [1, 2, 5])
def test_rests__actions_that_reverted_in_a_row__double_the_wait_with_each(reverted: int) -> None:
    lately = Lately(7, 100, reverted)
    first = 100 + 2**reverted
    assert rests(lately, first) is None
    why = rests(lately, first - 1)
    assert why is not None
    assert why.endswith(f"for this owner reverted in a row, and the next is not before block {first}")


def test_rests__after_one_that_went_well__not_at_all() -> None:
    assert rests(Lately(7, 100, 0), 100) is None


@pytest.mark.parametrize("named", [NOBODY, KEEPER])
def test_why_not__a_rule_open_to_this_keeper__gives_no_reason(named: Address) -> None:
    assert why_not(named, a_block(), KEEPER, LIMIT, None) is None


def test_why_not__a_rule_that_names_another__says_whom() -> None:
    assert why_not(STRANGER, a_block(), KEEPER, LIMIT, None) == f"rule: another keeper is named, {STRANGER}"


@pytest.mark.parametrize("state", [State.SIGNED, State.BROADCAST, State.INCLUDED])
def test_why_not__a_flight_under_way__says_its_nonce_and_block(state: State) -> None:
    waiting = flight(state)
    assert (
        why_not(NOBODY, a_block(), KEEPER, LIMIT, waiting)
        == "sender: nonce 7, decided in block 0, is still under way"
    )


def test_why_not__a_base_fee_on_the_limit__is_paid_and_one_wei_above_it_is_not() -> None:
    assert why_not(NOBODY, a_block(LIMIT), KEEPER, LIMIT, None) is None
    assert why_not(NOBODY, a_block(LIMIT + GWEI), KEEPER, LIMIT, None) == (
        "fees: the base fee of 301.0 gwei is above the limit of 300"
    )
    assert why_not(NOBODY, a_block(LIMIT + 1), KEEPER, LIMIT, None) is not None


def test_why_not__several_reasons__gives_the_one_that_lasts_longest() -> None:
    everything = (a_block(LIMIT + GWEI), KEEPER, LIMIT, flight())
    assert str(why_not(STRANGER, *everything)).startswith("rule: ")
    assert str(why_not(NOBODY, *everything)).startswith("sender: ")

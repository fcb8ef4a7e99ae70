"""One flight's cost taken apart, over swaps that Uniswap's own arithmetic made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.blocks import Block
from keeper.domain.flights import Attempt, Fees, Flight, Log, Purpose, Receipt, State
from keeper.domain.plans import Intent, Move, Plan, Rehearsal, Spot, Valuation
from keeper.domain.units import WAD, Address
from keeper.protocols.erc20 import TRANSFER_TOPIC
from keeper.protocols.liquidity import Venue, sell
from keeper.protocols.methods import address
from keeper.protocols.uniswap_v3 import SWAP_TOPIC
from keeper.score.shortfall import Scored, score
from tests.journal import flights_kept as kept

WETH, USDC = (replace(asset, address=address(asset.address)) for asset in (kept.WETH, kept.USDC))
POOL = Address("0x" + "0F" * 20)
KEEPER = Address("0x" + "Dd" * 20)
FEE = 500
ETHER = 2_000
# USDC is token0 here: units of ether per unit of dollars, as a root in Q64.96.
PRICE = int((10**18 / (ETHER * 10**6)) ** 0.5 * 2**96)
BLOCK = Block(10, "0x" + "aa" * 32, "0x" + "ab" * 32, 1_700_000_000, 20 * 10**9)
BID = Attempt("0x01", b"", Fees(100 * 10**9, 10**9), Purpose.ACT, 10)
CANCEL = Attempt("0x02", b"", Fees(110 * 10**9, 2 * 10**9), Purpose.CANCEL, 12)


def word(number: int) -> str:
    return number.to_bytes(32, "big", signed=number < 0).hex()


def transfer(token: Address, sender: str, to: str, amount: int) -> Log:
    sides = tuple("0x" + "00" * 12 + who[2:].lower() for who in (sender, to))
    return Log(token.lower(), (TRANSFER_TOPIC, *sides), "0x" + word(amount))


def swap_logs(sold: int, bought: int, after: int, liquidity: int) -> tuple[Log, ...]:
    """Ether for dollars: what the pool and both tokens log, in a node's lower case, a stranger's transfer between."""
    words = "".join(map(word, (-bought, sold, after, liquidity, 0)))
    return (
        transfer(USDC.address, POOL, kept.THRESHOLDS, bought),
        transfer(WETH.address, kept.OWNER, kept.STRANGER, sold),
        transfer(WETH.address, kept.THRESHOLDS, POOL, sold),
        Log(POOL.lower(), (SWAP_TOPIC, "0x" + "00" * 32, "0x" + "00" * 32), "0x" + words),
    )


def swapped_at(price: int, liquidity: int, sold: int) -> tuple[int, int]:
    """The dollars a pool gives for ether, and its price after it; nothing where it cannot carry that."""
    return sell(False, sold, Venue(price, liquidity, FEE)) or (0, price)


def flight_of(sold: int, rehearsed: int, logs: tuple[Log, ...], spot: int = PRICE) -> Flight:
    moves = (Move("sell", WETH, sold, FEE), Move("buy", USDC, rehearsed))
    valued = Valuation(
        "USD",
        50_000 * WAD,
        ((WETH, ETHER * WAD), (USDC, WAD)),
        (Spot(WETH.address, USDC.address, FEE, spot),),
    )
    held = kept.intent()
    after = held.plan.after
    intent: Intent = replace(
        held,
        plan=Plan(held.plan.key, "reweigh", moves, after, valued),
        rehearsal=Rehearsal(moves, after, 300_000),
        decided_block=BLOCK.number,
        decided_hash=BLOCK.hash,
    )
    receipt = Receipt("0x01", 12, "0x" + "bb" * 32, True, 250_000, 30 * 10**9, logs)
    return Flight(intent, kept.CHAIN, KEEPER, 0, State.FINAL, "send: done", (BID, CANCEL), 10, receipt)


def scored(flight: Flight) -> Scored:
    found = score(flight, BLOCK, "WETH")
    assert found is not None
    return found


amounts = st.integers(10**15, 500 * 10**18)
depths = st.integers(10**17, 10**22)
drifts = st.floats(0.98, 1.02)


@given(sold=amounts, depth=depths, drift=drifts, shallower=st.floats(0.5, 2.0))
def test_a_swap__its_parts_added_up__brought_that_much_less_than_the_price_decided_on(
    sold: int, depth: int, drift: float, shallower: float
) -> None:
    meant, _ = swapped_at(PRICE, depth, sold)
    met = int(PRICE * drift)
    real_depth = int(depth * shallower)
    came, after = swapped_at(met, real_depth, sold)
    if min(meant, came) < 10**6:
        return
    found = scored(flight_of(sold, meant, swap_logs(sold, came, after, real_depth)))
    assert found.planned is not None
    assert found.realised is not None
    rate = 2**192 / PRICE**2 / 10**6
    fair = sold * rate
    swapped = replace(found.realised, gas=0.0)
    assert swapped.total == pytest.approx(fair - came / 10**6, rel=1e-6, abs=1e-5)
    assert replace(found.planned, gas=0.0).total == pytest.approx(fair - meant / 10**6, rel=1e-6, abs=1e-5)
    assert swapped.fee == pytest.approx(fair * FEE / 10**6)
    # The price it met, told by nothing but the receipt.
    moved = sold * (1 - FEE / 10**6) * (rate - 2**192 / met**2 / 10**6)
    assert swapped.delay == pytest.approx(moved, rel=1e-4, abs=fair * 1e-6)
    deeper = sold * (1 - FEE / 10**6) * 2**192 / met**2 / 10**6 - came / 10**6 - found.planned.impact
    assert swapped.slippage == pytest.approx(deeper, rel=1e-4, abs=fair * 1e-6)
    assert found.traded == pytest.approx(sold / 10**18 * ETHER)


def test_a_swap__that_came_as_rehearsed__has_neither_delay_nor_slippage() -> None:
    depth, sold = 10**19, 10 * 10**18
    came, after = swapped_at(PRICE, depth, sold)
    found = scored(flight_of(sold, came, swap_logs(sold, came, after, depth)))
    assert found.planned is not None
    assert found.realised is not None
    assert found.realised.fee == pytest.approx(10)
    assert found.realised.impact == found.planned.impact > 0.5
    assert abs(found.realised.delay) + abs(found.realised.slippage) < 1e-3
    assert found.planned.gas == pytest.approx(300_000 * 21e-9 * ETHER), (
        "base fee and tip of the block decided on"
    )
    assert found.realised.gas == pytest.approx(250_000 * 30e-9 * ETHER)
    assert found.blocks == 2


@pytest.mark.parametrize("how", ["reverted", "cancelled"])
def test_an_attempt__that_did_not_act__was_to_cost_nothing_and_cost_its_gas(how: str) -> None:
    flight = flight_of(10**18, 2_000 * 10**6, ())
    assert flight.receipt is not None
    failed = (
        replace(flight.receipt, succeeded=False)
        if how == "reverted"
        else replace(flight.receipt, hash=CANCEL.hash, gas_used=21_000)
    )
    found = scored(replace(flight, receipt=failed))
    assert not found.done
    assert found.planned is not None
    assert found.realised is not None
    assert (found.planned.total, found.planned_wei) == (0.0, 0)
    assert found.realised.total == found.realised.gas == pytest.approx(failed.gas_cost / 1e18 * ETHER)
    assert found.traded == 0.0


def test_a_flight__that_no_block_holds__has_no_score() -> None:
    assert score(replace(flight_of(10**18, 1, ()), receipt=None), BLOCK, "WETH") is None


def test_a_plan__without_prices__tells_its_gas_alone() -> None:
    flight = flight_of(10**18, 2_000 * 10**6, ())
    old = replace(flight.intent, plan=replace(flight.intent.plan, valued=None))
    found = scored(replace(flight, intent=old))
    assert found.planned is found.realised is None
    assert (found.planned_wei, found.paid_wei) == (300_000 * 21 * 10**9, 250_000 * 30 * 10**9)
    assert (found.money, found.ether) == ("", None)


def test_a_log__of_another_pool_or_shape__is_no_swap_of_the_plan() -> None:
    sold, bought = 10**18, 1_990 * 10**6
    good = swap_logs(sold, bought, PRICE, 10**19)
    strange = (
        Log(POOL, (SWAP_TOPIC,), "0x00"),
        Log(kept.OWNER, (SWAP_TOPIC,), good[-1].data),
        Log(WETH.address, (TRANSFER_TOPIC,), "0x" + word(sold)),
    )
    alone, among = (scored(flight_of(sold, bought, logs)) for logs in (good, (*strange, *good)))
    assert alone.realised == among.realised
    none = scored(flight_of(sold, bought, strange))
    assert none.planned is none.realised is None, "what cannot be found is not taken for nothing"

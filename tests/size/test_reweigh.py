"""The keeper's own copy of the contract's arithmetic for baskets, held equal to it digit by digit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.devnet.anvil import Anvil
from keeper.devnet.artifacts import compiled
from keeper.devnet.transactions import call
from keeper.domain.baskets import (
    BasketAsset,
    BasketLimits,
    BasketRule,
    BasketState,
    Line,
    measure_up,
    spent_up,
    urgency_down,
    weighed,
    width,
)
from keeper.domain.units import NOBODY, WAD, Address
from keeper.protocols.liquidity import Venue, sell
from keeper.size.reweigh import agrees, flows_down, sells_token0
from tests.contracts.loan_stage import compiled_source, create

HARNESS = """
# pragma version ==0.4.3
# pragma evm-version cancun
from contracts import limits
from contracts import reweigh
from contracts import uniswap_v3
from contracts import volatility_bands
from contracts import weights
from contracts.interfaces import ILimits

initializes: uniswap_v3
initializes: reweigh[uniswap_v3 := uniswap_v3]

@deploy
def __init__(factory: address):
    uniswap_v3.__init__(factory)

@external
@pure
def weigh(lines: DynArray[weights.Line, 8], cap: uint256, destination: uint256, most: uint256, full: uint256) -> (
    DynArray[weights.Line, 8], uint256, uint256, DynArray[uint256, 8]
):
    weighed: DynArray[weights.Line, 8] = weights._weighed(lines, cap, destination)
    measure: uint256 = weights._measure(weighed)
    return weighed, measure, weights._urgency(measure, full), weights._flows(weighed, most)

@external
@pure
def quote(venue: uniswap_v3.Venue, sold: uint256) -> reweigh.Quote:
    return reweigh._buy_for(venue, sold)

@external
@pure
def agree(sqrt_price: uint256, one: weights.Line, other: weights.Line, bps: uint256) -> bool:
    return weights._agrees(sqrt_price, uniswap_v3._sorted(one.token, other.token), one, other, bps)

@external
@pure
def band(k: uint256, sigma: uint256, horizon: uint256, narrow: uint256, wide: uint256) -> uint256:
    return volatility_bands._band(k, sigma, horizon, narrow, wide)

@external
@view
def room(limits_: ILimits.Limits, state: ILimits.State) -> (uint256, uint256):
    return limits._room(limits_, state), block.timestamp
"""
LINE = "(address,uint256,uint256,uint256,uint256,uint256,uint256,bool,uint256,uint256,uint256,uint256)"
VENUE = "(uint24,bool,uint256,uint256)"
LIMITS = f"(address,{','.join(['uint256'] * 11)})"


class Sums:
    """The contract's arithmetic by itself."""

    def __init__(self, anvil: Anvil) -> None:
        self._node = anvil.node
        harness = {**compiled_source(HARNESS), "linkReferences": {}}
        factory = Address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
        self._node.ask("anvil_setCode", factory, "0x00")
        self._at = create(anvil.node, compiled("sums", harness), factory)

    def ask(self, signature: str, returns: str, *arguments: Any) -> tuple[Any, ...]:
        return call(self._node, self._at, signature, returns, *arguments)


@pytest.fixture(scope="module")
def sums() -> Iterator[Sums]:
    with Anvil() as anvil:
        yield Sums(anvil)


def token(n: int) -> Address:
    return Address(f"0x{(n * 7919 + 1) ** 5 % 2**160:040x}")


@st.composite
def lines(draw: st.DrawFn) -> tuple[Line, ...]:
    count = draw(st.integers(2, 8))
    cuts = sorted(draw(st.sets(st.integers(1, 9_999), min_size=count - 1, max_size=count - 1)))
    targets = [b - a for a, b in zip([0, *cuts], [*cuts, 10_000], strict=True)]
    return tuple(
        Line(
            token(n),
            draw(st.integers(10**8, 10**24)),
            10 ** draw(st.sampled_from([0, 6, 8, 18])),
            target,
            draw(st.integers(1, 10_000)) * draw(st.sampled_from([target, 10_000])),
            draw(st.one_of(st.just(0), st.integers(0, 2**70))),
        )
        for n, target in enumerate(targets)
    )


@settings(max_examples=80, deadline=None)
@given(
    lines(), st.integers(0, 5_000), st.integers(0, 10_000), st.integers(1, 10**9), st.integers(10_001, 65_535)
)
def test_weights__any_basket__are_the_contracts_to_the_last_digit(
    sums: Sums, read: tuple[Line, ...], above: int, destination: int, most: int, full: int
) -> None:
    cap = min(max(line.target_bps for line in read) + 1 + above, 10_000)
    seen = weighed(read, cap, destination)
    told, measure, urgency, flows = sums.ask(
        f"weigh({LINE}[],uint256,uint256,uint256,uint256)",
        f"({LINE}[],uint256,uint256,uint256[])",
        [astuple(line) for line in read],
        cap,
        destination,
        most * WAD,
        full,
    )
    assert list(told) == [astuple(line) for line in seen]
    assert measure == measure_up(seen)
    assert urgency == urgency_down(measure, full)
    assert list(flows) == flows_down(seen, most * WAD)
    sold = sum(flow for line, flow in zip(seen, flows, strict=True) if line.over)
    assert abs(sold - (sum(flows) - sold)) <= 8


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([100, 500, 3_000, 10_000]),
    st.booleans(),
    st.integers(4295128740, 1461446703485210103287273052203988822378723970341),
    st.integers(1, 2**128 - 1),
    st.integers(0, 2**130),
)
def test_quote__any_pool_and_size__is_the_contracts_to_the_last_digit(
    sums: Sums, fee: int, token0_in: bool, sqrt_price: int, liquidity: int, sold: int
) -> None:
    told = sums.ask(
        f"quote({VENUE},uint256)", "((uint256,uint256))", (fee, token0_in, sqrt_price, liquidity), sold
    )
    nothing = (0, 0)
    venue = Venue(sqrt_price, liquidity, fee)
    assert told == ((sell(token0_in, sold, venue) or nothing) if sold else nothing,)


@settings(max_examples=60, deadline=None)
@given(lines(), st.integers(-300, 300), st.integers(1, 1_000))
def test_agreement__any_two_assets__is_the_contracts(
    sums: Sums, read: tuple[Line, ...], off: int, bps: int
) -> None:
    one, other = read[:2]
    low, high = (one, other) if sells_token0(one.token, other.token) else (other, one)
    fair = low.price * high.unit * 2**192 // (high.price * low.unit)
    root = min(int((fair * (10_000 + off) // 10_000) ** 0.5) + 1, 2**160 - 1)
    told = sums.ask(
        f"agree(uint256,{LINE},{LINE},uint256)", "(bool)", root, astuple(one), astuple(other), bps
    )
    assert told == (agrees(root, one, other, bps),)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 65_535),
    st.integers(1, 10**20),
    st.integers(1, 65_535),
    st.integers(1, 500),
    st.integers(0, 500),
)
def test_width__any_volatility__is_the_contracts(
    sums: Sums, k: int, sigma: int, hours: int, narrow: int, more: int
) -> None:
    asset = BasketAsset(token(1), token(2), 1, 1, 1, 3_000, narrow, narrow + more)
    rule = BasketRule((asset,), True, 0, 0, 0, 0, 0, k, hours * 3_600, limits_of(1, 1))
    told = sums.ask(
        "band(uint256,uint256,uint256,uint256,uint256)",
        "(uint256)",
        *(k, sigma, hours * 3_600, narrow, narrow + more),
    )
    assert told[0] * 3_000 == width(asset, rule, sigma)
    assert width(asset, rule, 0) == (narrow + more) * 3_000


def limits_of(budget: int, window: int) -> BasketLimits:
    return BasketLimits(NOBODY, 1, 0, 0, 1, 1, 0, 0, 0, 0, budget, window)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2**64 - 1), st.integers(1, 2**24 - 1), st.integers(0, 10**6), st.integers(0, 10_000))
def test_budget__any_state__has_the_contracts_room(
    sums: Sums, budget: int, window: int, ago: int, spent: int
) -> None:
    limits = limits_of(budget, window)
    _, now = sums.ask(
        f"room({LIMITS},(uint256,uint256,uint256))", "(uint256,uint256)", astuple(limits), (0, 0, 0)
    )
    state = BasketState(now - ago, budget * spent // 10_000, 0)
    room, _ = sums.ask(
        f"room({LIMITS},(uint256,uint256,uint256))", "(uint256,uint256)", astuple(limits), astuple(state)
    )
    assert room == budget - spent_up(limits, state, now)

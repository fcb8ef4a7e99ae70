"""One action's cost, part by part: what was reckoned with when it was decided, and what its receipt shows.

    gas       units times the price paid for one
    fee       the pool's share of what went in
    impact    what the pool's depth was to take of the swap, as rehearsed
    delay     how far the pool's price moved from the block decided on until the swap
    slippage  how much more the depth took than rehearsed

All but gas is measured against the pool's price at the block decided on: what a swap brought less than at that price is
exactly the sum of the other four. A plan knows neither delay nor slippage. Money is that of the plan's `Valuation`.

Source: Perold, "The implementation shortfall" (1988), for the yardstick.
Assumes: a transaction costs its gas times the price of gas. While a swap crosses no tick its mean price is the
geometric mean of those before and after it, by which the receipt tells the price before; where it crosses one, delay
and slippage are told apart only roughly, their sum being right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Final, Self

from keeper.domain.blocks import Block
from keeper.domain.flights import Flight, Log, Purpose
from keeper.domain.plans import Move, Spot, Valuation
from keeper.domain.units import WAD, Address
from keeper.protocols.erc20 import TRANSFER_TOPIC
from keeper.protocols.methods import address
from keeper.protocols.uniswap_v3 import SWAP_TOPIC, Swap, read_swap

_GIVEN: Final = ("sell", "borrow")
_MILLION: Final = 10**6
_Q192: Final = 2**192
_TRANSFER_TOPICS: Final = 3


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The parts of a cost; below zero where something turned out to the owner's good."""

    gas: float = 0.0
    fee: float = 0.0
    impact: float = 0.0
    delay: float = 0.0
    slippage: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.gas + self.fee + self.impact + self.delay + self.slippage

    def __add__(self, other: Self) -> Self:
        return type(self)(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def times(self, factor: float) -> Self:
        """Every part, in another unit."""
        return type(self)(*(part * factor for part in astuple(self)))


@dataclass(frozen=True, slots=True)
class Scored:
    """A flight that a block holds, and what it cost: wei for gas, all else in `money`.

    An attempt that failed or was cancelled (not `done`) was planned to cost nothing and cost its gas. `ether` is the
    price gas was valued at, None where it is not known and the parts are without gas. `planned` and `realised` are None
    where no price was kept with the plan, or its swaps are not in the receipt. `traded` is the value that went into
    swaps, `blocks` how many passed from the one decided on.
    """

    flight: Flight
    decided: Block
    done: bool
    blocks: int
    planned_wei: int
    paid_wei: int
    money: str
    ether: float | None
    worth: float
    traded: float
    planned: Shortfall | None
    realised: Shortfall | None


def score(flight: Flight, decided: Block, native: str, ether: float | None = None) -> Scored | None:
    """What a flight cost; None while no block holds it.

    `native` is the symbol or address of the token that wraps what gas is paid in, whose price is taken from the plan
    unless `ether` says another.
    """
    receipt, plan = flight.receipt, flight.intent.plan
    if receipt is None:
        return None
    done = receipt.succeeded and flight.attempt(receipt.hash).purpose is Purpose.ACT
    bid, gas = flight.attempts[0].fees, flight.intent.rehearsal.gas
    planned_wei = gas * min(decided.base_fee + bid.tip, bid.max_fee) if done else 0
    price = ether
    if price is None and plan.valued:
        price = _price_of(native, plan.valued)
    planned = realised = None
    traded = 0.0
    swapped: tuple[Shortfall, Shortfall, float] | None = (Shortfall(), Shortfall(), 0.0)
    if plan.valued and done:
        swapped = _swapped(flight, plan.valued)
    if plan.valued and swapped:
        reckoned, came, traded = swapped
        planned, realised = (
            parts + Shortfall(gas=wei / WAD * (price or 0.0))
            for parts, wei in ((reckoned, planned_wei), (came, receipt.gas_cost))
        )
    return Scored(
        flight=flight,
        decided=decided,
        done=done,
        blocks=receipt.block - decided.number,
        planned_wei=planned_wei,
        paid_wei=receipt.gas_cost,
        money=plan.valued.money if plan.valued else "",
        ether=price,
        worth=plan.valued.worth / WAD if plan.valued else 0.0,
        traded=traded,
        planned=planned,
        realised=realised,
    )


def _price_of(native: str, valued: Valuation) -> float | None:
    """Of one whole native coin, as the plan priced the token that wraps it."""
    for asset, price in valued.prices:
        if native.lower() in (asset.symbol.lower(), asset.address.lower()):
            return price / WAD
    return None


def _swapped(flight: Flight, valued: Valuation) -> tuple[Shortfall, Shortfall, float] | None:
    """What its swaps were to cost, what they cost, and the value that went into them; None if one is not found."""
    assert flight.receipt is not None
    units = {asset.address: price / WAD / 10**asset.decimals for asset, price in valued.prices}
    spots = {(spot.sold, spot.bought): spot for spot in valued.spots}
    swaps = _swaps_in(flight.receipt.logs)
    planned, realised, traded = Shortfall(), Shortfall(), 0.0
    for sold, bought in _pairs(flight.intent.rehearsal.moves):
        pair = sold.asset.address, bought.asset.address
        spot, swap = spots.get(pair), swaps.get(pair)
        if spot is None or swap is None:
            return None
        reckoned = _against(spot, sold.amount, bought.amount, _rate(spot, spot.sqrt_price))
        planned += reckoned.times(units[pair[1]])
        before = _rate_before(spot, swap)
        came = _against(spot, swap.sold, swap.bought, before)
        came = Shortfall(
            fee=came.fee,
            impact=reckoned.impact,
            delay=came.delay,
            slippage=came.impact - reckoned.impact,
        )
        realised += came.times(units[pair[1]])
        traded += swap.sold * units[pair[0]]
    return planned, realised, traded


def _pairs(moves: Sequence[Move]) -> Iterator[tuple[Move, Move]]:
    """Which move gives what to a pool, and which takes from it: kinds write them in pairs, in either order."""
    for one, other in zip(moves[::2], moves[1::2], strict=True):
        yield (one, other) if one.verb in _GIVEN else (other, one)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What pools took and gave of a pair; `first` is the first swap of it."""

    sold: int
    bought: int
    first: Swap


def _swaps_in(logs: Sequence[Log]) -> dict[tuple[Address, Address], _Exchange]:
    """Every pair's swaps; what a pool names no tokens for, the transfers to and from it do."""
    found: dict[tuple[Address, Address], _Exchange] = {}
    for log in logs:
        swap = read_swap(log.data) if log.topics[:1] == (SWAP_TOPIC,) else None
        if swap is None:
            continue
        taken, given = max(swap.amount0, swap.amount1), -min(swap.amount0, swap.amount1)
        sold, bought = _moved(logs, log.address, taken, 2), _moved(logs, log.address, given, 1)
        if sold is None or bought is None:
            continue
        before = found.get((sold, bought))
        if before is not None:
            taken, given, swap = before.sold + taken, before.bought + given, before.first
        found[sold, bought] = _Exchange(taken, given, swap)
    return found


def _moved(logs: Sequence[Log], pool: str, amount: int, side: int) -> Address | None:
    """The token of which exactly so much went from the pool (`side` 1) or to it (2)."""
    for log in logs:
        if log.topics[:1] != (TRANSFER_TOPIC,) or len(log.topics) != _TRANSFER_TOPICS:
            continue
        if log.topics[side][-40:].lower() == pool[-40:].lower() and int(log.data, 16) == amount:
            return address(log.address)
    return None


def _rate(spot: Spot, sqrt_price: int) -> float:
    """How much one unit sold brings at a pool's price, fee apart, in the smallest units of both."""
    price = sqrt_price**2 / _Q192
    return price if int(spot.sold, 16) < int(spot.bought, 16) else 1.0 / price


def _rate_before(spot: Spot, swap: _Exchange) -> float:
    """The same just before a swap, as the swap itself tells it."""
    after = _rate(spot, swap.first.sqrt_price)
    taken, given = max(swap.first.amount0, swap.first.amount1), -min(swap.first.amount0, swap.first.amount1)
    mean = given / (taken * (1.0 - spot.fee / _MILLION))
    return mean**2 / after if mean else after


def _against(spot: Spot, sold: int, bought: int, before: float) -> Shortfall:
    """What a swap brought less than at the price decided on, in what it bought; `before` is the rate it met."""
    then, fee = _rate(spot, spot.sqrt_price), spot.fee / _MILLION
    net = sold * (1.0 - fee)
    return Shortfall(fee=sold * fee * then, delay=net * (then - before), impact=net * before - bought)

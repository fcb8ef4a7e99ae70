"""Plays hourly bars through the chain: feeds and pool together, base fee and block times following.

Each bar becomes a path: its open, the extreme that hurts (`adverse`: the low, for who borrows against the asset),
the other extreme, its close. The four stand a quarter of an hour apart. Nobody knows the true order within the
bar; this one is the harder. Between them the price moves in equal steps of at most `max_move_bps`, because a fall of
a quarter within an hour was never one block's, and a feed speaks up every half a per cent or so.

Where bars say what USDC was worth, its feed goes with them, evenly from one hour's price to the next, and the pool is
traded to the ratio of both; a step is then short enough for either.

Time: when the chain's head is up to a day older than the first bar, blocks carry the bars' own times; otherwise the
bars are shifted so as to start with the next block. Either way a block is never older than the one before, and no
jump of years makes interest accrue.

Assumes: the chain's oracle stands near the first bar's open, as `deploy_world(eth_price=bars[0].open)` leaves it;
the first step goes there at once. Before EIP-1559 there was no base fee: the gas price then paid stands in for it.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import chain, pairwise
from typing import Final, Literal

from keeper.chain.node import Question
from keeper.devnet.actors import Arbitrageur
from keeper.devnet.bars import HOUR, Bar, read_bars
from keeper.devnet.transactions import calldata, offer, receipts
from keeper.devnet.world import BLOCK_SECONDS, Reserve, World, units
from keeper.domain.units import GWEI

Mark = Literal["open", "low", "high", "close", "between"]

_PRICE_DECIMALS: Final = 8
_QUARTER: Final = HOUR // 4
_DAY: Final = 24 * HOUR
_HEARTBEAT: Final = 12 * HOUR


@dataclass(frozen=True, slots=True)
class Point:
    """One price of the path, in US dollars: its bar, its mark there, and when (unix seconds, the bars' time).

    `usdc` is what one USDC is worth then, None where it is left as it is.
    """

    bar: int
    mark: Mark
    time: int
    usd: float
    gas_gwei: float | None
    usdc: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A point that is now on the chain: the block whose oracle and pool say it, and that block's own time.

    `base_fee` (wei, None to leave it be) is what further blocks should have until the next step.
    """

    point: Point
    block: int
    timestamp: int
    base_fee: int | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Bars to be played, and how: `adverse` is the extreme that comes first, `max_move_bps` bounds one step."""

    bars: tuple[Bar, ...]
    adverse: Literal["low", "high"] = "low"
    max_move_bps: int = 200

    def points(self) -> Iterator[Point]:
        """The path, in order."""
        anchors = list(chain.from_iterable(self._anchors(at, bar) for at, bar in enumerate(self.bars)))
        yield anchors[0]
        for before, after in pairwise(anchors):
            yield from self._leg(before, after)

    def play(self, world: World) -> Generator[Step, None, None]:
        """Bring one point after the other onto the chain, each in one block; what happens between is the caller's.

        The caller may mine further blocks before asking for the next step. Automine is off while it plays.
        """
        points = list(self.points())
        head = world.node.head()
        ahead = points[0].time - head.timestamp
        shift = 0 if 0 < ahead <= _DAY else BLOCK_SECONDS - ahead
        arbitrageur = Arbitrageur(world)
        mined_by_itself = world.node.ask("anvil_getAutomine")
        world.automine(False)
        beat = head.timestamp
        try:
            for point in points:
                quiet = point.time + shift - beat >= _HEARTBEAT
                step = _bring(world, arbitrageur, point, shift, refresh=quiet)
                beat = step.timestamp if quiet else beat
                yield step
        finally:
            world.automine(mined_by_itself)

    def _anchors(self, at: int, bar: Bar) -> list[Point]:
        low: tuple[Mark, float] = ("low", bar.low)
        high: tuple[Mark, float] = ("high", bar.high)
        extremes = (low, high) if self.adverse == "low" else (high, low)
        marks: tuple[tuple[Mark, float], ...] = (("open", bar.open), *extremes, ("close", bar.close))
        return [
            Point(
                at, mark, bar.open_time + quarter * _QUARTER, usd, bar.gas_gwei, self._usdc(at, quarter / 4)
            )
            for quarter, (mark, usd) in enumerate(marks)
        ]

    def _usdc(self, at: int, share: float) -> float | None:
        """What USDC is worth when such a share of a bar is over; the last bar's stays as it began."""
        now = self.bars[at].usdc
        later = self.bars[min(at + 1, len(self.bars) - 1)].usdc
        return now if now is None or later is None else now * (later / now) ** share

    def _leg(self, before: Point, after: Point) -> Iterator[Point]:
        """The steps from one anchor to the next, the latter included."""
        ratio = after.usd / before.usd
        dollar = 1.0 if before.usdc is None or after.usdc is None else after.usdc / before.usdc
        farthest = max(abs(math.log(move)) for move in (ratio, dollar, ratio / dollar))
        count = max(1, math.ceil(farthest / math.log1p(self.max_move_bps / 10_000)))
        for step in range(1, count):
            elapsed, share = (after.time - before.time) * step // count, step / count
            usdc = None if before.usdc is None else before.usdc * dollar**share
            usd = before.usd * ratio**share
            yield Point(before.bar, "between", before.time + elapsed, usd, before.gas_gwei, usdc)
        yield after


def _bring(world: World, arbitrageur: Arbitrageur, point: Point, shift: int, *, refresh: bool) -> Step:
    price = units(point.usd, _PRICE_DECIMALS)
    base_fee = None if point.gas_gwei is None else round(point.gas_gwei * GWEI)
    head = world.node.head()
    fee = head.base_fee if base_fee is None else base_fee
    dollar = world.price("USDC") if point.usdc is None else units(point.usdc, _PRICE_DECIMALS)
    offers = [_say(world, world.weth, price, fee)]
    if refresh or point.usdc is not None:
        offers.append(_say(world, world.usdc, dollar, fee))
    if refresh:
        moved = (world.weth, world.usdc)
        others = [reserve for reserve in world.reserves if reserve.settable and reserve not in moved]
        offers += [_say(world, reserve, world.price(reserve.symbol), fee) for reserve in others]
    trade = arbitrageur.offer(world.sqrt_price_at(price, dollar), fee)
    if trade is not None:
        offers.append(trade)
    sent = world.node.ask_many(offers)
    timestamp = max(head.timestamp + BLOCK_SECONDS, point.time + shift)
    world.mine_at(timestamp, base_fee)
    receipts(world.node, sent)
    if base_fee is not None:
        # What follows is priced by the next block's base fee, which a near-empty block would lower.
        world.node.ask("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
    return Step(point, head.number + 1, timestamp, base_fee)


def _say(world: World, reserve: Reserve, price: int, base_fee: int) -> Question:
    """A feed's next answer. One that is silent for a day is not believed, so those that stand still repeat theirs."""
    return offer(world.roles.deployer, reserve.feed, calldata("set(int256)", price), GWEI, base_fee)


def black_thursday(start: str | None = None, end: str | None = None) -> tuple[Bar, ...]:
    """The 48 hours of 12 and 13 March 2020, when ETH fell from 195 to 86 US dollars and gas rose sixfold, or a cut."""
    with as_file(files("keeper").joinpath("data", "black_thursday.csv")) as path:
        return read_bars(path, start, end)

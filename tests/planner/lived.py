"""A path of prices lived through on the devnet by the real keeper, told as the planner tells a simulated life.

At each bar oracle and pool come to its price, the keeper takes its turn on that block, and what it sends is mined in
the next one, twelve seconds later: the planner's latency of 0. What an action sold and what it got for it are the
pool's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from eth_abi.abi import decode
from eth_utils.crypto import keccak

from keeper.app import open_keeper
from keeper.devnet.bars import Bar
from keeper.devnet.scenario import Scenario, Step, black_thursday
from keeper.devnet.world import POOL_FEE, World
from keeper.domain.flights import Receipt, State
from keeper.domain.units import BASE, Address
from keeper.planner.bars import History
from keeper.planner.costs import Impact, fit_impact
from keeper.planner.results import DOWN, FAILED, UP
from keeper.settings import read_settings
from keeper.turn import Keeper

FEE: Final = POOL_FEE / 1e6
SWAP: Final = "0x" + keccak(text="Swap(address,address,int256,int256,uint160,uint128,int24)").hex()
_QUARTER: Final = 900
_WHOLE_STEPS: Final = 10**6


@dataclass(frozen=True, slots=True)
class Deed:
    """One action on the chain: its bar, which end of the band it met, and money.

    `sold` is what went into the pool, `lost` that less what came out, `gas` what the keeper paid; all in US dollars.
    """

    bar: int
    side: int
    sold: float
    lost: float
    gas: float


def path_of_thursday(world: World, start: str, end: str) -> tuple[Scenario, History]:
    """Hours of Black Thursday from the world's own price on, and the same as bars of a quarter of an hour.

    Open, low, high and close of each hour are one bar each, of which only the close says anything.
    """
    hours = black_thursday(start, end)
    by = world.price("WETH") / BASE / hours[0].open
    scaled = tuple(
        Bar(each.open_time, each.open * by, each.high * by, each.low * by, each.close * by, each.gas_gwei)
        for each in hours
    )
    scenario = Scenario(scaled, max_move_bps=_WHOLE_STEPS)
    points = list(scenario.points())
    close = np.array([point.usd for point in points])
    before = np.concatenate((close[:1], close[:-1]))
    return scenario, History(
        "Black Thursday",
        _QUARTER,
        np.array([point.time - _QUARTER for point in points], dtype=np.int64),
        before,
        np.maximum(before, close),
        np.minimum(before, close),
        close,
        gas_gwei=np.array([point.gas_gwei or 0.0 for point in points]),
    )


def path_of(world: World, prices: Sequence[float]) -> tuple[Scenario, History]:
    """One price after the other, a quarter of an hour apart; each bar opens and closes at its own."""
    begun = world.node.head().timestamp + _QUARTER
    hours = tuple(
        Bar(begun + 4 * _QUARTER * at, first, third, second, fourth, 30.0)
        for at, (first, second, third, fourth) in enumerate(
            zip(*(prices[n::4] for n in range(4)), strict=True)
        )
    )
    scenario = Scenario(hours, max_move_bps=_WHOLE_STEPS)
    points = list(scenario.points())
    close = np.array([point.usd for point in points])
    time = np.array([point.time - _QUARTER for point in points], dtype=np.int64)
    gas = np.full(len(points), 30.0)
    return scenario, History("by hand", _QUARTER, time, close, close, close, close, gas_gwei=gas)


@contextmanager
def keeper_of(world: World, folder: Path, kind: str, thresholds: Address) -> Iterator[Keeper]:
    """The keeper itself, over one kind of position of the owner's; the key is expected in the environment.

    It bids less for its place in a block than whoever moves the price there, and gives its calls an hour.
    """
    (folder / "keeper.toml").write_text(
        f"""
        [chain]
        id = {world.chain_id}
        url = "{world.node.url}"
        [[watch]]
        kind = "{kind}"
        thresholds = "{thresholds}"
        owners = ["{world.roles.owner}"]
        [limits]
        actions_per_owner = 100
        tip_gwei = 0.5
        deadline_seconds = 3600
        [breakers]
        gas_eth_per_day = 100
        """
    )
    with open_keeper(read_settings(folder / "keeper.toml"), False) as keeper:
        yield keeper


@dataclass(frozen=True, slots=True)
class Seen:
    """A position at one bar, before anything is done about it: its measure, and what it is worth in US dollars."""

    measure: float
    worth: float


def live(
    world: World,
    keeper: Keeper,
    scenario: Scenario,
    see: Callable[[], Seen],
    middle: float,
    settle: int = 0,
    beside: Callable[[int, int], None] = lambda bar, block: None,
    is_late: bool = False,
) -> tuple[list[Deed], list[Seen]]:
    """Every bar played, with its turn: what was done, and what was seen at each bar before that.

    A measure above the `middle` is above its band. The turn is taken `settle` seconds after the price came; `beside` is
    for whoever else lives there, told the bar and the block of its price before the turn. Where the keeper `is_late`,
    what it sends is mined beside the next bar's price, and after it.
    """
    deeds, seen, sides = [], [], []
    for bar, step in enumerate(scenario.play(world)):
        beside(bar, step.block)
        if settle:
            world.mine(settle, base_fee=step.base_fee)
        seen.append(see())
        turn = keeper.turn(keeper.node.head())
        changes = turn.changes
        if turn.intents:
            sides.append(seen[-1].measure > middle)
            if not is_late:
                _mine(world, step)
                # The turn on the block that has it reads the receipt.
                changes = keeper.turn(keeper.node.head()).changes
        for change in changes:
            receipt = change.flight.receipt
            if change.flight.state is State.INCLUDED and receipt is not None:
                deeds.append(_deed(world, bar, step.point.usd, receipt, sides[len(deeds)]))
    return deeds, seen


def _mine(world: World, step: Step) -> None:
    world.mine(base_fee=step.base_fee)
    if step.base_fee is not None:
        world.node.ask("anvil_setNextBlockBaseFeePerGas", hex(step.base_fee))


def _deed(world: World, bar: int, usd: float, receipt: Receipt, is_above: bool) -> Deed:
    into = out = 0.0
    for log in receipt.logs:
        if log.topics[0] == SWAP:
            for money in dollars_of(world, log.data, usd):
                into, out = into + max(money, 0.0), out + max(-money, 0.0)
    side = FAILED if not receipt.succeeded else UP if is_above else DOWN
    return Deed(bar, side, into, into - out, receipt.gas_cost / 1e18 * usd)


def dollars_of(world: World, swap: str, usd: float) -> tuple[float, float]:
    """What a swap's event says of ether and of dollars, both in dollars; positive is what went into the pool."""
    amounts = decode(("int256", "int256"), bytes.fromhex(swap[2:])[:64])
    weth, usdc = amounts if world.weth_is_token0 else amounts[::-1]
    return weth / 1e18 * usd, usdc / 1e6


def impact_of_pool(world: World) -> Impact:
    """The depth of the pool as it stands, fitted to its own quoter's answers, as a plan's is to an aggregator's."""
    usd = world.price("WETH") / BASE
    values = np.geomspace(1e4, 3e6, 24)
    lost = []
    for value in values:
        asked = (world.weth.token, world.usdc.token, int(value / usd * 1e18), POOL_FEE, 0)
        out = world.call(
            world.uniswap.quoter,
            "quoteExactInputSingle((address,address,uint256,uint24,uint160))",
            "(uint256,uint160,uint32,uint256)",
            asked,
        )[0]
        lost.append(1.0 - out / 1e6 / (value * (1.0 - FEE)))
    return fit_impact(values, np.array(lost))

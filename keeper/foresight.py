"""The look ahead: what would stop the actions that may be due soon, now and then, when a turn has nothing left to do.

It costs a few questions for each contract and a bounded number of its positions, and decides nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keeper.chain.node import Node
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Refused, Unsafe
from keeper.domain.foresight import Cause, Foreseen, Foresight, Horizon, Obstacle, each_once
from keeper.domain.units import Address
from keeper.judge.obstacles import by_gas_money
from keeper.positions.port import Positions
from keeper.send.fees import SendLimits, first_fees


@dataclass(frozen=True, slots=True)
class Purse:
    """Who pays for gas, and what of it an action may take; without an `account` nobody's money is looked at."""

    account: Address | None
    most_gas: int
    limits: SendLimits


def foresee(
    node: Node, watched: Sequence[Positions], block: Block, horizon: Horizon, purse: Purse
) -> Foreseen:
    """Every position within reach of its trigger at `block`, the soonest first."""
    found: list[Foresight] = []
    untold: list[str] = []
    for positions in watched:
        try:
            found += positions.foresee(block, horizon)
        except Refused as error:
            untold.append(str(error))
        except Exception as error:  # noqa: BLE001 - what decides nothing is to cost no turn what it has to tell
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            untold.append(f"foresight: it ended in a {type(error).__name__} that nobody foresaw, at {where}")
    found.sort(key=lambda each: (each.reach.early, each.key))
    try:
        balance = node.ask_number("eth_getBalance", purse.account, "latest") if purse.account else None
    except Blind as error:
        untold.append(str(error))
        balance = None
    told = tuple(
        replace(each, obstacles=each_once([*each.obstacles, *_payable(n, balance, block, purse)]))
        for n, each in enumerate(found, 1)
    )
    return Foreseen(block.number, told, tuple(untold))


def _payable(actions: int, balance: int | None, block: Block, purse: Purse) -> Iterator[Obstacle]:
    """What is wrong with the gas of so many actions of the largest size, at the first bid of this block."""
    limits = purse.limits
    try:
        fee = first_fees(block.base_fee, limits, limits.action_fee_wei).max_fee
    except Unsafe as error:
        yield Obstacle(Cause.GAS_PRICE, str(error))
        return
    if balance is not None:
        yield from by_gas_money(balance, fee * purse.most_gas, actions)


@dataclass(slots=True)
class Lookout:
    """Looks ahead every so many blocks, the first time so many after it began; never with `every_blocks` 0."""

    node: Node
    watched: tuple[Positions, ...]
    every_blocks: int
    horizon: Horizon
    purse: Purse
    _last: int | None = None

    def look(self, block: Block) -> Foreseen | None:
        """What is foreseen at `block`; None when it is not time yet."""
        if self._last is None or block.number < self._last:
            self._last = block.number
        if not self.every_blocks or block.number < self._last + self.every_blocks:
            return None
        self._last = block.number
        return foresee(self.node, self.watched, block, self.horizon, self.purse)

"""A chain's base fees, for the bars of a history."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from keeper.archive.spans import blocks_at
from keeper.chain.node import Node
from keeper.domain.errors import Misconfigured
from keeper.domain.units import GWEI
from keeper.planner.bars import History, iso
from keeper.planner.results import Floats

_AT_ONCE: Final = 1024


def with_base_fees(node: Node, history: History) -> History:
    """The same bars, each with the mean of its blocks' base fees; `Misconfigured` names a bar that has no block."""
    head = node.head()
    edges = np.unique(np.concatenate((history.time, history.time + history.seconds)))
    first_of = dict(zip(edges.tolist(), blocks_at(node, edges.tolist(), 0, head.number), strict=True))
    begins = np.array([first_of[int(moment)] for moment in history.time])
    ends = np.array([first_of[int(moment) + history.seconds] for moment in history.time])
    ended = history.time + history.seconds <= head.timestamp
    if not (ended & (begins < ends)).all():
        bar = int(np.argmin(ended & (begins < ends)))
        raise Misconfigured(
            f"data: the chain has no block in the bar of {iso(int(history.time[bar]))} (row {bar + 1}), "
            "or it has not ended there"
        )
    first, last = int(begins[0]), int(ends[-1]) - 1
    sums = np.concatenate(([0.0], np.cumsum(base_fees(node, first, last))))
    notes = (*history.notes, f"gas is the mean base fee of blocks {first} to {last}, tips apart")
    means = (sums[ends - first] - sums[begins - first]) / (ends - begins)
    return replace(history, gas_gwei=means, notes=notes)


def base_fees(node: Node, first: int, last: int) -> Floats:
    """The base fee, in gwei, of every block from `first` to `last`."""
    fees: list[int] = []
    while len(fees) < last - first + 1:
        low = first + len(fees)
        high = min(low + _AT_ONCE - 1, last)
        told = node.ask("eth_feeHistory", hex(high - low + 1), hex(high), [])
        try:
            begins = int(told["oldestBlock"], 16)
            # One more than asked for: the block to come.
            found = [int(fee, 16) for fee in told["baseFeePerGas"]][: high - begins + 1]
        except (KeyError, TypeError, ValueError) as error:
            raise Misconfigured(f"data: {node.name} tells no base fees ({error!r})") from error
        if begins != low or len(found) != high - low + 1:
            raise Misconfigured(
                f"data: {node.name} tells the base fees of {len(found)} blocks from {begins}, not from {low}"
            )
        fees += found
    return np.array(fees) / GWEI

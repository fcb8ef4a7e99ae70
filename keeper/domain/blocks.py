"""The block a turn is pinned to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Block:
    """One block as its header tells it; every read of a turn names its hash. Fees in wei, time in unix seconds."""

    number: int
    hash: str
    parent: str
    timestamp: int
    base_fee: int

"""What a seed says: which faults, when and how; and, before anything is played, all that chance has to say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

BLOCKS = 16
"""For how many blocks faults may begin and last."""
MOST_FAULTS = 4
ORDERS = 3


@dataclass(frozen=True)
class Drawn:
    """One fault, from block `begin` of the episode until before block `end`; `seed` is for its own choices."""

    name: str
    begin: int
    end: int
    seed: int


@dataclass(frozen=True)
class Draw:
    """An episode: at which of its blocks each order is given, through how many endpoints, one being the worst.

    The `full` blocks have no room for the crew, so that a transaction waits for a while, as it does on a real chain.
    """

    seed: int
    endpoints: int
    worst: int
    orders: tuple[int, ...]
    faults: tuple[Drawn, ...]
    full: frozenset[int] = frozenset()


_FULL = 0.4
_LAST_ORDER = BLOCKS - 4


def draw(seed: int, weights: Mapping[str, int]) -> Draw:
    """The same episode for the same seed, and for the same catalogue of faults and their weights."""
    chance = Random(seed)
    left = dict(weights)
    faults = []
    for _ in range(chance.randint(1, MOST_FAULTS)):
        (name,) = chance.choices(list(left), list(left.values()))
        del left[name]
        begin = chance.randrange(BLOCKS - 2)
        end = min(begin + chance.randint(1, 8), BLOCKS)
        faults.append(Drawn(name, begin, end, chance.getrandbits(32)))
    endpoints = chance.choice([1, 1, 3])
    orders = tuple(sorted(_near(chance, [fault.begin for fault in faults]) for _ in range(ORDERS)))
    full = frozenset(block for block in range(BLOCKS) if chance.random() < _FULL)
    return Draw(seed, endpoints, chance.randrange(endpoints), orders, tuple(faults), full)


def _near(chance: Random, begins: Sequence[int]) -> int:
    """Where an order is given: mostly about when a fault begins, since one that meets nobody at work shows nothing."""
    if chance.random() < 0.25:
        return chance.randrange(_LAST_ORDER)
    return min(chance.choice(begins) + chance.randint(0, 2), _LAST_ORDER)

"""Volatility: how much a feed moves, as the chain measured it, and the call that has its latest round counted.

Source: contracts/interfaces/IVolatility.vyi, contracts/Volatility.vy.
"""

from __future__ import annotations

from typing import Final

from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.domain.volatility import MOST_AGE
from keeper.protocols.methods import Method

SIGMA: Final = Method("sigma", ("address",), ("uint256",))
AGE: Final = Method("age", ("address",), ("uint256",))
MEMORY: Final = Method("memory_of", ("address",), ("uint256", "uint256", "uint256", "uint256"))
MIN_INTERVAL: Final = Method("MIN_INTERVAL", (), ("uint256",))
POKE: Final = Method("poke", ("address",), ("bool",))
LATEST_ROUND: Final = Method("latestRoundData", (), ("uint80", "int256", "uint256", "uint256", "uint80"))
"""Asked of a feed."""


def known_sigma(sigma: int, age: int) -> int:
    """What is believed of a measured volatility whose last round was counted `age` seconds ago: 0 is nothing."""
    return sigma if age <= MOST_AGE else 0


def poke_call(volatility: Address, feed: Address) -> Call:
    """The call that counts a feed's latest round, which anyone may make."""
    return Call(volatility, POKE.call(feed))

"""What `ape run deploy` knows of each kind of position: its contracts, what they are deployed with, and must then hold.

Assumes: arguments have the names that the contracts' own constructors give them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import click

from keeper.devnet.world import World
from keeper.domain.units import NOBODY, Address
from keeper.protocols.methods import Method, method
from scripts._thresholds import ADDRESS, ADDRESS_OR_NONE


@dataclass(frozen=True, slots=True)
class Argument:
    """A constructor argument that a person or the devnet says; `kind` is of ours what must stand there, if any."""

    option: str
    help: str
    type: click.ParamType = ADDRESS
    on_devnet: Callable[[World], Address] | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """A contract and its views, by the constructor argument that takes them, in the order of their deployment.

    Each immutable in `holds` equals that argument, each in `asks` what the contract in another immutable answers.
    """

    main: str
    holds: Mapping[str, str]
    views: Mapping[str, str] = field(default_factory=dict)
    asks: Mapping[str, tuple[str, Method]] = field(default_factory=dict)


ARGUMENTS = {
    "addresses_provider": Argument(
        "--aave-addresses-provider",
        "Aave V3's PoolAddressesProvider.",
        on_devnet=lambda world: world.aave.addresses_provider,
    ),
    "uniswap_factory": Argument(
        "--uniswap-factory", "Uniswap V3's factory.", on_devnet=lambda world: world.uniswap.factory
    ),
    "position_manager": Argument(
        "--position-manager",
        "Uniswap V3's NonfungiblePositionManager.",
        on_devnet=lambda world: world.uniswap.position_manager,
    ),
    "sequencer": Argument(
        "--sequencer",
        "The rollup's uptime feed, or none.",
        type=ADDRESS_OR_NONE,
        on_devnet=lambda _: NOBODY,
    ),
    "volatility": Argument(
        "--volatility",
        "Our Volatility, or none where all bands are fixed.",
        type=ADDRESS_OR_NONE,
        on_devnet=lambda world: world.volatility,
        kind="volatility",
    ),
    "half_life": Argument(
        "--half-life", "Of what Volatility remembers, seconds.", type=click.IntRange(min=0)
    ),
    "min_interval": Argument(
        "--min-interval", "Between two answers it counts, seconds.", type=click.IntRange(min=0)
    ),
}

FAMILIES = {
    "loans": Family(
        "LoanThresholds",
        views={"loan_sense": "LoanSense", "loan_check": "LoanCheck"},
        holds={
            "PROVIDER": "addresses_provider",
            "FACTORY": "uniswap_factory",
            "SENSE": "loan_sense",
            "CHECK": "loan_check",
            "VOLATILITY": "volatility",
        },
        asks={"AAVE": ("PROVIDER", method("getPool()", "(address)"))},
    ),
    "ranges": Family(
        "RangeThresholds",
        views={"range_check": "RangeCheck"},
        holds={"MANAGER": "position_manager", "CHECK": "range_check"},
        asks={"FACTORY": ("MANAGER", method("factory()", "(address)"))},
    ),
    "baskets": Family(
        "BasketThresholds",
        views={"basket_check": "BasketCheck"},
        holds={
            "FACTORY": "uniswap_factory",
            "SEQUENCER": "sequencer",
            "VOLATILITY": "volatility",
            "CHECK": "basket_check",
        },
    ),
    "volatility": Family("Volatility", holds={"HALF_LIFE": "half_life", "MIN_INTERVAL": "min_interval"}),
}

"""Where Aave V3 and Uniswap V3 stand on the chains people use, as the protocols themselves publish it.

Source: keeper/data/chains.json, which scripts/chains.py makes of the protocols' own packages. What is asked of a chain
before any of it is believed is in `keeper/chain/deployed.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from keeper.domain.units import Address
from keeper.protocols.methods import address


@dataclass(frozen=True, slots=True)
class Listed:
    """An asset of the chain's Aave market, and the feed by which Aave priced it when the data were made."""

    token: Address
    decimals: int
    feed: Address


@dataclass(frozen=True, slots=True)
class Deployment:
    """A chain by the `name` a person says and by its own; Aave's main market there, and Uniswap."""

    name: str
    title: str
    chain_id: int
    provider: Address
    pool: Address
    factory: Address
    position_manager: Address
    assets: Mapping[str, Listed]


@cache
def deployments() -> Mapping[str, Deployment]:
    """Every known chain by its name."""
    told = json.loads(files("keeper").joinpath("data", "chains.json").read_text(encoding="utf-8"))
    return {
        name: Deployment(
            name,
            said["title"],
            said["id"],
            address(said["aave"]["provider"]),
            address(said["aave"]["pool"]),
            address(said["uniswap"]["factory"]),
            address(said["uniswap"]["position_manager"]),
            {
                symbol: Listed(address(asset["token"]), asset["decimals"], address(asset["feed"]))
                for symbol, asset in said["assets"].items()
            },
        )
        for name, said in told["chains"].items()
    }


def deployed_on(chain_id: int) -> Deployment | None:
    """What is known of a chain; None of a devnet and of chains that few use."""
    return next((each for each in deployments().values() if each.chain_id == chain_id), None)

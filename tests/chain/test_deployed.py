"""A chain is believed to be the one it says it is when what is known to stand there does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keeper.chain import deployed
from keeper.devnet.anvil import Anvil
from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.protocols.deployments import Deployment, deployed_on, deployments


def as_known(world: World) -> Deployment:
    """The devnet as if everybody knew it."""
    return Deployment(
        "devnet",
        "the devnet",
        world.chain_id,
        world.aave.addresses_provider,
        world.aave.pool,
        world.uniswap.factory,
        world.uniswap.position_manager,
        {},
    )


def test_a_chain__with_everything_where_it_should_be__is_believed(world: World) -> None:
    deployed.require(world.node, as_known(world), world.node.head())


@pytest.mark.parametrize(
    ("part", "is_empty", "sentence"),
    [
        ("provider", True, "Aave's PoolAddressesProvider should stand at"),
        ("pool", True, "Aave's pool should stand at"),
        ("position_manager", True, "Uniswap's position manager should stand at"),
        ("factory", True, "Uniswap's factory should stand at"),
        ("pool", False, "Aave's PoolAddressesProvider at .* names .*, so this is not the devnet"),
        ("provider", False, "Aave's PoolAddressesProvider at .* names None, not"),
        ("factory", False, "Uniswap's position manager at .* names"),
    ],
)
def test_a_chain__with_something_else_there__is_not(
    world: World, part: str, is_empty: bool, sentence: str
) -> None:
    wrong: dict[str, Any] = {part: world.roles.stranger if is_empty else world.weth.token}
    with pytest.raises(Misconfigured, match=sentence):
        deployed.require(world.node, replace(as_known(world), **wrong), world.node.head())


def test_a_chain__that_only_has_the_id_of_a_known_one__is_refused() -> None:
    known = deployed_on(42161)
    assert known is not None
    with Anvil(chain_id=42161) as chain, pytest.raises(Misconfigured, match="so this is not Arbitrum One"):
        deployed.require(chain.node, known, chain.node.head())


def test_a_contract__on_another_protocol_s_contracts__is_told(world: World) -> None:
    known, head = as_known(world), world.node.head()
    held = {
        "loans": world.thresholds,
        "ranges": world.range_thresholds,
        "baskets": world.basket_thresholds,
    }
    for kind, at in held.items():
        assert deployed.stands_elsewhere(world.node, known, kind, at, head) == ""
        elsewhere = replace(known, pool=at, factory=at, position_manager=at)
        told = deployed.stands_elsewhere(world.node, elsewhere, kind, at, head)
        assert told.endswith(f", not {at}")
    assert "an unknown place" in deployed.stands_elsewhere(
        world.node, known, "loans", world.roles.stranger, head
    )


def test_the_chains__that_ship__are_those_of_the_protocols_packages() -> None:
    assert {name: each.chain_id for name, each in deployments().items()} == {
        "ethereum": 1,
        "optimism": 10,
        "polygon": 137,
        "base": 8453,
        "arbitrum": 42161,
    }
    ethereum, base = deployments()["ethereum"], deployments()["base"]
    assert ethereum.provider == "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
    assert ethereum.factory == "0x1F98431c8aD98523631AE4a59f267346ea31F984"
    assert base.factory == "0x33128a8fC17869897dcE68Ed026d694621f6FDfD"
    assert ethereum.assets["USDC"].token == "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
    for chain in deployments().values():
        assert len({asset.token for asset in chain.assets.values()}) == len(chain.assets) > 5
        assert all(6 <= asset.decimals <= 18 or symbol == "EURS" for symbol, asset in chain.assets.items())

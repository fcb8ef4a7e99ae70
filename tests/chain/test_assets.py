"""What tokens call themselves, from real tokens and from hostile ones."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from keeper.chain.assets import Assets
from keeper.devnet.world import World
from keeper.domain.errors import Blind
from keeper.domain.units import Address
from keeper.protocols.erc20 import read_symbol

ODD = Address("0x00000000000000000000000000000000000000Dd")
# PUSH1 6 PUSH0 MSTORE PUSH1 32 PUSH0 RETURN: fit for decimals, and no symbol at all.
ANSWERS_SIX = "0x60065f5260205ff3"


def test_assets__real_tokens__are_told_by_symbol_and_decimals_in_the_order_asked(world: World) -> None:
    weth, usdc = world.reserve("WETH").token, world.reserve("USDC").token
    told = Assets(world.node).of([usdc, weth, usdc], world.node.head())
    assert [(asset.symbol, asset.decimals) for asset in told] == [("USDC", 6), ("WETH", 18), ("USDC", 6)]


def test_assets__an_address_that_is_no_token__is_blind(world: World) -> None:
    with pytest.raises(Blind, match="tells no decimals"):
        Assets(world.node).of([world.roles.stranger], world.node.head())


def test_assets__a_token_whose_symbol_makes_no_sense__goes_by_its_address(world: World) -> None:
    world.node.ask("anvil_setCode", ODD, ANSWERS_SIX)
    (asset,) = Assets(world.node).of([ODD], world.node.head())
    assert (asset.symbol, asset.decimals) == (ODD, 6)


@pytest.mark.parametrize(
    ("returned", "symbol"),
    [
        (encode(["string"], ["WETH"]), "WETH"),
        (b"MKR".ljust(32, b"\0"), "MKR"),
        (None, ""),
        (b"", ""),
        (b"\xff" * 96, ""),
    ],
)
def test_read_symbol__strings_and_the_older_bytes__are_both_read(returned: bytes | None, symbol: str) -> None:
    assert read_symbol(returned) == symbol


def test_assets__a_symbol_with_control_characters__is_short_and_printable(world: World) -> None:
    hostile = encode(["string"], ["\x1b[31mUSDC" + "!" * 100])
    # PUSH1 size PUSH1 10 PUSH0 CODECOPY PUSH1 size PUSH0 RETURN, and what to return after it.
    code = bytes([0x60, len(hostile), 0x60, 10, 0x5F, 0x39, 0x60, len(hostile), 0x5F, 0xF3]) + hostile
    world.node.ask("anvil_setCode", ODD, "0x" + code.hex())
    (asset,) = Assets(world.node).of([ODD], world.node.head())
    assert asset.symbol == "[31mUSDC!!!!!!!!"

"""Accounts in every state that Aave lets them be in, and the e-modes for it."""

from __future__ import annotations

import random
from contextlib import suppress

from keeper.domain.errors import NodeRefused
from keeper.domain.units import NOBODY, Address
from keeper.protocols.methods import address
from tests.contracts.loan_stage import ADMIN, BASE, WAD, Stage, worth


def a_crowd(stage: Stage, chance: random.Random, count: int) -> list[Address]:
    """Accounts with whatever Aave lets them do, out of a few random wishes each."""
    stage.node.ask("anvil_autoImpersonateAccount", True)
    owners = [address(f"0x{chance.getrandbits(160):040x}") for _ in range(count)]
    for owner in owners:
        stage.node.ask("anvil_setBalance", owner, hex(100 * WAD))
        for symbol in chance.sample(sorted(stage.tokens), chance.randrange(1, 4)):
            _supply(stage, owner, symbol, worth(symbol, 10**9) * chance.randrange(10**3, 10**6) // 10**9)
            if chance.random() < 0.2:
                _wish(
                    stage, owner, "setUserUseReserveAsCollateral(address,bool)", stage.tokens[symbol], False
                )
        if chance.random() < 0.6:
            _wish(stage, owner, "setUserEMode(uint8)", chance.choice([1, 2]))
        wishes = [(symbol, 2) for symbol in chance.sample(sorted(stage.tokens), chance.randrange(3))]
        for symbol, mode in [*wishes, (chance.choice(["USDC", "WETH"]), 1)]:
            room = stage.account(owner)[2]
            wanted = int(room * chance.uniform(0.05, 0.6)) * worth(symbol, 10**9) // (10**9 * BASE)
            borrowed = (stage.tokens[symbol], wanted + chance.randrange(1000), mode, 0, owner)
            _wish(stage, owner, "borrow(address,uint256,uint256,uint16,address)", *borrowed)
    return owners


def _supply(stage: Stage, owner: Address, symbol: str, amount: int) -> None:
    stage.mint(symbol, owner, amount)
    stage.approve(owner, stage.tokens[symbol], stage.aave.pool)
    supplied = (stage.tokens[symbol], amount, owner, 0)
    stage.send(owner, stage.aave.pool, "supply(address,uint256,address,uint16)", *supplied)


def _wish(stage: Stage, owner: Address, signature: str, *arguments: object) -> None:
    with suppress(NodeRefused):
        stage.send(owner, stage.aave.pool, signature, *arguments)


def found_e_modes(stage: Stage) -> None:
    """Two e-modes, the second with a price of its own where that can be, and stable debt where there is any."""
    members = {1: ("WETH", "WBTC"), 2: ("USDC", "WETH")}
    if stage.version == "3.6":
        for id_, symbols in members.items():
            stage.govern(
                "setEModeCategory(uint8,uint16,uint16,uint16,string)", id_, 9_000, 9_300, 10_200, "e"
            )
            for symbol in symbols:
                stage.govern("setAssetCollateralInEMode(address,uint8,bool)", stage.tokens[symbol], id_, True)
                stage.govern("setAssetBorrowableInEMode(address,uint8,bool)", stage.tokens[symbol], id_, True)
        return
    e_mode_price(stage, 2_000 * BASE)
    for id_, symbols in members.items():
        source = stage.feeds["USDC"] if id_ == 2 else NOBODY
        category = (id_, 9_000, 9_300, 10_200, source, "an e-mode whose name is longer than a single word")
        stage.govern("setEModeCategory(uint8,uint16,uint16,uint16,address,string)", *category)
        # In 3.0.2 a reserve has one e-mode, so WETH ends in the second.
        for symbol in symbols:
            stage.govern("setAssetEModeCategory(address,uint8)", stage.tokens[symbol], id_)
    for symbol in ("USDC", "WETH"):
        stage.govern("setReserveStableRateBorrowing(address,bool)", stage.tokens[symbol], True)


def e_mode_price(stage: Stage, price: int) -> None:
    """Quote the second e-mode's own asset, which here goes by the address of a feed."""
    if stage.version == "3.6":
        return
    stage.set_feed("WBTC", price)
    quoted = ([stage.feeds["USDC"]], [stage.feeds["WBTC"]])
    stage.send(ADMIN, stage.aave.oracle, "setAssetSources(address[],address[])", *quoted)

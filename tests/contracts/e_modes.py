"""E-modes and isolation as either version of Aave has them, for the stages of these tests."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.domain.units import NOBODY, Address
from tests.contracts.loan_stage import LENDER, NEVER, OWNER, Stage


def found_e_mode(
    stage: Stage,
    id_: int = 1,
    members: Sequence[str] = ("WETH", "USDC"),
    lent: Sequence[str] = ("USDC",),
    ltv: int = 9_000,
    threshold: int = 9_300,
    source: Address = NOBODY,
) -> None:
    """An e-mode whose collaterals are `members`, which lends `lent`.

    Before 3.2 a reserve is either both or neither, and a `source` may give them all one price.
    """
    risk = (id_, ltv, threshold, 10_100)
    if stage.version == "3.6":
        stage.govern("setEModeCategory(uint8,uint16,uint16,uint16,string)", *risk, "e")
        for symbol in members:
            list_in_mode(stage, "Collateral", symbol, id_)
        for symbol in lent:
            list_in_mode(stage, "Borrowable", symbol, id_)
    else:
        label = "an e-mode whose name is longer than a single word"
        stage.govern("setEModeCategory(uint8,uint16,uint16,uint16,address,string)", *risk, source, label)
        for symbol in sorted({*members, *lent}):
            stage.govern("setAssetEModeCategory(address,uint8)", stage.tokens[symbol], id_)


def list_in_mode(stage: Stage, side: str, symbol: str, id_: int = 1, is_listed: bool = True) -> None:
    """Since 3.2: put a reserve on a mode's list of `Collateral` or of what is `Borrowable` in it, or off it."""
    stage.govern(f"setAsset{side}InEMode(address,uint8,bool)", stage.tokens[symbol], id_, is_listed)


def enter(stage: Stage, id_: int = 1, owner: Address = OWNER) -> None:
    """Put the owner's account into an e-mode, or by 0 out of any."""
    stage.send(owner, stage.aave.pool, "setUserEMode(uint8)", id_)


def isolate(stage: Stage, symbol: str, ceiling: int, lent: Sequence[str] = ("USDC",)) -> None:
    """Give a collateral a debt ceiling in whole tokens, which Aave allows while nobody holds any."""
    everything = (stage.tokens[symbol], NEVER * 2 - 1, LENDER)
    stage.send(LENDER, stage.aave.pool, "withdraw(address,uint256,address)", *everything)
    set_ceiling(stage, symbol, ceiling * 100)
    for each in lent:
        stage.govern("setBorrowableInIsolation(address,bool)", stage.tokens[each], True)


def set_ceiling(stage: Stage, symbol: str, cents: int) -> None:
    """A collateral's debt ceiling, in hundredths of a whole token."""
    stage.govern("setDebtCeiling(address,uint256)", stage.tokens[symbol], cents)


def supply(stage: Stage, symbol: str, amount: int, owner: Address = OWNER) -> None:
    """New tokens into Aave, enabled as collateral, which an isolated one is not by itself."""
    stage.mint(symbol, owner, amount)
    stage.approve(owner, stage.tokens[symbol], stage.aave.pool)
    supplied = (stage.tokens[symbol], amount, owner, 0)
    stage.send(owner, stage.aave.pool, "supply(address,uint256,address,uint16)", *supplied)
    enabled = (stage.tokens[symbol], True)
    stage.send(owner, stage.aave.pool, "setUserUseReserveAsCollateral(address,bool)", *enabled)


def open_supplied(
    stage: Stage, collateral: int, debt: int, owner: Address = OWNER, sold: str = "WETH", bought: str = "USDC"
) -> None:
    """A loan on a collateral that has to be enabled by hand, and the grants for both ways."""
    supply(stage, sold, collateral, owner)
    borrowed = (stage.tokens[bought], debt, 2, 0, owner)
    stage.send(owner, stage.aave.pool, "borrow(address,uint256,uint256,uint16,address)", *borrowed)
    stage.approve(owner, stage.a_token(sold), stage.thresholds)
    stage.delegate(bought, owner=owner)

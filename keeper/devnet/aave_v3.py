"""Aave V3.0.2 as deployed on mainnet in 2023: provider, oracle, pool behind its proxies, reserves listed.

Source: the bytecode in @aave/core-v3 1.19.3; the order of wiring follows the constructors' demands (the ACL admin
before the ACL manager, libraries before what links them, implementations before their proxies).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.devnet.artifacts import Load, from_package
from keeper.devnet.transactions import Queue, create_address
from keeper.domain.units import BASE, NOBODY, Address

_RAY_PER_BPS: Final = 10**23
_FLASH_LOAN_PREMIUM_BPS: Final = 5
LIQUIDATION_PROTOCOL_FEE_BPS: Final = 1_000
"""Of the liquidator's bonus, what the treasury takes."""

_FOLDERS: Final = {
    "PoolAddressesProvider": "protocol/configuration",
    "PoolAddressesProviderRegistry": "protocol/configuration",
    "ACLManager": "protocol/configuration",
    "AaveOracle": "misc",
    "AaveProtocolDataProvider": "misc",
    "Pool": "protocol/pool",
    "PoolConfigurator": "protocol/pool",
    "DefaultReserveInterestRateStrategy": "protocol/pool",
    "AToken": "protocol/tokenization",
    "StableDebtToken": "protocol/tokenization",
    "VariableDebtToken": "protocol/tokenization",
    "WETH9": "dependencies/weth",
    "MintableERC20": "mocks/tokens",
}
_LIBRARIES: Final = (
    "SupplyLogic",
    "BorrowLogic",
    "LiquidationLogic",
    "EModeLogic",
    "BridgeLogic",
    "ConfiguratorLogic",
    "PoolLogic",
)
_RESERVE: Final = (
    "(address,address,address,uint8,address,address,address,address,"
    "string,string,string,string,string,string,bytes)"
)


@dataclass(frozen=True, slots=True)
class Listing:
    """One reserve to list: its token and feed, its risk parameters and its rate curve, all in basis points."""

    symbol: str
    decimals: int
    token: Address
    feed: Address
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    reserve_factor_bps: int
    optimal_bps: int
    slope1_bps: int
    slope2_bps: int


@dataclass(frozen=True, slots=True)
class Aave:
    """Where one Aave V3 market's contracts stand."""

    addresses_provider: Address
    pool: Address
    configurator: Address
    acl: Address
    oracle: Address
    data_provider: Address


def load_core() -> Load:
    """Loads Aave 3.0.2's contracts, WETH9 and MintableERC20 among them."""
    logic = dict.fromkeys((*_LIBRARIES, "FlashLoanLogic"), "protocol/libraries/logic")
    return from_package("@aave/core-v3", {**_FOLDERS, **logic})


def deploy(queue: Queue, admin: Address, treasury: Address, listings: Sequence[Listing]) -> Aave:
    """Queue the whole market with `admin` in every role; `admin` is the queue's sender."""
    load = load_core()
    provider, acl = found_market(queue, load, admin)
    oracle = found_oracle(queue, load, provider, listings)
    data_provider = queue.create(load("AaveProtocolDataProvider"), provider)
    queue.call(provider, "setPoolDataProvider(address)", data_provider)

    libraries = {name: queue.create(load(name)) for name in _LIBRARIES}
    borrow_logic = libraries["BorrowLogic"]
    libraries["FlashLoanLogic"] = queue.create(load("FlashLoanLogic"), BorrowLogic=borrow_logic)
    pool, configurator = create_address(provider, 1), create_address(provider, 2)
    for name, setter in (("Pool", "setPoolImpl"), ("PoolConfigurator", "setPoolConfiguratorImpl")):
        arguments = (provider,) if name == "Pool" else ()
        behind = queue.create(load(name), *arguments, **libraries)
        queue.call(behind, "initialize(address)", provider)
        queue.call(provider, f"{setter}(address)", behind)
    queue.call(configurator, "updateFlashloanPremiumTotal(uint128)", _FLASH_LOAN_PREMIUM_BPS)
    queue.call(configurator, "updateFlashloanPremiumToProtocol(uint128)", 0)
    _list_reserves(
        queue, load, Aave(provider, pool, configurator, acl, oracle, data_provider), treasury, listings
    )
    set_risk(queue, configurator, listings)
    return Aave(provider, pool, configurator, acl, oracle, data_provider)


def found_market(queue: Queue, load: Load, admin: Address) -> tuple[Address, Address]:
    """Queue the registry, the addresses provider and the access control; returns the last two."""
    registry = queue.create(load("PoolAddressesProviderRegistry"), admin)
    provider = queue.create(load("PoolAddressesProvider"), "Devnet Market", admin)
    queue.call(registry, "registerAddressesProvider(address,uint256)", provider, 1)
    queue.call(provider, "setACLAdmin(address)", admin)
    acl = queue.create(load("ACLManager"), provider)
    queue.call(provider, "setACLManager(address)", acl)
    for role in ("Pool", "Risk", "Emergency", "AssetListing"):
        queue.call(acl, f"add{role}Admin(address)", admin)
    return provider, acl


def found_oracle(queue: Queue, load: Load, provider: Address, listings: Sequence[Listing]) -> Address:
    """Queue the oracle over the listings' feeds, in US dollars with eight decimals."""
    tokens, feeds = [listing.token for listing in listings], [listing.feed for listing in listings]
    oracle = queue.create(load("AaveOracle"), provider, tokens, feeds, NOBODY, NOBODY, BASE)
    queue.call(provider, "setPriceOracle(address)", oracle)
    return oracle


def set_risk(queue: Queue, configurator: Address, listings: Sequence[Listing]) -> None:
    """Queue each reserve's risk parameters; caps stay at zero, which means none."""
    for listing in listings:
        queue.call(
            configurator,
            "configureReserveAsCollateral(address,uint256,uint256,uint256)",
            *(listing.token, listing.ltv_bps, listing.threshold_bps, listing.bonus_bps),
        )
        queue.call(configurator, "setReserveBorrowing(address,bool)", listing.token, True)
        queue.call(
            configurator, "setReserveFactor(address,uint256)", listing.token, listing.reserve_factor_bps
        )
        queue.call(configurator, "setReserveFlashLoaning(address,bool)", listing.token, True)
        queue.call(
            configurator,
            "setLiquidationProtocolFee(address,uint256)",
            *(listing.token, LIQUIDATION_PROTOCOL_FEE_BPS),
        )


def _list_reserves(
    queue: Queue, load: Load, aave: Aave, treasury: Address, listings: Sequence[Listing]
) -> None:
    a_token = queue.create(load("AToken"), aave.pool)
    stable = queue.create(load("StableDebtToken"), aave.pool)
    variable = queue.create(load("VariableDebtToken"), aave.pool)
    # Locks the implementations, so that nobody else can initialise them.
    queue.call(
        a_token,
        "initialize(address,address,address,address,uint8,string,string,bytes)",
        *(aave.pool, NOBODY, NOBODY, NOBODY, 0, "ATOKEN_IMPL", "ATOKEN_IMPL", b""),
    )
    for debt_token in (stable, variable):
        queue.call(
            debt_token,
            "initialize(address,address,address,uint8,string,string,bytes)",
            *(aave.pool, NOBODY, NOBODY, 0, "DEBT_IMPL", "DEBT_IMPL", b""),
        )
    reserves = []
    for listing in listings:
        curve = (listing.optimal_bps, 0, listing.slope1_bps, listing.slope2_bps)
        # Stable borrowing is off; the contract wants its five numbers all the same.
        rates = [number * _RAY_PER_BPS for number in (*curve, 0, 0, 0, 0, 0)]
        strategy = queue.create(load("DefaultReserveInterestRateStrategy"), aave.addresses_provider, *rates)
        names = reserve_names(listing.symbol)
        stable_names = (f"Aave Devnet Stable Debt {listing.symbol}", f"stableDebt{listing.symbol}")
        reserves.append(
            (
                *(a_token, stable, variable, listing.decimals, strategy, listing.token, treasury, NOBODY),
                *(*names, *stable_names, b""),
            )
        )
    queue.call(aave.configurator, f"initReserves({_RESERVE}[])", reserves)


def reserve_names(symbol: str) -> tuple[str, str, str, str]:
    """Name and symbol of a reserve's aToken, then of its variable debt token."""
    return (
        f"Aave Devnet {symbol}",
        f"a{symbol}",
        f"Aave Devnet Variable Debt {symbol}",
        f"variableDebt{symbol}",
    )

"""Aave V3 (3.0 to 3.6): what to ask the pool, its oracle and its tokens.

Source: aave-v3-core `IPool`, `IPoolAddressesProvider`, `IAaveOracle`, `IScaledBalanceToken`, `ICreditDelegationToken`,
`ReserveConfiguration`; an e-mode is a `getEModeCategoryData` before 3.2, a config and a bitmap from there on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keeper.domain.units import Address
from keeper.protocols.methods import Method, address

_RESERVE: Final = (
    "(uint256,uint128,uint128,uint128,uint128,uint128,uint40,uint16,"
    "address,address,address,address,uint128,uint128,uint128)"
)
ADDRESSES_PROVIDER: Final = Method("ADDRESSES_PROVIDER", (), ("address",))
GET_PRICE_ORACLE: Final = Method("getPriceOracle", (), ("address",))
GET_POOL: Final = Method("getPool", (), ("address",))
GET_USER_ACCOUNT_DATA: Final = Method("getUserAccountData", ("address",), ("uint256",) * 6)
GET_EMODE_BITMAP: Final = Method("getEModeCategoryCollateralBitmap", ("uint8",), ("uint128",))
GET_EMODE_CONFIG: Final = Method("getEModeCategoryCollateralConfig", ("uint8",), ("uint16",) * 3)
GET_EMODE: Final = Method("getEModeCategoryData", ("uint8",), ("(uint16,uint16,uint16,address,string)",))
GET_RESERVES_LIST: Final = Method("getReservesList", (), ("address[]",))
GET_INCOME: Final = Method("getReserveNormalizedIncome", ("address",), ("uint256",))
GET_DEBT_INDEX: Final = Method("getReserveNormalizedVariableDebt", ("address",), ("uint256",))
GET_USER_CONFIGURATION: Final = Method("getUserConfiguration", ("address",), ("uint256",))
GET_USER_EMODE: Final = Method("getUserEMode", ("address",), ("uint256",))
SCALED_BALANCE_OF: Final = Method("scaledBalanceOf", ("address",), ("uint256",))
GET_RESERVE_DATA: Final = Method("getReserveData", ("address",), (_RESERVE,))
GET_ASSET_PRICE: Final = Method("getAssetPrice", ("address",), ("uint256",))
GET_SOURCE: Final = Method("getSourceOfAsset", ("address",), ("address",))
APPROVE_DELEGATION: Final = Method("approveDelegation", ("address", "uint256"), ())
BORROW_ALLOWANCE: Final = Method("borrowAllowance", ("address", "address"), ("uint256",))
LATEST_ROUND: Final = Method("latestRoundData", (), ("uint80", "int256", "uint256", "uint256", "uint80"))


@dataclass(frozen=True, slots=True)
class Reserve:
    """A reserve's own parameters and tokens; threshold and liquidation bonus in bps."""

    threshold_bps: int
    bonus_bps: int
    unit: int
    a_token: Address
    variable_debt: Address


def read_reserve(returned: bytes) -> Reserve:
    """A reserve from what `getReserveData` returned."""
    (reserve,) = GET_RESERVE_DATA.read(returned)
    bits = reserve[0]
    return Reserve(
        threshold_bps=bits >> 16 & 0xFFFF,
        bonus_bps=bits >> 32 & 0xFFFF,
        unit=10 ** (bits >> 48 & 0xFF),
        a_token=address(reserve[8]),
        variable_debt=address(reserve[10]),
    )

"""Aave V3 (3.0 to 3.6): what to ask the pool, its oracle and its tokens.

Source: aave-v3-core `IPool`, `IPoolAddressesProvider`, `IAaveOracle`, `IScaledBalanceToken`, `ICreditDelegationToken`,
`ReserveConfiguration`; an e-mode is a `getEModeCategoryData` before 3.2, a config and a bitmap from there on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keeper.domain.units import NOBODY, Address
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
    """A reserve's own parameters and tokens; threshold and liquidation bonus in bps.

    `category` is the e-mode that it names as its own, which counts before 3.2 only.
    """

    id: int
    threshold_bps: int
    bonus_bps: int
    unit: int
    category: int
    a_token: Address
    variable_debt: Address


@dataclass(frozen=True, slots=True)
class Mode:
    """An e-mode as an account in it has it; threshold and liquidation bonus in bps.

    `members` has a bit for each reserve that counts by it, None before 3.2; `source` is whose price they then all have,
    `NOBODY` where each has its own.
    """

    id: int
    threshold_bps: int
    bonus_bps: int
    source: Address
    members: int | None

    def counts(self, reserve: Reserve) -> bool:
        """Whether the reserve is one of the mode's."""
        return reserve.category == self.id if self.members is None else self.members >> reserve.id & 1 == 1


def read_reserve(returned: bytes) -> Reserve:
    """A reserve from what `getReserveData` returned."""
    (reserve,) = GET_RESERVE_DATA.read(returned)
    bits = reserve[0]
    return Reserve(
        id=reserve[7],
        threshold_bps=bits >> 16 & 0xFFFF,
        bonus_bps=bits >> 32 & 0xFFFF,
        unit=10 ** (bits >> 48 & 0xFF),
        category=bits >> 168 & 0xFF,
        a_token=address(reserve[8]),
        variable_debt=address(reserve[10]),
    )


def read_mode(id_: int, told: bytes, members: bytes | None) -> Mode:
    """An e-mode from what `getEModeCategoryData` returned and, where there is such a list, its collaterals' bitmap."""
    _, threshold, bonus, source, _ = GET_EMODE.read(told)[0]
    if members is None:
        return Mode(id_, threshold, bonus, address(source), None)
    return Mode(id_, threshold, bonus, NOBODY, GET_EMODE_BITMAP.read(members)[0])

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Aave V3: what an account is worth, what its reserves allow, and what would stop a sale
@custom:contract-name aave_v3
@license MIT
@notice Readings named `_try_` answer instead of reverting, for a view that must always have an answer.
Assumes: the pool's address does not change behind its provider (Aave upgrades the code, not the address);
         the price oracle's may, so it is asked for each time.
Source: aave-v3 3.0.2 and 3.6, ReserveConfiguration (bits), UserConfiguration (two bits per reserve, the
        higher says "used as collateral"), ValidationLogic (the check behind an aToken transfer).
"""

from ethereum.ercs import IERC20
from .interfaces import IAaveV3DebtToken
from .interfaces import IAaveV3Pool
from .interfaces import IAaveV3Provider


_COLLATERAL_BITS: constant(uint256) = max_value(uint256) // 3 * 2
_BORROWED_BITS: constant(uint256) = max_value(uint256) // 3
_MASK_16: constant(uint256) = 2**16 - 1
_MASK_8: constant(uint256) = 2**8 - 1
_ACTIVE: constant(uint256) = 2**56
_FROZEN: constant(uint256) = 2**57
_BORROWABLE: constant(uint256) = 2**58
_SILOED: constant(uint256) = 2**62
_MASK_36: constant(uint256) = 2**36 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_RAY: constant(uint256) = 10**27
_PAUSED: constant(uint256) = 2**60
_MAX_RESERVES: constant(uint256) = 128
_MAX_DECIMALS: constant(uint256) = 36
_PRICE_LIMIT: constant(uint256) = 2**64
_VALUE_LIMIT: constant(uint256) = 2**128

AAVE: public(immutable(address))
PROVIDER: public(immutable(address))
# Whether the pool names an aToken by itself (3.4 and later): a third of the gas of asking for all of the reserve.
_NAMES_A_TOKENS: immutable(bool)


@deploy
def __init__(addresses_provider: address):
    assert addresses_provider.is_contract, "aave: no contract at the provider's address"
    PROVIDER = addresses_provider
    AAVE = staticcall IAaveV3Provider(addresses_provider).getPool()
    assert AAVE.is_contract, "aave: the provider has no pool"
    _NAMES_A_TOKENS = raw_call(
        AAVE,
        abi_encode(empty(address), method_id=method_id("getReserveAToken(address)")),
        is_static_call=True,
        revert_on_failure=False,
    )


@internal
@view
def _account(user: address) -> IAaveV3Pool.AccountData:
    return staticcall IAaveV3Pool(AAVE).getUserAccountData(user)


@internal
@view
def _a_token(asset: address) -> address:
    if _NAMES_A_TOKENS:
        return staticcall IAaveV3Pool(AAVE).getReserveAToken(asset)
    return (staticcall IAaveV3Pool(AAVE).getReserveData(asset)).a_token


@internal
@view
def _try_account(user: address) -> (bool, IAaveV3Pool.AccountData):
    """
    @dev False when Aave cannot value the account: one asset without a price is enough.
    """
    read: bool = False
    answer: Bytes[192] = b""
    read, answer = raw_call(
        AAVE,
        abi_encode(user, method_id=method_id("getUserAccountData(address)")),
        max_outsize=192,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not read or len(answer) != 192:
        return False, empty(IAaveV3Pool.AccountData)
    account: IAaveV3Pool.AccountData = abi_decode(answer, IAaveV3Pool.AccountData)
    return account.collateral < _VALUE_LIMIT and account.debt < _VALUE_LIMIT, account


@internal
@view
def _try_price(asset: address) -> uint256:
    """
    @dev Base currency per whole unit; 0 when there is no price, or none that is believable.
    """
    price: uint256 = self._try_word(
        staticcall IAaveV3Provider(PROVIDER).getPriceOracle(),
        abi_encode(asset, method_id=method_id("getAssetPrice(address)")),
    )
    return price if price < _PRICE_LIMIT else 0


@internal
@view
def _liquidity(asset: address, a_token: address) -> uint256:
    """
    @dev What a withdrawal can take out: later versions keep their own count, which a donation does not raise.
    """
    held: uint256 = staticcall IERC20(asset).balanceOf(a_token)
    counted: bool = False
    answer: Bytes[32] = b""
    counted, answer = raw_call(
        AAVE,
        abi_encode(asset, method_id=method_id("getVirtualUnderlyingBalance(address)")),
        max_outsize=32,
        is_static_call=True,
        revert_on_failure=False,
    )
    if counted and len(answer) == 32:
        return min(held, convert(answer, uint256))
    return held


@internal
@view
def _try_word(target: address, question: Bytes[36]) -> uint256:
    read: bool = False
    answer: Bytes[32] = b""
    read, answer = raw_call(target, question, max_outsize=32, is_static_call=True, revert_on_failure=False)
    return convert(answer, uint256) if read and len(answer) == 32 else 0


@internal
@view
def _obstacle(user: address, sold: IAaveV3Pool.ReserveData, bought: IAaveV3Pool.ReserveData) -> String[96]:
    """
    @dev The first thing that would make Aave refuse to sell the one reserve for the debt in the other.
    """
    if not self._in_service(sold.configuration):
        return "aave: the collateral's reserve is paused or inactive"
    if not self._in_service(bought.configuration):
        return "aave: the debt's reserve is paused or inactive"
    if staticcall IAaveV3Pool(AAVE).getUserEMode(user) != 0:
        return "aave: the account is in an e-mode, which is not sized here"
    used: uint256 = staticcall IAaveV3Pool(AAVE).getUserConfiguration(user) & _COLLATERAL_BITS
    if (used >> (2 * sold.id + 1)) & 1 == 0 or self._threshold(sold.configuration) == 0:
        return "aave: the rule's collateral is not enabled as collateral"
    if self._ltv(sold.configuration) != 0 and self._holds_without_ltv(used):
        return "aave: another enabled collateral has LTV 0, so this one cannot leave"
    if staticcall IERC20(bought.variable_debt_token).balanceOf(user) == 0:
        return "loan: no variable debt in the rule's asset"
    return ""


@internal
@view
def _obstacle_to_borrowing(
    user: address, bought: IAaveV3Pool.ReserveData, owed: IAaveV3Pool.ReserveData
) -> String[96]:
    """
    @dev The first thing that would make Aave refuse to supply the one reserve and borrow the other, whatever the size.
    """
    if not self._in_service(bought.configuration) or bought.configuration & _FROZEN != 0:
        return "aave: the collateral's reserve is frozen, paused or inactive"
    if not self._in_service(owed.configuration) or owed.configuration & _FROZEN != 0:
        return "aave: the debt's reserve is frozen, paused or inactive"
    if owed.configuration & _BORROWABLE == 0:
        return "aave: the debt asset is not lent out"
    if staticcall IAaveV3Pool(AAVE).getUserEMode(user) != 0:
        return "aave: the account is in an e-mode, which is not sized here"
    used: uint256 = staticcall IAaveV3Pool(AAVE).getUserConfiguration(user)
    if (used >> (2 * bought.id + 1)) & 1 == 0 or self._threshold(bought.configuration) == 0:
        return "aave: the rule's collateral is not enabled as collateral"
    if self._ceiling(bought.configuration) != 0:
        return "aave: the collateral is isolated, which is not sized here"
    if self._is_siloed(used & _BORROWED_BITS, owed):
        return "aave: siloed borrowing forbids this debt beside another"
    if not self._sentinel_allows():
        return "aave: its price sentinel has closed borrowing"
    return ""


@internal
@view
def _is_siloed(borrowed: uint256, owed: IAaveV3Pool.ReserveData) -> bool:
    """
    @dev A siloed debt stands alone: no other joins it, and it joins no other.
    """
    own: uint256 = 1 << (2 * owed.id)
    if borrowed == own or borrowed == 0:
        return False
    if owed.configuration & _SILOED != 0:
        return True
    left: uint256 = borrowed
    for id: uint256 in range(_MAX_RESERVES):
        if left == 0:
            break
        if left & 1 != 0:
            asset: address = staticcall IAaveV3Pool(AAVE).getReserveAddressById(convert(id, uint16))
            if (staticcall IAaveV3Pool(AAVE).getConfiguration(asset)) & _SILOED != 0:
                return True
        left >>= 2
    return False


@internal
@view
def _sentinel_allows() -> bool:
    sentinel: address = staticcall IAaveV3Provider(PROVIDER).getPriceOracleSentinel()
    if sentinel == empty(address):
        return True
    return self._try_word(sentinel, method_id("isBorrowAllowed()")) == 1


@internal
@view
def _caps_obstacle(
    bought: address,
    into: IAaveV3Pool.ReserveData,
    supply: uint256,
    owed: address,
    out_of: IAaveV3Pool.ReserveData,
    borrow: uint256,
) -> String[96]:
    """
    @dev The cap that leaves no room for supplying and borrowing as much, empty if none does.
    """
    supply_cap: uint256 = (into.configuration >> 116) & _MASK_36
    if supply_cap != 0:
        shares: uint256 = staticcall IAaveV3DebtToken(into.a_token).scaledTotalSupply()
        index: uint256 = staticcall IAaveV3Pool(AAVE).getReserveNormalizedIncome(bought)
        held: uint256 = (shares + into.accrued_to_treasury) * index // _RAY + 1
        if held + supply > supply_cap * self._unit(into.configuration):
            return "aave: the collateral's supply cap leaves too little room"
    borrow_cap: uint256 = (out_of.configuration >> 80) & _MASK_36
    if borrow_cap != 0:
        shares: uint256 = staticcall IAaveV3DebtToken(out_of.variable_debt_token).scaledTotalSupply()
        index: uint256 = staticcall IAaveV3Pool(AAVE).getReserveNormalizedVariableDebt(owed)
        if shares * index // _RAY + 1 + borrow > borrow_cap * self._unit(out_of.configuration):
            return "aave: the debt's borrow cap leaves too little room"
    return ""


@internal
@view
def _holds_without_ltv(used: uint256) -> bool:
    """
    @dev Aave lets no collateral but those of LTV 0 leave an indebted account that has one of them enabled.
    """
    left: uint256 = used
    for id: uint256 in range(_MAX_RESERVES):
        if left == 0:
            break
        if left & 2 != 0:
            asset: address = staticcall IAaveV3Pool(AAVE).getReserveAddressById(convert(id, uint16))
            if self._ltv(staticcall IAaveV3Pool(AAVE).getConfiguration(asset)) == 0:
                return True
        left >>= 2
    return False


@internal
@pure
def _ltv(configuration: uint256) -> uint256:
    return configuration & _MASK_16


@internal
@pure
def _threshold(configuration: uint256) -> uint256:
    return (configuration >> 16) & _MASK_16


@internal
@pure
def _ceiling(configuration: uint256) -> uint256:
    """
    @dev The debt ceiling, which makes a collateral an isolated one.
    """
    return (configuration >> 212) & _MASK_40


@internal
@pure
def _decimals(configuration: uint256) -> uint256:
    return (configuration >> 48) & _MASK_8


@internal
@pure
def _unit(configuration: uint256) -> uint256:
    """
    @dev Of one whole token; of more decimals than are in service it is that of the most.
    """
    return 10 ** min(self._decimals(configuration), _MAX_DECIMALS)


@internal
@pure
def _in_service(configuration: uint256) -> bool:
    return configuration & (_ACTIVE | _PAUSED) == _ACTIVE and self._decimals(configuration) <= _MAX_DECIMALS

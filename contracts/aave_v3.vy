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
Source: aave-v3 3.0.2 to 3.6, ReserveConfiguration (bits), UserConfiguration (two bits per reserve, the higher says
        "used as collateral"), ValidationLogic (the check behind an aToken transfer, and those of a loan),
        GenericLogic and EModeLogic (what a reserve counts in an e-mode), IsolationModeLogic.
"""

from ethereum.ercs import IERC20
from .interfaces import IAaveV3DebtToken
from .interfaces import IAaveV3Pool
from .interfaces import IAaveV3Provider


_COLLATERAL_BITS: constant(uint256) = max_value(uint256) // 3 * 2
_BORROWED_BITS: constant(uint256) = max_value(uint256) // 3
_MASK_16: constant(uint256) = 2**16 - 1
_MASK_8: constant(uint256) = 2**8 - 1
_MASK_32: constant(uint256) = 2**32 - 1
_ACTIVE: constant(uint256) = 2**56
_FROZEN: constant(uint256) = 2**57
_BORROWABLE: constant(uint256) = 2**58
_SILOED: constant(uint256) = 2**62
_MASK_36: constant(uint256) = 2**36 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_RAY: constant(uint256) = 10**27
_PAUSED: constant(uint256) = 2**60
_LENT_IN_ISOLATION: constant(uint256) = 2**61
_MAX_RESERVES: constant(uint256) = 128
_MAX_DECIMALS: constant(uint256) = 36
_PRICE_LIMIT: constant(uint256) = 2**64
_VALUE_LIMIT: constant(uint256) = 2**128
_CEILING_CENTS: constant(uint256) = 100    # a debt ceiling is in hundredths of a whole token, whichever it is


# What the e-mode an account is in says of reserves; all zero outside of one.
struct Mode:
    id: uint256
    ltv: uint256
    threshold: uint256
    source: address         # before 3.2: whose price all its reserves have, if anybody's
    has_lists: bool         # since 3.2 a mode lists its reserves, by a bit each; before, a reserve names its mode
    members: uint256        # those that count by this mode
    lent: uint256           # those that may be borrowed in it
    rules_alone: bool       # since 3.6 what a reserve says of itself does not restrict what its mode says
    without_ltv: uint256    # members whose LTV is 0 in it


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
    is_counted: bool = False
    counted: uint256 = 0
    is_counted, counted = self._told(
        AAVE, abi_encode(asset, method_id=method_id("getVirtualUnderlyingBalance(address)"))
    )
    return min(held, counted) if is_counted else held


@internal
@view
def _try_word(target: address, question: Bytes[36]) -> uint256:
    """
    @dev 0 where there is no answer.
    """
    return self._told(target, question)[1]


@internal
@view
def _told(target: address, question: Bytes[36]) -> (bool, uint256):
    """
    @dev Whether there is an answer of one word, and that; 0 where there is none.
    """
    read: bool = False
    answer: Bytes[32] = b""
    read, answer = raw_call(target, question, max_outsize=32, is_static_call=True, revert_on_failure=False)
    if not read or len(answer) != 32:
        return False, 0
    return True, convert(answer, uint256)


@internal
@view
def _mode_of(user: address) -> Mode:
    mode: Mode = empty(Mode)
    mode.id = staticcall IAaveV3Pool(AAVE).getUserEMode(user)
    if mode.id == 0:
        return mode
    category: IAaveV3Pool.Category = staticcall IAaveV3Pool(AAVE).getEModeCategoryData(convert(mode.id, uint8))
    mode.ltv = category.ltv
    mode.threshold = category.threshold
    mode.has_lists, mode.members = self._told(
        AAVE, abi_encode(mode.id, method_id=method_id("getEModeCategoryCollateralBitmap(uint8)"))
    )
    if not mode.has_lists:
        mode.source = category.source
        return mode
    mode.lent = self._try_word(
        AAVE, abi_encode(mode.id, method_id=method_id("getEModeCategoryBorrowableBitmap(uint8)"))
    )
    mode.rules_alone, mode.without_ltv = self._told(
        AAVE, abi_encode(mode.id, method_id=method_id("getEModeCategoryLtvzeroBitmap(uint8)"))
    )
    return mode


@internal
@pure
def _names(mode: Mode, configuration: uint256) -> bool:
    """
    @dev Whether a reserve names this mode as its own, which tells something before 3.2 only.
    """
    return (configuration >> 168) & _MASK_8 == mode.id


@internal
@pure
def _configured(mode: Mode, id: uint256, configuration: uint256) -> uint256:
    """
    @dev A reserve's configuration with the LTV, the threshold and the leave to borrow that it has in this mode.
    """
    if mode.id == 0:
        return configuration
    is_in: bool = (mode.members >> id) & 1 != 0 if mode.has_lists else self._names(mode, configuration)
    ltv: uint256 = self._ltv(configuration)
    threshold: uint256 = self._threshold(configuration)
    if is_in and (ltv != 0 or mode.rules_alone):
        ltv = mode.ltv if (mode.without_ltv >> id) & 1 == 0 else 0
    if is_in and (threshold != 0 or mode.rules_alone):
        threshold = mode.threshold
    lent: uint256 = _BORROWABLE if mode.rules_alone else configuration & _BORROWABLE
    if not ((mode.lent >> id) & 1 != 0 if mode.has_lists else is_in):
        lent = 0
    return configuration & ~(_BORROWABLE | _MASK_32) | lent | threshold << 16 | ltv


@internal
@view
def _reserve(asset: address, mode: Mode) -> IAaveV3Pool.ReserveData:
    """
    @dev Configured as it is for an account in this mode.
    """
    reserve: IAaveV3Pool.ReserveData = staticcall IAaveV3Pool(AAVE).getReserveData(asset)
    reserve.configuration = self._configured(mode, reserve.id, reserve.configuration)
    return reserve


@internal
@view
def _try_price_in(mode: Mode, asset: address, configuration: uint256) -> uint256:
    """
    @dev The price by which an asset counts for an account in this mode, as `_try_price` has it.
    """
    if mode.source != empty(address) and self._names(mode, configuration):
        return self._try_price(mode.source)
    return self._try_price(asset)


@internal
@view
def _obstacle(
    user: address, mode: Mode, sold: IAaveV3Pool.ReserveData, bought: IAaveV3Pool.ReserveData
) -> String[96]:
    """
    @dev The first thing that would make Aave refuse to sell the one reserve for the debt in the other.
    """
    if not self._in_service(sold.configuration):
        return "aave: the collateral's reserve is paused or inactive"
    if not self._in_service(bought.configuration):
        return "aave: the debt's reserve is paused or inactive"
    used: uint256 = staticcall IAaveV3Pool(AAVE).getUserConfiguration(user) & _COLLATERAL_BITS
    if (used >> (2 * sold.id + 1)) & 1 == 0 or self._threshold(sold.configuration) == 0:
        return "aave: the rule's collateral is not enabled as collateral"
    if self._ltv(sold.configuration) != 0 and self._holds_without_ltv(used, mode):
        return "aave: another enabled collateral has LTV 0, so this one cannot leave"
    if staticcall IERC20(bought.variable_debt_token).balanceOf(user) == 0:
        return "loan: no variable debt in the rule's asset"
    return ""


@internal
@view
def _obstacle_to_borrowing(
    user: address, mode: Mode, bought: IAaveV3Pool.ReserveData, owed: IAaveV3Pool.ReserveData
) -> String[96]:
    """
    @dev The first thing that would make Aave refuse to supply the one reserve and borrow the other, whatever the size.
    """
    if not self._in_service(bought.configuration) or bought.configuration & _FROZEN != 0:
        return "aave: the collateral's reserve is frozen, paused or inactive"
    if not self._in_service(owed.configuration) or owed.configuration & _FROZEN != 0:
        return "aave: the debt's reserve is frozen, paused or inactive"
    if owed.configuration & _BORROWABLE == 0:
        if mode.id != 0:
            return "aave: the debt asset is not lent out in the account's e-mode"
        return "aave: the debt asset is not lent out"
    used: uint256 = staticcall IAaveV3Pool(AAVE).getUserConfiguration(user)
    if (used >> (2 * bought.id + 1)) & 1 == 0 or self._threshold(bought.configuration) == 0:
        return "aave: the rule's collateral is not enabled as collateral"
    if self._is_isolated(used, bought) and (
        owed.configuration & _LENT_IN_ISOLATION == 0 or self._unit(owed.configuration) < _CEILING_CENTS
    ):
        return "aave: the account is isolated, and this debt is not lent in isolation"
    if self._is_siloed(used & _BORROWED_BITS, owed):
        return "aave: siloed borrowing forbids this debt beside another"
    if not self._sentinel_allows():
        return "aave: its price sentinel has closed borrowing"
    return ""


@internal
@pure
def _is_isolated(used: uint256, collateral: IAaveV3Pool.ReserveData) -> bool:
    """
    @dev Where an enabled collateral with a debt ceiling is the only one.
    """
    return used & _COLLATERAL_BITS == 2 << (2 * collateral.id) and self._ceiling(collateral.configuration) != 0


@internal
@view
def _is_beyond_ceiling(
    user: address, collateral: IAaveV3Pool.ReserveData, owed: IAaveV3Pool.ReserveData, borrow: uint256
) -> bool:
    """
    @dev Aave counts what isolated accounts borrowed in whole hundredths, and no interest.
    """
    if not self._is_isolated(staticcall IAaveV3Pool(AAVE).getUserConfiguration(user), collateral):
        return False
    counted: uint256 = collateral.isolation_debt + borrow // (self._unit(owed.configuration) // _CEILING_CENTS)
    return counted > self._ceiling(collateral.configuration)


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
def _holds_without_ltv(used: uint256, mode: Mode) -> bool:
    """
    @dev Aave lets no collateral but those of LTV 0 leave an indebted account that has one of them enabled.
    """
    left: uint256 = used
    for id: uint256 in range(_MAX_RESERVES):
        if left == 0:
            break
        if left & 2 != 0:
            asset: address = staticcall IAaveV3Pool(AAVE).getReserveAddressById(convert(id, uint16))
            own: uint256 = staticcall IAaveV3Pool(AAVE).getConfiguration(asset)
            if self._ltv(self._configured(mode, id, own)) == 0:
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

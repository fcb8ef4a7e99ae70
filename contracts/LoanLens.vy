# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Loans and their rules, many in one question
@custom:contract-name LoanLens
@license MIT
@notice Never deployed: its runtime code stands at some address for the length of one `eth_call` with a state
        override, so it has no storage and no immutables, and everything it needs is an argument.
        `read` has Aave value each account. `value` does the same sums itself, and asks for prices, indexes and
        thresholds once instead of once an account, which takes a third of the time. Its sums are to be believed only
        where they were seen to agree with Aave's, to which end it has Aave value every so-manieth account as well.
@custom:kill Nothing to switch off: it is on no chain.
Assumes: a scaled balance is worth what the pool's normalized income or debt says, as its own valuation has it.
Source: aave-v3 3.0.2 and 3.6, GenericLogic.calculateUserAccountData, WadRayMath, PercentageMath, TokenMath, EModeLogic;
        stable debt and e-mode price sources of the one, e-mode bitmaps and directed rounding of the other.
"""

from ethereum.ercs import IERC20
from .interfaces import IAaveV3AToken
from .interfaces import IAaveV3Pool
from .interfaces import IAaveV3Provider


interface Pool:
    def ADDRESSES_PROVIDER() -> address: view
    def getReserveNormalizedIncome(asset: address) -> uint256: view
    def getReserveNormalizedVariableDebt(asset: address) -> uint256: view
    def getEModeCategoryCollateralConfig(id: uint8) -> CollateralConfig: view
    def getEModeCategoryCollateralBitmap(id: uint8) -> uint256: view


struct CollateralConfig:
    ltv: uint256
    threshold: uint256
    bonus: uint256


struct Row:
    a: uint256              # the rule's three words as packed in `loan_rules.vy`; 0 without a rule
    b: uint256
    c: uint256
    collateral: uint256     # of Aave's getUserAccountData
    debt: uint256
    threshold: uint256
    health: uint256
    told: uint256           # 0: not read, the four words before it are 0. 1: valued by Aave. Other odd numbers: by our
                            # sums, a number for each combination of reserves in use and e-mode. Even: Aave came to
                            # other numbers than our sums, and these are Aave's; 1 more is the combination


# What is everybody's, asked once a call.
struct Market:
    asked: bool
    asset: address          # zero where the pool has dropped the reserve
    price: uint256          # 0: none to be had
    unit: uint256
    threshold: uint256
    category: uint256       # before 3.2: the e-mode this reserve belongs to
    income: uint256
    debt_index: uint256
    a_token: address
    variable_debt: address
    stable_debt: address


struct Category:
    id: uint256
    threshold: uint256
    members: uint256        # from 3.2: a bit for each reserve that is its collateral
    has_price: bool         # before 3.2: one price for all its reserves
    price: uint256


_LIMIT: constant(uint256) = 1024
_RESERVES: constant(uint256) = 128
_BPS: constant(uint256) = 10**4
_WAD: constant(uint256) = 10**18
_RAY: constant(uint256) = 10**27
_MASK_16: constant(uint256) = 2**16 - 1
_MASK_8: constant(uint256) = 2**8 - 1
_MOST_DECIMALS: constant(uint256) = 36
# Beneath these no sum overflows; what is above is left for Aave to value.
_PRICE_BITS: constant(uint256) = 64
_BALANCE_BITS: constant(uint256) = 128
_INDEX_BITS: constant(uint256) = 96
_VALUE_BITS: constant(uint256) = 180


@external
@view
def read(
    thresholds: address, pool: address, owners: DynArray[address, _LIMIT], ids: DynArray[uint256, _LIMIT]
) -> DynArray[Row, _LIMIT]:
    """
    @notice One row for each owner and id, in their order; an account that cannot be read does not fail the rest.
    @param thresholds The zero address to read accounts without rules.
    """
    assert len(owners) == len(ids), "lens: owners and ids differ in number"
    rows: DynArray[Row, _LIMIT] = []
    for i: uint256 in range(len(owners), bound=_LIMIT):
        row: Row = self._by_aave(pool, owners[i])
        row.a, row.b, row.c = self._rule(thresholds, owners[i], ids[i])
        rows.append(row)
    return rows


@external
@view
def value(
    thresholds: address,
    pool: address,
    owners: DynArray[address, _LIMIT],
    ids: DynArray[uint256, _LIMIT],
    since_3_6: bool,
    first: uint256,
    every: uint256,
) -> DynArray[Row, _LIMIT]:
    """
    @notice The same rows by the lens's own sums, in the arithmetic of 3.6 or of 3.0.2.
    @param first The first account to be valued by Aave as well; then every `every`-th after it.
    """
    assert len(owners) == len(ids), "lens: owners and ids differ in number"
    oracle: address = staticcall IAaveV3Provider(staticcall Pool(pool).ADDRESSES_PROVIDER()).getPriceOracle()
    markets: Market[_RESERVES] = empty(Market[_RESERVES])
    category: Category = empty(Category)
    rows: DynArray[Row, _LIMIT] = []
    for i: uint256 in range(len(owners), bound=_LIMIT):
        owner: address = owners[i]
        row: Row = empty(Row)
        row.a, row.b, row.c = self._rule(thresholds, owner, ids[i])
        used: uint256 = staticcall IAaveV3Pool(pool).getUserConfiguration(owner)
        mode: uint256 = staticcall IAaveV3Pool(pool).getUserEMode(owner)
        if mode != category.id:
            category = self._category(pool, oracle, mode, since_3_6)
        # A price it would not even use fails Aave's valuation.
        readable: bool = not category.has_price or category.price != 0
        widest: uint256 = 0
        weighted: uint256 = 0
        left: uint256 = used
        for id: uint256 in range(_RESERVES):
            if left == 0:
                break
            if left & 3 != 0:
                if not markets[id].asked:
                    markets[id] = self._market(pool, oracle, id)
                market: Market = markets[id]
                if market.asset != empty(address):
                    is_member: bool = (
                        (category.members >> id) & 1 != 0
                        if since_3_6
                        else mode != 0 and market.category == mode
                    )
                    price: uint256 = category.price if is_member and category.has_price else market.price
                    if price == 0:
                        readable = False
                        break
                    if left & 2 != 0 and (since_3_6 or market.threshold != 0):
                        held: uint256 = staticcall IAaveV3AToken(market.a_token).scaledBalanceOf(owner)
                        widest |= held
                        held = unsafe_mul(held, market.income)
                        held = unsafe_div(held if since_3_6 else unsafe_add(held, _RAY // 2), _RAY)
                        held = unsafe_div(unsafe_mul(held, price), market.unit)
                        row.collateral = unsafe_add(row.collateral, held)
                        weighted = unsafe_add(
                            weighted, unsafe_mul(held, category.threshold if is_member else market.threshold)
                        )
                    if left & 1 != 0:
                        owed: uint256 = staticcall IAaveV3AToken(market.variable_debt).scaledBalanceOf(owner)
                        widest |= owed
                        owed = unsafe_mul(owed, market.debt_index)
                        if since_3_6:
                            owed = unsafe_div(unsafe_add(owed, _RAY - 1), _RAY)
                            owed = unsafe_add(unsafe_mul(owed, price), unsafe_sub(market.unit, 1))
                        else:
                            stable: uint256 = staticcall IERC20(market.stable_debt).balanceOf(owner)
                            widest |= stable
                            owed = unsafe_div(unsafe_add(owed, _RAY // 2), _RAY)
                            owed = unsafe_mul(unsafe_add(owed, stable), price)
                        row.debt = unsafe_add(row.debt, unsafe_div(owed, market.unit))
            left >>= 2
        if readable and widest >> _BALANCE_BITS == 0 and (row.collateral | row.debt | weighted) >> _VALUE_BITS == 0:
            row.threshold = unsafe_div(weighted, row.collateral)
            if row.debt == 0:
                row.health = max_value(uint256)
            elif since_3_6:
                row.health = unsafe_div(self._wad_div(weighted, row.debt), _BPS)
            else:
                backing: uint256 = unsafe_add(unsafe_mul(row.collateral, row.threshold), _BPS // 2)
                row.health = self._wad_div(unsafe_div(backing, _BPS), row.debt)
            row.told = convert(keccak256(abi_encode(used, mode)), uint256) | 1
            if i % every == first:
                theirs: Row = self._by_aave(pool, owner)
                if theirs.told == 0 or not self._same(theirs, row):
                    row.collateral = theirs.collateral
                    row.debt = theirs.debt
                    row.threshold = theirs.threshold
                    row.health = theirs.health
                    row.told = 0 if theirs.told == 0 else row.told ^ 1
        else:
            row.collateral = 0
            row.debt = 0
        rows.append(row)
    return rows


@internal
@view
def _by_aave(pool: address, owner: address) -> Row:
    """
    @dev Without its rule.
    """
    row: Row = empty(Row)
    done: bool = False
    answer: Bytes[192] = b""
    done, answer = raw_call(
        pool,
        abi_encode(owner, method_id=method_id("getUserAccountData(address)")),
        max_outsize=192,
        is_static_call=True,
        revert_on_failure=False,
    )
    if done and len(answer) == 192:
        account: IAaveV3Pool.AccountData = abi_decode(answer, IAaveV3Pool.AccountData)
        row.collateral = account.collateral
        row.debt = account.debt
        row.threshold = account.threshold
        row.health = account.health
        row.told = 1
    return row


@internal
@pure
def _same(a: Row, b: Row) -> bool:
    return a.collateral == b.collateral and a.debt == b.debt and a.threshold == b.threshold and a.health == b.health


@internal
@view
def _rule(thresholds: address, owner: address, id: uint256) -> (uint256, uint256, uint256):
    if thresholds == empty(address):
        return 0, 0, 0
    done: bool = False
    words: Bytes[96] = b""
    done, words = raw_call(
        thresholds,
        abi_encode(owner, id, method_id=method_id("words_of(address,uint256)")),
        max_outsize=96,
        is_static_call=True,
        revert_on_failure=False,
    )
    # An unread rule must not look like none: better no answer at all.
    assert done and len(words) == 96, "lens: a rule cannot be read"
    return abi_decode(words, (uint256, uint256, uint256))


@internal
@view
def _market(pool: address, oracle: address, id: uint256) -> Market:
    """
    @dev Without a price where one of its numbers is too large for the sums.
    """
    market: Market = empty(Market)
    market.asked = True
    market.asset = staticcall IAaveV3Pool(pool).getReserveAddressById(convert(id, uint16))
    if market.asset == empty(address):
        return market
    reserve: IAaveV3Pool.ReserveData = staticcall IAaveV3Pool(pool).getReserveData(market.asset)
    decimals: uint256 = (reserve.configuration >> 48) & _MASK_8
    market.threshold = (reserve.configuration >> 16) & _MASK_16
    market.category = (reserve.configuration >> 168) & _MASK_8
    market.income = staticcall Pool(pool).getReserveNormalizedIncome(market.asset)
    market.debt_index = staticcall Pool(pool).getReserveNormalizedVariableDebt(market.asset)
    market.a_token = reserve.a_token
    market.variable_debt = reserve.variable_debt_token
    market.stable_debt = reserve.stable_debt_token
    if decimals <= _MOST_DECIMALS and (market.income | market.debt_index) >> _INDEX_BITS == 0:
        market.unit = 10**decimals
        market.price = self._price(oracle, market.asset)
    return market


@internal
@view
def _category(pool: address, oracle: address, id: uint256, since_3_6: bool) -> Category:
    category: Category = empty(Category)
    category.id = id
    if id == 0:
        return category
    if since_3_6:
        category.threshold = (
            staticcall Pool(pool).getEModeCategoryCollateralConfig(convert(id, uint8))
        ).threshold
        category.members = staticcall Pool(pool).getEModeCategoryCollateralBitmap(convert(id, uint8))
        return category
    # Ends in a text, so it is read as far as it is needed: where the tuple begins, then ltv, threshold, bonus, source.
    told: Bytes[160] = raw_call(
        pool,
        abi_encode(id, method_id=method_id("getEModeCategoryData(uint8)")),
        max_outsize=160,
        is_static_call=True,
    )
    source: address = convert(convert(slice(told, 128, 32), uint256), address)
    category.threshold = convert(slice(told, 64, 32), uint256)
    category.has_price = source != empty(address)
    category.price = self._price(oracle, source) if category.has_price else 0
    return category


@internal
@view
def _price(oracle: address, asset: address) -> uint256:
    """
    @dev 0 when there is none, or none that fits.
    """
    done: bool = False
    answer: Bytes[32] = b""
    done, answer = raw_call(
        oracle,
        abi_encode(asset, method_id=method_id("getAssetPrice(address)")),
        max_outsize=32,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not done or len(answer) != 32:
        return 0
    price: uint256 = convert(answer, uint256)
    return price if price >> _PRICE_BITS == 0 else 0


@internal
@pure
def _wad_div(a: uint256, b: uint256) -> uint256:
    """
    @dev As Aave rounds it: half up.
    """
    return unsafe_div(unsafe_add(unsafe_mul(a, _WAD), unsafe_div(b, 2)), b)

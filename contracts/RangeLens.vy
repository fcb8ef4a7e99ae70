# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Ranges and their rules, many in one question
@custom:contract-name RangeLens
@license MIT
@notice Never deployed: its runtime code stands at some address for the length of one `eth_call` with a state
        override, so it has no storage and no immutables, and everything it needs is an argument.
@custom:kill Nothing to switch off: it is on no chain.
"""

from . import range_rules
from . import ticks
from . import uniswap_v3_positions
from .interfaces import IRangeThresholds
from .interfaces import IUniswapV3Pool
from .interfaces import IUniswapV3Positions


interface IFactory:
    def getPool(token0: address, token1: address, fee: uint24) -> address: view


struct Row:
    a: uint256              # the rule's three words as packed in `range_rules.vy`; 0 without a rule
    b: uint256
    c: uint256
    known: uint256          # 0 nothing but the rule, 1 the position too, 2 and its pool, 3 and the pool's mean
    holder: address
    approved: bool
    token0: address
    token1: address
    fee: uint24
    lower: int24
    upper: int24
    liquidity: uint128
    fees_0: uint256
    fees_1: uint256
    pool: address
    price: uint160
    tick: int24
    mean: int256
    spacing: int256
    in_range: uint128


_LIMIT: constant(uint256) = 1024


@external
@view
def read(
    thresholds: address,
    manager: address,
    factory: address,
    owners: DynArray[address, _LIMIT],
    ids: DynArray[uint256, _LIMIT],
) -> DynArray[Row, _LIMIT]:
    """
    @notice One row for each owner and id, in their order; a position that cannot be read does not fail the rest.
    """
    assert len(owners) == len(ids), "lens: owners and ids differ in number"
    rows: DynArray[Row, _LIMIT] = []
    for i: uint256 in range(len(owners), bound=_LIMIT):
        rows.append(self._row(thresholds, manager, factory, owners[i], ids[i]))
    return rows


@internal
@view
def _row(thresholds: address, manager: address, factory: address, owner: address, id: uint256) -> Row:
    row: Row = empty(Row)
    row.a, row.b, row.c = staticcall IRangeThresholds(thresholds).words_of(owner, id)
    if row.a == 0:
        return row
    rule: IRangeThresholds.Rule = range_rules._unpack(range_rules.Words(a=row.a, b=row.b, c=row.c))
    read: bool = False
    answer: Bytes[384] = b""
    read, answer = raw_call(
        manager,
        abi_encode(rule.token_id, method_id=method_id("positions(uint256)")),
        max_outsize=384,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not read or len(answer) != 384:
        return row
    position: IUniswapV3Positions.Position = abi_decode(answer, IUniswapV3Positions.Position)
    row.known = 1
    row.holder = staticcall IUniswapV3Positions(manager).ownerOf(rule.token_id)
    row.approved = (
        staticcall IUniswapV3Positions(manager).isApprovedForAll(row.holder, thresholds)
        or staticcall IUniswapV3Positions(manager).getApproved(rule.token_id) == thresholds
    )
    row.token0 = position.token0
    row.token1 = position.token1
    row.fee = position.fee
    row.lower = position.lower
    row.upper = position.upper
    row.liquidity = position.liquidity
    row.pool = staticcall IFactory(factory).getPool(position.token0, position.token1, position.fee)
    # Once all liquidity has left its ticks, what the pool says of them is nothing.
    if position.liquidity == 0 or not row.pool.is_contract:
        return row
    slot: IUniswapV3Pool.Slot0 = staticcall IUniswapV3Pool(row.pool).slot0()
    look: ticks.Look = empty(ticks.Look)
    read, look = ticks._try_look(row.pool, slot, rule.hold)
    row.known = 3 if read else 2
    row.price = slot.sqrt_price
    row.tick = slot.tick
    row.mean = look.mean
    row.spacing = look.spacing
    row.in_range = staticcall IUniswapV3Pool(row.pool).liquidity()
    row.fees_0, row.fees_1 = uniswap_v3_positions._fees(row.pool, position, look.tick)
    return row

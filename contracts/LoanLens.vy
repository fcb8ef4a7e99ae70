# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Loans and their rules, many in one question
@custom:contract-name LoanLens
@license MIT
@notice Never deployed: its runtime code stands at some address for the length of one `eth_call` with a state
        override, so it has no storage and no immutables, and everything it needs is an argument.
@custom:kill Nothing to switch off: it is on no chain.
"""


struct Row:
    a: uint256              # the rule's three words as packed in `loan_rules.vy`; 0 without a rule
    b: uint256
    c: uint256
    collateral: uint256     # Aave's getUserAccountData
    debt: uint256
    borrowable: uint256
    threshold: uint256
    ltv: uint256
    health: uint256
    readable: uint256       # 1, or 0 with the six words before it 0: Aave could not value this account


_LIMIT: constant(uint256) = 4096


@external
@view
def read(
    thresholds: address, aave_pool: address, owners: DynArray[address, _LIMIT], ids: DynArray[uint256, _LIMIT]
) -> DynArray[Row, _LIMIT]:
    """
    @notice One row for each owner and id, in their order; an account that cannot be read does not fail the rest.
    @param thresholds The zero address to read accounts without rules.
    """
    assert len(owners) == len(ids), "lens: owners and ids differ in number"
    rows: DynArray[Row, _LIMIT] = []
    read: bool = False
    rule: Bytes[96] = b""
    account: Bytes[192] = b""
    for i: uint256 in range(len(owners), bound=_LIMIT):
        row: Row = empty(Row)
        if thresholds != empty(address):
            read, rule = raw_call(
                thresholds,
                abi_encode(owners[i], ids[i], method_id=method_id("words_of(address,uint256)")),
                max_outsize=96,
                is_static_call=True,
                revert_on_failure=False,
            )
            # An unread rule must not look like none: better no answer at all.
            assert read and len(rule) == 96, "lens: a rule cannot be read"
            row.a, row.b, row.c = abi_decode(rule, (uint256, uint256, uint256))
        read, account = raw_call(
            aave_pool,
            abi_encode(owners[i], method_id=method_id("getUserAccountData(address)")),
            max_outsize=192,
            is_static_call=True,
            revert_on_failure=False,
        )
        if read and len(account) == 192:
            row.collateral, row.debt, row.borrowable, row.threshold, row.ltv, row.health = abi_decode(
                account, (uint256, uint256, uint256, uint256, uint256, uint256)
            )
            row.readable = 1
        rows.append(row)
    return rows

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title What one call would return, and the gas it would use
@custom:contract-name CallLens
@license MIT
@notice Never deployed: its runtime code is lent to the keeper's own account for one `eth_call`, so that the contract
        called sees the keeper as its caller. Nodes estimate gas by trying many limits; this measures it in one try.
@custom:kill Nothing to stop: it exists only inside a call that changes nothing.
"""


@external
def attempt(target: address, data: Bytes[1024]) -> (bool, uint256, Bytes[512]):
    """
    @notice Whether the call succeeded, the gas it used, refunds not taken off, and what it returned or reverted with.
    """
    left: uint256 = msg.gas
    done: bool = False
    answer: Bytes[512] = b""
    done, answer = raw_call(target, data, max_outsize=512, revert_on_failure=False)
    return done, left - msg.gas, answer

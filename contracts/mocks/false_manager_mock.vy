# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A contract that pretends to be a position manager
@custom:contract-name false_manager_mock
@license MIT
@notice Says that every position is its victim's.
"""

factory: public(address)
victim: address
pool: public(address)


@deploy
def __init__(factory_: address, victim: address, pool_: address):
    self.factory = factory_
    self.victim = victim
    self.pool = pool_


@external
@view
def ownerOf(token_id: uint256) -> address:
    return self.victim

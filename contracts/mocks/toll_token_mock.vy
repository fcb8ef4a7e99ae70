# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A token that keeps a part of whatever is sent, when it is told to
@custom:contract-name toll_token_mock
@license MIT
@notice Plain until `levy` sets a toll, so that a pool of it can come into being at all.
"""

name: public(String[8])
symbol: public(String[8])
decimals: public(uint8)
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
toll_bps: public(uint256)


@deploy
def __init__(decimals_: uint8):
    self.name = "Toll"
    self.symbol = "TOLL"
    self.decimals = decimals_


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount
    self.totalSupply += amount


@external
def levy(toll_bps: uint256):
    self.toll_bps = toll_bps


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
def transfer(to: address, amount: uint256) -> bool:
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self.allowance[owner][msg.sender] -= amount
    self._move(owner, to, amount)
    return True


@internal
def _move(owner: address, to: address, amount: uint256):
    toll: uint256 = amount * self.toll_bps // 10_000
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount - toll
    self.totalSupply -= toll

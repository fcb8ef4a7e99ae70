# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A token that behaves until it is told how not to
@custom:contract-name odd_token_mock
@license MIT
@notice The ways tokens misbehave while they move: taking a share, saying no without a revert, refusing an account.
"""

name: public(String[8])
symbol: public(String[8])
decimals: public(uint8)
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

fee_bps: public(uint256)
says_no: public(bool)
refused: public(address)


@deploy
def __init__(decimals_: uint8):
    self.name = "Odd"
    self.symbol = "ODD"
    self.decimals = decimals_


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount
    self.totalSupply += amount


@external
def take(fee_bps: uint256):
    """
    @notice From now on burn this share of whatever moves.
    """
    self.fee_bps = fee_bps


@external
def say_no():
    """
    @notice From now on move nothing, and say so without reverting.
    """
    self.says_no = True


@external
def refuse(account: address):
    """
    @notice From now on revert when this account sends or receives.
    """
    self.refused = account


@external
def approve(spender: address, amount: uint256) -> bool:
    self.allowance[msg.sender][spender] = amount
    return True


@external
def transfer(to: address, amount: uint256) -> bool:
    return self._move(msg.sender, to, amount)


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self.allowance[owner][msg.sender] -= amount
    return self._move(owner, to, amount)


@internal
def _move(owner: address, to: address, amount: uint256) -> bool:
    if self.says_no:
        return False
    assert self.refused == empty(address) or (owner != self.refused and to != self.refused), "odd: refused"
    taken: uint256 = amount * self.fee_bps // 10_000
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount - taken
    self.totalSupply -= taken
    return True

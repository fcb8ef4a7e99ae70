# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A token that calls somebody back in the middle of every transfer
@custom:contract-name hook_token_mock
@license MIT
@notice The attacker inside a transfer: armed with a call, it makes it once, and remembers how it ended.
"""

name: public(String[8])
symbol: public(String[8])
decimals: public(uint8)
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])

# What it will call, and when: at the `delay`-th transfer from now.
target: public(address)
question: Bytes[1024]
delay: public(uint256)

# How the call ended.
called: public(bool)
succeeded: public(bool)
answer: public(Bytes[512])


@deploy
def __init__(decimals_: uint8):
    self.name = "Hook"
    self.symbol = "HOOK"
    self.decimals = decimals_


@external
def mint(to: address, amount: uint256):
    self.balanceOf[to] += amount
    self.totalSupply += amount


@external
def arm(target: address, question: Bytes[1024], delay: uint256):
    self.target = target
    self.question = question
    self.delay = delay
    self.called = False
    self.succeeded = False
    self.answer = b""


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
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount
    if self.target == empty(address) or self.called:
        return
    if self.delay > 0:
        self.delay -= 1
        return
    self.called = True
    self.succeeded, self.answer = raw_call(
        self.target, self.question, max_outsize=512, revert_on_failure=False
    )

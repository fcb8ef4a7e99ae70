# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title An aggregator as an ordinary chain has it: nobody sets it but those who report to it
@custom:contract-name plain_feed_mock
@license MIT
@notice Its storage begins with other things than a settable feed's, and its rounds are as large as a proxy's.
"""

reporter: public(address)
_phase: uint256
_answer: int256
_updated: uint256
_padding: uint256
_round: uint256


@deploy
def __init__(answer: int256, reporter: address):
    self.reporter = reporter
    self._phase = max_value(uint256)
    self._padding = max_value(uint256)
    self._round = (1 << 64) + 77
    self._answer = answer
    self._updated = block.timestamp


@external
@view
def decimals() -> uint8:
    return 8


@external
@view
def latestAnswer() -> int256:
    return self._answer


@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    round: uint80 = convert(self._round, uint80)
    return round, self._answer, self._updated, self._updated, round


@external
def transmit(answer: int256):
    assert msg.sender == self.reporter, "feed: only its reporter speaks"
    self._answer = answer
    self._round += 1
    self._updated = block.timestamp

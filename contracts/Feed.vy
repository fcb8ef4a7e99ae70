# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title A settable price feed for development chains
@custom:contract-name Feed
@license MIT
@notice Speaks as a Chainlink aggregator does and answers whatever its owner last said, wrong answers
        included (zero, negative, stale): what a keeper does with those is what it is for.
@custom:kill Owned by its deployer; a chain that matters must not list it as a price source.
"""


event AnswerUpdated:
    current: indexed(int256)
    roundId: indexed(uint256)
    updatedAt: uint256


OWNER: public(immutable(address))
decimals: public(immutable(uint8))

description: public(String[64])
latestAnswer: public(int256)
latestTimestamp: public(uint256)
latestRound: public(uint256)

_answers: HashMap[uint256, int256]
_times: HashMap[uint256, uint256]


@deploy
def __init__(description: String[64], decimals_: uint8, answer: int256):
    OWNER = msg.sender
    decimals = decimals_
    self.description = description
    self._write(answer, block.timestamp)


@external
def set(answer: int256):
    """
    @notice Answer this from now on, as if it had been updated in this block.
    """
    assert msg.sender == OWNER, "feed: only its owner sets it"
    self._write(answer, block.timestamp)


@external
def set_at(answer: int256, updated_at: uint256):
    """
    @notice Answer this from now on, with the update time told: a way to be stale on purpose.
    """
    assert msg.sender == OWNER, "feed: only its owner sets it"
    self._write(answer, updated_at)


@external
@view
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    return self._round(self.latestRound)


@external
@view
def getRoundData(round_id: uint80) -> (uint80, int256, uint256, uint256, uint80):
    """
    @notice What was answered in one round; a round that never was is refused, as a real feed does.
    """
    id: uint256 = convert(round_id, uint256)
    assert 0 < id and id <= self.latestRound, "feed: no data for this round"
    return self._round(id)


@internal
def _write(answer: int256, updated_at: uint256):
    round: uint256 = self.latestRound + 1
    self.latestRound = round
    self.latestAnswer = answer
    self.latestTimestamp = updated_at
    self._answers[round] = answer
    self._times[round] = updated_at
    log AnswerUpdated(current=answer, roundId=round, updatedAt=updated_at)


@internal
@view
def _round(id: uint256) -> (uint80, int256, uint256, uint256, uint80):
    round: uint80 = convert(id, uint80)
    return round, self._answers[id], self._times[id], self._times[id], round

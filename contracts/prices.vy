# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Prices: feeds that are believed only while they make sense
@custom:contract-name prices
@license MIT
@notice Feeds speak as Chainlink aggregators do. A price is WAD (10**18 = 1 unit of the feed's quote, a dollar for a
        USD feed) per whole unit, whatever the feed's own decimals, rounded down. It is believed only if

            the feed answers at all, in the five words it should, with at most 36 decimals
            the answer is positive and within the caller's bounds
            it was given at a time, not in the future, and no longer ago than the caller's age
            on a rollup, the sequencer is up, and has been for an hour: an outage leaves old prices behind

        Readings named `_try_` answer instead of reverting, with the reason in place of the price; the others revert
        with that reason. A feed may spend all gas it is given, so only feeds that the owner chose belong here.
Source: Chainlink AggregatorV3Interface; L2 sequencer uptime feeds (answer 0 = up, startedAt = since when).
"""


struct Source:
    feed: address
    max_age: uint256        # seconds
    low: uint256            # WAD, inclusive
    high: uint256           # WAD, inclusive


GRACE: constant(uint256) = 3_600
_WAD_DECIMALS: constant(uint256) = 18
_MAX_DECIMALS: constant(uint256) = 36
_MAX_ANSWER: constant(int256) = 2**127

SEQUENCER: public(immutable(address))


@deploy
def __init__(sequencer: address):
    """
    @param sequencer The rollup's uptime feed, or the zero address where there is no sequencer to be down.
    """
    assert sequencer == empty(address) or sequencer.is_contract, "oracle: no contract at the sequencer feed"
    SEQUENCER = sequencer


@internal
@view
def _price(source: Source) -> uint256:
    price: uint256 = 0
    why: String[64] = ""
    price, why = self._try_price(source)
    assert why == "", why
    return price


@internal
@view
def _require_sequencer():
    why: String[64] = self._try_sequencer()
    assert why == "", why


@internal
@view
def _try_price(source: Source) -> (uint256, String[64]):
    """
    @dev 0 and the reason when there is no price to be believed. The sequencer is asked apart, once for all prices.
    """
    read: bool = False
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    read, answer, started_at, updated_at = self._try_round(source.feed)
    if not read:
        return 0, "oracle: a feed does not answer"
    if answer <= 0:
        return 0, "oracle: a price is not positive"
    if answer > _MAX_ANSWER:
        return 0, "oracle: a price is out of its bounds"
    if updated_at == 0 or updated_at > block.timestamp:
        return 0, "oracle: a price has no believable time"
    if block.timestamp - updated_at > source.max_age:
        return 0, "oracle: a price is too old"
    decimals: uint256 = self._try_decimals(source.feed)
    if decimals > _MAX_DECIMALS:
        return 0, "oracle: a feed tells no usable decimals"
    price: uint256 = convert(answer, uint256)
    if decimals <= _WAD_DECIMALS:
        price *= 10 ** (_WAD_DECIMALS - decimals)
    else:
        price //= 10 ** (decimals - _WAD_DECIMALS)
    if price == 0 or price < source.low or price > source.high:
        return 0, "oracle: a price is out of its bounds"
    return price, ""


@internal
@view
def _try_sequencer() -> String[64]:
    """
    @dev Empty when the sequencer is up and prices have had time to follow.
    """
    if SEQUENCER == empty(address):
        return ""
    read: bool = False
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    read, answer, started_at, updated_at = self._try_round(SEQUENCER)
    if not read or started_at == 0 or started_at > block.timestamp:
        return "oracle: the sequencer feed does not answer"
    if answer != 0:
        return "oracle: the sequencer is down"
    if block.timestamp - started_at <= GRACE:
        return "oracle: the sequencer has only just come back"
    return ""


@internal
@view
def _try_round(feed: address) -> (bool, int256, uint256, uint256):
    """
    @dev Whether the feed answered; its answer; when the round started; when it was updated.
    """
    read: bool = False
    told: Bytes[192] = b""
    read, told = raw_call(
        feed,
        method_id("latestRoundData()"),
        max_outsize=192,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not read or len(told) != 160:
        return False, 0, 0, 0
    return (
        True,
        extract32(told, 32, output_type=int256),
        convert(extract32(told, 64), uint256),
        convert(extract32(told, 96), uint256),
    )


@internal
@view
def _try_decimals(feed: address) -> uint256:
    """
    @dev Greater than any usable number when the feed does not tell.
    """
    read: bool = False
    told: Bytes[64] = b""
    read, told = raw_call(
        feed, method_id("decimals()"), max_outsize=64, is_static_call=True, revert_on_failure=False
    )
    return convert(extract32(told, 0), uint256) if read and len(told) == 32 else max_value(uint256)

# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title How much a price feed moves, measured on chain
@custom:contract-name Volatility
@license MIT
@notice Documented on `interfaces/IVolatility.vyi`. What is remembered of a feed is one word, most significant first:

            variance (96) | answer (88) | updated_at (40) | gathered (32)

@custom:kill There is no switch and nothing to switch off: it measures, holds nothing and moves nothing. Whoever no
             longer trusts it writes a rule that does not read it.
"""

from . import exponents
from . import prices
from . import volatility_bands
from .interfaces import IVolatility

implements: IVolatility
initializes: prices


_WAD: constant(uint256) = 10**18
_YEAR: constant(uint256) = 365 * 86_400
_LN_2: constant(uint256) = 693_147_180_559_945_309
# Variances carry 27 decimals: a rate by the second is a small number.
_RAY_TO_SQUARE: constant(uint256) = 10**9
_MASK_32: constant(uint256) = 2**32 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_MASK_88: constant(uint256) = 2**88 - 1
_MASK_96: constant(uint256) = 2**96 - 1

HALF_LIFE: public(immutable(uint256))
MIN_INTERVAL: public(immutable(uint256))
MAX_RETURN: public(constant(uint256)) = 5 * 10**17
MAX_AGE: public(constant(uint256)) = 3 * 86_400

_words: HashMap[address, uint256]


@deploy
def __init__(half_life: uint256, min_interval: uint256):
    assert min_interval >= 60, "volatility: min interval is below a minute"
    assert half_life >= min_interval, "volatility: half-life is below the min interval"
    assert half_life <= _YEAR, "volatility: half-life is above a year"
    prices.__init__(empty(address))
    HALF_LIFE = half_life
    MIN_INTERVAL = min_interval


@external
@view
def version() -> String[8]:
    return "0.1.0"


@external
def poke(feed: address) -> bool:
    read: bool = False
    told: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    read, told, started_at, updated_at = prices._try_round(feed)
    assert read, "oracle: a feed does not answer"
    assert told > 0, "oracle: a price is not positive"
    answer: uint256 = convert(told, uint256)
    assert answer <= _MASK_88, "oracle: a price is out of its bounds"
    assert updated_at != 0 and updated_at <= block.timestamp, "oracle: a price has no believable time"

    memory: IVolatility.Memory = self._unpack(self._words[feed])
    if memory.updated_at != 0:
        if updated_at < memory.updated_at + MIN_INTERVAL:
            return False
        memory = self._counted(memory, answer, updated_at - memory.updated_at)
    memory.answer = answer
    memory.updated_at = updated_at
    self._words[feed] = self._pack(memory)
    log IVolatility.Poked(
        feed=feed, answer=answer, updated_at=updated_at, sigma=self._sigma(memory.variance, memory.gathered)
    )
    return True


@external
@view
def sigma(feed: address) -> uint256:
    memory: IVolatility.Memory = self._unpack(self._words[feed])
    if memory.gathered < HALF_LIFE:
        return 0
    return self._sigma(memory.variance, memory.gathered)


@external
@view
def age(feed: address) -> uint256:
    memory: IVolatility.Memory = self._unpack(self._words[feed])
    if memory.updated_at == 0:
        return max_value(uint256)
    return block.timestamp - memory.updated_at


@external
@view
def floor_health(feed: address, sigmas_bps: uint256, horizon: uint256) -> uint256:
    memory: IVolatility.Memory = self._unpack(self._words[feed])
    if memory.gathered < HALF_LIFE or block.timestamp > memory.updated_at + MAX_AGE:
        return 0
    sigma: uint256 = self._sigma(memory.variance, memory.gathered)
    if sigma == 0:
        return 0
    return volatility_bands._floor_health(sigmas_bps, sigma, horizon, 0, max_value(uint256))


@external
@view
def memory_of(feed: address) -> IVolatility.Memory:
    return self._unpack(self._words[feed])


@internal
@view
def _counted(memory: IVolatility.Memory, answer: uint256, elapsed: uint256) -> IVolatility.Memory:
    """
    @dev The memory with one more return in it.
    """
    moved: int256 = exponents._ln(answer, memory.answer)
    size: uint256 = min(convert(abs(moved), uint256), MAX_RETURN)
    kept: uint256 = self._kept(elapsed)
    fresh: uint256 = size * size // elapsed * (_WAD - kept) // (_WAD * _RAY_TO_SQUARE)
    return IVolatility.Memory(
        variance=min(memory.variance * kept // _WAD + fresh, _MASK_96),
        answer=memory.answer,
        updated_at=memory.updated_at,
        gathered=min(memory.gathered + elapsed, _MASK_32),
    )


@internal
@view
def _sigma(variance: uint256, gathered: uint256) -> uint256:
    """
    @dev The square root of a year's variance, both in WAD.
    """
    if gathered == 0:
        return 0
    return isqrt(variance * _YEAR * _RAY_TO_SQUARE * _WAD // (_WAD - self._kept(gathered)))


@internal
@view
def _kept(elapsed: uint256) -> uint256:
    """
    @dev 2 ** (-elapsed / HALF_LIFE) in WAD, the weight left to what was there before.
    """
    halvings: uint256 = min(elapsed * _LN_2 // HALF_LIFE, 50 * _WAD)
    return exponents._exp(-convert(halvings, int256))


@internal
@pure
def _pack(memory: IVolatility.Memory) -> uint256:
    return (memory.variance << 160) | (memory.answer << 72) | (memory.updated_at << 32) | memory.gathered


@internal
@pure
def _unpack(word: uint256) -> IVolatility.Memory:
    return IVolatility.Memory(
        variance=word >> 160,
        answer=(word >> 72) & _MASK_88,
        updated_at=(word >> 32) & _MASK_40,
        gathered=word & _MASK_32,
    )

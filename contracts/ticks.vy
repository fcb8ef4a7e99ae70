# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Ticks: prices on a scale of 1.0001, a pool's spacing of them, and its mean over time
@custom:contract-name ticks
@license MIT
@notice A tick t stands for the price 1.0001**t of token0 in token1. Here it is an `int256`, because sums of ticks and
        widths are never in danger of leaving that.
@dev The mean is the geometric mean of the price: the pool adds up its tick second by second, and the tick that counts
     for a second is the one that stood at the end of the block before. What happens inside a block weighs nothing.
Source: v3-core TickMath (the twenty factors are 2**128 * 1.0001**(-2**i / 2), roundings included), Oracle.
"""

from .interfaces import IUniswapV3Pool
from .interfaces import IUniswapV3PoolTicks

# Where a pool's price is: ticks, and the pool's spacing of them.
struct Look:
    tick: int256
    mean: int256
    spacing: int256


MIN_TICK: constant(int256) = -887272
MAX_TICK: constant(int256) = 887272

_ONE: constant(uint256) = 2**128
_LOW_32: constant(uint256) = 2**32 - 1


@internal
@pure
def _sqrt_price(tick: int256) -> uint256:
    """
    @dev The square root of the tick's price in Q64.96, to the bit as the pool has it; `tick` within MIN and MAX.
    """
    size: uint256 = convert(abs(tick), uint256)
    ratio: uint256 = _ONE
    if size & 1 != 0:
        ratio = 340265354078544963557816517032075149313
    if size & 2 != 0:
        ratio = unsafe_mul(ratio, 340248342086729790484326174814286782778) >> 128
    if size & 4 != 0:
        ratio = unsafe_mul(ratio, 340214320654664324051920982716015181260) >> 128
    if size & 8 != 0:
        ratio = unsafe_mul(ratio, 340146287995602323631171512101879684304) >> 128
    if size & 16 != 0:
        ratio = unsafe_mul(ratio, 340010263488231146823593991679159461444) >> 128
    if size & 32 != 0:
        ratio = unsafe_mul(ratio, 339738377640345403697157401104375502016) >> 128
    if size & 64 != 0:
        ratio = unsafe_mul(ratio, 339195258003219555707034227454543997025) >> 128
    if size & 128 != 0:
        ratio = unsafe_mul(ratio, 338111622100601834656805679988414885971) >> 128
    if size & 256 != 0:
        ratio = unsafe_mul(ratio, 335954724994790223023589805789778977700) >> 128
    if size & 512 != 0:
        ratio = unsafe_mul(ratio, 331682121138379247127172139078559817300) >> 128
    if size & 1024 != 0:
        ratio = unsafe_mul(ratio, 323299236684853023288211250268160618739) >> 128
    if size & 2048 != 0:
        ratio = unsafe_mul(ratio, 307163716377032989948697243942600083929) >> 128
    if size & 4096 != 0:
        ratio = unsafe_mul(ratio, 277268403626896220162999269216087595045) >> 128
    if size & 8192 != 0:
        ratio = unsafe_mul(ratio, 225923453940442621947126027127485391333) >> 128
    if size & 16384 != 0:
        ratio = unsafe_mul(ratio, 149997214084966997727330242082538205943) >> 128
    if size & 32768 != 0:
        ratio = unsafe_mul(ratio, 66119101136024775622716233608466517926) >> 128
    if size & 65536 != 0:
        ratio = unsafe_mul(ratio, 12847376061809297530290974190478138313) >> 128
    if size & 131072 != 0:
        ratio = unsafe_mul(ratio, 485053260817066172746253684029974020) >> 128
    if size & 262144 != 0:
        ratio = unsafe_mul(ratio, 691415978906521570653435304214168) >> 128
    if size & 524288 != 0:
        ratio = unsafe_mul(ratio, 1404880482679654955896180642) >> 128
    if tick > 0:
        ratio = max_value(uint256) // ratio
    return (ratio >> 32) + (1 if ratio & _LOW_32 != 0 else 0)


@internal
@pure
def _down(tick: int256, spacing: int256) -> int256:
    """
    @dev The multiple of the spacing at or below `tick`, or the lowest there is.
    """
    rest: int256 = tick % spacing
    if rest < 0:
        rest += spacing
    return max(tick - rest, -(MAX_TICK - MAX_TICK % spacing))


@internal
@pure
def _up(tick: int256, spacing: int256) -> int256:
    """
    @dev The multiple of the spacing at or above `tick`, or the highest there is.
    """
    rest: int256 = tick % spacing
    if rest < 0:
        rest += spacing
    up: int256 = tick if rest == 0 else tick - rest + spacing
    return min(up, MAX_TICK - MAX_TICK % spacing)


@internal
@view
def _try_look(pool: address, slot: IUniswapV3Pool.Slot0, span: uint256) -> (bool, Look):
    """
    @dev False when the pool remembers less than the span.
    """
    read: bool = False
    mean: int256 = 0
    read, mean = self._try_mean(pool, span)
    return read, Look(
        tick=convert(slot.tick, int256),
        mean=mean,
        spacing=convert(staticcall IUniswapV3PoolTicks(pool).tickSpacing(), int256),
    )


@internal
@view
def _try_mean(pool: address, span: uint256) -> (bool, int256):
    """
    @dev The mean tick of the last `span` seconds (above 0), rounded down; False when the pool remembers less.
    """
    read: bool = False
    answer: Bytes[256] = b""
    since: DynArray[uint32, 2] = [convert(span, uint32), 0]
    read, answer = raw_call(
        pool,
        abi_encode(since, method_id=method_id("observe(uint32[])")),
        max_outsize=256,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not read or len(answer) != 256:
        return False, 0
    sums: DynArray[int56, 2] = []
    rest: DynArray[uint160, 2] = []
    sums, rest = abi_decode(answer, (DynArray[int56, 2], DynArray[uint160, 2]))
    # The pool lets its sum run over.
    travelled: int256 = convert(unsafe_sub(sums[1], sums[0]), int256)
    seconds: int256 = convert(span, int256)
    mean: int256 = travelled // seconds
    if travelled < 0 and travelled % seconds != 0:
        mean -= 1
    return True, mean

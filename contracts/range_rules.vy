# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Range rules: what owners wrote and what has been done, in three words each
@custom:contract-name range_rules
@license MIT
@notice Packed by hand, most significant first, every field at a byte boundary; ticks in two's complement. Only the
        last word changes when a rule is acted on.

            A = unused (40) | modes (8) | deviation (16) | refill (24) | cooldown (24) | hold (24)
                | cutoff_high (24) | cutoff_low (24) | buffer (24) | above (24) | below (24)
            B = keeper (160) | slippage_bps (16) | placed_bps (16) | budget_bps (16) | daily (8) | expiry (40)
            C = token_id (64) | compound_at (96) | spent (32) | acted_today (8) | today (16) | last_acted (40)

        where modes = exit_high (2) | exit_low (2) | placement (2) | direction (2), `today` counts days since 1970 and
        `spent` is in hundred-millionths. A value that does not fit its place is refused, never cut. An unset rule has
        A = 0, and a rule that is set never does, because its hold is not zero.
@dev Setting a rule again forgets what it has done: only the owner can, and a new rule starts anew.
"""

from . import ticks
from .interfaces import IRangeThresholds


struct Words:
    a: uint256
    b: uint256
    c: uint256


# What a rule has done: times in unix seconds, `spent` as it stood at `last_acted`.
struct Past:
    last_acted: uint256
    acted_today: uint256
    spent: uint256


# The whole, where shares are in hundred-millionths.
WHOLE: constant(uint256) = 10**8

_BPS: constant(uint256) = 10_000
_WHOLE_PER_BPS: constant(uint256) = WHOLE // _BPS
_DAY: constant(uint256) = 86_400
_LEAST_HOLD: constant(uint256) = 60
_MOST_DEVIATION: constant(uint256) = 500
_MOST_SLIPPAGE_BPS: constant(uint256) = 500
_MASK_2: constant(uint256) = 2**2 - 1
_MASK_8: constant(uint256) = 2**8 - 1
_MASK_16: constant(uint256) = 2**16 - 1
_MASK_24: constant(uint256) = 2**24 - 1
_MASK_32: constant(uint256) = 2**32 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_MASK_64: constant(uint256) = 2**64 - 1
_MASK_96: constant(uint256) = 2**96 - 1

rule_count: public(HashMap[address, uint256])
_words: HashMap[address, HashMap[uint256, Words]]


@deploy
def __init__():
    pass


@external
def set_rule(id: uint256, rule: IRangeThresholds.Rule):
    count: uint256 = self.rule_count[msg.sender]
    assert id <= count, "rule: id is past the end of the owner's rules"
    self._validate(rule)
    self._words[msg.sender][id] = self._pack(rule)
    if id == count:
        self.rule_count[msg.sender] = count + 1
    log IRangeThresholds.RuleSet(owner=msg.sender, id=id, rule=rule)


@external
def clear_rule(id: uint256):
    assert self._words[msg.sender][id].a != 0, "rule: none is set"
    self._clear(msg.sender, id)


@external
@view
def rule_of(owner: address, id: uint256) -> IRangeThresholds.Rule:
    return self._unpack(self._words[owner][id])


@external
@view
def last_acted(owner: address, id: uint256) -> uint256:
    return self._words[owner][id].c & _MASK_40


@external
@view
@reentrant
def words_of(owner: address, id: uint256) -> (uint256, uint256, uint256):
    words: Words = self._words[owner][id]
    return words.a, words.b, words.c


@internal
@view
def _validate(rule: IRangeThresholds.Rule):
    widest: uint256 = convert(ticks.MAX_TICK, uint256)
    assert rule.token_id > 0, "rule: token_id is zero"
    assert rule.token_id <= _MASK_64, "rule: token_id does not fit 64 bits"
    assert rule.below > 0 and rule.above > 0, "rule: a half of the new range has no width"
    assert rule.below <= widest and rule.above <= widest, "rule: the new range is wider than all ticks"
    assert rule.cutoff_low >= ticks.MIN_TICK, "rule: cutoff_low is below all ticks"
    assert rule.cutoff_high <= ticks.MAX_TICK, "rule: cutoff_high is above all ticks"
    assert rule.cutoff_low < rule.cutoff_high, "rule: cutoff_low is not below cutoff_high"
    assert rule.exit_low <= 2 and rule.exit_high <= 2, "rule: an exit is not 0, 1 or 2"
    assert rule.direction <= 2, "rule: direction is not 0, 1 or 2"
    assert rule.placement <= 1, "rule: placement is not 0 or 1"
    assert rule.hold >= _LEAST_HOLD, "rule: hold is below 60 seconds"
    assert rule.hold <= _MASK_24, "rule: hold does not fit 24 bits"
    assert rule.deviation > 0, "rule: deviation is zero"
    assert rule.deviation <= _MOST_DEVIATION, "rule: deviation is above 500 ticks"
    assert rule.buffer <= ticks.MAX_TICK, "rule: buffer is wider than all ticks"
    if rule.placement == 0:
        # Wherever within the deviation the price ends, it must not stand in breach of the new range.
        inside: int256 = convert(min(rule.below, rule.above), int256) + rule.buffer
        assert inside > convert(rule.deviation, int256), "rule: the new range would be in breach at once"
    else:
        # The new range lies as far from the mean as the price does, and then out to the spacing.
        assert rule.buffer > convert(rule.deviation, int256), "rule: the new range would be in breach at once"
    assert rule.slippage_bps > 0, "rule: slippage is zero"
    assert rule.slippage_bps <= _MOST_SLIPPAGE_BPS, "rule: slippage is above 500 bps"
    assert rule.placed_bps > 0, "rule: placed_bps is zero"
    assert rule.placed_bps <= _BPS, "rule: placed_bps is above the whole"
    assert rule.compound_at <= _MASK_96, "rule: compound_at does not fit 96 bits"
    assert rule.cooldown <= _MASK_24, "rule: cooldown does not fit 24 bits"
    assert rule.daily > 0, "rule: daily is zero"
    assert rule.daily <= _MASK_8, "rule: daily does not fit 8 bits"
    assert rule.budget_bps > 0, "rule: budget is zero"
    assert rule.budget_bps <= _BPS, "rule: budget is above the whole"
    assert rule.refill > 0, "rule: refill is zero"
    assert rule.refill <= _MASK_24, "rule: refill does not fit 24 bits"
    assert rule.expiry > block.timestamp, "rule: expiry is not in the future"
    assert rule.expiry <= _MASK_40, "rule: expiry does not fit 40 bits"


@internal
@pure
def _pack(rule: IRangeThresholds.Rule) -> Words:
    modes: uint256 = (
        (rule.exit_high << 6) | (rule.exit_low << 4) | (rule.placement << 2) | rule.direction
    )
    return Words(
        a=(
            (modes << 208)
            | (rule.deviation << 192)
            | (rule.refill << 168)
            | (rule.cooldown << 144)
            | (rule.hold << 120)
            | (self._bits(rule.cutoff_high) << 96)
            | (self._bits(rule.cutoff_low) << 72)
            | (self._bits(rule.buffer) << 48)
            | (rule.above << 24)
            | rule.below
        ),
        b=(
            (convert(rule.keeper, uint256) << 96)
            | (rule.slippage_bps << 80)
            | (rule.placed_bps << 64)
            | (rule.budget_bps << 48)
            | (rule.daily << 40)
            | rule.expiry
        ),
        c=(rule.token_id << 192) | (rule.compound_at << 96),
    )


@internal
@pure
def _unpack(words: Words) -> IRangeThresholds.Rule:
    return IRangeThresholds.Rule(
        token_id=words.c >> 192,
        below=words.a & _MASK_24,
        above=(words.a >> 24) & _MASK_24,
        buffer=self._tick(words.a >> 48),
        cutoff_low=self._tick(words.a >> 72),
        cutoff_high=self._tick(words.a >> 96),
        exit_low=(words.a >> 212) & _MASK_2,
        exit_high=(words.a >> 214) & _MASK_2,
        direction=(words.a >> 208) & _MASK_2,
        placement=(words.a >> 210) & _MASK_2,
        hold=(words.a >> 120) & _MASK_24,
        deviation=(words.a >> 192) & _MASK_16,
        slippage_bps=(words.b >> 80) & _MASK_16,
        placed_bps=(words.b >> 64) & _MASK_16,
        compound_at=(words.c >> 96) & _MASK_96,
        cooldown=(words.a >> 144) & _MASK_24,
        expiry=words.b & _MASK_40,
        daily=(words.b >> 40) & _MASK_8,
        budget_bps=(words.b >> 48) & _MASK_16,
        refill=(words.a >> 168) & _MASK_24,
        keeper=convert(words.b >> 96, address),
    )


@internal
@view
def _past(words: Words) -> Past:
    today: uint256 = (words.c >> 40) & _MASK_16
    return Past(
        last_acted=words.c & _MASK_40,
        acted_today=(words.c >> 56) & _MASK_8 if today == block.timestamp // _DAY else 0,
        spent=(words.c >> 64) & _MASK_32,
    )


@internal
@view
def _budget_left(rule: IRangeThresholds.Rule, past: Past) -> uint256:
    """
    @dev In hundred-millionths of the position.
    """
    budget: uint256 = rule.budget_bps * _WHOLE_PER_BPS
    spent: uint256 = self._still_spent(rule, past)
    return budget - min(budget, spent)


@internal
@view
def _still_spent(rule: IRangeThresholds.Rule, past: Past) -> uint256:
    refilled: uint256 = rule.budget_bps * _WHOLE_PER_BPS * (block.timestamp - past.last_acted) // rule.refill
    return past.spent - min(past.spent, refilled)


@internal
def _stamp(
    owner: address, id: uint256, words: Words, rule: IRangeThresholds.Rule, past: Past, new_id: uint256, lost: uint256
):
    """
    @dev The rule follows to the position `new_id`, having lost so much now; `words` is what the caller has read.
    """
    assert new_id <= _MASK_64, "rule: the new position's id does not fit 64 bits"
    self._words[owner][id].c = (
        (new_id << 192)
        | (rule.compound_at << 96)
        | (min(self._still_spent(rule, past) + lost, _MASK_32) << 64)
        | ((past.acted_today + 1) << 56)
        | (((block.timestamp // _DAY) & _MASK_16) << 40)
        | (block.timestamp & _MASK_40)
    )


@internal
def _clear(owner: address, id: uint256):
    self._words[owner][id] = empty(Words)
    log IRangeThresholds.RuleCleared(owner=owner, id=id)


@internal
@pure
def _bits(tick: int256) -> uint256:
    return convert(convert(tick, bytes32), uint256) & _MASK_24


@internal
@pure
def _tick(bits: uint256) -> int256:
    """
    @dev The lowest 24 bits with their sign.
    """
    return convert(convert((bits & _MASK_24) << 232, bytes32), int256) >> 232

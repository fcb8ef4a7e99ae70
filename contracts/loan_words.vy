# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title Loan words: a rule and its terms packed into words, and back
@custom:contract-name loan_words
@license MIT
@notice Storage structs are never packed by the compiler and a guarded deleverage reads a whole rule, so the
        fields are packed by hand, most significant first:

            A = collateral (160) | floor_bps (24) | target_bps (24) | ceiling_bps (24) | cooldown (24)
            B = debt (160) | flags (4) | slippage_bps (12) | expiry (40) | last_acted (40)
            C = keeper (160) | max_step (96)

        and, where a flag in B says that they are there, the terms:

            D = borrow_step (96) | urgent_step (96) | speed_bps (16) | hold (24) | highest_bps (24)
            E = word B of `limits.vy`, with gas_cap in millions of wei in its free low 32 bits
            G = feed (160) | sigmas_bps (24) | horizon (32) | 0 (40), where D has a highest_bps

        and what is remembered, which a rule without limits and hold never touches:

            F = 0 (63) | last seen (40) | seen above the ceiling (1) | seen since (40) | the state of `limits.vy` (112)

        The flags are 1 in leverage, 2 word D, 4 word E, 8 a hold in D. A value that does not fit its place is refused, never cut. An unset
        rule has A = 0, and a rule that is set never does, because its collateral is not the zero address.
"""

from . import limits
from .interfaces import ILimits
from .interfaces import ILoanThresholds


struct Words:
    a: uint256
    b: uint256
    c: uint256


struct TermsWords:
    d: uint256
    e: uint256
    g: uint256


IN_LEVERAGE: constant(uint256) = 1
HAS_D: constant(uint256) = 2
HAS_E: constant(uint256) = 4
HOLDS: constant(uint256) = 8
# In D, not a flag: where it is not empty there is a word G.
HIGHEST: constant(uint256) = 2**24 - 1

_MASK_4: constant(uint256) = 2**4 - 1
_MASK_12: constant(uint256) = 2**12 - 1
_MASK_32: constant(uint256) = 2**32 - 1
_MASK_64: constant(uint256) = 2**64 - 1
_GAS_UNIT: constant(uint256) = 10**6
_LEAST_GAP: constant(uint256) = 120
_GAPS: constant(uint256) = 4
_FULL_URGENCY: constant(uint256) = 10**4
_MASK_8: constant(uint256) = 2**8 - 1
_MASK_112: constant(uint256) = 2**112 - 1
_MASK_16: constant(uint256) = 2**16 - 1
_MASK_24: constant(uint256) = 2**24 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_MASK_96: constant(uint256) = 2**96 - 1


@internal
@pure
def _pack(rule: ILoanThresholds.Rule, flags: uint256) -> Words:
    return Words(
        a=(
            self._high(rule.collateral)
            | (rule.floor_bps << 72)
            | (rule.target_bps << 48)
            | (rule.ceiling_bps << 24)
            | rule.cooldown
        ),
        b=self._high(rule.debt) | (flags << 92) | (rule.slippage_bps << 80) | (rule.expiry << 40),
        c=self._high(rule.keeper) | rule.max_step,
    )


@internal
@pure
def _pack_terms(terms: ILoanThresholds.Terms) -> (uint256, TermsWords):
    """
    @dev The flags that say what is there, and it.
    """
    packed: limits.Words = limits._pack(self._limits(empty(ILoanThresholds.Rule), terms))
    words: TermsWords = TermsWords(
        d=(
            (terms.borrow_step << 160)
            | (terms.urgent_step << 64)
            | (terms.speed_bps << 48)
            | (terms.hold << 24)
            | terms.highest_bps
        ),
        e=packed.b | (packed.a & _MASK_32),
        g=self._high(terms.feed) | (terms.sigmas_bps << 72) | (terms.horizon << 40),
    )
    flags: uint256 = IN_LEVERAGE if terms.in_leverage else 0
    if words.d != 0:
        flags |= HAS_D
    if words.e != 0:
        flags |= HAS_E
    if terms.hold != 0:
        flags |= HOLDS
    return flags, words


@internal
@pure
def _unpack(words: Words) -> ILoanThresholds.Rule:
    return ILoanThresholds.Rule(
        collateral=self._address(words.a),
        debt=self._address(words.b),
        floor_bps=(words.a >> 72) & _MASK_24,
        target_bps=(words.a >> 48) & _MASK_24,
        ceiling_bps=(words.a >> 24) & _MASK_24,
        slippage_bps=(words.b >> 80) & _MASK_12,
        cooldown=words.a & _MASK_24,
        max_step=words.c & _MASK_96,
        expiry=(words.b >> 40) & _MASK_40,
        keeper=self._address(words.c),
    )


@internal
@pure
def _unpack_terms(flags: uint256, words: TermsWords) -> ILoanThresholds.Terms:
    return ILoanThresholds.Terms(
        in_leverage=flags & IN_LEVERAGE != 0,
        borrow_step=words.d >> 160,
        speed_bps=(words.d >> 48) & _MASK_16,
        hold=(words.d >> 24) & _MASK_24,
        urgent_step=(words.d >> 64) & _MASK_96,
        urgent_slippage_bps=(words.e >> 136) & _MASK_16,
        daily=(words.e >> 32) & _MASK_8,
        gas_cap=(words.e & _MASK_32) * _GAS_UNIT,
        public_bps=(words.e >> 120) & _MASK_16,
        bounty_bps=(words.e >> 104) & _MASK_16,
        bounty_cap=(words.e >> 40) & _MASK_64,
        budget=words.e >> 192,
        window=(words.e >> 168) & _MASK_24,
        highest_bps=words.d & HIGHEST,
        sigmas_bps=(words.g >> 72) & _MASK_24,
        horizon=(words.g >> 40) & _MASK_32,
        feed=self._address(words.g),
    )


@internal
@pure
def _limits(rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms) -> ILimits.Limits:
    """
    @dev A rule and its terms as the limits they set, as written.
    """
    return ILimits.Limits(
        keeper=rule.keeper,
        expiry=rule.expiry,
        cooldown=rule.cooldown,
        daily=terms.daily,
        slippage_bps=rule.slippage_bps,
        slippage_urgent_bps=terms.urgent_slippage_bps,
        gas_cap=terms.gas_cap,
        public_bps=terms.public_bps,
        bounty_bps=terms.bounty_bps,
        bounty_cap=terms.bounty_cap,
        budget=terms.budget,
        window=terms.window,
    )


@internal
@pure
def _whole_limits(rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms) -> ILimits.Limits:
    """
    @dev The same, what was left out being no limit.
    """
    whole: ILimits.Limits = self._limits(rule, terms)
    if whole.slippage_urgent_bps == 0:
        whole.slippage_urgent_bps = whole.slippage_bps
    if whole.budget == 0:
        whole.budget = _MASK_64
        whole.window = 1
    return whole


@internal
@view
def _held_obstacle(hold: uint256, ledger: uint256, is_high: bool, urgency: uint256) -> String[96]:
    """
    @dev Why a breach on this side may not be acted on yet, empty if it may. The hold shrinks as urgency grows. A record
         that is to be kept up is asked for when half of the gap is over, so that there is time to send it.
    """
    due: uint256 = hold * (_FULL_URGENCY - urgency) // _FULL_URGENCY
    if due == 0:
        return ""
    since: uint256 = self._since(hold, ledger, is_high)
    has_held: bool = since != 0 and block.timestamp >= since + due
    if since == 0 or (not has_held and block.timestamp > self._last_seen(ledger) + self._gap(hold) // 2):
        return "hold: nobody has witnessed this breach of late"
    if not has_held:
        return "hold: the breach has not been seen for long enough"
    return ""


@internal
@view
def _since(hold: uint256, ledger: uint256, is_high: bool) -> uint256:
    """
    @dev Since when a breach on this side has been seen without a gap, 0 if there is no such record.
    """
    if ((ledger >> 152) & 1 == 1) != is_high or block.timestamp > self._last_seen(ledger) + self._gap(hold):
        return 0
    return (ledger >> 112) & _MASK_40


@internal
@pure
def _last_seen(ledger: uint256) -> uint256:
    return (ledger >> 153) & _MASK_40


@internal
@pure
def _gap(hold: uint256) -> uint256:
    """
    @dev The longest time between two sightings of one breach.
    """
    return max(hold // _GAPS, _LEAST_GAP)


@internal
@view
def _with_seen(ledger: uint256, since: uint256, is_high: bool) -> uint256:
    """
    @dev The ledger with a sighting now of a breach since then; with none if that is 0.
    """
    if since == 0:
        return ledger & _MASK_112
    return (
        (ledger & _MASK_112)
        | (since << 112)
        | (convert(is_high, uint256) << 152)
        | ((block.timestamp & _MASK_40) << 153)
    )


@internal
@pure
def _flags(words: Words) -> uint256:
    return (words.b >> 92) & _MASK_4


@internal
@pure
def _last_acted(words: Words) -> uint256:
    return words.b & _MASK_40


@internal
@view
def _stamped(words: Words) -> uint256:
    """
    @dev Word B with the time of this block as that of the last action.
    """
    return ((words.b >> 40) << 40) | (block.timestamp & _MASK_40)


@internal
@pure
def _high(account: address) -> uint256:
    return convert(account, uint256) << 96


@internal
@pure
def _address(word: uint256) -> address:
    return convert(word >> 96, address)

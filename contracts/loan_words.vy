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

            D = borrow_step (96) | speed_bps (16) | 0 (144)

        The flags are 1 in leverage, 2 word D. A value that does not fit its place is refused, never cut. An unset
        rule has A = 0, and a rule that is set never does, because its collateral is not the zero address.
"""

from .interfaces import ILoanThresholds


struct Words:
    a: uint256
    b: uint256
    c: uint256


struct TermsWords:
    d: uint256
    e: uint256


IN_LEVERAGE: constant(uint256) = 1
HAS_D: constant(uint256) = 2

_MASK_4: constant(uint256) = 2**4 - 1
_MASK_12: constant(uint256) = 2**12 - 1
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
    words: TermsWords = TermsWords(d=(terms.borrow_step << 160) | (terms.speed_bps << 144), e=0)
    flags: uint256 = IN_LEVERAGE if terms.in_leverage else 0
    if words.d != 0:
        flags |= HAS_D
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
        speed_bps=(words.d >> 144) & _MASK_16,
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

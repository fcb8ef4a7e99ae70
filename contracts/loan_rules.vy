# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Loan rules: what owners wrote, kept and validated
@custom:contract-name loan_rules
@license MIT
@notice `loan_words.vy` says how a rule is packed.
@dev Setting a rule again forgets when it last acted: only the owner can, and a new rule starts anew.
"""

from . import loan_band
from . import loan_words
from .interfaces import ILoanThresholds


# How far from its aim a step may land, as a share of the aim.
TOLERANCE_BPS: public(constant(uint256)) = 50

_BPS: constant(uint256) = 10_000
_MAX_SLIPPAGE_BPS: constant(uint256) = 500
_MASK_24: constant(uint256) = 2**24 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_MASK_96: constant(uint256) = 2**96 - 1

rule_count: public(HashMap[address, uint256])
_words: HashMap[address, HashMap[uint256, loan_words.Words]]
_terms_words: HashMap[address, HashMap[uint256, loan_words.TermsWords]]


@deploy
def __init__():
    pass


@external
def set_rule(
    id: uint256, rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms = empty(ILoanThresholds.Terms)
):
    count: uint256 = self.rule_count[msg.sender]
    assert id <= count, "rule: id is past the end of the owner's rules"
    written: ILoanThresholds.Rule = rule
    if terms.in_leverage and terms.borrow_step != 0 and rule.ceiling_bps == 0 and rule.floor_bps != 0:
        written.ceiling_bps = rule.target_bps * rule.target_bps // rule.floor_bps
    self._validate(written, terms)
    flags: uint256 = 0
    more: loan_words.TermsWords = empty(loan_words.TermsWords)
    flags, more = loan_words._pack_terms(terms)
    self._words[msg.sender][id] = loan_words._pack(written, flags)
    if flags & loan_words.HAS_D != 0:
        self._terms_words[msg.sender][id] = more
    if id == count:
        self.rule_count[msg.sender] = count + 1
    log ILoanThresholds.RuleSet(owner=msg.sender, id=id, rule=written)
    if flags != 0:
        log ILoanThresholds.TermsSet(owner=msg.sender, id=id, terms=terms)


@external
def clear_rule(id: uint256):
    assert self._words[msg.sender][id].a != 0, "rule: none is set"
    self._words[msg.sender][id] = empty(loan_words.Words)
    log ILoanThresholds.RuleCleared(owner=msg.sender, id=id)


@external
@view
def rule_of(owner: address, id: uint256) -> ILoanThresholds.Rule:
    return loan_words._unpack(self._words[owner][id])


@external
@view
def last_acted(owner: address, id: uint256) -> uint256:
    return loan_words._last_acted(self._words[owner][id])


@external
@view
@reentrant
def words_of(owner: address, id: uint256) -> (uint256, uint256, uint256):
    words: loan_words.Words = self._words[owner][id]
    return words.a, words.b, words.c


@external
@view
def terms_of(owner: address, id: uint256) -> ILoanThresholds.Terms:
    return self._terms(owner, id, loan_words._flags(self._words[owner][id]))


@external
@view
@reentrant
def terms_words_of(owner: address, id: uint256) -> (uint256, uint256):
    words: loan_words.TermsWords = self._told(owner, id, loan_words._flags(self._words[owner][id]))
    return words.d, words.e


@internal
@view
def _terms(owner: address, id: uint256, flags: uint256) -> ILoanThresholds.Terms:
    return loan_words._unpack_terms(flags, self._told(owner, id, flags))


@internal
@view
def _told(owner: address, id: uint256, flags: uint256) -> loan_words.TermsWords:
    """
    @dev Only the words that a flag vouches for: what an earlier rule left in the others is never read.
    """
    words: loan_words.TermsWords = empty(loan_words.TermsWords)
    if flags & loan_words.HAS_D != 0:
        words.d = self._terms_words[owner][id].d
    return words


@internal
@view
def _validate(rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms):
    assert rule.collateral != empty(address), "rule: collateral is the zero address"
    assert rule.debt != empty(address), "rule: debt is the zero address"
    assert rule.collateral != rule.debt, "rule: collateral and debt are the same asset"
    if terms.in_leverage:
        assert rule.floor_bps <= _MASK_24, "rule: floor does not fit 24 bits"
        assert rule.target_bps < rule.floor_bps, "rule: target is not a leverage below the floor's"
        assert rule.target_bps > _BPS, "rule: target is not a leverage above 1"
        if rule.ceiling_bps != 0:
            assert rule.ceiling_bps < rule.target_bps, "rule: ceiling is not a leverage below the target's"
            assert rule.ceiling_bps > _BPS, "rule: ceiling is not a leverage above 1"
    else:
        assert rule.ceiling_bps <= _MASK_24, "rule: ceiling does not fit 24 bits"
        if rule.ceiling_bps != 0:
            assert rule.target_bps < rule.ceiling_bps, "rule: target is not below the ceiling"
        assert rule.target_bps <= _MASK_24, "rule: target does not fit 24 bits"
        assert rule.floor_bps < rule.target_bps, "rule: floor is not below the target"
        assert rule.floor_bps > _BPS, "rule: floor is not above a health of 1"
    # Wherever within the tolerance an action lands, it must not stand in breach again.
    target: uint256 = loan_band._edge(rule.target_bps, terms.in_leverage)
    if rule.ceiling_bps != 0:
        assert (
            target * (_BPS + TOLERANCE_BPS) < loan_band._edge(rule.ceiling_bps, terms.in_leverage) * _BPS
        ), "rule: ceiling is within the tolerance of the target"
    assert (
        loan_band._edge(rule.floor_bps, terms.in_leverage) * _BPS < target * (_BPS - TOLERANCE_BPS)
    ), "rule: floor is within the tolerance of the target"
    assert terms.borrow_step == 0 or rule.ceiling_bps != 0, "rule: borrow_step is set and no ceiling is"
    assert terms.borrow_step <= _MASK_96, "rule: borrow_step does not fit 96 bits"
    assert terms.speed_bps <= _BPS, "rule: speed is above 10000 bps"
    assert rule.slippage_bps > 0, "rule: slippage is zero"
    assert rule.slippage_bps <= _MAX_SLIPPAGE_BPS, "rule: slippage is above 500 bps"
    assert rule.cooldown <= _MASK_24, "rule: cooldown does not fit 24 bits"
    assert rule.max_step > 0, "rule: max_step is zero"
    assert rule.max_step <= _MASK_96, "rule: max_step does not fit 96 bits"
    assert rule.expiry > block.timestamp, "rule: expiry is not in the future"
    assert rule.expiry <= _MASK_40, "rule: expiry does not fit 40 bits"


@internal
def _stamp(owner: address, id: uint256, words: loan_words.Words):
    """
    @dev Writes the time of this block into B; `words` is what the caller has already read.
    """
    self._words[owner][id].b = loan_words._stamped(words)

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

from . import loan_sigma
from . import loan_words
from .interfaces import ILoanSense
from .interfaces import ILoanThresholds


# How far from its aim a step may land, as a share of the aim.
TOLERANCE_BPS: public(constant(uint256)) = 50


rule_count: public(HashMap[address, uint256])
_words: HashMap[address, HashMap[uint256, loan_words.Words]]
_ledger: HashMap[address, HashMap[uint256, uint256]]
_terms_words: HashMap[address, HashMap[uint256, loan_words.TermsWords]]


# Knows which rules make sense; it is believed when an owner writes one, and asked nothing else.
SENSE: public(immutable(address))
# Knows how much a feed moves; the zero address where every band is fixed.
VOLATILITY: public(immutable(address))


@deploy
def __init__(loan_sense: address, volatility: address):
    assert loan_sense.is_contract, "rule: no contract at the address of LoanSense"
    assert volatility == empty(address) or volatility.is_contract, "volatility: no contract at its address"
    SENSE = loan_sense
    VOLATILITY = volatility


@external
def set_rule(
    id: uint256, rule: ILoanThresholds.Rule, terms: ILoanThresholds.Terms = empty(ILoanThresholds.Terms)
):
    count: uint256 = self.rule_count[msg.sender]
    assert id <= count, "rule: id is past the end of the owner's rules"
    written: ILoanThresholds.Rule = rule
    if terms.in_leverage and terms.borrow_step != 0 and rule.ceiling_bps == 0 and rule.floor_bps != 0:
        written.ceiling_bps = rule.target_bps * rule.target_bps // rule.floor_bps
    why: String[96] = staticcall ILoanSense(SENSE).refusal(written, terms)
    assert why == "", why
    assert terms.highest_bps == 0 or VOLATILITY != empty(address), "rule: nothing here measures volatility"
    flags: uint256 = 0
    more: loan_words.TermsWords = empty(loan_words.TermsWords)
    flags, more = loan_words._pack_terms(terms)
    self._words[msg.sender][id] = loan_words._pack(written, flags)
    if flags & loan_words.HAS_D != 0:
        self._terms_words[msg.sender][id].d = more.d
    if terms.highest_bps != 0:
        self._terms_words[msg.sender][id].g = more.g
    if flags & loan_words.HAS_E != 0:
        self._terms_words[msg.sender][id].e = more.e
    if self._ledger[msg.sender][id] != 0:
        self._ledger[msg.sender][id] = 0
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
def terms_words_of(owner: address, id: uint256) -> (uint256, uint256, uint256):
    words: loan_words.TermsWords = self._told(owner, id, loan_words._flags(self._words[owner][id]))
    return words.d, words.e, words.g


@external
@view
@reentrant
def band_of(owner: address, id: uint256) -> (uint256, uint256, uint256, bool):
    words: loan_words.Words = self._words[owner][id]
    rule: ILoanThresholds.Rule = loan_words._unpack(words)
    terms: ILoanThresholds.Terms = self._terms(owner, id, loan_words._flags(words))
    is_known: bool = True
    if terms.highest_bps != 0:
        rule.floor_bps, rule.target_bps, rule.ceiling_bps, is_known = loan_sigma._standing(
            rule, terms, VOLATILITY
        )
    return rule.floor_bps, rule.target_bps, rule.ceiling_bps, is_known


@external
@view
@reentrant
def ledger_of(owner: address, id: uint256) -> uint256:
    return self._ledger[owner][id]


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
        if words.d & loan_words.HIGHEST != 0:
            words.g = self._terms_words[owner][id].g
    if flags & loan_words.HAS_E != 0:
        words.e = self._terms_words[owner][id].e
    return words


@internal
def _stamp(owner: address, id: uint256, words: loan_words.Words):
    """
    @dev Writes the time of this block into B; `words` is what the caller has already read.
    """
    self._words[owner][id].b = loan_words._stamped(words)

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

from . import loan_words
from .interfaces import ILoanThresholds


# How far from the target a deleverage may land, as a share of the target.
TOLERANCE_BPS: public(constant(uint256)) = 50

_BPS: constant(uint256) = 10_000
_MAX_SLIPPAGE_BPS: constant(uint256) = 500
_MASK_24: constant(uint256) = 2**24 - 1
_MASK_40: constant(uint256) = 2**40 - 1
_MASK_96: constant(uint256) = 2**96 - 1

rule_count: public(HashMap[address, uint256])
_words: HashMap[address, HashMap[uint256, loan_words.Words]]


@deploy
def __init__():
    pass


@external
def set_rule(id: uint256, rule: ILoanThresholds.Rule):
    count: uint256 = self.rule_count[msg.sender]
    assert id <= count, "rule: id is past the end of the owner's rules"
    self._validate(rule)
    self._words[msg.sender][id] = loan_words._pack(rule)
    if id == count:
        self.rule_count[msg.sender] = count + 1
    log ILoanThresholds.RuleSet(owner=msg.sender, id=id, rule=rule)


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


@internal
@view
def _validate(rule: ILoanThresholds.Rule):
    assert rule.collateral != empty(address), "rule: collateral is the zero address"
    assert rule.debt != empty(address), "rule: debt is the zero address"
    assert rule.collateral != rule.debt, "rule: collateral and debt are the same asset"
    assert rule.ceiling_bps <= _MASK_24, "rule: ceiling does not fit 24 bits"
    assert rule.target_bps < rule.ceiling_bps, "rule: target is not below the ceiling"
    assert rule.floor_bps < rule.target_bps, "rule: floor is not below the target"
    assert rule.floor_bps > _BPS, "rule: floor is not above a health of 1"
    # Wherever within the tolerance an action lands, it must not stand in breach again.
    assert (
        rule.target_bps * (_BPS + TOLERANCE_BPS) < rule.ceiling_bps * _BPS
    ), "rule: ceiling is within the tolerance of the target"
    assert (
        rule.floor_bps * _BPS < rule.target_bps * (_BPS - TOLERANCE_BPS)
    ), "rule: floor is within the tolerance of the target"
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

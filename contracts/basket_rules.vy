# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title Basket rules: what owners wrote, and what became of it
@custom:contract-name basket_rules
@license MIT
@notice Kept as the words of `basket_words.vy`.
@dev Setting a rule again forgets what it spent and when it last acted: only the owner can, and a new rule starts anew.
"""

from . import basket_words
from . import limits
from .interfaces import IBasketThresholds
from .interfaces import ILimits


_MOST_WORDS: constant(uint256) = basket_words.MOST_WORDS

VOLATILITY: public(immutable(address))

rule_count: public(HashMap[address, uint256])
_words: HashMap[address, HashMap[uint256, DynArray[uint256, _MOST_WORDS]]]


@deploy
def __init__(volatility: address):
    VOLATILITY = volatility


@external
def set_rule(id: uint256, rule: IBasketThresholds.Rule):
    count: uint256 = self.rule_count[msg.sender]
    assert id <= count, "rule: id is past the end of the owner's rules"
    basket_words._validate(rule, VOLATILITY != empty(address))
    self._words[msg.sender][id] = basket_words._pack(rule)
    if id == count:
        self.rule_count[msg.sender] = count + 1
    log IBasketThresholds.RuleSet(owner=msg.sender, id=id, rule=rule)


@external
def clear_rule(id: uint256):
    assert len(self._words[msg.sender][id]) != 0, "rule: none is set"
    self._words[msg.sender][id] = []
    log IBasketThresholds.RuleCleared(owner=msg.sender, id=id)


@external
@view
def rule_of(owner: address, id: uint256) -> IBasketThresholds.Rule:
    return basket_words._unpack(self._words[owner][id])


@external
@view
@reentrant
def words_of(owner: address, id: uint256) -> DynArray[uint256, _MOST_WORDS]:
    return self._words[owner][id]


@internal
def _stamp(owner: address, id: uint256, state: ILimits.State):
    self._words[owner][id][2] = limits._with_state(self._words[owner][id][2], state)

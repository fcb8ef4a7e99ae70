"""The contract that is the law for loans: its rules, its own verdict, and the call that acts.

Source: contracts/interfaces/ILoanThresholds.vyi; the packed words are contracts/loan_words.vy's.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Final

from eth_utils.crypto import keccak

from keeper.domain.errors import Blind
from keeper.domain.loans import PLAIN, Band, Limits, LoanRule, Terms
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind
from keeper.protocols.methods import Method, address

_RULE: Final = "(address,address,uint256,uint256,uint256,uint256,uint256,uint256,uint256,address)"
_TERMS: Final = f"(bool,{','.join(['uint256'] * 15)},address)"
_FINDING: Final = "(uint8,uint8,uint256,uint256,uint256,uint24,string)"
_PLAN: Final = "(uint8,uint256,uint256,uint24,uint256)"

AAVE: Final = Method("AAVE", (), ("address",))
FACTORY: Final = Method("FACTORY", (), ("address",))
RULE_COUNT: Final = Method("rule_count", ("address",), ("uint256",))
SET_RULE: Final = Method("set_rule", ("uint256", _RULE), ())
SET_RULE_AND_TERMS: Final = Method("set_rule", ("uint256", _RULE, _TERMS), ())
CHECK: Final = Method("check", ("address", "uint256"), (_FINDING,))
WORDS_OF: Final = Method("words_of", ("address", "uint256"), ("uint256", "uint256", "uint256"))
TERMS_WORDS_OF: Final = Method("terms_words_of", ("address", "uint256"), ("uint256", "uint256", "uint256"))
VOLATILITY: Final = Method("VOLATILITY", (), ("address",))
WITNESS: Final = Method("witness", ("address", "uint256"), ("uint256",))
REBALANCE: Final = Method("rebalance", ("address", "uint256", _PLAN), ("uint256", "uint256"))

RULE_SET_TOPIC: Final = "0x" + keccak(text=f"RuleSet(address,uint256,{_RULE})").hex()
UNWITNESSED: Final = "hold: nobody has witnessed this breach of late"
"""What `check` says of a breach whose hold has not begun; contracts/loan_words.vy's own words."""
UNDELEGATED: Final = "delegation: the owner has delegated no credit in the debt asset"
"""What `check` says above a ceiling of a rule that lacks it; contracts/LoanCheck.vy's own words."""
_REMNANT: Final = 2_000
_IN_LEVERAGE: Final = 1
_4_BITS: Final = 2**4 - 1
_8_BITS: Final = 2**8 - 1
_12_BITS: Final = 2**12 - 1
_32_BITS: Final = 2**32 - 1
_64_BITS: Final = 2**64 - 1
_16_BITS: Final = 2**16 - 1
_24_BITS: Final = 2**24 - 1
_40_BITS: Final = 2**40 - 1
_96_BITS: Final = 2**96 - 1


class Action(IntEnum):
    """What may be done about a loan, numbered as the contract numbers it."""

    DELEVERAGE = 0
    RELEVERAGE = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """The contract's own verdict; without a size `amount` and `swapped` are zero.

    `amount` of the debt asset is repaid or borrowed, `swapped` of the collateral sold or bought.
    """

    kind: Kind
    action: Action
    health: int
    amount: int
    swapped: int
    fee: int
    why: str


def read_finding(returned: bytes) -> Finding:
    """What `check` returned."""
    ((kind, action, health, amount, swapped, fee, why),) = CHECK.read(returned)
    if kind >= len(Kind) or action >= len(Action):
        raise Blind(f"contract: check answered with verdict {kind} and action {action}, which there is not")
    return Finding(Kind(kind), Action(action), health, amount, swapped, fee, why)


def repayable_down(owed: int) -> int:
    """What a sized step may repay of a debt: a remnant stays, lest a stranger who repays a cent first make it fail."""
    return owed - owed // _REMNANT


def words_call(key: RuleKey) -> Call:
    """The call for a rule's three words, written by hand because it is asked of every rule there is."""
    owner = bytes.fromhex(key.owner[2:])
    return Call(key.thresholds, WORDS_OF.selector + bytes(12) + owner + key.id.to_bytes(32, "big"))


def rebalance_call(
    key: RuleKey, amount: int, limit: int, fee: int, deadline: int, action: Action = Action.DELEVERAGE
) -> Call:
    """The call that acts on a rule; `limit` (most sold, or least bought) and `deadline` are the keeper's own bounds."""
    plan = (action, amount, limit, fee, deadline)
    return Call(key.thresholds, REBALANCE.call(key.owner, key.id, plan))


def witness_call(key: RuleKey) -> Call:
    """The call that puts on record that a rule stands in breach, which anyone may make."""
    return Call(key.thresholds, WITNESS.call(key.owner, key.id))


def rule_fields(rule: LoanRule) -> tuple[str | int, ...]:
    """A rule in the order of the contract's struct."""
    band, limits = rule.band, rule.limits
    return (
        rule.collateral,
        rule.debt,
        band.floor_bps,
        band.target_bps,
        band.ceiling_bps,
        limits.slippage_bps,
        limits.cooldown,
        limits.max_step,
        limits.expiry,
        limits.keeper,
    )


def terms_fields(terms: Terms) -> tuple[bool | int | str, ...]:
    """Terms in the order of the contract's struct."""
    return astuple(terms)


def has_terms(b: int) -> bool:
    """Whether a rule's second word says that it has terms, to be read before it is judged."""
    return _flags(b) != 0


def unpack_rule(a: int, b: int, c: int, d: int = 0, e: int = 0, g: int = 0) -> tuple[LoanRule | None, int]:
    """A rule and when it last acted, from its storage words; None where no rule is set."""
    if a == 0:
        return None, 0
    rule = LoanRule(
        collateral=_high_address(a),
        debt=_high_address(b),
        band=Band(a >> 72 & _24_BITS, a >> 48 & _24_BITS, a >> 24 & _24_BITS),
        limits=Limits(
            slippage_bps=b >> 80 & _12_BITS,
            cooldown=a & _24_BITS,
            max_step=c & _96_BITS,
            expiry=b >> 40 & _40_BITS,
            keeper=_high_address(c),
        ),
        terms=_unpack_terms(_flags(b), d, e, g) if has_terms(b) else PLAIN,
    )
    return rule, b & _40_BITS


def with_terms(rule: LoanRule, d: int, e: int, g: int) -> LoanRule:
    """The rule with the rest of its terms, from the words they are stored in."""
    return replace(rule, terms=_unpack_terms(int(rule.terms.in_leverage), d, e, g))


def _unpack_terms(flags: int, d: int, e: int, g: int) -> Terms:
    return Terms(
        in_leverage=bool(flags & _IN_LEVERAGE),
        borrow_step=d >> 160,
        speed_bps=d >> 48 & _16_BITS,
        hold=d >> 24 & _24_BITS,
        urgent_step=d >> 64 & _96_BITS,
        urgent_slippage_bps=e >> 136 & _16_BITS,
        daily=e >> 32 & _8_BITS,
        gas_cap=(e & _32_BITS) * 10**6,
        public_bps=e >> 120 & _16_BITS,
        bounty_bps=e >> 104 & _16_BITS,
        bounty_cap=e >> 40 & _64_BITS,
        budget=e >> 192,
        window=e >> 168 & _24_BITS,
        highest_bps=d & _24_BITS,
        sigmas_bps=g >> 72 & _24_BITS,
        horizon=g >> 40 & _32_BITS,
        feed=_high_address(g),
    )


def _flags(b: int) -> int:
    return b >> 92 & _4_BITS


def _high_address(word: int) -> Address:
    return _address_of(word >> 96)


@lru_cache(maxsize=65_536)
def _address_of(number: int) -> Address:
    return address(f"0x{number:040x}")

"""The contract that is the law for loans: its rules, its own verdict, and the call that acts.

Source: contracts/interfaces/ILoanThresholds.vyi; the packed words are contracts/loan_words.vy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from eth_utils.crypto import keccak

from keeper.domain.errors import Blind
from keeper.domain.loans import Band, Limits, LoanRule
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.domain.verdicts import Kind
from keeper.protocols.methods import Method, address

_RULE: Final = "(address,address,uint256,uint256,uint256,uint256,uint256,uint256,uint256,address)"
_FINDING: Final = "(uint8,uint256,uint256,uint256,uint24,string)"
_PLAN: Final = "(uint256,uint256,uint24,uint256)"

AAVE: Final = Method("AAVE", (), ("address",))
FACTORY: Final = Method("FACTORY", (), ("address",))
RULE_COUNT: Final = Method("rule_count", ("address",), ("uint256",))
SET_RULE: Final = Method("set_rule", ("uint256", _RULE), ())
CHECK: Final = Method("check", ("address", "uint256"), (_FINDING,))
WORDS_OF: Final = Method("words_of", ("address", "uint256"), ("uint256", "uint256", "uint256"))
REBALANCE: Final = Method("rebalance", ("address", "uint256", _PLAN), ("uint256", "uint256"))

RULE_SET_TOPIC: Final = "0x" + keccak(text=f"RuleSet(address,uint256,{_RULE})").hex()
TOLERANCE_BPS: Final = 50
"""How far from its target, in basis points of it, the contract lets an action land."""
MAX_SLIPPAGE_BPS: Final = 500
_REMNANT: Final = 2_000
_16_BITS: Final = 2**16 - 1
_24_BITS: Final = 2**24 - 1
_40_BITS: Final = 2**40 - 1
_96_BITS: Final = 2**96 - 1


@dataclass(frozen=True, slots=True)
class Finding:
    """The contract's own verdict; sizes are zero unless it is breached."""

    kind: Kind
    health: int
    repay: int
    sell: int
    fee: int
    why: str


def read_finding(returned: bytes) -> Finding:
    """What `check` returned."""
    ((kind, health, repay, sell, fee, why),) = CHECK.read(returned)
    if kind >= len(Kind):
        raise Blind(f"contract: check answered with verdict {kind}, which there is not")
    return Finding(Kind(kind), health, repay, sell, fee, why)


def repayable_down(owed: int) -> int:
    """What a sized step may repay of a debt: a remnant stays, lest a stranger who repays a cent first make it fail."""
    return owed - owed // _REMNANT


def rebalance_call(key: RuleKey, repay: int, max_sell: int, fee: int, deadline: int) -> Call:
    """The call that acts on a rule; `max_sell` and `deadline` are the keeper's own bounds inside the rule's."""
    return Call(key.thresholds, REBALANCE.call(key.owner, key.id, (repay, max_sell, fee, deadline)))


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


def unpack_rule(a: int, b: int, c: int) -> tuple[LoanRule | None, int]:
    """A rule and when it last acted, from its three storage words; None where no rule is set."""
    if a == 0:
        return None, 0
    rule = LoanRule(
        collateral=_high_address(a),
        debt=_high_address(b),
        band=Band(a >> 72 & _24_BITS, a >> 48 & _24_BITS, a >> 24 & _24_BITS),
        limits=Limits(
            slippage_bps=b >> 80 & _16_BITS,
            cooldown=a & _24_BITS,
            max_step=c & _96_BITS,
            expiry=b >> 40 & _40_BITS,
            keeper=_high_address(c),
        ),
    )
    return rule, b & _40_BITS


def _high_address(word: int) -> Address:
    return _address_of(word >> 96)


@lru_cache(maxsize=65_536)
def _address_of(number: int) -> Address:
    return address(f"0x{number:040x}")

"""The lenses: contracts lent to an address for one `eth_call`, so that a node reads or tries much in one question.

Source: contracts/LoanLens.vy, SwapLens.vy and CallLens.vy.
Assumes: a node that takes state overrides. What to do with one that does not is up to the caller.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final

from keeper.contracts import load
from keeper.domain.errors import Blind
from keeper.domain.loans import Loan, LoanRule, Sight
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.protocols.aave_v3 import GET_USER_ACCOUNT_DATA
from keeper.protocols.loan_thresholds import has_terms, unpack_rule
from keeper.protocols.methods import Method

LENS: Final = Address("0x00000000000000000000000000000000004B6565")
"""Where a lens stands that does not care."""
MOST_ROWS: Final = 1024
"""More keys than this do not fit one question."""
_READ: Final = Method("read", ("address", "address", "address[]", "uint256[]"), ())
_VALUE: Final = Method(
    "value", ("address", "address", "address[]", "uint256[]", "bool", "uint256", "uint256"), ()
)
_COST: Final = Method("cost", ("address", "bool", "int256"), ("uint256", "uint256"))
_ATTEMPT: Final = Method("attempt", ("address", "bytes"), ("bool", "uint256", "bytes"))
_WORD: Final = 32
_RULE: Final = 3 * _WORD
_ROW: Final = 8 * _WORD
_EVERY_WORD: Final = struct.Struct(">96s32s32s32s32s32s")


@cache
def lent(name: str, to: Address = LENS) -> dict[str, Any]:
    """The state override that lends an address the code of a lens."""
    return {to: {"code": "0x" + load(name).runtime.hex()}}


def read_call(thresholds: Address, aave: Address, keys: Sequence[RuleKey]) -> Call:
    """One question for the rules and accounts of up to `MOST_ROWS` keys of one thresholds contract, Aave valuing each.

    With `NOBODY` for the contract the accounts come without rules.
    """
    return _keys_call(_READ, thresholds, aave, keys)


def value_call(
    thresholds: Address, aave: Address, keys: Sequence[RuleKey], since_3_6: bool, first: int, every: int
) -> Call:
    """The same by the lens's own sums, in the arithmetic of Aave 3.6 or of 3.0.2.

    The account of the key at place `first` and of every `every`-th after it is valued by Aave as well.
    """
    return _keys_call(_VALUE, thresholds, aave, keys, int(since_3_6), first, every)


def _keys_call(
    method: Method, thresholds: Address, aave: Address, keys: Sequence[RuleKey], *more: int
) -> Call:
    """Written by hand because the ABI codec takes thirty times as long, and this is asked in every block."""
    count, heads = len(keys), 4 + len(more)
    head = (int(thresholds, 16), int(aave, 16), heads * _WORD, (heads + 1 + count) * _WORD, *more)
    owners = bytes.fromhex("".join([24 * "0" + key.owner[2:] for key in keys]))
    ids = b"".join([_word(key.id) for key in keys])
    return Call(LENS, b"".join((method.selector, *map(_word, head), _word(count), owners, _word(count), ids)))


def read_rows(keys: Sequence[RuleKey], returned: bytes) -> list[tuple[Sight, int]]:
    """The sights in what either call returned: an offset, a length, and eight words a key.

    With each comes how it was valued, as `told` in the lens's `Row` says it.
    """
    if len(returned) != 2 * _WORD + len(keys) * _ROW:
        raise Blind(f"chain: the lens told {len(returned)} bytes of {len(keys)} rules")
    rows = []
    number = int.from_bytes
    words = _EVERY_WORD.iter_unpack(memoryview(returned)[2 * _WORD :])
    for key, (rule_words, collateral, debt, threshold, health, told) in zip(keys, words, strict=True):
        rule, last_acted, owes_terms = rule_of(rule_words)
        how = number(told)
        loan = Loan(number(collateral), number(debt), number(threshold), number(health)) if how else None
        rows.append((Sight(key, rule, last_acted, loan, owes_terms), how))
    return rows


def sight_of(key: RuleKey, rule_words: bytes, account: bytes | None) -> Sight:
    """A sight from what `words_of` and `getUserAccountData` returned, the latter None when it reverted."""
    rule, last_acted, owes_terms = rule_of(rule_words)
    if account is None:
        return Sight(key, rule, last_acted, None, owes_terms)
    collateral, debt, _, threshold, _, health = GET_USER_ACCOUNT_DATA.read(account)
    return Sight(key, rule, last_acted, Loan(collateral, debt, threshold, health), owes_terms)


@lru_cache(maxsize=131_072)
def rule_of(words: bytes) -> tuple[LoanRule | None, int, bool]:
    """A rule from the three words it is stored in, when it last acted, and whether it has terms yet to be read."""
    a, b, c = (int.from_bytes(words[at : at + _WORD], "big") for at in range(0, _RULE, _WORD))
    rule, last_acted = unpack_rule(a, b, c)
    return rule, last_acted, rule is not None and has_terms(b)


def swap_cost_call(pool: Address, sells_token0: bool, specified: int) -> Call:
    """What the pool asks and gives for exactly `specified`, bought if negative, every tick on the way included."""
    return Call(LENS, _COST.call(pool, sells_token0, specified))


def read_swap_cost(returned: bytes) -> tuple[int, int]:
    """What the pool asks, fee included, and what it gives for it."""
    asked, given = _COST.read(returned)
    return asked, given


def attempt_call(sender: Address, call: Call) -> Call:
    """What a call made by `sender` would do; the lens must be lent to `sender` itself."""
    return Call(sender, _ATTEMPT.call(call.to, call.data))


def read_attempt(returned: bytes) -> tuple[bool, int, bytes]:
    """Whether the call succeeded, the gas it used, and what it returned or reverted with."""
    done, gas, answer = _ATTEMPT.read(returned)
    return done, gas, answer


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD, "big")

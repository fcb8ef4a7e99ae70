"""The lenses: contracts lent to an address for one `eth_call`, so that a node reads or tries much in one question.

Source: contracts/LoanLens.vy, SwapLens.vy and CallLens.vy.
Assumes: a node that takes state overrides. What to do with one that does not is up to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from keeper.contracts import load
from keeper.domain.errors import Blind
from keeper.domain.loans import Loan, LoanRule, Sight
from keeper.domain.plans import Call
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.protocols.loan_thresholds import unpack_rule
from keeper.protocols.methods import Method

LENS: Final = Address("0x00000000000000000000000000000000004B6565")
"""Where a lens stands that does not care."""
MOST_ROWS: Final = 4096
"""More keys than this do not fit one question."""
_READ: Final = Method("read", ("address", "address", "address[]", "uint256[]"), ())
_COST: Final = Method("cost", ("address", "bool", "uint256"), ("uint256", "uint256"))
_ATTEMPT: Final = Method("attempt", ("address", "bytes"), ("bool", "uint256", "bytes"))
_WORD: Final = 32
_RULE: Final = 3 * _WORD
_ROW: Final = 10 * _WORD


@cache
def lent(name: str, to: Address = LENS) -> dict[str, Any]:
    """The state override that lends an address the code of a lens."""
    return {to: {"code": "0x" + load(name).runtime.hex()}}


def sights_call(thresholds: Address, aave: Address, keys: Sequence[RuleKey]) -> Call:
    """One question for the rules and accounts of up to `MOST_ROWS` keys of one thresholds contract.

    Written by hand because the ABI codec takes thirty times as long, and this is asked of every loan in every block.
    """
    count = len(keys)
    head = (int(thresholds, 16), int(aave, 16), 4 * _WORD, (5 + count) * _WORD)
    owners = b"".join(bytes(12) + bytes.fromhex(key.owner[2:]) for key in keys)
    ids = b"".join(_word(key.id) for key in keys)
    heads = b"".join(map(_word, head))
    return Call(LENS, b"".join((_READ.selector, heads, _word(count), owners, _word(count), ids)))


def read_sights(keys: Sequence[RuleKey], returned: bytes) -> Iterator[Sight]:
    """The sights in what `sights_call` returned: an offset, a length, and ten words a key."""
    if len(returned) != 2 * _WORD + len(keys) * _ROW:
        raise Blind(f"chain: the lens told {len(returned)} bytes of {len(keys)} rules")
    for n, key in enumerate(keys):
        at = 2 * _WORD + n * _ROW
        yield sight_of(key, returned[at : at + _ROW])


def sight_of(key: RuleKey, row: bytes) -> Sight:
    """A sight from its ten words: the rule's three, Aave's account data, and 1 if the account could be read."""
    rule, last_acted = _rule_of(row[:_RULE])
    if not row[-1]:
        return Sight(key, rule, last_acted, None)
    collateral, debt, _, threshold, _, health = (
        int.from_bytes(row[at : at + _WORD], "big") for at in range(_RULE, _ROW - _WORD, _WORD)
    )
    return Sight(key, rule, last_acted, Loan(collateral, debt, threshold, health))


def swap_cost_call(pool: Address, sells_token0: bool, bought: int) -> Call:
    """What the pool charges for exactly `bought`, every tick on the way included."""
    return Call(LENS, _COST.call(pool, sells_token0, bought))


def read_swap_cost(returned: bytes) -> tuple[int, int]:
    """Collateral asked, fee included, and what the pool gives for it."""
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


@lru_cache(maxsize=131_072)
def _rule_of(words: bytes) -> tuple[LoanRule | None, int]:
    a, b, c = (int.from_bytes(words[at : at + _WORD], "big") for at in range(0, _RULE, _WORD))
    return unpack_rule(a, b, c)

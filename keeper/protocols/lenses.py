"""The lenses: contracts lent to an address for one `eth_call`, so that a node reads or tries much in one question.

Source: contracts/LoanLens.vy and contracts/SwapLens.vy. Assumes: a node that takes state overrides; where one does not,
`keeper/chain/loans.py` asks through Multicall3 instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from keeper.contracts import load
from keeper.domain.loans import Loan, RuleKey, Sight
from keeper.domain.plans import Call
from keeper.domain.units import Address
from keeper.protocols.loan_thresholds import unpack_rule
from keeper.protocols.methods import Method

_LENS: Final = Address("0x00000000000000000000000000000000004B6565")
_READ: Final = Method("read", ("address", "address", "address[]", "uint256[]"), ())
_COST: Final = Method("cost", ("address", "bool", "uint256"), ("uint256", "uint256"))
_WORDS: Final = 10
MOST_ROWS: Final = 4096
"""More keys than this do not fit one question."""


@cache
def lent(name: str) -> dict[str, Any]:
    """The state override that lends a lens its code."""
    return {_LENS: {"code": "0x" + load(name).runtime.hex()}}


def sights_call(thresholds: Address, aave: Address, keys: Sequence[RuleKey]) -> Call:
    """One question for the rules and accounts of up to `MOST_ROWS` keys of one thresholds contract."""
    return Call(_LENS, _READ.call(thresholds, aave, [k.owner for k in keys], [k.id for k in keys]))


def read_sights(keys: Sequence[RuleKey], returned: bytes) -> Iterator[Sight]:
    """The sights in what `sights_call` returned."""
    words = [int.from_bytes(returned[i : i + 32], "big") for i in range(64, len(returned), 32)]
    for n, key in enumerate(keys):
        yield sight_of(key, words[n * _WORDS : (n + 1) * _WORDS])


def sight_of(key: RuleKey, words: Sequence[int]) -> Sight:
    """A sight from its ten words: the rule's three, Aave's account data, and 1 if the account could be read."""
    a, b, c, collateral, debt, _, threshold, _, health, readable = words
    rule, last_acted = unpack_rule(a, b, c)
    return Sight(key, rule, last_acted, Loan(collateral, debt, threshold, health) if readable else None)


def swap_cost_call(pool: Address, sells_token0: bool, bought: int) -> Call:
    """What the pool charges for exactly `bought`, every tick on the way included."""
    return Call(_LENS, _COST.call(pool, sells_token0, bought))


def read_swap_cost(returned: bytes) -> tuple[int, int]:
    """Collateral asked, fee included, and what the pool gives for it."""
    asked, given = _COST.read(returned)
    return asked, given

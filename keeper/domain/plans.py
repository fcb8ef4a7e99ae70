"""A sized action, its rehearsal, and the durable intent made of them."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.domain.loans import RuleKey
from keeper.domain.units import Address


@dataclass(frozen=True, slots=True)
class Plan:
    """One deleverage: repay `repay` of the debt asset, selling about `sell` of the collateral in the pool of `fee`.

    `health` is the health factor expected after it, in WAD; amounts in the assets' own units.
    """

    key: RuleKey
    repay: int
    sell: int
    fee: int
    health: int


@dataclass(frozen=True, slots=True)
class Call:
    """Exact calldata for one contract."""

    to: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the exact calldata did at the decision block: collateral sold, health after (WAD), gas used."""

    sold: int
    health: int
    gas: int


@dataclass(frozen=True, slots=True)
class Intent:
    """A rehearsed plan to be made durable: nothing is signed before the journal holds it.

    `deadline` is the chain time, in unix seconds, after which the contract refuses the call; `why` is the verdict's.
    """

    id: str
    plan: Plan
    call: Call
    rehearsal: Rehearsal
    gas_limit: int
    decided_block: int
    decided_hash: str
    deadline: int
    why: str

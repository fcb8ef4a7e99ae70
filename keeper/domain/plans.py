"""A sized action, its rehearsal, and the durable intent made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, GWEI, WAD, Address, decimal_text, mul_div_down
from keeper.domain.verdicts import Measure


@dataclass(frozen=True, slots=True)
class Asset:
    """A token as it names itself, which is text from a stranger."""

    address: Address
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Move:
    """One thing an action does with an amount of an asset, in the asset's units; `fee` of the pool, in millionths."""

    verb: str
    asset: Asset
    amount: int
    fee: int = 0

    @property
    def text(self) -> str:
        """For people, with every digit of the amount."""
        return f"{self.verb} {decimal_text(self.amount, self.asset.decimals)} {self.asset.symbol}"


@dataclass(frozen=True, slots=True)
class Spot:
    """A pool's price before a swap: token1 per token0 as a square root in Q64.96; `fee` in millionths."""

    sold: Address
    bought: Address
    fee: int
    sqrt_price: int


@dataclass(frozen=True, slots=True)
class Valuation:
    """What a position and a whole token of each asset were worth at the block decided on, in WAD of `money`.

    Nothing is decided by it; it is kept for whoever asks later what acting cost.
    """

    money: str
    worth: int
    prices: tuple[tuple[Asset, int], ...]
    spots: tuple[Spot, ...]


WITNESS: Final = "witness"
"""The action that only puts a breach on record."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One action of a rule: what is to be moved, and the measure expected after it."""

    key: RuleKey
    action: str
    moves: tuple[Move, ...]
    after: Measure
    valued: Valuation | None = None

    def move(self, verb: str) -> Move:
        """The move of this verb; KeyError when there is none."""
        return _move(self.moves, verb)


@dataclass(frozen=True, slots=True)
class Call:
    """Exact calldata for one contract."""

    to: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the exact calldata did at the decision block: what it moved, the measure it left, the gas it used."""

    moves: tuple[Move, ...]
    after: Measure
    gas: int

    def move(self, verb: str) -> Move:
        """The move of this verb; KeyError when there is none."""
        return _move(self.moves, verb)


@dataclass(frozen=True, slots=True)
class Stake:
    """What an action is about, in dollars with 8 decimals: what it moves, and what its owner may lose without it."""

    moved: int
    at_risk: int = 0

    def worth(self, dollars_per_ether: int, benefit_bps: int) -> Worth:
        """The most its gas should cost: what is at risk, or so many basis points of what is moved if that is more.

        Rounded down; the price has 8 decimals too.
        """
        benefit = mul_div_down(self.moved, benefit_bps, BPS)
        most = max(self.at_risk, benefit)
        said = f"{decimal_text(self.at_risk, 8, 2)} dollars are at risk"
        if benefit > self.at_risk:
            said = f"{benefit_bps} basis points of the {decimal_text(self.moved, 8, 2)} dollars it moves"
        return Worth(mul_div_down(most, WAD, dollars_per_ether), said)


@dataclass(frozen=True, slots=True)
class Worth:
    """The most that an action's gas may cost because of what is at stake, in wei, and how that was reckoned."""

    wei: int
    why: str


def no_dearer(worth: Worth | None, most_gas_price: int, gas_limit: int) -> Worth:
    """The lesser of what an action is worth and what its gas costs at the highest price its rule allows, in wei."""
    capped = Worth(most_gas_price * gas_limit, f"the rule lets gas cost {most_gas_price / GWEI:g} gwei now")
    return capped if worth is None or capped.wei < worth.wei else worth


@dataclass(frozen=True, slots=True)
class Intent:
    """A rehearsed plan to be made durable: nothing is signed before the journal holds it.

    `deadline` is the chain time, in unix seconds, after which the contract refuses the call; `why` is the verdict's.
    Without a `worth` its gas may cost whatever the operator allows.
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
    worth: Worth | None = None


def _move(moves: tuple[Move, ...], verb: str) -> Move:
    for move in moves:
        if move.verb == verb:
            return move
    raise KeyError(verb)

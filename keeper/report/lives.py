"""What a simulation told of every rule: the same history lived with the keeper, without it, and in peace.

Times are unix seconds of the history's own clock; a measure is a float in the measure's own unit, None where it could
not be taken or has no bound. Equity is an account's collateral less its debt in US dollars by Aave's oracle, None for
what is no loan; it is the owner's, and so the same for each of their rules on loans. Gas is paid by the keeper and has
not left the equity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from keeper.report.record import Cost
from keeper.report.texts import clock_text


@dataclass(frozen=True, slots=True)
class Price:
    """One hour as it was played, in US dollars; `usdc` at its end."""

    time: int
    open: float
    low: float
    high: float
    close: float
    usdc: float


@dataclass(frozen=True, slots=True)
class LifeHour:
    """A rule's measure in an hour, over all of its blocks and at the last, and the equity then."""

    time: int
    low: float | None
    high: float | None
    end: float | None
    equity: float | None


@dataclass(frozen=True, slots=True)
class LifeAct:
    """One action that was carried out; `cost` in US dollars, of which fee and slippage are None where nobody can tell.

    `delayed` is how many blocks after the one decided on it was included, where the next is one.
    """

    block: int
    time: int
    price: float
    action: str
    moves: str
    before: float | None
    after: float | None
    gas: float
    cost: Cost | None
    delayed: int
    why: str
    tx: str


@dataclass(frozen=True, slots=True)
class Life:
    """What one rule's position went through; `lowest`, `highest` and `end` of its measure are for people.

    `outside` counts the blocks in which the rule was not within its band, `failed` the keeper's transactions that came
    to nothing, whose gas is in `gas_eth` and `gas` (US dollars) as well.
    """

    blocks: int
    outside: int
    lowest: str | None
    highest: str | None
    end: str | None
    liquidations: tuple[tuple[int, float], ...]
    acts: tuple[LifeAct, ...]
    failed: int
    gas_eth: float
    gas: float
    equity_start: float | None
    equity_end: float | None
    hours: tuple[LifeHour, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything; measures as decimal text, times in ISO 8601."""
        return {
            "blocks": self.blocks,
            "outside": self.outside,
            "lowest": self.lowest,
            "highest": self.highest,
            "end": self.end,
            "actions": len(self.acts),
            "failed": self.failed,
            "gas_eth": self.gas_eth,
            "gas_usd": self.gas,
            "liquidations": len(self.liquidations),
            "equity_start": self.equity_start,
            "equity_end": self.equity_end,
            "liquidated": [{"time": _iso(time), "price": price} for time, price in self.liquidations],
            "acts": [_act_json(act) for act in self.acts],
            "course": [{**asdict(hour), "time": _iso(hour.time)} for hour in self.hours],
        }


@dataclass(frozen=True, slots=True)
class Told:
    """One rule, its band as marks on the scale of its measure, and its lives.

    `calm` is the life with the keeper and without a hostile mempool; None where `guarded` is that.
    """

    thresholds: str
    owner: str
    id: int
    kind: str
    measure: str
    band: str
    marks: tuple[tuple[str, float], ...]
    guarded: Life
    alone: Life
    calm: Life | None = None

    @property
    def name(self) -> str:
        """Whose it is and which."""
        return f"{self.owner[:8]}…{self.owner[-4:]} {self.kind} rule {self.id}"

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "thresholds": self.thresholds,
            "owner": self.owner,
            "kind": self.kind,
            "rule": self.id,
            "measure": self.measure,
            "band": self.band,
            "marks": dict(self.marks),
            "guarded": self.guarded.to_json(),
            "alone": self.alone.to_json(),
            "calm": self.calm and self.calm.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Hostility:
    """What the hostile mempool did: how many of the keeper's transactions it held back, outbid and sandwiched.

    `spared` are swaps that no sandwich fitted around; `taken` is what the sandwiches brought their maker, in US dollars
    by the oracle at each, gas not counted: below zero where harm was all they did.
    """

    held: int
    outbid: int
    sandwiched: int
    spared: int
    taken: float


@dataclass(frozen=True, slots=True)
class Simulated:
    """A history lived in `seconds` of time, and what it told of every rule; `notes` are what to know of the fork."""

    title: str
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    prices: tuple[Price, ...]
    rules: tuple[Told, ...]
    seconds: float
    hostility: Hostility | None = None

    @property
    def hours(self) -> int:
        """How many hours were played."""
        return len(self.prices)

    @property
    def pace(self) -> float:
        """How many times as fast as it was."""
        return self.hours * 3600 / self.seconds

    @property
    def saved(self) -> float | None:
        """How much more the accounts with loans ended with than with nobody, gas paid; None where there is none."""
        return self._between(lambda told: told.guarded, lambda told: told.alone)

    @property
    def hostile_cost(self) -> float | None:
        """How much less they ended with than in peace, gas counted; None where it was peaceful, or there is no loan."""
        if self.hostility is None:
            return None
        return self._between(lambda told: told.calm, lambda told: told.guarded)

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        hostile = self.hostility and {**asdict(self.hostility), "cost_usd": self.hostile_cost}
        return {
            "title": self.title,
            "sources": list(self.sources),
            "notes": list(self.notes),
            "hours": self.hours,
            "wall_s": self.seconds,
            "pace": self.pace,
            "saved_usd": self.saved,
            "hostile": hostile,
            "prices": [{**asdict(price), "time": _iso(price.time)} for price in self.prices],
            "positions": [told.to_json() for told in self.rules],
        }

    def _between(
        self, one: Callable[[Told], Life | None], other: Callable[[Told], Life | None]
    ) -> float | None:
        left, right = (_net([(told.owner, life(told)) for told in self.rules]) for life in (one, other))
        return None if left is None or right is None else left - right


def _net(lives: Iterable[tuple[str, Life | None]]) -> float | None:
    """What the accounts ended with, each counted once, less the gas of all that was done on loans."""
    ends: dict[str, float] = {}
    gas = 0.0
    for owner, life in lives:
        if life is not None and life.equity_end is not None:
            ends[owner] = life.equity_end
            gas += life.gas
    return sum(ends.values()) - gas if ends else None


def _act_json(act: LifeAct) -> dict[str, Any]:
    return {**asdict(act), "time": _iso(act.time)}


def _iso(seconds: int) -> str:
    return clock_text(seconds, "%Y-%m-%dT%H:%M:%SZ")

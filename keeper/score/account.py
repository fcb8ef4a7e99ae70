"""All that a journal holds, scored: action by action, rule by rule, kind by kind, and beside what a plan promised.

A year is 365.25 days, and the time looked at runs from the first to the last turn that is kept, or as it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final, TypeVar

from eth_utils.address import is_address

from keeper.domain.blocks import Block
from keeper.domain.errors import Misconfigured
from keeper.domain.flights import Flight
from keeper.domain.rules import RuleKey
from keeper.domain.units import Address
from keeper.journal.annals import Annals
from keeper.protocols.methods import address
from keeper.score.shortfall import Scored, Shortfall, score

YEAR: Final = 31_557_600
_Group = TypeVar("_Group")
FIGURES: Final[Mapping[str, Callable[[Sum], float]]] = {
    "trades": lambda found: found.done,
    "cost_bps": lambda found: found.realised_bps.total,
    "gas_bps": lambda found: found.realised_bps.gas,
    "fee_bps": lambda found: found.realised_bps.fee,
    "impact_bps": lambda found: found.realised_bps.impact,
}
"""What of a plan's figures a journal can be held against, under the plan's names; all are a year's."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Actions of one rule, or of one kind with one money, added up.

    `failed` counts attempts that failed or were cancelled, and `wasted_wei` is what those paid for gas. `unvalued` are
    those that are not taken apart, of which only the gas in wei is told. `…_bps` add up each action's share of the net
    worth it was decided on, in basis points.
    """

    done: int
    failed: int
    unvalued: int
    planned_wei: int
    paid_wei: int
    wasted_wei: int
    money: str
    traded: float
    planned: Shortfall
    realised: Shortfall
    planned_bps: Shortfall
    realised_bps: Shortfall


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to score, as a person says it: whose rules, of which number, and decided between which days.

    `native` and `ether` as `score` takes them.
    """

    owner: str | None = None
    rule: int | None = None
    start: str | None = None
    end: str | None = None
    native: str = "WETH"
    ether: float | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """What a plan promised of a kind: a year's figures, and between which two nine in ten histories had them."""

    title: str
    kind: str
    figures: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Account:
    """The whole: `first` and `last` turn kept, and what was looked at from `start` to `end`, in unix seconds.

    `open` flights are in no block yet; kinds are told apart by their money too.
    """

    first: Block
    last: Block
    start: int
    end: int
    actions: tuple[Scored, ...]
    open: int
    rules: Mapping[RuleKey, Sum]
    kinds: Mapping[tuple[str, str], Sum]
    promise: Promise | None

    @property
    def seconds(self) -> int:
        """How long was looked at."""
        return self.end - self.start

    @property
    def years(self) -> float:
        """The same in years."""
        return self.seconds / YEAR

    @property
    def unpriced(self) -> bool:
        """Whether gas could not be valued for some action."""
        return any(each.ether is None for each in self.actions)

    def promised(self) -> dict[RuleKey, dict[str, float]]:
        """A year's figures of every rule the promise is about, so far as it names them; without time there are none."""
        if self.promise is None or not self.seconds:
            return {}
        named = [name for name in FIGURES if name in self.promise.figures]
        return {
            key: {name: FIGURES[name](found) / self.years for name in named}
            for key, found in self.rules.items()
        }

    def dearer_by(self) -> Mapping[RuleKey, float]:
        """By what share each rule's actions cost more than they were planned to; nothing of rules that cost nothing."""
        return {
            key: found.realised.total / found.planned.total - 1.0
            for key, found in self.rules.items()
            if found.planned.total > 0
        }


def account(
    place: str, kinds: Mapping[str, str], wanted: Wanted, promise: Promise | None = None
) -> Account | None:
    """What is in the journal at `place`; None when it holds no turn. `kinds` is of each contract, as settings have it.

    With a promise only rules of its kind are told.
    """
    owner = None if wanted.owner is None else _address(wanted.owner)
    start = None if wanted.start is None else _moment(wanted.start)
    end = None if wanted.end is None else _moment(wanted.end, at_end=True)
    with Annals(place) as annals:
        bounds, decisions, flights = annals.bounds(), annals.decisions(), annals.actions(owner)
    if bounds is None:
        return None
    since = max(bounds[0].timestamp, start or 0)
    until = bounds[1].timestamp if end is None else min(bounds[1].timestamp, end)

    def is_wanted(flight: Flight) -> bool:
        key, block = flight.intent.plan.key, decisions.get(flight.intent.decided_hash)
        return (
            block is not None
            and since <= block.timestamp <= until
            and wanted.rule in (None, key.id)
            and (promise is None or kinds.get(key.thresholds) == promise.kind)
        )

    mine = [flight for flight in flights if is_wanted(flight)]
    found = [
        score(flight, decisions[flight.intent.decided_hash], wanted.native, wanted.ether) for flight in mine
    ]
    actions = tuple(each for each in found if each is not None)
    return Account(
        first=bounds[0],
        last=bounds[1],
        start=since,
        end=max(until, since),
        actions=actions,
        open=sum(not flight.state.ended and flight.receipt is None for flight in mine),
        rules=_grouped(actions, lambda each: each.flight.intent.plan.key),
        kinds=_grouped(
            actions, lambda each: (kinds.get(each.flight.intent.plan.key.thresholds, ""), each.money)
        ),
        promise=promise,
    )


def _grouped(actions: Iterable[Scored], by: Callable[[Scored], _Group]) -> dict[_Group, Sum]:
    groups: dict[_Group, list[Scored]] = {}
    for each in actions:
        groups.setdefault(by(each), []).append(each)
    return {key: _summed(each) for key, each in groups.items()}


def _summed(actions: Sequence[Scored]) -> Sum:
    def added(parts: Iterable[Shortfall]) -> Shortfall:
        return sum(parts, Shortfall())

    valued = [each for each in actions if each.planned and each.realised]
    worth = [each for each in valued if each.worth > 0]
    return Sum(
        done=sum(each.done for each in actions),
        failed=sum(not each.done for each in actions),
        unvalued=len(actions) - len(valued),
        planned_wei=sum(each.planned_wei for each in actions),
        paid_wei=sum(each.paid_wei for each in actions),
        wasted_wei=sum(each.paid_wei for each in actions if not each.done),
        money=next((each.money for each in valued), ""),
        traded=sum(each.traded for each in actions),
        planned=added(each.planned for each in valued if each.planned),
        realised=added(each.realised for each in valued if each.realised),
        planned_bps=added(each.planned.times(1e4 / each.worth) for each in worth if each.planned),
        realised_bps=added(each.realised.times(1e4 / each.worth) for each in worth if each.realised),
    )


def _address(text: str) -> Address:
    if not is_address(text):
        raise Misconfigured(f"score: {text} is not an address")
    return address(text)


def _moment(text: str, at_end: bool = False) -> int:
    """A date or a time, UTC unless it says otherwise, in unix seconds; a bare date as an end takes its whole day in."""
    try:
        bare = date.fromisoformat(text)
    except ValueError:
        bare = None
    try:
        found = (
            datetime.combine(bare, time.max if at_end else time.min) if bare else datetime.fromisoformat(text)
        )
    except ValueError:
        raise Misconfigured(f"score: {text!r} is no time; write 2026-03-12 or 2026-03-12T05:00") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())


def read_promise(path: Path) -> Promise:
    """What `keeper plan` wrote as plan.json, or printed with --json."""
    try:
        held: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"score: {path} cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise Misconfigured(
            f"score: {path} is not JSON; name the plan.json that `keeper plan` wrote"
        ) from error
    try:
        planned = held["planned"]
        figures = {name: float(planned["metrics"][name]) for name in FIGURES}
        spans = planned["intervals_90"]
        intervals = {
            name: (float(spans[name][0]), float(spans[name][1])) for name in FIGURES if name in spans
        }
        return Promise(str(held["title"]), str(held["kind"]), figures, intervals)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Misconfigured(
            f"score: {path} is no plan ({error!r} is missing or is no figure); name the plan.json of `keeper plan`"
        ) from error

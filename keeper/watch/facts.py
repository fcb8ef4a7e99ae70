"""The journal and the chain as the page gets them: JSON in which every word is text and nothing is markup.

Numbers that decide stand there as decimal text; the floats beside them, all under `at`, are for drawing only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from keeper.domain.flights import Flight, Step
from keeper.domain.foresight import Foresight
from keeper.domain.rules import RuleKey
from keeper.domain.texts import span_text
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.journal.annals import Annals, Moment, Newest, Span
from keeper.journal.journal import Latch
from keeper.positions.port import Look, Marks
from keeper.show import Kinds, fields_told, flight_json
from keeper.watch.outlook import View

MOST_POSITIONS: Final = 500
MOST_FLIGHTS: Final = 50
_POINTS: Final = 240
_URGENCY: Final = (Kind.BREACHED, Kind.BLIND, Kind.BARRED, Kind.WITHIN)


def state_json(
    chain_id: int,
    newest: Newest | None,
    flights: Sequence[Flight],
    view: View,
    latches: Sequence[Latch] = (),
    kinds: Kinds | None = None,
) -> dict[str, Any]:
    """Everything the page shows without being asked: positions, breached first, and flights, newest first."""
    verdicts = newest.verdicts if newest else ()
    ordered = sorted(verdicts, key=lambda verdict: _order(verdict, view.looks.get(verdict.key)))
    ahead = {each.key: each for each in view.foreseen.foresights} if view.foreseen else {}
    counts = {kind.name.lower(): sum(verdict.kind is kind for verdict in verdicts) for kind in _URGENCY}
    return {
        "chain": chain_id,
        "kinds": dict(kinds or {}),
        "block": newest
        and {"number": newest.block.number, "hash": newest.block.hash, "timestamp": newest.block.timestamp},
        "note": newest.note if newest else "",
        "latches": [{"name": latch.name, "block": latch.block, "why": latch.why} for latch in latches],
        "outlook": {"block": view.block.number if view.block else None, "trouble": view.trouble},
        "balances": [
            {"account": account, "wei": str(wei), "ether": f"{wei / 1e18:.4f}"}
            for account, wei in sorted(view.balances.items())
        ],
        "counts": counts,
        "positions": [
            position_json(verdict, view.looks.get(verdict.key), ahead.get(verdict.key))
            for verdict in ordered[:MOST_POSITIONS]
        ],
        "unshown": max(len(ordered) - MOST_POSITIONS, 0),
        "flights": [flight_facts(flight) for flight in flights],
    }


def position_json(verdict: Verdict, look: Look | None, ahead: Foresight | None = None) -> dict[str, Any]:
    """One rule: what the keeper found, and beside it what its contract says now and would say of a breach."""
    key, measure = verdict.key, verdict.measure
    return {
        "thresholds": key.thresholds,
        "owner": key.owner,
        "rule": str(key.id),
        "verdict": verdict.kind.name.lower(),
        "why": verdict.why,
        "measure": measure_json(measure),
        "marks": look and look.marks and _marks_json(look.marks, measure.decimals),
        "band": look.band if look else "",
        "fields": fields_told(look) if look else {},
        "now": look
        and {
            "verdict": look.verdict.kind.name.lower(),
            "why": look.verdict.why,
            "measure": measure_json(look.verdict.measure),
            "moves": [move.text for move in look.moves],
        },
        "ahead": ahead
        and {
            "early": span_text(ahead.reach.early),
            "median": span_text(ahead.reach.median),
            "obstacles": [obstacle.why for obstacle in ahead.obstacles],
        },
    }


def measure_json(measure: Measure) -> dict[str, Any]:
    """A measure's name, its text, and where to draw it; `at` is None where there is none or no bound."""
    return {"name": measure.name, "text": measure.text, "at": _at(measure.value, measure)}


def flight_facts(flight: Flight) -> dict[str, Any]:
    """What `keeper explain` tells of a flight, and how a person reads its moves."""
    intent = flight.intent
    return {
        **flight_json(flight),
        "rule": str(intent.plan.key.id),
        "nonce": str(flight.nonce),
        "ended": flight.state.ended,
        "sender": flight.sender,
        "verdict_why": intent.why,
        "moves_text": [move.text for move in intent.rehearsal.moves],
        "after_text": str(intent.rehearsal.after),
        "attempts": [
            {"hash": attempt.hash, "purpose": str(attempt.purpose), "block": attempt.block}
            for attempt in flight.attempts
        ],
    }


def step_json(step: Step) -> dict[str, Any]:
    """One line of a flight's story."""
    return {"block": step.block, "state": str(step.state), "why": step.why}


def span_json(span: Span) -> dict[str, Any]:
    """A verdict and the blocks over which it stood."""
    key = span.verdict.key
    return {
        "first": span.first,
        "last": span.last,
        "timestamp": span.timestamp,
        "thresholds": key.thresholds,
        "owner": key.owner,
        "rule": str(key.id),
        "verdict": span.verdict.kind.name.lower(),
        "why": span.verdict.why,
        "measure": measure_json(span.verdict.measure),
    }


def course_json(annals: Annals, key: RuleKey, most: int) -> dict[str, Any]:
    """A measure's course in few enough points to draw, in which every low and high still stands."""
    moments = [
        moment for moment in annals.course(key, most) if _at(moment.measure.value, moment.measure) is not None
    ]
    return {
        "measure": moments[-1].measure.name if moments else None,
        "points": [
            {
                "block": moment.block,
                "timestamp": moment.timestamp,
                "verdict": moment.kind.name.lower(),
                "at": _at(moment.measure.value, moment.measure),
            }
            for moment in _thinned(moments)
        ],
    }


def _thinned(moments: Sequence[Moment]) -> list[Moment]:
    """First, lowest, highest and last of each stretch, in their own order."""
    stretch = -(-len(moments) * 4 // _POINTS)
    if stretch <= 4:
        return list(moments)
    kept: list[Moment] = []
    for start in range(0, len(moments), stretch):
        some = range(start, min(start + stretch, len(moments)))
        low = min(some, key=lambda n: moments[n].measure.value or 0)
        high = max(some, key=lambda n: moments[n].measure.value or 0)
        kept += [moments[n] for n in sorted({some[0], low, high, some[-1]})]
    return kept


def _marks_json(marks: Marks, decimals: int) -> dict[str, Any]:
    measures = {
        name: Measure("", value, decimals)
        for name, value in (("low", marks.low), ("target", marks.target), ("high", marks.high))
    }
    return {name: measure_json(measure) for name, measure in measures.items()}


def _order(verdict: Verdict, look: Look | None) -> tuple[int, float, RuleKey]:
    """Breached first, and among equals the one nearest to its lower mark, or furthest beyond it."""
    value, marks = verdict.measure.value, look.marks if look else None
    near = 1.0 if value is None or marks is None or not marks.low else value / marks.low
    return _URGENCY.index(verdict.kind), near, verdict.key


def _at(value: int | None, measure: Measure) -> float | None:
    return None if value is None or value == measure.endless else value / 10**measure.decimals

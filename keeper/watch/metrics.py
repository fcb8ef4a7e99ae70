"""The numbers an operator alerts on, for Prometheus: read from the journal when they are asked for.

ops/alerts.yml is written against these names. What is not known, such as a balance while no node answers, is left out
rather than told as a zero.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from keeper.breakers import PAUSE
from keeper.domain.errors import JournalBroken
from keeper.domain.flights import State
from keeper.domain.foresight import Cause, Foreseen
from keeper.domain.verdicts import Kind
from keeper.journal.annals import Annals
from keeper.watch.pulse import Pulse

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_ETHER: Final = 1e18


def exposition(pulse: Pulse) -> bytes:
    """Everything, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(pulse))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def collect(self) -> Iterator[Metric]:
        view = self._pulse.view
        yield _gauge(
            "keeper_seconds_since_last_turn",
            "Seconds since a new turn was seen in the journal, or since the watch began.",
            self._pulse.seconds_since_turn(),
        )
        yield _gauge("keeper_node_up", "Whether the last look at the chain succeeded.", not view.trouble)
        balance = GaugeMetricFamily(
            "keeper_balance_ether", "What the keeper has to pay gas with.", labels=["account"]
        )
        for account, wei in view.balances.items():
            balance.add_metric([account], wei / _ETHER)
        yield balance
        if view.foreseen is not None:
            yield from _of_foresight(view.foreseen)
        try:
            with Annals(self._pulse.journal) as annals:
                yield from _of_journal(annals)
        except JournalBroken:
            yield _gauge("keeper_journal_up", "Whether the journal could be read.", False)
        else:
            yield _gauge("keeper_journal_up", "Whether the journal could be read.", True)


def _of_foresight(foreseen: Foreseen) -> Iterator[Metric]:
    yield _gauge(
        "keeper_within_reach",
        "Rules within their bands that may be breached soon.",
        len(foreseen.foresights),
    )
    would_stop = GaugeMetricFamily(
        "keeper_foreseen_obstacles",
        "Rules within reach of their trigger whose action would be stopped.",
        labels=["cause"],
    )
    told = Counter(obstacle.cause for each in foreseen.foresights for obstacle in each.obstacles)
    for cause in Cause:
        would_stop.add_metric([cause.value], told[cause])
    yield would_stop


def _of_journal(annals: Annals) -> Iterator[Metric]:
    tally, newest = annals.tally(), annals.newest()
    yield CounterMetricFamily("keeper_turns", "Turns ever written to the journal.", value=tally.turns)
    if newest is not None:
        yield _gauge("keeper_last_turn_block", "The block of the newest turn.", newest.block.number)
        yield _gauge(
            "keeper_last_turn_timestamp_seconds", "When that block was made.", newest.block.timestamp
        )
        age = time.time() - newest.block.timestamp
        yield _gauge("keeper_last_turn_block_age_seconds", "How old that block is now.", age)
        verdicts = GaugeMetricFamily(
            "keeper_verdicts", "Rules by their verdict in the newest turn.", labels=["kind"]
        )
        for kind in Kind:
            verdicts.add_metric([kind.name.lower()], sum(each.kind is kind for each in newest.verdicts))
        yield verdicts
    breakers = GaugeMetricFamily("keeper_breaker_latched", "Breakers that await a person.", labels=["name"])
    latched = {latch.name for latch in annals.latches()}
    for name in sorted(latched - {PAUSE}):
        breakers.add_metric([name], 1)
    yield breakers
    yield _gauge("keeper_paused", "Whether a person has paused it.", PAUSE in latched)
    flights = GaugeMetricFamily("keeper_flights", "Flights by where they stand.", labels=["state"])
    for state in State:
        flights.add_metric([state.value], tally.flights.get(state, 0))
    yield flights
    gas = CounterMetricFamily(
        "keeper_gas_spent_ether",
        "Paid for gas, by how the flight ended; only what is final.",
        labels=["state"],
    )
    for state in State:
        if state.ended:
            gas.add_metric([state.value], tally.gas_wei.get(state, 0) / _ETHER)
    yield gas


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=float(value))

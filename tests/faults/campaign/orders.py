"""A kind of position for the counter, so that the same keeper, turn, journal and sender keep it that keep loans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keeper import app, settings
from keeper.chain.node import Node, Question
from keeper.domain.blocks import Block
from keeper.domain.flights import Receipt
from keeper.domain.foresight import Foresight, Horizon
from keeper.domain.plans import Call, Plan
from keeper.domain.quotes import Quote
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, Address
from keeper.domain.verdicts import Kind, Measure, Verdict
from keeper.positions.port import Doubts, Draft, Look, Seen
from tests.faults.campaign.crews import keeper
from tests.faults.campaign.works import ORDERED

_NUMBERS = range(1, 4)


@dataclass(frozen=True)
class Order:
    """A number that is ordered and not counted."""

    verdict: Verdict
    keeper: Address = NOBODY
    nearness: int = 1

    def draft(self, deadline: int) -> Draft:
        key, measure = self.verdict.key, self.verdict.measure
        plan = Plan(key, "count", (), measure)
        return Draft(plan, Call(key.thresholds, key.id.to_bytes(32)), lambda _: ((), measure))


class Orders:
    """Every number that can be ordered, judged by whether it is counted."""

    def __init__(self, node: Node, counter: Address, owners: Sequence[Address], doubts: Doubts) -> None:
        self._node = node
        self._counter = counter
        (self._owner,) = owners

    def observe(self, block: Block) -> Seen:
        slots = [number + offset for number in _NUMBERS for offset in (0, ORDERED)]
        at = {"blockHash": block.hash}
        asked: list[Question] = [("eth_getStorageAt", [self._counter, hex(slot), at]) for slot in slots]
        told = [int(answer, 16) for answer in self._node.ask_many(asked)]
        verdicts = [
            Verdict(
                RuleKey(self._counter, self._owner, number),
                Kind.BREACHED if ordered > counted else Kind.WITHIN,
                "orders: not counted yet" if ordered > counted else "orders: nothing to count",
                Measure("counted", counted, 0),
            )
            for number, counted, ordered in zip(_NUMBERS, told[::2], told[1::2], strict=True)
        ]
        breached = tuple(Order(each) for each in verdicts if each.kind is Kind.BREACHED)
        return Seen(tuple(verdicts), breached)

    def look(self, block: Block) -> tuple[Look, ...]:
        return ()

    def lost_bps_up(self, key: RuleKey, receipt: Receipt, before: Block, at: Block) -> int | None:
        return None

    def quotes(self, keys: Sequence[RuleKey], block: Block, seconds: int) -> tuple[Quote, ...]:
        return ()

    def foresee(self, block: Block, horizon: Horizon) -> tuple[Foresight, ...]:
        return ()


def keeper_of_orders(folder: Path) -> None:
    """The keeper, whole, with one more kind."""
    app.KINDS = {**app.KINDS, "orders": Orders}
    settings.WATCHED = (*settings.WATCHED, "orders")
    keeper(folder)

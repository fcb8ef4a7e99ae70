"""What happened to a range and to a basket in a demo, each beside its unguarded twin.

Amounts are US dollars by the oracle, times unix seconds of the bars' own clock. A value is what the position would
bring at the oracle's price, with what its acts gave back to its owner; gas is paid from the keeper's own account.
An act's `lost` is what the contract measured: all value the act cost, fees and price impact together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keeper.report.texts import clock_text


@dataclass(frozen=True, slots=True)
class Span:
    """A range in US dollars for one ETH."""

    lower: float
    upper: float

    def holds(self, price: float) -> bool:
        """Whether the price is inside, where the range earns."""
        return self.lower <= price <= self.upper


@dataclass(frozen=True, slots=True)
class RangeHour:
    """Both ranges at the end of an hour."""

    time: int
    price: float
    guarded: Span
    guarded_value: float
    twin_value: float


@dataclass(frozen=True, slots=True)
class RangeAct:
    """One recentring: from where, to where."""

    block: int
    time: int
    price: float
    before: Span
    after: Span
    lost: float
    gas: float
    why: str
    tx: str


@dataclass(frozen=True, slots=True)
class RangeSide:
    """One of the two over the whole play; `in_range` is the share of blocks in which it earned."""

    in_range: float
    value_start: float
    value_end: float


@dataclass(frozen=True, slots=True)
class RangeStory:
    """Liquidity that follows the price, and liquidity that stays; `still` is the twin's range throughout."""

    hours: tuple[RangeHour, ...]
    acts: tuple[RangeAct, ...]
    still: Span
    guarded: RangeSide
    twin: RangeSide

    def to_json(self) -> dict[str, Any]:
        """The figures scripts rely on."""
        return {
            "guarded": {
                "in_range": self.guarded.in_range,
                "actions": [
                    {
                        **_act_json(act.block, act.time, act.lost, act.gas, act.why, act.tx),
                        "lower": act.after.lower,
                        "upper": act.after.upper,
                    }
                    for act in self.acts
                ],
                "value_start": self.guarded.value_start,
                "value_end": self.guarded.value_end,
            },
            "twin": {
                "in_range": self.twin.in_range,
                "value_start": self.twin.value_start,
                "value_end": self.twin.value_end,
            },
        }


@dataclass(frozen=True, slots=True)
class BasketHour:
    """The weight of ETH in both baskets at the end of an hour."""

    time: int
    price: float
    guarded_weight: float
    twin_weight: float
    guarded_value: float
    twin_value: float


@dataclass(frozen=True, slots=True)
class BasketAct:
    """One reweighing: the weight of ETH before and after it."""

    block: int
    time: int
    price: float
    before: float
    after: float
    lost: float
    gas: float
    why: str
    tx: str


@dataclass(frozen=True, slots=True)
class BasketSide:
    """One of the two over the whole play; `drift` is the farthest its weight was from its target, at any block."""

    drift: float
    value_start: float
    value_end: float


@dataclass(frozen=True, slots=True)
class BasketStory:
    """Two tokens held to a weight, and two left alone; `target` and `band` are of the weight of ETH."""

    target: float
    band: float
    hours: tuple[BasketHour, ...]
    acts: tuple[BasketAct, ...]
    guarded: BasketSide
    twin: BasketSide

    def to_json(self) -> dict[str, Any]:
        """The figures scripts rely on."""
        return {
            "guarded": {
                "max_drift": self.guarded.drift,
                "actions": [
                    {
                        **_act_json(act.block, act.time, act.lost, act.gas, act.why, act.tx),
                        "weight_before": act.before,
                        "weight_after": act.after,
                    }
                    for act in self.acts
                ],
                "value_start": self.guarded.value_start,
                "value_end": self.guarded.value_end,
            },
            "twin": {
                "max_drift": self.twin.drift,
                "value_start": self.twin.value_start,
                "value_end": self.twin.value_end,
            },
        }


def _act_json(block: int, time: int, lost: float, gas: float, why: str, tx: str) -> dict[str, Any]:
    return {
        "block": block,
        "time": clock_text(time, "%Y-%m-%dT%H:%M:%SZ"),
        "cost": {"lost": lost, "gas": gas},
        "why": why,
        "tx": tx,
    }

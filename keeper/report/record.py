"""What happened in a demo, measured and ready to be told.

Amounts are US dollars by Aave's oracle unless a field says otherwise; times are unix seconds of the bars' own clock;
health is Aave's health factor as a float, None for an account that owes nothing.

Conventions: equity is collateral minus debt. An act's `fee` is the pool's fee on the amount sold; its `slippage` is all
other value the swap lost by the oracle, price impact and the pool's distance from the oracle together; its `gas` is gas
used x price paid x ETH price. Fee and slippage have left the loan's equity; gas is paid from the keeper's own account.
A liquidation's `penalty` is what the account's equity fell by in the block that held it, in which no price moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keeper.domain.texts import count_text
from keeper.report.stories import BasketStory, RangeStory
from keeper.report.texts import clock_text, health_text, usd_text


@dataclass(frozen=True, slots=True)
class Cost:
    """What an act cost."""

    fee: float
    slippage: float
    gas: float

    @property
    def total(self) -> float:
        """All three."""
        return self.fee + self.slippage + self.gas


@dataclass(frozen=True, slots=True)
class Act:
    """One deleverage the keeper carried out: `repaid` in USDC, `sold` in ETH, `price` the oracle's of ETH."""

    block: int
    time: int
    price: float
    repaid: float
    sold: float
    health_before: float
    health_after: float
    cost: Cost
    why: str
    tx: str


@dataclass(frozen=True, slots=True)
class Seizure:
    """One liquidation: `repaid` in USDC and `seized` in ETH as Aave's event says them (its own cut not included)."""

    guarded: bool
    block: int
    time: int
    price: float
    repaid: float
    seized: float
    penalty: float
    tx: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of the journal: the verdict on a block, why, and what was done about it, if anything."""

    block: int
    time: int
    verdict: str
    measure: str
    why: str
    done: str


@dataclass(frozen=True, slots=True)
class Hour:
    """One bar as it was played: the prices it went through, each loan at its last block and at its lowest."""

    time: int
    price_open: float
    price: float
    price_low: float
    price_high: float
    guarded_health: float | None
    guarded_low: float | None
    guarded_equity: float
    twin_health: float | None
    twin_low: float | None
    twin_equity: float


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two loans over the whole play; `min_health` of every block mined."""

    liquidations: int
    min_health: float | None
    equity_start: float
    equity_end: float
    penalty: float


@dataclass(frozen=True, slots=True)
class Terms:
    """The loan both began with and the rule one of them wrote; `max_step` in USDC, `cooldown` in seconds."""

    collateral_eth: float
    debt_usdc: float
    health_start: float
    floor: float
    target: float
    slippage_bps: int
    cooldown: int
    max_step: float


@dataclass(frozen=True, slots=True)
class Record:
    """A whole play, in which no block moved the price by more than `max_move_bps`.

    `turns` counts the keeper's, `quiet` those among them in which the loan was within its band; `late` counts the
    blocks that went on before the keeper was done, `failed` its transactions that came to nothing.
    """

    title: str
    sources: tuple[str, ...]
    owner: str
    max_move_bps: int
    terms: Terms
    hours: tuple[Hour, ...]
    acts: tuple[Act, ...]
    seizures: tuple[Seizure, ...]
    reasons: tuple[Reason, ...]
    guarded: Side
    twin: Side
    failed: int
    failed_gas: float
    turns: int
    quiet: int
    late: int
    blocks: int
    wall_s: float
    ranges: RangeStory | None = None
    baskets: BasketStory | None = None

    @property
    def cost(self) -> Cost:
        """What all acts cost together, gas of failed ones included."""
        return Cost(
            fee=sum(act.cost.fee for act in self.acts),
            slippage=sum(act.cost.slippage for act in self.acts),
            gas=sum(act.cost.gas for act in self.acts) + self.failed_gas,
        )

    def to_json(self) -> dict[str, Any]:
        """The figures scripts rely on."""
        cost = self.cost
        return {
            "guarded": {
                "liquidations": self.guarded.liquidations,
                "min_health": self.guarded.min_health,
                "actions": [_act_json(act) for act in self.acts],
                "equity_start": self.guarded.equity_start,
                "equity_end": self.guarded.equity_end,
                "cost": {"gas": cost.gas, "fee": cost.fee, "slippage": cost.slippage},
            },
            "twin": {
                "liquidations": self.twin.liquidations,
                "min_health": self.twin.min_health,
                "equity_end": self.twin.equity_end,
            },
            **({"range": self.ranges.to_json()} if self.ranges else {}),
            **({"basket": self.baskets.to_json()} if self.baskets else {}),
            "blocks": self.blocks,
            "wall_s": self.wall_s,
        }


def _act_json(act: Act) -> dict[str, Any]:
    return {
        "block": act.block,
        "time": clock_text(act.time, "%Y-%m-%dT%H:%M:%SZ"),
        "repaid": act.repaid,
        "sold": act.sold,
        "health_before": act.health_before,
        "health_after": act.health_after,
        "cost": {"gas": act.cost.gas, "fee": act.cost.fee, "slippage": act.cost.slippage},
        "why": act.why,
        "tx": act.tx,
    }


def summary(record: Record) -> str:
    """The whole play in a few sentences, true whichever way it went."""
    guarded, twin, acts = record.guarded, record.twin, len(record.acts)
    lost = f", which cost it {usd_text(twin.penalty)}" if twin.liquidations else ""
    acted = f"The keeper acted for it {acts} time{'' if acts == 1 else 's'}, for {usd_text(record.cost.total)} in all."
    ahead = guarded.equity_end - record.cost.gas - twin.equity_end
    return (
        f"The guarded loan saw {count_text(guarded.liquidations, 'liquidation')}, and its health was "
        f"{health_text(guarded.min_health)} at the lowest. Its twin saw {count_text(twin.liquidations, 'liquidation')}"
        f"{lost}, and was down to {health_text(twin.min_health)}. {acted if acts else 'The keeper had nothing to do.'} "
        f"After fees, slippage and gas the guarded loan ended with {usd_text(abs(ahead))} "
        f"{'more' if ahead >= 0 else 'less'} equity than its twin.{_others(record)}"
    )


def _others(record: Record) -> str:
    """A sentence each for the range and the basket, gas counted."""
    told = ""
    if story := record.ranges:
        gas = sum(act.gas for act in story.acts)
        ahead = story.guarded.value_end - gas - story.twin.value_end
        told += (
            f" The guarded range was moved {count_text(len(story.acts), 'time')} and ended {_beside(ahead)}."
        )
    if basket := record.baskets:
        gas = sum(act.gas for act in basket.acts)
        ahead = basket.guarded.value_end - gas - basket.twin.value_end
        told += f" The guarded basket was reweighed {count_text(len(basket.acts), 'time')} and ended {_beside(ahead)}."
    return told


def _beside(ahead: float) -> str:
    return f"{usd_text(abs(ahead))} {'ahead of' if ahead >= 0 else 'behind'} its twin, gas counted"

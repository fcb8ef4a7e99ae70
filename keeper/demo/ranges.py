"""Two ranges of liquidity alike to the last unit, one of them with a rule: how they begin, and what is counted of them.

Both are valued at every block: what their liquidity holds at the pool's price, the fees waiting in it, and what acting
gave back to the owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from eth_abi.abi import decode
from eth_utils.crypto import keccak

from keeper.chain.node import Question
from keeper.demo.play import DOLLAR, ETHER, Moment, Sent
from keeper.demo.play import Span as Bar
from keeper.devnet.transactions import in_one_block
from keeper.devnet.uniswap_v3 import add_liquidity
from keeper.devnet.world import POOL_FEE, SLOT0, World
from keeper.domain.ranges import (
    UNBOUNDED_HIGH,
    UNBOUNDED_LOW,
    Direction,
    Edges,
    Leaving,
    Placement,
    RangeRule,
)
from keeper.domain.units import BASE, NOBODY, Address
from keeper.journal.journal import Reader
from keeper.protocols.methods import method
from keeper.protocols.range_thresholds import SET_RULE, rule_fields
from keeper.report.stories import RangeAct, RangeHour, RangeSide, RangeStory, Span

RANGE_ETH: Final = 20
# A fifth of the price to either side, which the worst hour of these two days crosses and a common day does not; and a
# move only once the price has been out for a minute, so that the cost of moving is not paid for a wick.
HALF_TICKS: Final = 2_000
HOLD_SECONDS: Final = 60
_WHOLE: Final = 10**8
_TICK: Final = 1.0001
_Q96: Final = 2**96
_MOST: Final = 2**128 - 1
_RECENTRED: Final = (
    "0x"
    + keccak(text="Recentred(address,uint256,address,uint256,uint256,int256,int256,uint256,uint256)").hex()
)
_TRANSFER: Final = "0x" + keccak(text="Transfer(address,address,uint256)").hex()
_SLOT0: Final = method("slot0()", SLOT0)
_POSITIONS: Final = method(
    "positions(uint256)",
    "(uint96,address,address,address,uint24,int24,int24,uint128,uint256,uint256,uint128,uint128)",
)
_COLLECT: Final = method("collect((uint256,address,uint128,uint128))", "(uint256,uint256)")


@dataclass(slots=True)
class _Held:
    """One of the two: its owner, its position, and what has been given back of it (WETH, USDC)."""

    owner: Address
    token_id: int
    edges: Edges
    back: list[int] = field(default_factory=lambda: [0, 0])
    value: float = 0.0
    first: float | None = None
    in_range: int = 0


def open_ranges(world: World, expiry: int) -> tuple[_Held, _Held]:
    """The two, on the chain; the owner's has a rule, and the contract for an operator."""
    roles, tick = world.roles, _tick(world)
    half = HALF_TICKS
    edges = Edges(tick // 10 * 10 - half, tick // 10 * 10 + half)
    guarded, twin = (_mint(world, who, edges) for who in (roles.owner, roles.twin))
    rule = RangeRule(
        token_id=guarded.token_id,
        below=half,
        above=half,
        buffer=0,
        cutoff_low=UNBOUNDED_LOW,
        cutoff_high=UNBOUNDED_HIGH,
        exit_low=Leaving.AS_IT_LIES,
        exit_high=Leaving.AS_IT_LIES,
        direction=Direction.BOTH,
        placement=Placement.AROUND,
        hold=HOLD_SECONDS,
        deviation=250,
        slippage_bps=100,
        placed_bps=9_500,
        compound_at=0,
        cooldown=3_600,
        expiry=expiry,
        daily=8,
        budget_bps=500,
        refill=86_400,
        keeper=NOBODY,
    )
    world.send(roles.owner, world.range_thresholds, SET_RULE.signature, 0, rule_fields(rule))
    world.send(
        roles.owner,
        world.uniswap.position_manager,
        "setApprovalForAll(address,bool)",
        world.range_thresholds,
        True,
    )
    return guarded, twin


def _mint(world: World, who: Address, edges: Edges) -> _Held:
    manager = world.uniswap.position_manager
    usd = world.price("WETH") / BASE
    amounts = {world.weth.token: RANGE_ETH * ETHER, world.usdc.token: round(RANGE_ETH * usd * DOLLAR)}
    for symbol, token, amount in (
        ("WETH", world.weth.token, RANGE_ETH),
        ("USDC", world.usdc.token, round(RANGE_ETH * usd) + 1),
    ):
        world.give(symbol, who, amount)
        world.approve(who, token, manager)
    with in_one_block(world.node, who) as queue:
        add_liquidity(queue, world.uniswap, amounts, POOL_FEE, who, (edges.lower, edges.upper))
    (count,) = world.call(manager, "balanceOf(address)", "(uint256)", who)
    (token_id,) = world.call(manager, "tokenOfOwnerByIndex(address,uint256)", "(uint256)", who, count - 1)
    return _Held(who, token_id, edges)


@dataclass(slots=True)
class RangePair:
    """Both ranges as every block shows them, and what the keeper did for one."""

    world: World
    guarded: _Held
    twin: _Held
    hours: list[RangeHour] = field(default_factory=list)
    _acts: list[RangeAct] = field(default_factory=list)
    _blocks: int = 0

    def questions(self) -> list[Question]:
        """None beforehand: which position to ask about is known once the block's events are."""
        return []

    def see(self, told: Sequence[Any], sent: Sequence[Sent], moment: Moment) -> None:
        """Follow the guarded range to where it was moved, then value both."""
        moved = [(each, event) for each in sent for event in each.events(_RECENTRED)]
        before = self.guarded.edges
        for each, event in moved:
            _, token_id, lower, upper, _, _ = _recentred(event)
            self.guarded.token_id, self.guarded.edges = token_id, Edges(lower, upper)
            for log in each.events(_TRANSFER):
                self._give_back(log)
        answers = self.world.node.ask_many(
            [
                _asked(self.world.pool, _SLOT0.call()),
                *(question for held in (self.guarded, self.twin) for question in self._questions_of(held)),
            ]
        )
        sqrt_price, tick, *_ = _SLOT0.read(bytes.fromhex(answers[0][2:]))
        self._blocks += 1
        for held, position, fees in zip((self.guarded, self.twin), answers[1::2], answers[2::2], strict=True):
            held.value = self._value(held, sqrt_price, position, fees, moment.usd)
            held.in_range += held.edges.hold_tick(tick)
            if held.first is None:
                held.first = held.value
        for each, event in moved:
            lost = _recentred(event)[5] / _WHOLE
            act = RangeAct(
                block=moment.block,
                time=moment.time,
                price=moment.usd,
                before=self._span(before),
                after=self._span(self.guarded.edges),
                lost=self.guarded.value * lost / (1 - lost),
                gas=each.gas_cost / ETHER * moment.usd,
                why="",
                tx=each.tx,
            )
            self._acts.append(act)

    def close(self, span: Bar) -> None:
        """Keep the hour."""
        self.hours.append(
            RangeHour(
                span.time, span.close, self._span(self.guarded.edges), self.guarded.value, self.twin.value
            )
        )

    @property
    def line(self) -> str:
        """What both are worth."""
        return f"ranges: guarded ${self.guarded.value:,.0f}, twin ${self.twin.value:,.0f}"

    def story(self, journal: Reader) -> RangeStory:
        """What became of both, with the journal's reasons."""
        flights = journal.actions(self.guarded.owner)
        why = {sent.hash: flight.intent.why for flight in flights for sent in flight.attempts}
        guarded, twin = (
            RangeSide(held.in_range / max(self._blocks, 1), held.first or 0.0, held.value)
            for held in (self.guarded, self.twin)
        )
        acts = tuple(replace(act, why=why[act.tx]) for act in self._acts)
        return RangeStory(tuple(self.hours), acts, self._span(self.twin.edges), guarded, twin)

    def _questions_of(self, held: _Held) -> list[Question]:
        manager = self.world.uniswap.position_manager
        collect = _COLLECT.call((held.token_id, held.owner, _MOST, _MOST))
        return [
            _asked(manager, _POSITIONS.call(held.token_id)),
            _asked(manager, collect, held.owner),
        ]

    def _value(self, held: _Held, sqrt_price: int, position: str, fees: str, usd: float) -> float:
        """In US dollars, one USDC being one."""
        liquidity: int = _POSITIONS.read(bytes.fromhex(position[2:]))[7]
        at = min(max(sqrt_price / _Q96, _root(held.edges.lower)), _root(held.edges.upper))
        amounts = [
            liquidity * (1 / at - 1 / _root(held.edges.upper)),
            liquidity * (at - _root(held.edges.lower)),
        ]
        waiting: tuple[int, ...] = _COLLECT.read(bytes.fromhex(fees[2:]))
        weth, usdc = (amounts[n] + waiting[n] for n in ((0, 1) if self.world.weth_is_token0 else (1, 0)))
        return (weth + held.back[0]) / ETHER * usd + (usdc + held.back[1]) / DOLLAR

    def _give_back(self, log: dict[str, Any]) -> None:
        """What the contract sends the owner in an act."""
        sender, receiver = (Address("0x" + topic[-40:]) for topic in log["topics"][1:3])
        owner, contract = self.guarded.owner.lower(), self.world.range_thresholds.lower()
        tokens = [self.world.weth.token.lower(), self.world.usdc.token.lower()]
        if (sender.lower(), receiver.lower()) == (contract, owner) and log["address"].lower() in tokens:
            self.guarded.back[tokens.index(log["address"].lower())] += int(log["data"], 16)

    def _span(self, edges: Edges) -> Span:
        scale = ETHER / DOLLAR
        ends = [_TICK**tick for tick in (edges.lower, edges.upper)]
        lower, upper = sorted(end * scale if self.world.weth_is_token0 else scale / end for end in ends)
        return Span(lower, upper)


def _recentred(event: dict[str, Any]) -> tuple[Any, ...]:
    kinds = ("uint256", "uint256", "int256", "int256", "uint256", "uint256")
    return decode(kinds, bytes.fromhex(event["data"][2:]))


def _asked(to: Address, data: bytes, sender: Address = NOBODY) -> Question:
    return "eth_call", [{"from": sender, "to": to, "data": "0x" + data.hex()}, "latest"]


def _root(tick: int) -> float:
    return float(_TICK ** (tick / 2))


def _tick(world: World) -> int:
    tick: int = world.call(world.pool, "slot0()", SLOT0)[1]
    return tick

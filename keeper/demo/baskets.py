"""Two baskets of ether and dollars alike to the last unit, one of them with a rule: how they begin and drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from eth_abi.abi import decode
from eth_utils.crypto import keccak

from keeper.chain.node import Question
from keeper.demo.play import DOLLAR, ETHER, Moment, Sent, Span
from keeper.devnet.anvil import DEV_ACCOUNTS
from keeper.devnet.world import World
from keeper.domain.baskets import BasketAsset, BasketLimits, BasketRule
from keeper.domain.units import BASE, BPS, NOBODY, Address
from keeper.journal.journal import Reader
from keeper.protocols.basket_thresholds import SET_RULE, rule_fields
from keeper.protocols.erc20 import BALANCE_OF
from keeper.report.stories import BasketAct, BasketHour, BasketSide, BasketStory

GUARDED: Final = DEV_ACCOUNTS[7]
TWIN: Final = DEV_ACCOUNTS[8]
"""Accounts of their own: a basket is all that its account holds."""
BASKET_ETH: Final = 20
TARGET_BPS: Final = 5_000
BAND_BPS: Final = 500
_REBALANCED: Final = (
    "0x" + keccak(text="Rebalanced(address,uint256,address,uint256,uint256,uint256,uint256,uint256)").hex()
)


def open_baskets(world: World, expiry: int) -> None:
    """The two, on the chain; the guarded one's owner has a rule, and has allowed the contract both tokens."""
    usd = world.price("WETH") / BASE
    for who in (GUARDED, TWIN):
        world.give("WETH", who, BASKET_ETH)
        world.give("USDC", who, f"{BASKET_ETH * usd:.6f}")
    assets = tuple(
        BasketAsset(
            token=reserve.token,
            feed=reserve.feed,
            max_age=86_400,
            low=price // 100,
            high=price * 100,
            target_bps=TARGET_BPS,
            band_bps=BAND_BPS,
            widest_bps=BAND_BPS,
        )
        for reserve, price in ((reserve, world.price(reserve.symbol)) for reserve in (world.weth, world.usdc))
    )
    limits = BasketLimits(
        keeper=NOBODY,
        expiry=expiry,
        cooldown=300,
        daily=24,
        slippage_bps=100,
        slippage_urgent_bps=100,
        gas_cap=0,
        public_bps=0,
        bounty_bps=0,
        bounty_cap=0,
        budget=round(BASKET_ETH * usd / 10) * BASE,
        window=86_400,
    )
    rule = BasketRule(
        assets=assets,
        relative=False,
        destination_bps=0,
        cap_bps=BPS,
        max_step=1_000_000,
        spot_bps=200,
        full_bps=20_000,
        sigmas_bps=0,
        horizon=0,
        limits=limits,
    )
    for reserve in (world.weth, world.usdc):
        world.approve(GUARDED, reserve.token, world.basket_thresholds)
    world.send(GUARDED, world.basket_thresholds, SET_RULE.signature, 0, rule_fields(rule))


@dataclass(frozen=True, slots=True)
class _Held:
    """What one account holds, in smallest units."""

    weth: int = 0
    usdc: int = 0

    def value(self, usd: float) -> float:
        """In US dollars, one USDC being one."""
        return self.weth / ETHER * usd + self.usdc / DOLLAR

    def weight(self, usd: float) -> float:
        """The share of ETH in it."""
        return self.weth / ETHER * usd / self.value(usd)


@dataclass(slots=True)
class BasketPair:
    """Both baskets as every block shows them, and what the keeper did for one."""

    world: World
    hours: list[BasketHour] = field(default_factory=list)
    _acts: list[BasketAct] = field(default_factory=list)
    _held: tuple[_Held, _Held] = (_Held(), _Held())
    _first: float | None = None
    _usd: float = 0.0
    _drift: list[float] = field(default_factory=lambda: [0.0, 0.0])

    def questions(self) -> list[Question]:
        """Both accounts' balances."""
        return [
            ("eth_call", [{"to": reserve.token, "data": "0x" + BALANCE_OF.call(who).hex()}, "latest"])
            for who in (GUARDED, TWIN)
            for reserve in (self.world.weth, self.world.usdc)
        ]

    def see(self, told: Sequence[Any], sent: Sequence[Sent], moment: Moment) -> None:
        """Weigh both, and keep what the keeper did."""
        before, balances = self._held, [int(answer, 16) for answer in told]
        self._held, self._usd = (_Held(*balances[:2]), _Held(*balances[2:])), moment.usd
        if self._first is None:
            self._first = self._held[0].value(moment.usd)
        for side, held in enumerate(self._held):
            drift = abs(held.weight(moment.usd) - TARGET_BPS / BPS)
            self._drift[side] = max(self._drift[side], drift)
        for each in sent:
            for event in each.events(_REBALANCED):
                _, _, _, lost, _ = decode(("uint256",) * 5, bytes.fromhex(event["data"][2:]))
                self._acts.append(
                    BasketAct(
                        block=moment.block,
                        time=moment.time,
                        price=moment.usd,
                        before=before[0].weight(moment.usd),
                        after=self._held[0].weight(moment.usd),
                        lost=lost / BASE,
                        gas=each.gas_cost / ETHER * moment.usd,
                        why="",
                        tx=each.tx,
                    )
                )

    def close(self, span: Span) -> None:
        """Keep the hour."""
        guarded, twin = self._held
        usd = span.close
        self.hours.append(
            BasketHour(
                span.time, usd, guarded.weight(usd), twin.weight(usd), guarded.value(usd), twin.value(usd)
            )
        )

    @property
    def line(self) -> str:
        """Both weights."""
        guarded, twin = (held.weight(self._usd) for held in self._held)
        return f"baskets: guarded {guarded:.1%}, twin {twin:.1%}"

    def story(self, journal: Reader) -> BasketStory:
        """What became of both, with the journal's reasons."""
        flights = journal.actions(Address(GUARDED))
        why = {sent.hash: flight.intent.why for flight in flights for sent in flight.attempts}
        guarded, twin = (
            BasketSide(drift, self._first or 0.0, held.value(self._usd))
            for drift, held in zip(self._drift, self._held, strict=True)
        )
        acts = tuple(replace(act, why=why[act.tx]) for act in self._acts)
        return BasketStory(TARGET_BPS / BPS, BAND_BPS / BPS, tuple(self.hours), acts, guarded, twin)

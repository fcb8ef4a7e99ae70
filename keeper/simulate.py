"""What the rules would have done to one's own positions: a history over two forks, one with the real keeper.

Both forks begin at the same block, live through the same prices and gas, and have the same arbitrageur and liquidator.
On the first `keeper run` is at work as a process of its own, on the second nobody is. What is told of each rule is read
from the chain at every block, by the judge that the keeper itself uses.

Assumes: the chain is a devnet's, whose feeds can be set. The history's prices are taken as moves from the price of
ether there is.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain as chain_
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keeper import app
from keeper.chain.node import Question
from keeper.demo.play import Attendant, Moment, Play, Sent, Span
from keeper.demo.process import JOURNAL, KeeperProcess
from keeper.demo.stage import MAX_MOVE_BPS, bars_of, progress
from keeper.devnet.actors import Liquidator
from keeper.devnet.anvil import Anvil
from keeper.devnet.bars import HOUR, Bar
from keeper.devnet.scenario import Scenario
from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.domain.rules import RuleKey
from keeper.domain.texts import count_text
from keeper.domain.units import BASE, Address
from keeper.domain.verdicts import Kind, Measure
from keeper.journal.journal import Reader
from keeper.positions.port import Positions
from keeper.protocols.aave_v3 import GET_USER_ACCOUNT_DATA
from keeper.settings import Settings

SHIPPED: Final = "black-thursday"
_LOAN: Final = "loan"


@dataclass(slots=True)
class Life:
    """What one rule's position went through: in how many blocks its rule was not within its band, and its measure.

    `gas` in ether; equities in US dollars, None for what is no loan; an owner's liquidations count for each of their
    rules on loans.
    """

    blocks: int = 0
    outside: int = 0
    lowest: Measure | None = None
    highest: Measure | None = None
    end: Measure | None = None
    actions: int = 0
    gas: float = 0.0
    liquidations: int = 0
    equity_start: float | None = None
    equity_end: float | None = None

    def see(self, kind: Kind, measure: Measure) -> None:
        """One block more."""
        self.blocks += 1
        self.outside += kind is not Kind.WITHIN
        self.end = measure
        if measure.value is not None:
            if self.lowest is None or measure.value < (self.lowest.value or 0):
                self.lowest = measure
            if self.highest is None or measure.value > (self.highest.value or 0):
                self.highest = measure

    def to_json(self) -> dict[str, Any]:
        """The same; measures as decimal text."""
        measures = {name: getattr(self, name) for name in ("lowest", "highest", "end")}
        return {
            "blocks": self.blocks,
            "outside": self.outside,
            **{name: measure and measure.text for name, measure in measures.items()},
            "actions": self.actions,
            "gas_eth": self.gas,
            "liquidations": self.liquidations,
            "equity_start": self.equity_start,
            "equity_end": self.equity_end,
        }


@dataclass(frozen=True, slots=True)
class Simulated:
    """Both lives of every rule, by the rule; `hours` of history in `seconds` of time."""

    kinds: dict[str, str]
    guarded: dict[RuleKey, Life]
    alone: dict[RuleKey, Life]
    hours: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "hours": self.hours,
            "wall_s": self.seconds,
            "positions": [
                {
                    "thresholds": key.thresholds,
                    "owner": key.owner,
                    "kind": self.kinds[key.thresholds],
                    "rule": key.id,
                    "guarded": life.to_json(),
                    "alone": self.alone[key].to_json(),
                }
                for key, life in self.guarded.items()
            ],
        }


class Nobody:
    """Stands where the keeper stands, and does nothing."""

    def wait_for(self, block: int, seconds: float) -> bool:
        """At once."""
        del block, seconds
        return True

    def last_line(self) -> str:
        """Silence."""
        return ""


@dataclass(slots=True)
class Watched:
    """Every watched rule as every block shows it: to the play it is a `Pair`, though its twin lives elsewhere."""

    world: World
    liquidator: Liquidator
    kinds: dict[str, str]
    borrowers: tuple[Address, ...]
    positions: Sequence[Positions]
    lives: dict[RuleKey, Life] = field(default_factory=dict)
    equities: dict[Address, tuple[float, float]] = field(default_factory=dict)
    """What each borrower had at first and has now, in US dollars."""

    def questions(self) -> list[Question]:
        """The borrowers' accounts."""
        pool = self.world.aave.pool
        calls = ["0x" + GET_USER_ACCOUNT_DATA.call(who).hex() for who in self.borrowers]
        return [("eth_call", [{"to": pool, "data": data}, "latest"]) for data in calls]

    def see(self, told: Sequence[Any], sent: Sequence[Sent], moment: Moment) -> None:
        """Judge every rule at the block, and keep what became of the accounts."""
        del sent
        self.weigh(told)
        block = self.world.node.block(moment.block)
        for positions in self.positions:
            for verdict in positions.observe(block).verdicts:
                self.lives.setdefault(verdict.key, Life()).see(verdict.kind, verdict.measure)
        for seized in self.liquidator.outcome():
            for life in self._loans_of(seized.user):
                life.liquidations += 1

    def weigh(self, told: Sequence[Any]) -> None:
        """Keep what the accounts are worth."""
        for who, account in zip(self.borrowers, told, strict=True):
            collateral, debt, *_ = GET_USER_ACCOUNT_DATA.read(bytes.fromhex(account[2:]))
            now = (collateral - debt) / BASE
            self.equities[who] = (self.equities.get(who, (now, now))[0], now)

    def close(self, span: Span) -> None:
        """Hours are not kept apart."""

    @property
    def line(self) -> str:
        """How many rules are held."""
        return count_text(len(self.lives), "rule")

    def outcome(self) -> dict[RuleKey, Life]:
        """Every rule's life, with its owner's account where that is what the rule is about."""
        for who, (start, end) in self.equities.items():
            for life in self._loans_of(who):
                life.equity_start, life.equity_end = start, end
        return self.lives

    def _loans_of(self, who: Address) -> list[Life]:
        return [
            life
            for key, life in self.lives.items()
            if key.owner == who and self.kinds[key.thresholds] == _LOAN
        ]


def simulate(
    settings: Settings, manifest: Path, scenario: str, start: str | None, end: str | None, say: Console | None
) -> Simulated:
    """Both lives of every rule the settings watch; `Misconfigured` where no devnet runs, or no rule is written."""
    begun = time.monotonic()
    if not manifest.exists():
        raise Misconfigured("simulate: no devnet runs from this folder; start one with `keeper devnet`")
    world = World.read(manifest)
    _, looks = app.look(settings)
    if not looks:
        raise Misconfigured(
            "simulate: none of the watched owners has written a rule; `keeper rule set` writes one"
        )
    bars, _ = bars_of(None if scenario == SHIPPED else Path(scenario), start, end)
    moves = _from_here(bars, world.price("WETH") / BASE)
    with progress(say, 2 * len(moves)) as tell:
        guarded = _lived(settings, world, moves, True, lambda at, what: tell(at, f"with the keeper: {what}"))
        alone = _lived(
            settings, world, moves, False, lambda at, what: tell(len(moves) + at, f"with nobody: {what}")
        )
    return Simulated(settings.kinds, guarded, alone, len(moves), time.monotonic() - begun)


def _from_here(bars: Sequence[Bar], usd: float) -> tuple[Bar, ...]:
    by = usd / bars[0].open
    return tuple(
        replace(bar, open=bar.open * by, high=bar.high * by, low=bar.low * by, close=bar.close * by)
        for bar in bars
    )


def _lived(
    settings: Settings,
    devnet: World,
    bars: tuple[Bar, ...],
    with_keeper: bool,
    tell: Callable[[int, str], None],
) -> dict[RuleKey, Life]:
    """One fork from its beginning to its end."""
    with Anvil(fork_url=devnet.url) as anvil, tempfile.TemporaryDirectory(prefix="keeper-simulate-") as name:
        world, folder = devnet.through(anvil.url), Path(name)
        chain = settings.chain.model_copy(update={"url": anvil.url, "urls": (), "heads": "", "quorum": None})
        here = settings.model_copy(update={"chain": chain})
        liquidator = Liquidator(world)
        watched = [
            (watch.kind, Address(watch.thresholds), tuple(map(Address, watch.owners)))
            for watch in settings.watch
        ]
        kinds = settings.kinds
        loans = (owners for _, thresholds, owners in watched if kinds[thresholds] == _LOAN)
        borrowers = tuple(dict.fromkeys(chain_.from_iterable(loans)))
        seen = Watched(world, liquidator, kinds, borrowers, app.watched(here, world.node))
        seen.weigh(world.node.ask_many(seen.questions()))

        def play(attendant: Attendant) -> None:
            playing = Play(world, attendant, liquidator, (seen,))
            playing.begin()
            for step in Scenario(bars, max_move_bps=MAX_MOVE_BPS).play(world):
                playing.take(step)
                tell(step.point.bar, playing.line(step))
            playing.end()

        if not with_keeper:
            play(Nobody())
            return seen.outcome()
        with KeeperProcess(
            folder, world, anvil.url.replace("http", "ws", 1), watched, _limits(settings)
        ) as keeper:
            play(keeper)
        lives = seen.outcome()
        with Reader(folder / JOURNAL) as journal:
            for flight in journal.actions():
                life = lives.get(flight.intent.plan.key)
                if life is not None and flight.receipt is not None:
                    life.actions += flight.receipt.succeeded
                    life.gas += flight.receipt.gas_cost / 10**18
        return lives


def _limits(settings: Settings) -> str:
    """The operator's own limits, as keeper.toml has them."""
    said = settings.limits.model_dump()
    lines = [f"{name} = {value}" for name, value in said.items() if isinstance(value, int | float)]
    return "\n".join(["", "[limits]", *lines, ""])


def print_simulated(console: Console, told: Simulated) -> None:
    """Both lives of each rule, one below the other."""
    table = Table(title=f"{count_text(told.hours, 'hour')} in {told.seconds:.0f} s", title_justify="left")
    for column in ("rule", "", "not within", "from … to", "at the end", "acts", "liquidated", "equity"):
        table.add_column(column, overflow="fold")
    for key, guarded in told.guarded.items():
        whose = f"{key.owner[:8]}…{key.owner[-4:]} {told.kinds[key.thresholds]} rule {key.id}"
        for who, name, life in ((whose, "with the keeper", guarded), ("", "without", told.alone[key])):
            lowest, highest, end = (
                "" if each is None else str(each.text) for each in (life.lowest, life.highest, life.end)
            )
            equity = "" if life.equity_end is None else f"${life.equity_start:,.0f} → ${life.equity_end:,.0f}"
            table.add_row(
                Text(who),
                name,
                f"{life.outside} of {count_text(life.blocks, 'block')}",
                f"{lowest} … {highest}",
                end,
                str(life.actions),
                str(life.liquidations),
                equity,
            )
    console.print(table)
    faster = told.hours * HOUR / told.seconds
    console.print(Text(f"{faster:,.0f} times as fast as it was", style="dim"))

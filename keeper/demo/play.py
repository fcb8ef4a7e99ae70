"""The play as it goes, block by block: what moves, who looks, and what is counted.

Assumes: blocks come one by one, so that "latest" is the block just mined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from keeper.chain.node import Question
from keeper.devnet.actors import Liquidator
from keeper.devnet.mempool import Mempool, Peaceful
from keeper.devnet.scenario import Step
from keeper.devnet.world import BLOCK_SECONDS, World
from keeper.domain.errors import Blind
from keeper.report.texts import clock_text

ETHER: Final = 10**18
DOLLAR: Final = 10**6
_BOOT_SECONDS: Final = 60.0
_LATE_IN_A_ROW: Final = 5
_MOST_ROUNDS: Final = 40


@dataclass(frozen=True, slots=True)
class Moment:
    """A block, its time by the bars' own clock, and the price of ETH in it."""

    block: int
    time: int
    usd: float


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one of the keeper's transactions: its events as JSON-RPC has them, and its gas in wei."""

    tx: str
    logs: tuple[dict[str, Any], ...]
    gas_cost: int

    def events(self, topic: str) -> list[dict[str, Any]]:
        """Those whose first topic is this one."""
        return [log for log in self.logs if log["topics"][0] == topic]


@dataclass(frozen=True, slots=True)
class Span:
    """The prices one bar was played through."""

    time: int
    open: float
    close: float
    low: float
    high: float


class Pair(Protocol):
    """A guarded position and its unguarded twin."""

    def questions(self) -> list[Question]:
        """What to ask the node at every new block."""

    def see(self, told: Sequence[Any], sent: Sequence[Sent], moment: Moment) -> None:
        """The answers, with all that the keeper sent and was mined."""

    def close(self, span: Span) -> None:
        """A bar is over."""

    @property
    def line(self) -> str:
        """How both stand, for the progress bar."""


class Attendant(Protocol):
    """Who takes a turn at every block: the keeper's process, or whoever stands in its place."""

    def wait_for(self, block: int, seconds: float) -> bool:
        """Whether the turn on `block` was taken within the time."""

    def last_line(self) -> str:
        """The last thing it said."""


@dataclass(slots=True)
class Play:
    """Every block mined is looked at, and an hour's figures are closed when the next begins."""

    world: World
    keeper: Attendant
    liquidator: Liquidator
    pairs: Sequence[Pair]
    mempool: Mempool | None = None
    """Who decides what is in a block; whatever pays, where there is nobody."""
    failed: int = 0
    failed_gas: float = 0.0
    blocks: int = 0
    late: int = 0
    _late_in_a_row: int = 0
    _hour: tuple[int, int] = (-1, 0)
    _prices: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """Wait until the keeper is up and has seen the chain as it stands."""
        head = self.world.node.head()
        if not self.keeper.wait_for(head.number, _BOOT_SECONDS):
            said = self.keeper.last_line()
            raise Blind(
                f"demo: the keeper took no turn in its first {_BOOT_SECONDS:.0f} s; its last line: {said}"
            )

    def take(self, step: Step) -> None:
        """What follows one price: the keeper's turn, and blocks as long as someone's transaction waits."""
        point, world = step.point, self.world
        if point.bar != self._hour[0]:
            self.end()
            self._hour = (point.bar, point.time)
        self._prices.append(point.usd)
        block, mempool = step.block, self.mempool or Peaceful(world)
        for round_ in range(_MOST_ROUNDS):
            self._look(Moment(block, point.time + round_ * BLOCK_SECONDS, point.usd))
            self.liquidator.submit()
            self._wait(block)
            if not int(world.node.ask("txpool_status")["pending"], 16):
                break
            block = mempool.mine(step.base_fee)

    def end(self) -> None:
        """Close the hour under way, if there is one."""
        if self._prices:
            prices, self._prices = self._prices, []
            span = Span(self._hour[1], prices[0], prices[-1], min(prices), max(prices))
            for pair in self.pairs:
                pair.close(span)

    def line(self, step: Step) -> str:
        """Where the play is, for the progress bar."""
        stand = "; ".join(pair.line for pair in self.pairs)
        return f"{clock_text(step.point.time)}  ETH ${step.point.usd:,.2f}  {stand}"

    def _look(self, moment: Moment) -> None:
        """Read every position at a new block, and what the keeper did in it."""
        questions = [pair.questions() for pair in self.pairs]
        *told, receipts = self.world.node.ask_many(
            [
                *(question for each in questions for question in each),
                ("eth_getBlockReceipts", [hex(moment.block)]),
            ]
        )
        self.blocks += 1
        sent = self._harvest(receipts, moment)
        for pair, asked in zip(self.pairs, questions, strict=True):
            pair.see(told[: len(asked)], sent, moment)
            told = told[len(asked) :]

    def _harvest(self, receipts: list[dict[str, Any]], moment: Moment) -> list[Sent]:
        sender, sent = self.world.roles.keeper.lower(), []
        for receipt in receipts:
            if receipt["from"].lower() != sender:
                continue
            gas_cost = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
            sent.append(Sent(receipt["transactionHash"], tuple(receipt["logs"]), gas_cost))
            if receipt["status"] != "0x1":
                self.failed += 1
                self.failed_gas += gas_cost / ETHER * moment.usd
        return sent

    def _wait(self, block: int) -> None:
        if self.keeper.wait_for(block, BLOCK_SECONDS):
            self._late_in_a_row = 0
            return
        self.late += 1
        self._late_in_a_row += 1
        if self._late_in_a_row == _LATE_IN_A_ROW:
            raise Blind(
                f"demo: the keeper took no turn on {_LATE_IN_A_ROW} blocks in a row, the last of them {block}; "
                f"its last line: {self.keeper.last_line()}"
            )

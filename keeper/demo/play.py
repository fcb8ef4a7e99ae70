"""The play as it goes, block by block: what moves, who looks, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from eth_abi.abi import decode
from eth_utils.crypto import keccak

from keeper.demo.process import KeeperProcess
from keeper.devnet.actors import Liquidation, Liquidator
from keeper.devnet.scenario import Step
from keeper.devnet.world import BLOCK_SECONDS, World
from keeper.domain.errors import Blind
from keeper.domain.loans import Loan
from keeper.domain.units import BASE, NO_DEBT, WAD, Address
from keeper.protocols.aave_v3 import GET_USER_ACCOUNT_DATA
from keeper.report.record import Hour, Seizure, clock_text, health_text

ETHER: Final = 10**18
DOLLAR: Final = 10**6
_REBALANCED: Final = (
    "0x" + keccak(text="Rebalanced(address,uint256,address,uint256,uint256,uint256,uint256)").hex()
)
_BOOT_SECONDS: Final = 60.0
_LATE_IN_A_ROW: Final = 5
_MOST_ROUNDS: Final = 40


@dataclass(frozen=True, slots=True)
class Deed:
    """A `Rebalanced` event and its receipt: amounts in smallest units, healths in WAD, gas in wei."""

    block: int
    time: int
    usd: float
    repaid: int
    sold: int
    before: int
    after: int
    gas_cost: int
    tx: str

    @property
    def lost(self) -> float:
        """Value the swap lost by the oracle, in US dollars."""
        return self.sold / ETHER * self.usd - self.repaid / DOLLAR


@dataclass(slots=True)
class Play:
    """The play as it goes: every block mined is looked at, and an hour's figures are closed when the next begins."""

    world: World
    keeper: KeeperProcess
    liquidator: Liquidator
    hours: list[Hour] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    seizures: list[Seizure] = field(default_factory=list)
    lowest: list[int] = field(default_factory=lambda: [NO_DEBT, NO_DEBT])
    first: tuple[Loan, Loan] | None = None
    last: tuple[Loan, Loan] | None = None
    failed: int = 0
    failed_gas: float = 0.0
    blocks: int = 0
    late: int = 0
    _late_in_a_row: int = 0
    _hour: tuple[int, int] = (-1, 0)
    _prices: list[float] = field(default_factory=list)
    _hour_lowest: list[int] = field(default_factory=lambda: [NO_DEBT, NO_DEBT])

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
            self._close_hour()
            self._hour = (point.bar, point.time)
        self._prices.append(point.usd)
        block = step.block
        for round_ in range(_MOST_ROUNDS):
            self._look(block, point.time + round_ * BLOCK_SECONDS, point.usd)
            self.liquidator.submit()
            self._wait(block)
            if not int(world.node.ask("txpool_status")["pending"], 16):
                break
            block = world.mine(base_fee=step.base_fee)

    def end(self) -> None:
        """Close the last hour."""
        self._close_hour()

    def line(self, step: Step) -> str:
        """Where the play is, for the progress bar."""
        assert self.last is not None
        guarded, twin = (health_text(health_of(loan.health)) for loan in self.last)
        return f"{clock_text(step.point.time)}  ETH ${step.point.usd:,.2f}  health: guarded {guarded}, twin {twin}"

    def _look(self, block: int, moment: int, usd: float) -> None:
        """Read both loans at a new block, and what the keeper and the liquidator did in it."""
        roles = self.world.roles
        *accounts, receipts = self.world.node.ask_many(
            [
                *(self._account_of(who) for who in (roles.owner, roles.twin)),
                ("eth_getBlockReceipts", [hex(block)]),
            ]
        )
        guarded, twin = (_loan(account) for account in accounts)
        before, self.last = self.last, (guarded, twin)
        if before is None:
            self.first = before = self.last
        for lowest in (self.lowest, self._hour_lowest):
            lowest[:] = map(min, lowest, (guarded.health, twin.health))
        self.blocks += 1
        lost = self._harvest(receipts, block, moment, usd)
        fell = [equity(was) - equity(now) for was, now in zip(before, self.last, strict=True)]
        fell[0] -= lost
        for seized in self.liquidator.outcome():
            at = 0 if seized.user == roles.owner else 1
            self.seizures.append(_seizure(seized, at == 0, moment, usd, fell[at]))
            fell[at] = 0.0

    def _account_of(self, who: Address) -> tuple[str, list[Any]]:
        data = "0x" + GET_USER_ACCOUNT_DATA.call(who).hex()
        return "eth_call", [{"to": self.world.aave.pool, "data": data}, "latest"]

    def _harvest(self, receipts: list[dict[str, Any]], block: int, moment: int, usd: float) -> float:
        """Keep what the keeper did in a block; what its swaps lost, in US dollars."""
        lost = 0.0
        sender = self.world.roles.keeper.lower()
        for receipt in receipts:
            if receipt["from"].lower() != sender:
                continue
            gas_cost = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
            events = [log for log in receipt["logs"] if log["topics"][0] == _REBALANCED]
            if not events:
                self.failed += 1
                self.failed_gas += gas_cost / ETHER * usd
            for log in events:
                repaid, sold, was, now = decode(("uint256",) * 4, bytes.fromhex(log["data"][2:]))
                deed = Deed(block, moment, usd, repaid, sold, was, now, gas_cost, receipt["transactionHash"])
                self.deeds.append(deed)
                lost += deed.lost
        return lost

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

    def _close_hour(self) -> None:
        if self.last is None:
            return
        guarded, twin = self.last
        hour = Hour(
            time=self._hour[1],
            price_open=self._prices[0],
            price=self._prices[-1],
            price_low=min(self._prices),
            price_high=max(self._prices),
            guarded_health=health_of(guarded.health),
            guarded_low=health_of(self._hour_lowest[0]),
            guarded_equity=equity(guarded),
            twin_health=health_of(twin.health),
            twin_low=health_of(self._hour_lowest[1]),
            twin_equity=equity(twin),
        )
        self.hours.append(hour)
        self._prices = []
        self._hour_lowest = [NO_DEBT, NO_DEBT]


def _loan(account: str) -> Loan:
    collateral, debt, _, threshold, _, health = GET_USER_ACCOUNT_DATA.read(bytes.fromhex(account[2:]))
    return Loan(collateral, debt, threshold, health)


def equity(loan: Loan) -> float:
    """What would be left after the debt, in US dollars."""
    return (loan.collateral_base - loan.debt_base) / BASE


def health_of(health: int) -> float | None:
    """A health factor as a float; None without debt."""
    return None if health == NO_DEBT else health / WAD


def _seizure(seized: Liquidation, guarded: bool, moment: int, usd: float, penalty: float) -> Seizure:
    return Seizure(
        guarded=guarded,
        block=seized.block,
        time=moment,
        price=usd,
        repaid=seized.repaid / DOLLAR,
        seized=seized.seized / ETHER,
        penalty=penalty,
        tx=seized.transaction,
    )

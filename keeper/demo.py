"""The main job, seen: a crash played over two identical loans, one with a rule and a real keeper, one without.

Chain, Aave, Uniswap, contract, liquidator and keeper (a process of its own) are the real ones. Only time is compressed:

    price moves ─▶ block ─▶ the keeper takes its turn, the liquidator looks ─▶ did anyone send?
                     ▲                                                  yes: next block, 12 s later ─┐
                     └───────────────────────────────────────────────── no: next price ◀─────────────┘

Keeper and liquidator see the same block, and what they send competes for the next one, which Anvil fills by what is
bid, highest first; the liquidator bids more. A keeper whose turn takes longer than a slot's twelve seconds has missed
the block, as it would outside. What is counted is read from the chain at every block; the reasons are the journal's.

Assumes: USDC is worth a dollar throughout.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, Self

from eth_abi.abi import decode
from eth_utils.crypto import keccak
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from keeper.devnet.actors import Liquidation, Liquidator
from keeper.devnet.anvil import Anvil
from keeper.devnet.bars import HOUR, Bar, read_bars
from keeper.devnet.founding import deploy_thresholds, deploy_world
from keeper.devnet.scenario import Scenario, Step
from keeper.devnet.world import BLOCK_SECONDS, World
from keeper.domain.errors import Blind, Misconfigured
from keeper.domain.loans import Band, Limits, Loan, LoanRule
from keeper.domain.units import BASE, BPS, NO_DEBT, NOBODY, WAD, Address
from keeper.journal.journal import Page, Reader
from keeper.protocols.aave_v3 import GET_USER_ACCOUNT_DATA
from keeper.protocols.loan_thresholds import SET_RULE, rule_fields
from keeper.report import page, screen
from keeper.report.record import (
    Act,
    Cost,
    Hour,
    Reason,
    Record,
    Seizure,
    Side,
    Terms,
    clock_text,
    health_text,
)

COLLATERAL_ETH: Final = 100
HEALTH_START: Final = "1.6"
# What a careful borrower might write. From a floor of 1.40 the price may fall by another 28 % before Aave liquidates,
# more than the worst hour of these two days did; acting lands on 1.60, so that each act buys 12 % of room and gas is
# not spent on every dip. A per cent of slippage is ample for so small a sale, and one act repays at most half the debt.
BAND: Final = Band(floor_bps=14_000, target_bps=16_000, ceiling_bps=25_000)
SLIPPAGE_BPS: Final = 100
COOLDOWN_SECONDS: Final = 300
DEFAULT_GAS_GWEI: Final = 30.0
MAX_MOVE_BPS: Final = 200

_SHIPPED_SOURCES: Final = (
    "Prices: hourly ETH/USDT bars of Binance spot, 12 and 13 March 2020 (UTC); no hour is missing, none was smoothed.",
    "Gas: Etherscan's average gas price paid on each day (77.90 and 84.76 gwei), which stands in for the base fee.",
)
# Account 3 of the public mnemonic that every Anvil starts with.
_KEEPER_KEY: Final = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
_REBALANCED: Final = (
    "0x" + keccak(text="Rebalanced(address,uint256,address,uint256,uint256,uint256,uint256)").hex()
)
_CONFIG: Final = "keeper.toml"
_JOURNAL: Final = "keeper.db"
_ETHER: Final = 10**18
_DOLLAR: Final = 10**6
_YEAR: Final = 365 * 24 * HOUR
_BOOT_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0
_LATE_IN_A_ROW: Final = 5
_MOST_ROUNDS: Final = 40
_MOST_REASONS: Final = 500
# Its own pid is all the shell outlives: when the pipe closes, this process is gone, and the keeper shall go too.
_WATCH: Final = 'read -r _; kill "$1" 2>/dev/null'


def demo(bars: Path | None, start: str | None, end: str | None, out: Path, say: Console | None) -> Record:
    """Play hourly bars (Black Thursday's by default), `start` to `end`, and tell what happened.

    The keeper's configuration and journal are left in `out/demo`, for `keeper explain`. Progress goes to `say`.
    `Misconfigured` for bars that cannot be played; `Blind` when the keeper's process ends or falls silent.
    """
    started = time.monotonic()
    page.require_plotly()
    played, sources = _read(bars, start, end)
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="demo-", dir=out))
    except OSError as error:
        raise Misconfigured(f"demo: {out} cannot be written ({error.strerror})") from error
    try:
        with _progress(say, len(played)) as tell:
            record = _played(played, folder, tell)
        kept = out / "demo"
        shutil.rmtree(kept, ignore_errors=True)
        folder.replace(kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    first, last = played[0].open_time, played[-1].open_time + HOUR
    form = "%d %B %Y %H:%M"
    title = f"{clock_text(first, form)} to {clock_text(last, form)} UTC"
    return replace(record, title=title, sources=sources, wall_s=time.monotonic() - started)


def write(record: Record, out: Path) -> tuple[Path, Path]:
    """Leave `demo.json` and `demo.html` in `out`."""
    figures, told = out / "demo.json", out / "demo.html"
    try:
        figures.write_text(json.dumps(record.to_json(), indent=2) + "\n", encoding="utf-8")
        page.write_html(record, told)
    except OSError as error:
        raise Misconfigured(f"demo: {out} cannot be written ({error.strerror})") from error
    return figures, told


def print_record(console: Console, record: Record, out: Path) -> None:
    """Tell the play on a terminal, and where the rest of it lies."""
    screen.print_record(console, record)
    if record.acts:
        block = record.acts[0].block - 1
        command = sys.argv[0] if Path(sys.argv[0]).name == "keeper" else "keeper"
        hint = f"{command} explain {record.owner} --block {block} --config {out / 'demo' / _CONFIG}"
        console.print(Text(f"Any block can be asked about: {hint}", style="dim"), soft_wrap=True)
    console.print(
        Text(f"Plots: {out / 'demo.html'}   Figures: {out / 'demo.json'}", style="bold"), soft_wrap=True
    )


def _read(bars: Path | None, start: str | None, end: str | None) -> tuple[tuple[Bar, ...], tuple[str, ...]]:
    if bars is None:
        with as_file(files("keeper").joinpath("data", "black_thursday.csv")) as shipped:
            return read_bars(shipped, start, end), _SHIPPED_SOURCES
    read = read_bars(bars, start, end)
    if read[0].gas_gwei is not None:
        return read, (f"Prices and gas: {bars.name}; its gas price stands in for the base fee.",)
    default = f"Gas: {bars.name} has none, so the base fee is {DEFAULT_GAS_GWEI:g} gwei throughout."
    return tuple(replace(bar, gas_gwei=DEFAULT_GAS_GWEI) for bar in read), (f"Prices: {bars.name}.", default)


@contextmanager
def _progress(say: Console | None, bars: int) -> Iterator[Callable[[int, str], None]]:
    shown = Progress(
        TextColumn("[progress.percentage]{task.percentage:>3.0f}%"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=say,
        disable=say is None,
        transient=True,
    )
    with shown:
        task = shown.add_task("", total=bars)
        yield lambda done, what: shown.update(task, completed=done, description=what)


def _played(bars: tuple[Bar, ...], folder: Path, tell: Callable[[int, str], None]) -> Record:
    tell(0, "building the chain, Aave and Uniswap")
    with Anvil(timestamp=bars[0].open_time - HOUR) as anvil:
        world = deploy_thresholds(deploy_world(anvil.url, eth_price=bars[0].open))
        terms = _open_loans(world, bars)
        tell(0, "starting the keeper")
        with KeeperProcess(folder, world, anvil.url.replace("http", "ws", 1)) as keeper:
            play = _Play(world, keeper, Liquidator(world))
            play.begin()
            for step in Scenario(bars, max_move_bps=MAX_MOVE_BPS).play(world):
                play.take(step)
                tell(step.point.bar, play.line(step))
        play.end()
        with Reader(folder / _JOURNAL) as journal:
            return _record(play, terms, journal)


def _open_loans(world: World, bars: tuple[Bar, ...]) -> Terms:
    """Two loans alike to the last unit; the owner's gets a rule and the contract's leave to sell its collateral."""
    owner, twin = world.roles.owner, world.roles.twin
    world.open_loan(owner, COLLATERAL_ETH, health=HEALTH_START)
    debt = world.balance("USDC", owner)
    world.open_loan(twin, COLLATERAL_ETH, Decimal(debt) / _DOLLAR)
    expiry = world.node.head().timestamp + len(bars) * HOUR + _YEAR
    limits = Limits(SLIPPAGE_BPS, COOLDOWN_SECONDS, debt // 2, expiry, keeper=NOBODY)
    rule = LoanRule(world.weth.token, world.usdc.token, BAND, limits)
    world.send(owner, world.thresholds, SET_RULE.signature, 0, rule_fields(rule))
    world.approve(owner, world.weth.a_token, world.thresholds)
    return Terms(
        collateral_eth=COLLATERAL_ETH,
        debt_usdc=debt / _DOLLAR,
        health_start=float(HEALTH_START),
        floor=BAND.floor_bps / BPS,
        target=BAND.target_bps / BPS,
        slippage_bps=SLIPPAGE_BPS,
        cooldown=COOLDOWN_SECONDS,
        max_step=limits.max_step / _DOLLAR,
    )


class KeeperProcess:
    """`keeper run` as an operator would start it, and what it says of each turn; use it as a context manager."""

    def __init__(self, folder: Path, world: World, heads: str) -> None:
        config = folder / _CONFIG
        config.write_text(_config_text(world, heads), encoding="utf-8")
        self._log = folder / "keeper.log"
        self.turns = 0
        self.quiet = 0
        self.noted: list[int] = []
        self._block = -1
        self._spoke = ""
        self._ended = False
        self._news = threading.Condition()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "keeper.cli", "run", "--config", str(config), "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        self.pid: Final = self._process.pid
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._ear = threading.Thread(target=self._hear, name="keeper's output", daemon=True)
        self._ear.start()

    def wait_for(self, block: int, seconds: float) -> bool:
        """Whether it has taken its turn on `block` within the time; `Blind`, with its last line, when it has ended."""
        with self._news:
            self._news.wait_for(lambda: self._block >= block or self._ended, seconds)
            if self._block >= block:
                return True
            if not self._ended:
                return False
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        raise Blind(f"demo: the keeper ended {how}; its last line: {self.last_line()}")

    def last_line(self) -> str:
        """The last thing it complained of, or else said."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return (lines[-1] if lines else self._spoke).strip()[:500] or "(it said nothing)"

    def stop(self) -> None:
        """Let it finish its turn and end; stopping twice is harmless."""
        self._watch.kill()
        self._watch.wait()
        if self._watch.stdin is not None:
            self._watch.stdin.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._ear.join(_STOP_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            self._spoke = raw.decode(errors="replace")
            try:
                turn = json.loads(self._spoke)
                block, busy = turn["block"], _is_eventful(turn)
            except (ValueError, KeyError, TypeError):
                continue
            with self._news:
                self.turns += 1
                if not busy:
                    self.quiet += 1
                elif len(self.noted) < _MOST_REASONS:
                    self.noted.append(block)
                self._block = block
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def _is_eventful(turn: dict[str, Any]) -> bool:
    return bool(turn["sent"]) or any(verdict["verdict"] != "within" for verdict in turn["verdicts"])


def _environment() -> dict[str, str]:
    """This process's own, without what may be meant for another keeper; the same package is found from any folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (package, kept.get("PYTHONPATH", "")) if part)
    return {**kept, "KEEPER_KEY": _KEEPER_KEY, "PYTHONPATH": path}


def _config_text(world: World, heads: str) -> str:
    # Both borrowers are watched: the twin goes unguarded because it has no rule, not because nobody looks.
    return f"""[chain]
id = {world.chain_id}
url = "{world.url}"
heads = "{heads}"
turn_seconds = {BLOCK_SECONDS}

[[watch]]
thresholds = "{world.thresholds}"
owners = ["{world.roles.owner}", "{world.roles.twin}"]

[journal]
path = "{_JOURNAL}"
"""


@dataclass(frozen=True, slots=True)
class _Deed:
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
        return self.sold / _ETHER * self.usd - self.repaid / _DOLLAR


@dataclass(slots=True)
class _Play:
    """The play as it goes: every block mined is looked at, and an hour's figures are closed when the next begins."""

    world: World
    keeper: KeeperProcess
    liquidator: Liquidator
    hours: list[Hour] = field(default_factory=list)
    deeds: list[_Deed] = field(default_factory=list)
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
        guarded, twin = (health_text(_health(loan.health)) for loan in self.last)
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
        fell = [_equity(was) - _equity(now) for was, now in zip(before, self.last, strict=True)]
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
                self.failed_gas += gas_cost / _ETHER * usd
            for log in events:
                repaid, sold, was, now = decode(("uint256",) * 4, bytes.fromhex(log["data"][2:]))
                deed = _Deed(block, moment, usd, repaid, sold, was, now, gas_cost, receipt["transactionHash"])
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
            guarded_health=_health(guarded.health),
            guarded_low=_health(self._hour_lowest[0]),
            guarded_equity=_equity(guarded),
            twin_health=_health(twin.health),
            twin_low=_health(self._hour_lowest[1]),
            twin_equity=_equity(twin),
        )
        self.hours.append(hour)
        self._prices = []
        self._hour_lowest = [NO_DEBT, NO_DEBT]


def _loan(account: str) -> Loan:
    collateral, debt, _, threshold, _, health = GET_USER_ACCOUNT_DATA.read(bytes.fromhex(account[2:]))
    return Loan(collateral, debt, threshold, health)


def _equity(loan: Loan) -> float:
    return (loan.collateral_base - loan.debt_base) / BASE


def _health(health: int) -> float | None:
    return None if health == NO_DEBT else health / WAD


def _seizure(seized: Liquidation, guarded: bool, moment: int, usd: float, penalty: float) -> Seizure:
    return Seizure(
        guarded=guarded,
        block=seized.block,
        time=moment,
        price=usd,
        repaid=seized.repaid / _DOLLAR,
        seized=seized.seized / _ETHER,
        penalty=penalty,
        tx=seized.transaction,
    )


def _record(play: _Play, terms: Terms, journal: Reader) -> Record:
    """The play's figures, and the journal's reasons for them."""
    assert play.first is not None
    assert play.last is not None
    sides = []
    for at in (0, 1):
        own = [seized for seized in play.seizures if seized.guarded == (at == 0)]
        sides.append(
            Side(
                liquidations=len(own),
                min_health=_health(play.lowest[at]),
                equity_start=_equity(play.first[at]),
                equity_end=_equity(play.last[at]),
                penalty=sum(seized.penalty for seized in own),
            )
        )
    return Record(
        title="",
        sources=(),
        owner=play.world.roles.owner,
        max_move_bps=MAX_MOVE_BPS,
        terms=terms,
        hours=tuple(play.hours),
        acts=_acts(play.deeds, journal, play.world.roles.owner),
        seizures=tuple(play.seizures),
        reasons=_reasons(play, journal),
        guarded=sides[0],
        twin=sides[1],
        failed=play.failed,
        failed_gas=play.failed_gas,
        turns=play.keeper.turns,
        quiet=play.keeper.quiet,
        late=play.late,
        blocks=play.blocks,
        wall_s=0.0,
    )


def _acts(deeds: list[_Deed], journal: Reader, owner: Address) -> tuple[Act, ...]:
    intents = {sent.hash: flight.intent for flight in journal.actions(owner) for sent in flight.attempts}
    acts = []
    for deed in deeds:
        intent = intents[deed.tx]
        fee = deed.sold / _ETHER * deed.usd * intent.plan.move("sell").fee / 10**6
        acts.append(
            Act(
                block=deed.block,
                time=deed.time,
                price=deed.usd,
                repaid=deed.repaid / _DOLLAR,
                sold=deed.sold / _ETHER,
                health_before=deed.before / WAD,
                health_after=deed.after / WAD,
                cost=Cost(fee=fee, slippage=deed.lost - fee, gas=deed.gas_cost / _ETHER * deed.usd),
                why=intent.why,
                tx=deed.tx,
            )
        )
    return tuple(acts)


def _reasons(play: _Play, journal: Reader) -> tuple[Reason, ...]:
    """What the journal says of every turn that was not quiet."""
    found: list[Reason] = []
    for block in play.keeper.noted:
        told = journal.verdicts(play.world.roles.owner, block)
        if told is None or told.block.number != block:
            continue
        for verdict in told.verdicts:
            found.append(
                Reason(
                    block=block,
                    time=told.block.timestamp,
                    verdict=verdict.kind.name.lower(),
                    health=verdict.measure.text or "unknown",
                    why=verdict.why,
                    done=_done(told, verdict.key.id),
                )
            )
    return tuple(found)


def _done(told: Page, rule: int) -> str:
    for flight in told.flights:
        if flight.intent.plan.key.id == rule:
            repay, sell = (flight.intent.rehearsal.move(verb).amount for verb in ("repay", "sell"))
            planned = f"repay {repay / _DOLLAR:,.2f} USDC by selling {sell / _ETHER:,.4f} ETH"
            return f"{planned}; {flight.state}: {flight.why}"
    return ""

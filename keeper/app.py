"""The composition root: settings in, a keeper that can take turns out, and the loop that lets it."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.breakers import BreakerLimits
from keeper.chain import deployed, endpoints
from keeper.chain.ether import Ether
from keeper.chain.heads import Heads
from keeper.chain.node import Node
from keeper.clock import Clock
from keeper.domain.blocks import Block
from keeper.domain.errors import (
    JournalBroken,
    KeeperError,
    Misconfigured,
    NoQuorum,
    Standby,
    Superseded,
    Unsafe,
)
from keeper.domain.foresight import Foreseen, Horizon
from keeper.domain.units import Address
from keeper.foresight import Lookout, Purse, foresee
from keeper.journal.journal import Journal
from keeper.journal.shares import Share
from keeper.latches import Latches
from keeper.positions.baskets import BasketPositions
from keeper.positions.feeds import FeedPositions
from keeper.positions.loans import LoanPositions
from keeper.positions.port import Doubts, Look, Positions
from keeper.positions.ranges import RangePositions
from keeper.protocols.deployments import deployed_on
from keeper.send.aws_kms import aws_kms_signer
from keeper.send.doors import Relay, named_by_a_key
from keeper.send.fees import Discretion, SendLimits
from keeper.send.gcp_kms import gcp_kms_signer
from keeper.send.remote_signer import Papers, RemoteSigner
from keeper.send.sender import Sender
from keeper.send.signers import (
    Signer,
    keystore_password,
    prove,
    signer_from_environment,
    signer_from_keystore,
)
from keeper.settings import Settings
from keeper.turn import Keeper, Turn, TurnLimits

_CHARGES_MORE_THAN_EXECUTION = frozenset({42161, 42170, 421614})
"""Arbitrum's chains count what a transaction costs on Ethereum into its gas."""
_STANDBY_SECONDS = 0.5
_LOG = logging.getLogger(__name__)
KINDS: Mapping[str, Callable[[Node, Address, Sequence[Address], Doubts], Positions]] = {
    "baskets": BasketPositions,
    "feeds": FeedPositions,
    "loans": LoanPositions,
    "ranges": RangePositions,
}
"""Every kind of position by its name in keeper.toml."""
RULED: Final = tuple(kind for kind in KINDS if kind != "feeds")
"""Those whose owners write rules; feeds have none."""


def connect(settings: Settings) -> Node:
    """The node of the settings, or several as one, once a quorum has said that it is on the right chain."""
    chain = settings.chain
    return endpoints.connect(chain.endpoints, chain.id, chain.timeout_seconds, chain.quorum)


def watched(settings: Settings, node: Node) -> tuple[Positions, ...]:
    """Every thresholds contract the settings watch, known to be there."""
    doubts = Doubts(settings.limits.max_price_age_seconds, settings.limits.drift_bps)
    return tuple(
        _kind(watch.kind)(node, Address(watch.thresholds), [Address(owner) for owner in watch.owners], doubts)
        for watch in settings.watch
    )


def _kind(name: str) -> Callable[[Node, Address, Sequence[Address], Doubts], Positions]:
    if name not in KINDS:
        raise Misconfigured(f"settings: watch.kind: there is no kind {name!r}, only {', '.join(KINDS)}")
    return KINDS[name]


def signer(settings: Settings) -> Signer:
    """Whatever the settings name to sign, proven to sign for whom it should; the key in the environment by default."""
    said = settings.key
    found: Signer
    if said.keystore is not None:
        found = signer_from_keystore(said.keystore, keystore_password(os.environ))
    elif said.aws_kms is not None:
        found = aws_kms_signer(said.aws_kms)
    elif said.gcp_kms is not None:
        found = gcp_kms_signer(said.gcp_kms)
    elif said.remote is not None and said.address is not None:
        papers = Papers(said.remote.certificate, said.remote.private_key, said.remote.authority)
        found = RemoteSigner(said.remote.url, Address(said.address), papers)
    else:
        found = signer_from_environment(os.environ)
    prove(found, settings.chain.id, Address(said.address) if said.address else None)
    return found


@dataclass(frozen=True, slots=True)
class Ready:
    """All that a keeper needs before it may write the journal, so that a takeover waits for none of it."""

    node: Node
    positions: tuple[Positions, ...]
    signer: Signer | None


def ready_for(settings: Settings, dry_run: bool) -> Ready:
    """The chain asked, the contracts found and the key proven; `Misconfigured` or `Blind` where that cannot be."""
    node = connect(settings)
    if (known := deployed_on(settings.chain.id)) is not None:
        deployed.require(node, known, node.head())
    return Ready(node, watched(settings, node), None if dry_run else signer(settings))


@contextmanager
def open_keeper(settings: Settings, dry_run: bool) -> Iterator[Keeper]:
    """A keeper with its journal open and, unless it is a dry run, every earlier flight accounted for."""
    with leading(settings, ready_for(settings, dry_run)) as keeper:
        yield keeper


@contextmanager
def leading(
    settings: Settings, ready: Ready, share: Share | None = None, beside: Collection[Address] = ()
) -> Iterator[Keeper]:
    """A keeper that writes the journal, or a share of it while the keys `beside` its own write the others."""
    node, limits, chain = ready.node, settings.limits, settings.chain
    send_limits = send_limits_of(settings)
    with Journal(settings.journal.place, share) as journal:
        journal.bind(chain.id, node.block(0).hash)
        sender = None
        if ready.signer is not None:
            sender = Sender(node, journal, ready.signer, chain.id, send_limits, relays_of(settings), beside)
            sender.recover(node.head())
        turn_limits = TurnLimits(
            action_fee_wei=send_limits.action_fee_wei,
            deadline_seconds=limits.deadline_seconds,
            gas_percent=round(limits.gas_margin * 100),
            most_gas=limits.max_gas,
            actions_per_owner=limits.actions_per_owner,
            keep_blocks=settings.journal.keep_blocks,
            keep_seconds=settings.journal.keep_days * 86_400,
            estimates_gas=chain.id in _CHARGES_MORE_THAN_EXECUTION,
        )
        weighed = {
            Address(watch.thresholds): positions
            for watch, positions in zip(settings.watch, ready.positions, strict=True)
        }
        latches = Latches(
            journal, node, breaker_limits_of(settings), send_limits.final_depth, weighed, beside
        )
        ether = None
        if limits.ether_feed is not None:
            ether = Ether(node, Address(limits.ether_feed), limits.max_price_age_seconds, limits.benefit_bps)
        purse = _purse(settings, sender.address if sender else None)
        every = settings.foresight.every_blocks
        lookout = Lookout(node, ready.positions, every, horizon_of(settings), purse)
        yield Keeper(node, ready.positions, journal, sender, turn_limits, latches, ether, lookout)


def relays_of(settings: Settings) -> tuple[Relay, ...]:
    """The private relays of the settings."""
    return tuple(
        Relay(
            relay.name,
            Node(relay.url, relay.timeout_seconds, named_by_a_key() if relay.signed else None),
            relay.bundles,
        )
        for relay in settings.relays
    )


def send_limits_of(settings: Settings) -> SendLimits:
    """The operator's bounds on sending."""
    said = settings.limits
    return SendLimits(
        said.max_fee_wei,
        said.tip_wei,
        said.stuck_blocks,
        deadline_seconds=said.deadline_seconds,
        worth_wei={
            Address(watch.thresholds): int(watch.worth_eth.scaleb(18))
            for watch in settings.watch
            if watch.worth_eth is not None
        },
        discretion=Discretion(
            relays=tuple(relay.name for relay in settings.relays),
            public_after_blocks=settings.private.public_after_blocks,
            public_urgency=2 if settings.private.public_when_urgent else 3,
        ),
    )


def horizon_of(settings: Settings) -> Horizon:
    """How far the keeper looks ahead."""
    said = settings.foresight
    return Horizon(int(said.within_hours * 3_600), said.volatility)


def breaker_limits_of(settings: Settings) -> BreakerLimits:
    """When to stop until a person has looked."""
    said = settings.breakers
    return BreakerLimits(
        reverts=said.reverts,
        slippage_bps=said.slippage_bps,
        gas_wei_per_day=int(said.gas_eth_per_day.scaleb(18)),
        actions_per_hour=said.actions_per_hour,
        quorum_seconds=said.quorum_seconds,
        equity_bps_per_day=said.equity_bps_per_day,
        divergence_bps=said.divergence_bps,
        divergence_seconds=said.divergence_seconds,
        sold_per_day={Address(token): most for token, most in said.sold_per_day.items()},
    )


def run(
    settings: Settings,
    dry_run: bool,
    on_turn: Callable[[Turn], None],
    on_trouble: Callable[[KeeperError], None],
    on_open: Callable[[Keeper], None] = lambda _: None,
) -> None:
    """Take a turn at every new head until a signal ends it; the turn under way is finished.

    What a turn could not do is told to `on_trouble`, and the next head is attended all the same. While another keeper
    leads the journal, and again when one has taken over, this one stands by.
    """
    stopped = stopped_by_a_signal()
    ready = ready_for(settings, dry_run)
    led = waiting = False
    while not stopped.wait(0):
        try:
            with leading(settings, ready) as keeper:
                led, waiting = True, False
                on_open(keeper)
                attend(keeper, settings, stopped, on_turn, on_trouble)
        except JournalBroken as error:
            if not led and not isinstance(error, Standby):
                raise
            if not waiting:
                on_trouble(error)
            waiting = True
            stopped.wait(_STANDBY_SECONDS)


def stopped_by_a_signal() -> Stop:
    """What is set when this process is asked to end."""
    stopped = Stop()
    if threading.current_thread() is threading.main_thread():
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: threading.Thread(target=stopped.set).start())
    return stopped


def attend(
    keeper: Keeper,
    settings: Settings,
    stopped: Stop,
    on_turn: Callable[[Turn], None],
    on_trouble: Callable[[KeeperError], None],
) -> None:
    """Take turns until a signal comes or the journal is another's."""
    loop = _Loop(keeper, settings.chain.turn_seconds, on_turn, on_trouble)
    clock = Clock(loop.tick, settings.chain.poll_seconds)
    heads = Heads(settings.chain.heads, clock.wake) if settings.chain.heads else None
    stopped.tell(clock.stop)
    if heads:
        heads.start()
    try:
        clock.run()
    finally:
        if heads:
            heads.stop()


class Stop:
    """Whether the process is to end; whoever runs at that time is told."""

    def __init__(self) -> None:
        self._set = threading.Event()
        self._tell: Callable[[], None] = self._set.set

    def tell(self, whom: Callable[[], None]) -> None:
        """Call this when it is set, or now if it is."""
        self._tell = whom
        if self._set.is_set():
            whom()

    def set(self) -> None:
        """End the process."""
        self._set.set()
        self._tell()

    def wait(self, seconds: float) -> bool:
        """Wait for it for so long."""
        return self._set.wait(seconds)


@dataclass(slots=True)
class _Loop:
    """What one tick does: look at the head, and take a turn if it is new."""

    keeper: Keeper
    turn_seconds: float
    on_turn: Callable[[Turn], None]
    on_trouble: Callable[[KeeperError], None]
    _seen: str = ""
    _disagreed_since: float | None = None

    def tick(self) -> None:
        """Raises `Superseded`, and only that: what nobody foresaw costs a turn, is told and logged, and no more.

        The next turn begins with the journal and the chain, as after a restart.
        """
        try:
            with self.keeper.node.within(self.turn_seconds):
                head = self.keeper.node.head()
                self._disagreed_since = None
                if head.hash == self._seen:
                    return
                turn = self.keeper.turn(head)
            if not turn.trouble:  # else what was not attended is tried again at the next tick
                self._seen = head.hash
            self.on_turn(turn)
        except Superseded:
            raise
        except NoQuorum as error:
            self.on_trouble(error)
            self._no_quorum()
        except KeeperError as error:
            self.on_trouble(error)
        except Exception as error:  # noqa: BLE001 - a process that ends attends nobody
            self.on_trouble(_unforeseen(error))

    def _no_quorum(self) -> None:
        now = time.monotonic()
        since = self._disagreed_since = now if self._disagreed_since is None else self._disagreed_since
        try:
            for why in self.keeper.latches.no_quorum(now - since):
                self.on_trouble(Unsafe(why))
        except Superseded:
            raise
        except KeeperError as error:
            self.on_trouble(error)


def _unforeseen(error: Exception) -> KeeperError:
    """A fault of ours in one sentence, its traceback logged: places alone, for the values may hold what is secret."""
    kind, frames = type(error).__name__, traceback.extract_tb(error.__traceback__)
    _LOG.error("keeper: %s, at\n%s", kind, "".join(traceback.format_list(frames)).rstrip())
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return KeeperError(
        f"keeper: this turn ended in a {kind} that nobody foresaw, at {where}; the next begins anew"
    )


def look(settings: Settings) -> tuple[Block, list[Look]]:
    """Every watched rule at the head, without journal or key; the contracts are asked about each."""
    node = connect(settings)
    head = node.head()
    return head, [look for positions in watched(settings, node) for look in positions.look(head)]


def look_ahead(settings: Settings) -> Foreseen:
    """What would stop the actions that may be due soon, at the head; gas money is that of `key.address`, if said."""
    node = connect(settings)
    account = Address(settings.key.address) if settings.key.address else None
    return foreseen(settings, node, watched(settings, node), node.head(), account)


def foreseen(
    settings: Settings, node: Node, positions: Sequence[Positions], block: Block, account: Address | None
) -> Foreseen:
    """The same of these positions at one block, and of the gas money in this account."""
    return foresee(node, positions, block, horizon_of(settings), _purse(settings, account))


def _purse(settings: Settings, account: Address | None) -> Purse:
    return Purse(account, settings.limits.max_gas, send_limits_of(settings))

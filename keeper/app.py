"""The composition root: settings in, a keeper that can take turns out, and the loop that lets it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from eth_utils.address import is_address

from keeper.chain import endpoints
from keeper.chain.heads import Heads
from keeper.chain.node import Node
from keeper.clock import Clock
from keeper.domain.blocks import Block
from keeper.domain.errors import KeeperError, Misconfigured
from keeper.domain.units import Address
from keeper.journal.journal import Journal, Page, Reader
from keeper.positions.loans import LoanPositions
from keeper.positions.port import Doubts, Look, Positions
from keeper.protocols.methods import address
from keeper.send.fees import SendLimits
from keeper.send.sender import Sender
from keeper.send.signers import (
    LocalSigner,
    keystore_password,
    prove,
    signer_from_environment,
    signer_from_keystore,
)
from keeper.settings import Settings
from keeper.turn import Keeper, Turn, TurnLimits

_CHARGES_MORE_THAN_EXECUTION = frozenset({42161, 42170, 421614})
"""Arbitrum's chains count what a transaction costs on Ethereum into its gas."""
_KINDS: Mapping[str, Callable[[Node, Address, Sequence[Address], Doubts], Positions]] = {
    "loans": LoanPositions,
}


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
    if name not in _KINDS:
        raise Misconfigured(f"settings: watch.kind: there is no kind {name!r}, only {', '.join(_KINDS)}")
    return _KINDS[name]


def _signer(settings: Settings) -> LocalSigner:
    """The keystore's key, opened by a password from the environment; without a keystore, the key found there."""
    keystore = settings.key.keystore
    if keystore is None:
        signer = signer_from_environment(os.environ)
    else:
        signer = signer_from_keystore(keystore, keystore_password(os.environ))
    prove(signer, settings.chain.id)
    return signer


@contextmanager
def open_keeper(settings: Settings, dry_run: bool) -> Iterator[Keeper]:
    """A keeper with its journal open and, unless it is a dry run, every earlier flight accounted for."""
    node = connect(settings)
    positions = watched(settings, node)
    limits = settings.limits
    signer = None if dry_run else _signer(settings)
    send_limits = SendLimits(limits.max_fee_wei, limits.tip_wei, limits.stuck_blocks)
    with Journal(settings.journal.path) as journal:
        journal.bind(settings.chain.id, node.block(0).hash)
        sender = None
        if signer is not None:
            sender = Sender(node, journal, signer, settings.chain.id, send_limits)
            sender.recover(node.head())
        turn_limits = TurnLimits(
            action_fee_wei=send_limits.action_fee_wei,
            deadline_seconds=limits.deadline_seconds,
            gas_percent=round(limits.gas_margin * 100),
            most_gas=limits.max_gas,
            actions_per_owner=limits.actions_per_owner,
            keep_blocks=settings.journal.keep_blocks,
            estimates_gas=settings.chain.id in _CHARGES_MORE_THAN_EXECUTION,
        )
        yield Keeper(node, positions, journal, sender, turn_limits)


def run(
    settings: Settings,
    dry_run: bool,
    on_turn: Callable[[Turn], None],
    on_trouble: Callable[[KeeperError], None],
) -> None:
    """Take a turn at every new head until a signal ends it; the turn under way is finished.

    What a turn could not do is told to `on_trouble`, and the next head is attended all the same.
    """
    with open_keeper(settings, dry_run) as keeper:
        loop = _Loop(keeper, settings.chain.turn_seconds, on_turn, on_trouble)
        clock = Clock(loop.tick, settings.chain.poll_seconds)
        heads = Heads(settings.chain.heads, clock.wake) if settings.chain.heads else None
        if threading.current_thread() is threading.main_thread():
            for name in (signal.SIGINT, signal.SIGTERM):
                signal.signal(name, lambda *_: threading.Thread(target=clock.stop).start())
        if heads:
            heads.start()
        try:
            clock.run()
        finally:
            if heads:
                heads.stop()


@dataclass(slots=True)
class _Loop:
    """What one tick does: look at the head, and take a turn if it is new."""

    keeper: Keeper
    turn_seconds: float
    on_turn: Callable[[Turn], None]
    on_trouble: Callable[[KeeperError], None]
    _seen: str = ""

    def tick(self) -> None:
        try:
            with self.keeper.node.within(self.turn_seconds):
                head = self.keeper.node.head()
                if head.hash == self._seen:
                    return
                turn = self.keeper.turn(head)
            if not turn.trouble:  # else what was not attended is tried again at the next tick
                self._seen = head.hash
            self.on_turn(turn)
        except KeeperError as error:
            self.on_trouble(error)


def look(settings: Settings) -> tuple[Block, list[Look]]:
    """Every watched rule at the head, without journal or key; the contracts are asked about each."""
    node = connect(settings)
    head = node.head()
    return head, [look for positions in watched(settings, node) for look in positions.look(head)]


def explain(settings: Settings, owner: str, block: int | None) -> Page | None:
    """What the journal holds of an owner at a block, or at the newest turn; the chain is not asked."""
    if not is_address(owner):
        raise Misconfigured(f"explain: {owner} is not an address")
    with Reader(settings.journal.path) as reader:
        return reader.verdicts(address(owner), block)

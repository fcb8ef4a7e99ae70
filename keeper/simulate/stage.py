"""The same history over forks that begin at one block: with the keeper, with nobody, and with the keeper in peace.

All forks live through the same prices and gas, and have the same arbitrageur and liquidator. On the first `keeper run`
is at work as a process of its own, on the next nobody is. What is told of each rule is read from the chain at every
block, by the judge that the keeper itself uses.

Assumes: the history's prices are taken as moves from the prices there are.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain as chain_
from pathlib import Path
from typing import Final

from rich.console import Console

from keeper import app
from keeper.demo.play import Attendant, Play
from keeper.demo.process import JOURNAL, KeeperProcess
from keeper.demo.stage import MAX_MOVE_BPS, progress
from keeper.devnet.actors import Liquidator
from keeper.devnet.anvil import Anvil
from keeper.devnet.bars import Bar
from keeper.devnet.mempool import Hostile
from keeper.devnet.scenario import Scenario
from keeper.domain.errors import Misconfigured
from keeper.domain.rules import RuleKey
from keeper.domain.units import BASE, GWEI, Address
from keeper.journal.journal import Reader
from keeper.positions.port import Look
from keeper.report.lives import Hostility, Life, Price, Simulated, Told
from keeper.report.lives_page import write_lives
from keeper.report.page import require_plotly
from keeper.settings import Settings
from keeper.simulate.ground import DEVNET, Ground, ground, on
from keeper.simulate.histories import Wanted, history
from keeper.simulate.lives import LOAN, Watched

_MARKS: Final = ("low", "target", "high")


class Nobody:
    """Stands where the keeper stands, and does nothing."""

    def wait_for(self, block: int, seconds: float) -> bool:
        """At once."""
        del block, seconds
        return True

    def last_line(self) -> str:
        """Silence."""
        return ""


@dataclass(frozen=True, slots=True)
class _Lived:
    """What one fork told."""

    lives: dict[RuleKey, Life]
    prices: tuple[Price, ...]
    hostility: Hostility | None = None


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who is on one fork."""

    name: str
    keeper: bool
    hostile: bool = False


_WITH: Final = _Cast("with the keeper", keeper=True)
_HOSTILE: Final = _Cast("with the keeper, in a hostile mempool", keeper=True, hostile=True)
_PEACE: Final = _Cast("with the keeper, in peace", keeper=True)
_NOBODY: Final = _Cast("with nobody", keeper=False)


def simulate(
    settings: Settings,
    manifest: Path,
    wanted: Wanted,
    say: Console | None,
    *,
    hostile: bool = False,
    fork_url: str = DEVNET,
) -> Simulated:
    """Every rule the settings watch, lived with the keeper and without; where `hostile`, with it in peace as well.

    `Misconfigured` where no devnet runs, no rule is written, or nothing can be played as it was asked for.
    """
    begun = time.monotonic()
    told = history(wanted)
    stands = ground(settings, manifest, fork_url)
    _, looks = app.look(on(settings, stands.url))
    if not looks:
        raise Misconfigured(
            "simulate: none of the watched owners has written a rule; `keeper rule set` writes one"
        )
    casts = [_WITH, _NOBODY] if not hostile else [_HOSTILE, _NOBODY, _PEACE]
    found: dict[_Cast, _Lived] = {}
    with progress(say, len(casts) * len(told.bars)) as tell:
        for cast in casts:
            over = len(found) * len(told.bars)

            def tell_of(at: int, what: str, over: int = over, cast: _Cast = cast) -> None:
                tell(over + at, f"{cast.name}: {what}")

            found[cast] = _lived(settings, stands, told.bars, cast, tell_of)
    guarded, calm = found[casts[0]], found.get(_PEACE)
    rules = tuple(
        _told(settings, look, guarded.lives, found[_NOBODY].lives, calm.lives if calm else {})
        for look in looks
        if look.verdict.key in guarded.lives  # not one that was written since the block of the forks
    )
    seconds = time.monotonic() - begun
    return Simulated(
        told.title, told.sources, stands.notes, guarded.prices, rules, seconds, guarded.hostility
    )


def require_page(path: Path) -> None:
    """`Misconfigured` when no page could be written to `path`: better said before the play than after it."""
    require_plotly()
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "is in no folder that there is"
        raise Misconfigured(f"simulate: --html {path} {what}; name a file to write")


def write_page(told: Simulated, path: Path) -> None:
    """Leave the page at `path`."""
    try:
        write_lives(told, path)
    except OSError as error:
        raise Misconfigured(f"simulate: {path} cannot be written ({error.strerror})") from error


def _told(
    settings: Settings,
    look: Look,
    guarded: dict[RuleKey, Life],
    alone: dict[RuleKey, Life],
    calm: dict[RuleKey, Life],
) -> Told:
    key, measure, marks = look.verdict.key, look.verdict.measure, look.marks
    edges = (marks.low, marks.target, marks.high) if marks else ()
    return Told(
        thresholds=key.thresholds,
        owner=key.owner,
        id=key.id,
        kind=settings.kinds[key.thresholds],
        measure=measure.name,
        band=look.band,
        marks=tuple(
            (name, edge / 10**measure.decimals)
            for name, edge in zip(_MARKS, edges, strict=False)
            if edge is not None
        ),
        guarded=guarded[key],
        alone=alone[key],
        calm=calm.get(key),
    )


def _from_here(bars: Sequence[Bar], usd: float, usdc: float) -> tuple[Bar, ...]:
    by, first = usd / bars[0].open, bars[0].usdc
    return tuple(
        replace(
            bar,
            open=bar.open * by,
            high=bar.high * by,
            low=bar.low * by,
            close=bar.close * by,
            usdc=None if bar.usdc is None or first is None else bar.usdc * usdc / first,
        )
        for bar in bars
    )


def _lived(
    settings: Settings,
    stands: Ground,
    bars: tuple[Bar, ...],
    cast: _Cast,
    tell: Callable[[int, str], None],
) -> _Lived:
    """One fork from its beginning to its end."""
    with (
        Anvil(fork_url=stands.url, fork_block=stands.block) as anvil,
        tempfile.TemporaryDirectory(prefix="keeper-simulate-") as name,
    ):
        world, folder = stands.world(anvil), Path(name)
        bars = _from_here(bars, world.price("WETH") / BASE, world.price("USDC") / BASE)
        liquidator, mempool = Liquidator(world), None
        if cast.hostile:
            mempool = Hostile(world, world.roles.keeper)
            # A crowd that outbids the keeper shall not keep out those who prey on it.
            dearest = max(bar.gas_gwei or 0.0 for bar in bars)
            liquidator.tip_wei = int(2 * mempool.spike * max(dearest, 1.0) * GWEI)
        watched = [
            (watch.kind, Address(watch.thresholds), tuple(map(Address, watch.owners)))
            for watch in settings.watch
        ]
        kinds = settings.kinds
        loans = (owners for _, thresholds, owners in watched if kinds[thresholds] == LOAN)
        borrowers = tuple(dict.fromkeys(chain_.from_iterable(loans)))
        liquidator.watch(borrowers)
        seen = Watched(world, liquidator, kinds, borrowers, app.watched(on(settings, anvil.url), world.node))
        seen.weigh(world.node.ask_many(seen.questions()))

        def play(attendant: Attendant) -> None:
            playing = Play(world, attendant, liquidator, (seen,), mempool)
            playing.begin()
            for step in Scenario(bars, max_move_bps=MAX_MOVE_BPS).play(world):
                playing.take(step)
                tell(step.point.bar, playing.line(step))
            playing.end()

        if not cast.keeper:
            play(Nobody())
            return _Lived(seen.outcome(), tuple(seen.prices))
        heads = anvil.url.replace("http", "ws", 1)
        with KeeperProcess(folder, world, heads, watched, _limits(settings)) as keeper:
            play(keeper)
        with Reader(folder / JOURNAL) as journal:
            return _Lived(seen.outcome(journal), tuple(seen.prices), _hostility(mempool) if mempool else None)


def _hostility(did: Hostile) -> Hostility:
    return Hostility(did.held, did.outbids, did.sandwiched, did.spared, did.taken)


def _limits(settings: Settings) -> str:
    """The operator's own limits, as keeper.toml has them."""
    said = settings.limits.model_dump()
    lines = [f"{name} = {value}" for name, value in said.items() if isinstance(value, int | float)]
    return "\n".join(["", "[limits]", *lines, ""])

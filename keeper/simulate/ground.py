"""What the forks are made of: the devnet that runs from this folder, or any chain that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from keeper import app
from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.devnet.foreign import Places, echo, settle
from keeper.devnet.transactions import call
from keeper.devnet.world import World
from keeper.domain.blocks import Block
from keeper.domain.errors import Blind, Misconfigured
from keeper.domain.units import NOBODY, Address
from keeper.positions.baskets import BasketPositions
from keeper.positions.port import Positions
from keeper.protocols.deployments import deployed_on
from keeper.settings import Settings

DEVNET: Final = "devnet"
_FOREIGN: Final = (
    "Feeds: on the forks those of WETH and USDC were overwritten by ones that can be set, and so were those of other "
    "assets that the watched hold, which stand still; so do all other feeds, and every pool but that of WETH and USDC "
    "at 0.05 %. The chain itself was only read."
)


class Ground(Protocol):
    """A chain that forks are made of, always at the same block."""

    @property
    def url(self) -> str:
        """Where it answers."""

    @property
    def block(self) -> int:
        """The block every fork begins at."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of its forks."""

    def world(self, anvil: Anvil) -> World:
        """A fork of it, fit to be moved by a scenario."""


@dataclass(frozen=True, slots=True)
class OfDevnet:
    """The devnet, whose feeds can be set."""

    devnet: World
    block: int
    notes: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.devnet.url

    def world(self, anvil: Anvil) -> World:
        """The same, seen through the fork."""
        return self.devnet.through(anvil.url)


@dataclass(frozen=True, slots=True)
class OfChain:
    """A chain that others founded; what stands on it is asked of the contracts that `settings` watch."""

    url: str
    block: int
    settings: Settings
    notes: tuple[str, ...] = (_FOREIGN,)

    def world(self, anvil: Anvil) -> World:
        """The fork, with feeds that can be set in the places of those that cannot."""
        node, settings = anvil.node, self.settings
        owners = [Address(owner) for watch in settings.watch for owner in watch.owners]
        priced = _priced_by_baskets(app.watched(on(settings, anvil.url), node), node.head())
        places = _places(node, settings)
        tokens = [token for token, _ in priced]
        world = settle(node, anvil.url, places, tuple(dict.fromkeys(owners)), tokens)
        for token, feed in priced:
            reserve = next((each for each in world.reserves if each.token == token and each.settable), None)
            if reserve is not None and reserve.feed != feed:
                echo(world, feed, reserve)
        return world


def ground(settings: Settings, manifest: Path, fork_url: str) -> Ground:
    """What `fork_url` names; `Misconfigured`, in a sentence, where that cannot be forked."""
    if fork_url == DEVNET:
        if not manifest.exists():
            raise Misconfigured("simulate: no devnet runs from this folder; start one with `keeper devnet`")
        world = World.read(manifest)
        if world.chain_id != settings.chain.id:
            raise Misconfigured(
                f"simulate: the devnet is chain {world.chain_id}, and the settings say {settings.chain.id}; --fork-url "
                "names a node of that one"
            )
        return OfDevnet(world, world.node.head().number)
    if not fork_url.startswith(("http://", "https://")):
        # Not told in full: an address may have a secret in it.
        raise Misconfigured(
            f"simulate: --fork-url {fork_url.partition(':')[0]} is neither devnet nor an address that begins with http"
        )
    try:
        head = app.connect(on(settings, fork_url)).head()
    except Blind as error:
        raise Blind(f"{error}; name another node in --fork-url") from error
    return OfChain(fork_url, head.number, settings)


def on(settings: Settings, url: str) -> Settings:
    """The same watched on a chain that answers at `url` alone."""
    chain = settings.chain.model_copy(update={"url": url, "urls": (), "heads": "", "quorum": None})
    return settings.model_copy(update={"chain": chain})


def _places(node: Node, settings: Settings) -> Places:
    watched = {watch.kind: Address(watch.thresholds) for watch in reversed(settings.watch)}

    def ask(kind: str, name: str) -> Address | None:
        if kind not in watched:
            return None
        found: Address = call(node, watched[kind], f"{name}()", "(address)")[0]
        return found

    known = deployed_on(settings.chain.id)
    provider = ask("loans", "PROVIDER") or (known.provider if known else None)
    factory = next(filter(None, (ask(kind, "FACTORY") for kind in app.RULED)), None)
    if provider is None or factory is None:
        raise Misconfigured(
            f"simulate: no loans are watched, and where Aave stands on chain {settings.chain.id} is not known; "
            "prices come from there"
        )
    return Places(
        provider=provider,
        factory=factory,
        manager=ask("ranges", "MANAGER") or NOBODY,
        thresholds=watched.get("loans", NOBODY),
        range_thresholds=watched.get("ranges", NOBODY),
        basket_thresholds=watched.get("baskets", NOBODY),
    )


def _priced_by_baskets(watched: Sequence[Positions], block: Block) -> list[tuple[Address, Address]]:
    """Every token that a basket's rule values, and the feed that it names for it."""
    found: dict[tuple[Address, Address], None] = {}
    for positions in watched:
        if isinstance(positions, BasketPositions):
            for sight in positions.baskets.sights(positions.baskets.keys.at(block), block):
                if sight.rule is not None:
                    found |= {(asset.token, asset.feed): None for asset in sight.rule.assets}
    return list(found)

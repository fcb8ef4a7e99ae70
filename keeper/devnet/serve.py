"""The devnet as a person runs it: a chain in the foreground, and what other commands need to find it.

It leaves two files in its folder: `devnet.json`, the manifest of contracts and accounts, and `keeper.toml`, with which
`keeper look`, `run` and `explain` work at once. Both go when it stops. A fork takes their place for as long as it runs;
one of a chain on which no Aave V3 is known leaves nothing, because nothing can be watched there yet.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from keeper.chain import deployed
from keeper.chain.node import Node
from keeper.devnet.anvil import Anvil
from keeper.devnet.founding import (
    AaveVersion,
    deploy_thresholds,
    deploy_world,
    place_basket_thresholds,
    place_range_thresholds,
    place_thresholds,
    place_volatility,
)
from keeper.devnet.world import ROLES, Amount, World
from keeper.domain.errors import Blind, Misconfigured
from keeper.domain.units import Address
from keeper.protocols.deployments import Deployment, deployed_on

MANIFEST: Final = "devnet.json"
CONFIG: Final = "keeper.toml"
_LOAN_ETH: Final = 100
_SOON: Final = 2.0
_LOAN_HEALTH: Final = 1.5


def serve(
    folder: Path,
    port: int,
    build: Callable[[Anvil], dict[str, Any]],
    fork_url: str | None,
    tell: Callable[[dict[str, Any]], None],
    say: Callable[[str], None],
) -> None:
    """Run Anvil, `build` on it, write manifest and configuration into `folder`, `tell`, and wait for a signal.

    Both files go with the chain they are about, and `say` is told so.

    `Misconfigured` when another devnet runs from the folder, unless this one is a fork.
    """
    other = _running(_bytes_of(folder / MANIFEST))
    if fork_url is None and other is not None:
        raise Misconfigured(f"devnet: one runs from this folder already, at {other}; start another elsewhere")
    stopped = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    with Anvil(port=port, fork_url=fork_url) as anvil:
        manifest = build(anvil)
        files: dict[Path, str] = {}
        if "thresholds" in manifest:
            config = config_text(manifest, [ROLES.owner, ROLES.twin], is_fork=fork_url is not None)
            files = {folder / MANIFEST: json.dumps(manifest, indent=2) + "\n", folder / CONFIG: config}
        with _left(files):
            tell(manifest)
            while anvil.alive and not stopped.wait(0.5):
                pass
            if not anvil.alive:
                raise Blind("devnet: Anvil ended by itself")
        if gone := [str(path) for path in files if not path.exists()]:
            say(f"devnet: stopped, and {' and '.join(gone)} went with it; journals stay")


@contextmanager
def _left(files: dict[Path, str]) -> Iterator[None]:
    """Files that stand for as long as the block runs; what they cover, such as a forked devnet's own, comes back.

    What another devnet has put in their place meanwhile is left, and what is covered of one that has gone stays away.
    """
    before = {path: _bytes_of(path) for path in files}
    try:
        try:
            for path, text in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Misconfigured(f"devnet: {error.filename} cannot be written ({error.strerror})") from error
        yield
    finally:
        runs = any(path.name == MANIFEST and _running(covered) for path, covered in before.items())
        for path, covered in before.items():
            if _bytes_of(path) == files[path].encode():
                path.unlink()
                if covered is not None and runs:
                    path.write_bytes(covered)


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _running(manifest: bytes | None) -> str | None:
    """Where the devnet that wrote a manifest answers; None when it has gone, or there was none."""
    try:
        url: str = json.loads(manifest or b"{}")["url"]
        Node(url, _SOON).ask("eth_chainId")
    except (KeyError, TypeError, ValueError, Blind):
        return None
    return url


def build_world(
    anvil: Anvil, aave: AaveVersion, eth_price: Amount, weth_is_token0: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """The whole devnet's manifest, once it stands; its owner and twin each have a loan and no rule yet."""
    world = deploy_world(anvil.url, aave=aave, eth_price=eth_price, weth_is_token0=weth_is_token0, say=say)
    world = deploy_thresholds(world)
    for borrower in (world.roles.owner, world.roles.twin):
        world.open_loan(borrower, _LOAN_ETH, health=_LOAN_HEALTH)
    manifest: dict[str, Any] = json.loads(world.to_json())
    return manifest


def build_on_fork(anvil: Anvil, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The manifest of a fork: the devnet's own seen through it, or a known chain's with the contracts placed on it.

    Of another chain it has only where the fork is and who is unlocked on it, and `say` is told what is missing.
    """
    world = _devnet_of(folder)
    if world is not None and anvil.node.ask("eth_getCode", world.thresholds, "latest") != "0x":
        manifest: dict[str, Any] = json.loads(world.through(anvil.url).to_json())
        return manifest
    chain_id = int(anvil.node.ask("eth_chainId"), 16)
    try:
        known = _known(anvil.node, chain_id)
    except Misconfigured as unknown:
        say(
            f"{unknown}; nothing of ours was placed on the fork, which `ape run deploy --network {anvil.url} "
            f"--chain-id {chain_id}` does, told where they are"
        )
        return {"url": anvil.url, "chain_id": chain_id, "aave": {}, "uniswap": {}, "roles": asdict(ROLES)}
    volatility = place_volatility(anvil.node, ROLES.deployer)
    thresholds = place_thresholds(anvil.node, ROLES.deployer, known.provider, known.factory, volatility)
    range_thresholds = place_range_thresholds(anvil.node, ROLES.deployer, known.position_manager)
    basket_thresholds = place_basket_thresholds(anvil.node, ROLES.deployer, known.factory, volatility)
    return {
        "url": anvil.url,
        "chain_id": chain_id,
        "thresholds": thresholds,
        "range_thresholds": range_thresholds,
        "basket_thresholds": basket_thresholds,
        "volatility": volatility,
        "aave": {"addresses_provider": known.provider},
        "uniswap": {"factory": known.factory, "position_manager": known.position_manager},
        "roles": asdict(ROLES),
    }


def _known(node: Node, chain_id: int) -> Deployment:
    """Where Aave and Uniswap stand on a chain; `Misconfigured` where nobody knows, or the chain is not that one."""
    known = deployed_on(chain_id)
    if known is None:
        raise Misconfigured(f"devnet: no Aave V3 and Uniswap V3 are known on chain {chain_id}")
    deployed.require(node, known, node.head())
    return known


def _devnet_of(folder: Path) -> World | None:
    """The devnet that left its manifest here; None where there is none, or it is of a fork of another chain."""
    try:
        return World.read(folder / MANIFEST)
    except Misconfigured:
        return None


def config_text(manifest: dict[str, Any], owners: Sequence[Address], *, is_fork: bool) -> str:
    """A `keeper.toml` that watches `owners` on the chain of a manifest, with a journal of its own for that chain.

    A fork has the first block of what it forked, whose keeper may be running, and no two forks are the same chain.
    """
    url: str = manifest["url"]
    chain = f"fork-{token_hex(4)}" if is_fork else Node(url).block(0).hash[2:10]
    watched = ", ".join(f'"{owner}"' for owner in owners)
    return f"""# Written by `keeper devnet`; the key is Anvil's public one: KEEPER_KEY=… keeper run
[chain]
id = {manifest["chain_id"]}
url = "{url}"
heads = "{url.replace("http", "ws", 1)}"

[[watch]]
thresholds = "{manifest["thresholds"]}"
owners = [{watched}]

[[watch]]
kind = "ranges"
thresholds = "{manifest["range_thresholds"]}"
owners = [{watched}]

[[watch]]
kind = "baskets"
thresholds = "{manifest["basket_thresholds"]}"
owners = [{watched}]

[journal]
path = "keeper-{chain}.db"
"""

"""The first keeper.toml: answers of a person or a script, each proven on the chain before anything is written.

The file is put in place whole, once it has been read back as a keeper would read it and its chain and contracts were
found; whatever is wrong before that leaves the folder as it was.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from keeper import app
from keeper.chain import deployed, endpoints
from keeper.chain.node import Node
from keeper.domain.errors import KeeperError, Misconfigured
from keeper.domain.units import Address
from keeper.positions.port import Doubts
from keeper.protocols.deployments import deployed_on, deployments
from keeper.settings import RPC_URL, Settings, checked_address, meant, read_settings

_SECONDS = 10.0
_UNDOUBTING = Doubts(max_price_age=0, drift_bps=0)
"""What the operator doubts is nothing to whether a contract is there."""
_NAMES: Mapping[int, str] = {31337: "a devnet", 11155111: "Sepolia"}
_ELSEWHERE: Final = ("remote", "aws_kms", "gcp_kms")
_PAPERS: Final = ("certificate", "private_key", "authority")

Ask = Callable[[str, str], str]
"""Puts a question to a person, with what an empty answer means, and gives the answer."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said:
    """What was said beforehand; None and empty are what is asked for. `contracts` are addresses by their kind.

    `elsewhere` is said of a key that is not here, by the names of keeper.toml's [key] and [key.remote], the address of
    a remote signer being `remote`.
    """

    urls: Sequence[str] = ()
    chain: str | None = None
    heads: str | None = None
    contracts: Mapping[str, str | None] = field(default_factory=dict)
    owners: Sequence[str] = ()
    keystore: str | None = None
    elsewhere: Mapping[str, str | None] = field(default_factory=dict)


def begin(
    path: Path, said: Said, ask: Ask | None, say: Callable[[str], None], force: bool = False
) -> Settings:
    """Write `path` and give what it says; without `ask` nobody is asked, and what is missing is `Misconfigured`.

    An answer that does not hold is told to `say` and asked for again. `force` replaces a file that is there.
    """
    if path.exists() and not force:
        raise Misconfigured(f"init: {path} is there already; --force replaces it")
    asked = _Asked(ask, say)
    kept_elsewhere = not said.urls and bool(os.environ.get(RPC_URL, "").strip())
    if kept_elsewhere:
        urls = _urls(os.environ[RPC_URL])
        say(f"init: the node is the one in {RPC_URL}, and stays out of the file")
    else:
        urls = asked.one(
            "--url", " ".join(said.urls) or None, "Addresses of nodes, the preferred first", _urls
        )
    there = Node(urls[0], _SECONDS).ask_number("eth_chainId")
    known = deployed_on(there)
    title = known.title if known else _NAMES.get(there)
    name = f" ({title})" if title else ""
    chain = asked.one(
        "--chain",
        said.chain,
        f"The chain, by id or name; {urls[0]} is on {there}{name}",
        _chain(there),
        str(there),
    )
    node = endpoints.connect(urls, chain, _SECONDS)
    if known is not None:
        deployed.require(node, known, node.head())
        say(f"init: Aave's pool {known.pool} and Uniswap's factory {known.factory} stand on {known.title}")
    heads = asked.one(
        "--heads", said.heads, "A WebSocket that tells of new blocks, or nothing", str.strip, "", True
    )
    contracts = {
        kind: at
        for kind in app.RULED
        if (
            at := asked.one(
                f"--{kind}",
                said.contracts.get(kind),
                f"The contract with rules for {kind}, or nothing",
                _contract(node, kind),
                "",
                True,
            )
        )
    }
    if not contracts:
        raise Misconfigured(f"init: no contract is named, by {', '.join(f'--{kind}' for kind in app.RULED)}")
    for kind, at in contracts.items():
        if known is not None and (what := deployed.stands_elsewhere(node, known, kind, at, node.head())):
            say(f"init: beware, {at} for {kind} stands on {what}")
    owners = asked.one(
        "--owner", " ".join(said.owners) or None, "Owners whose rules to hold, by blanks", _owners
    )
    key = _key(asked, said, path.parent)
    text = _text(chain, () if kept_elsewhere else urls, heads, contracts, owners, key)
    return _put(path, text, force, say)


@dataclass(frozen=True, slots=True)
class _Asked:
    ask: Ask | None
    say: Callable[[str], None]

    def one(
        self,
        flag: str,
        given: str | None,
        question: str,
        check: Callable[[str], T],
        default: str = "",
        may_be_empty: bool = False,
    ) -> T:
        """The answer as `check` reads it: the one given, else a person's, else nothing where that will do."""
        if given is not None:
            return check(given)
        if self.ask is None:
            if may_be_empty:
                return check("")
            raise Misconfigured(f"init: {flag} is not said, and with --yes nobody is asked")
        while True:
            try:
                return check(self.ask(question, default))
            except KeeperError as error:
                self.say(str(error))


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(dict.fromkeys(text.split()))
    for url in urls or ("nothing",):
        if not url.startswith(("http://", "https://")):
            raise Misconfigured(f"init: {url} is not the HTTP address of a node")
    Node(urls[0], _SECONDS).ask_number("eth_chainId")
    return urls


def _chain(there: int) -> Callable[[str], int]:
    def check(text: str) -> int:
        name = text.strip().casefold()
        if name and not name.isdecimal() and name not in deployments():
            raise Misconfigured(f"init: {text} is no chain's name; {meant(name, list(deployments()))}")
        wanted = str(deployments()[name].chain_id) if name in deployments() else name
        if wanted != str(there):
            raise Misconfigured(f"init: the node is on chain {there}, and {text} is meant")
        return there

    return check


def _contract(node: Node, kind: str) -> Callable[[str], Address | None]:
    def check(text: str) -> Address | None:
        if not text.strip():
            return None
        at = _address(text)
        app.KINDS[kind](node, at, (), _UNDOUBTING)
        return at

    return check


def _owners(text: str) -> tuple[Address, ...]:
    owners = tuple(dict.fromkeys(map(_address, text.replace(",", " ").split())))
    if not owners:
        raise Misconfigured("init: no owner is named, so there is nobody to keep anything for")
    return owners


def _address(text: str) -> Address:
    try:
        return Address(checked_address(text.strip()))
    except ValueError as error:
        raise Misconfigured(f"init: {text.strip()} {error}") from None


def _key(asked: _Asked, said: Said, folder: Path) -> list[str]:
    """The lines about what signs; none where KEEPER_KEY does."""
    named = {name: said.elsewhere[name] for name in _ELSEWHERE if said.elsewhere.get(name)}
    flags = [f"--{name.replace('_', '-')}" for name in (*named, *(["keystore"] if said.keystore else []))]
    if len(flags) > 1:
        raise Misconfigured(f"init: one key signs, and {' and '.join(flags)} are named")
    if named:
        ((kind, value),) = named.items()
    else:
        kind, value = asked.one(
            "--keystore",
            said.keystore,
            "What signs: a keystore's file, a key's name at AWS or GCP, a signer's address, or nothing for KEEPER_KEY",
            _whose_key(folder),
            "",
            True,
        )
    if not value:
        return []
    if kind == "keystore":
        return ["", "[key]", f"keystore = {json.dumps(value)}  # KEEPER_PASSWORD opens it"]
    lines = ["", "[key]"] + ([f"{kind} = {json.dumps(value)}"] if kind != "remote" else [])
    whose = said.elsewhere.get("address")
    if kind == "remote" or whose:
        address = asked.one("--address", whose, "The account that it signs for", _address)
        lines.append(f'address = "{address}"')
    if kind == "remote":
        lines += ["[key.remote]", f"url = {json.dumps(value)}"]
        papers = {name: said.elsewhere.get(name) for name in _PAPERS}
        if value.startswith("https://"):
            for name, given in papers.items():
                question = f"The {name.replace('_', ' ')} for it, a PEM file, or nothing"
                flag = f"--{name.replace('_', '-')}"
                papers[name] = asked.one(flag, given, question, str.strip, "", True)
        lines += [f"{name} = {json.dumps(file)}" for name, file in papers.items() if file]
    return lines


def _whose_key(folder: Path) -> Callable[[str], tuple[str, str]]:
    """Which kind of key an answer names: by how it begins, else a file."""
    heads = (
        ("http://", "remote"),
        ("https://", "remote"),
        ("arn:aws", "aws_kms"),
        ("alias/", "aws_kms"),
        ("projects/", "gcp_kms"),
    )

    def check(text: str) -> tuple[str, str]:
        name = text.strip()
        for head, kind in heads:
            if name.startswith(head):
                return kind, name
        if name:
            try:
                json.loads((folder / name).read_text(encoding="utf-8"))["crypto"]
            except OSError as error:
                raise Misconfigured(f"init: {name} cannot be read ({error.strerror})") from error
            except (ValueError, KeyError, TypeError):
                raise Misconfigured(f"init: {name} is not an encrypted keystore") from None
        return "keystore", name

    return check


def _text(
    chain: int,
    urls: Sequence[str],
    heads: str,
    contracts: Mapping[str, Address],
    owners: Sequence[Address],
    key: Sequence[str],
) -> str:
    lines = [
        "# Written by `keeper init`. Next: `keeper doctor`, then `keeper run --dry-run`.",
        "[chain]",
        f"id = {chain}",
    ]
    lines += [f"url = {json.dumps(urls[0])}"] if urls else [f"# The node's address is in {RPC_URL}."]
    if len(urls) > 1:
        lines.append(f"urls = {json.dumps(urls[1:])}")
    if heads:
        lines.append(f"heads = {json.dumps(heads)}")
    for kind, at in contracts.items():
        lines += [
            "",
            "[[watch]]",
            f'kind = "{kind}"',
            f'thresholds = "{at}"',
            f"owners = {json.dumps(owners)}",
        ]
    return "\n".join([*lines, *key]) + "\n"


def _put(path: Path, text: str, force: bool, say: Callable[[str], None]) -> Settings:
    """Read back as a keeper will, prove, and only then put in place."""
    try:
        handle, name = tempfile.mkstemp(prefix=".keeper-", suffix=".toml", dir=path.parent)
        draft = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            settings = read_settings(draft)
            app.watched(settings, app.connect(settings))
            if settings.key.remote or settings.key.aws_kms or settings.key.gcp_kms:
                say(f"init: {app.signer(settings).address} signs, and has shown that it does")
            if force:
                draft.replace(path)
            else:
                os.link(draft, path)  # which, unlike a rename, never covers a file that came meanwhile
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise Misconfigured(f"init: {path} is there already; --force replaces it") from None
    except OSError as error:
        raise Misconfigured(f"init: {path} cannot be written ({error.strerror})") from error
    return settings

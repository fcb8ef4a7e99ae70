"""What the ape scripts share: which chain, which contract stands there, and what it would refuse."""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from eth_utils.address import is_address, to_checksum_address

from keeper.chain.node import Node
from keeper.devnet.world import World
from keeper.domain.errors import KeeperError, Misconfigured
from keeper.domain.plans import Call
from keeper.domain.units import NOBODY, Address
from keeper.protocols.methods import Method

DEVNET = Path(".keeper") / "devnet.json"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class UintType(click.ParamType):
    """A whole number of at most 256 bits, without its bounds in every line of help."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        text = str(value)
        if not (text.isascii() and text.isdecimal()) or int(text) >= 2**256:
            self.fail(f"{value} is not a whole number of at most 256 bits", param, ctx)
        return int(text)


class AddressType(click.ParamType):
    """An address with a valid checksum, or all in one case; where it may be, a devnet's symbol or `none`."""

    name = "address"

    def __init__(self, or_symbol: bool = False, or_none: bool = False) -> None:
        self.or_symbol = or_symbol
        self.or_none = or_none

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """The address, checksummed; `NOBODY` for none."""
        if is_address(value):
            return Address(to_checksum_address(value))
        if self.or_none and value == "none":
            return NOBODY
        if not self.or_symbol or value.startswith("0x"):
            self.fail(f"{value} is not a 20-byte address with a valid checksum", param, ctx)
        world = devnet()
        if world is None:
            self.fail(
                f"{value} is a symbol, and only a devnet's are known: there is no {DEVNET} here, "
                "so give the asset's address",
                param,
                ctx,
            )
        try:
            return world.reserve(value).token
        except Misconfigured as error:
            self.fail(str(error), param, ctx)


UINT = UintType()
ADDRESS = AddressType()
ASSET = AddressType(or_symbol=True)
ADDRESS_OR_NONE = AddressType(or_none=True)


@cache
def artifact(name: str = "LoanThresholds") -> dict[str, Any]:
    """A contract as the package ships it: the code every keeper expects, never a fresh compilation."""
    text = files("keeper").joinpath("contracts", f"{name}.json").read_text(encoding="utf-8")
    shipped: dict[str, Any] = json.loads(text)
    return shipped


def container(name: str = "LoanThresholds") -> Any:
    """The shipped contract as ape deploys and calls it."""
    from ape.contracts import ContractContainer  # noqa: PLC0415
    from ethpm_types import ContractType  # noqa: PLC0415

    shipped = artifact(name)
    return ContractContainer(
        ContractType.model_validate(
            {
                "contractName": shipped["name"],
                "abi": shipped["abi"],
                "deploymentBytecode": {"bytecode": shipped["bytecode"]},
                "runtimeBytecode": {"bytecode": shipped["runtime"]},
            }
        )
    )


def devnet() -> World | None:
    """What `keeper devnet` wrote in this folder; None where it is of a fork of another chain."""
    try:
        return World.read(DEVNET)
    except Misconfigured:
        return None


def require_chain(provider: Any, chain_id: int | None) -> int:
    """The connected chain's id, if it is the one that was meant."""
    world = devnet()
    meant = world.chain_id if chain_id is None and world else chain_id
    if meant is None:
        raise click.ClickException("chain: say which one is meant, with --chain-id")
    if provider.chain_id != meant:
        raise click.ClickException(f"chain: {meant} was meant, and {provider.chain_id} is connected")
    return meant


def confirmations(provider: Any) -> int | None:
    """None for the network's own habit; 0 beside a local node, which mines only when it is sent something."""
    host = urlsplit(str(getattr(provider, "uri", None) or "")).hostname
    return 0 if host in _LOOPBACK else None


def unlock(account: Any, unattended: bool) -> None:
    """Ask before an account signs, unless it is `unattended`; then a keystore's is unlocked.

    ape asks before each signature of a keystore's account, but never of its test accounts; a passphrase comes from its
    prompt or environment.
    """
    from ape.exceptions import AccountsError  # noqa: PLC0415

    if not unattended:
        if not sys.stdin.isatty():
            raise click.ClickException("account: nobody is here to be asked; say --yes to sign without")
        if not hasattr(account, "set_autosign"):
            click.confirm(f"Sign as {account.address}?", abort=True)
        return
    if not hasattr(account, "set_autosign"):
        return
    try:
        account.set_autosign(True)
    except AccountsError as error:
        raise click.ClickException(f"account: {account.alias} does not open with this passphrase") from error


def ask(provider: Any, to: Address, method: Method, *arguments: Any) -> bytes:
    """What a view answers at the newest block."""
    call = {"to": to, "data": f"0x{method.call(*arguments).hex()}"}
    answer: str = provider.make_request("eth_call", [call, "latest"])
    return bytes.fromhex(answer.removeprefix("0x"))


def immutables(provider: Any, address: str, name: str = "LoanThresholds") -> dict[str, str]:
    """The contract's immutables by name, once its code is proven the shipped one; ClickException if not."""
    shipped = artifact(name)
    code = bytes(provider.get_code(address))
    runtime = bytes.fromhex(shipped["runtime"].removeprefix("0x"))
    words = code[len(runtime) :]
    if not code:
        raise click.ClickException(f"code: there is no contract at {address} on chain {provider.chain_id}")
    if code[: len(runtime)] != runtime or len(words) != sum(w["length"] for w in shipped["immutables"]):
        raise click.ClickException(
            f"code: {address} is not the shipped {shipped['name']} ({len(code)} bytes stand there, "
            f"{len(runtime)} and the immutables were expected)"
        )
    return {
        word["name"].rpartition(".")[2]: _shown(word["type"], words[word["offset"] :][: word["length"]])
        for word in shipped["immutables"]
    }


def _shown(type_: str, word: bytes) -> str:
    is_address = type_ == "address" or type_.startswith("interface")
    return to_checksum_address(word[-20:]) if is_address else str(int.from_bytes(word))


def require_accepted(provider: Any, owner: Address, call: Call) -> None:
    """Try the owner's call without signing it; ClickException with the contract's own reason when it reverts."""
    # It brings in half the keeper, and `ape run` imports every script to list it.
    from keeper.rules.writing import try_as_owner  # noqa: PLC0415

    try:
        node = Node(str(provider.uri))
        try_as_owner(node, owner, call, node.head())
    except KeeperError as error:
        raise click.ClickException(str(error)) from error

"""What the ape scripts share: which chain, which contract stands there, and which rules it would refuse.

Source: the reasons are those of contracts/loan_rules.vy, in its order; tests/ape holds the two together.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from eth_utils.address import is_address, to_checksum_address

from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.domain.loan_band import TOLERANCE_BPS
from keeper.domain.loans import LoanRule
from keeper.domain.units import BPS, NOBODY, Address
from keeper.protocols.loan_thresholds import MAX_SLIPPAGE_BPS
from keeper.protocols.methods import Method

DEVNET = Path(".keeper") / "devnet.json"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class AddressType(click.ParamType):
    """An address with a valid checksum, or all in one case; or, of an asset, its symbol on the devnet here."""

    name = "address"

    def __init__(self, or_symbol: bool = False) -> None:
        self.or_symbol = or_symbol

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """The address, checksummed."""
        if is_address(value):
            return Address(to_checksum_address(value))
        world = devnet() if self.or_symbol else None
        if world is None:
            self.fail(f"{value} is not a 20-byte address with a valid checksum", param, ctx)
        try:
            return world.reserve(value).token
        except Misconfigured as error:
            self.fail(str(error), param, ctx)


ADDRESS = AddressType()
ASSET = AddressType(or_symbol=True)


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
    """What `keeper devnet` wrote in this folder."""
    return World.read(DEVNET) if DEVNET.is_file() else None


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
    """Let a keystore account sign without asking; its passphrase comes from ape's prompt or environment."""
    from ape.exceptions import AccountsError  # noqa: PLC0415

    if not (unattended and hasattr(account, "set_autosign")):
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


def refusal(rule: LoanRule, now: int) -> str | None:
    """Why the contract would refuse a rule at unix second `now`, in its own words; None when it would not."""
    band, limits = rule.band, rule.limits
    reasons = {
        "collateral is the zero address": rule.collateral == NOBODY,
        "debt is the zero address": rule.debt == NOBODY,
        "collateral and debt are the same asset": rule.collateral == rule.debt,
        "ceiling does not fit 24 bits": band.ceiling_bps >= 2**24,
        "target is not below the ceiling": 0 < band.ceiling_bps <= band.target_bps,
        "target does not fit 24 bits": band.target_bps >= 2**24,
        "floor is not below the target": band.floor_bps >= band.target_bps,
        "floor is not above a health of 1": band.floor_bps <= BPS,
        "ceiling is within the tolerance of the target": 0
        < band.ceiling_bps * BPS
        <= band.target_bps * (BPS + TOLERANCE_BPS),
        "floor is within the tolerance of the target": band.floor_bps * BPS
        >= band.target_bps * (BPS - TOLERANCE_BPS),
        "slippage is zero": limits.slippage_bps <= 0,
        f"slippage is above {MAX_SLIPPAGE_BPS} bps": limits.slippage_bps > MAX_SLIPPAGE_BPS,
        "cooldown does not fit 24 bits": limits.cooldown >= 2**24,
        "max_step is zero": limits.max_step <= 0,
        "max_step does not fit 96 bits": limits.max_step >= 2**96,
        "expiry is not in the future": limits.expiry <= now,
        "expiry does not fit 40 bits": limits.expiry >= 2**40,
    }
    return next((f"rule: {reason}" for reason, holds in reasons.items() if holds), None)

"""Deploy LoanThresholds and the two views it asks, as shipped, read them back, and prove the code on chain.

    ape run deploy --network http://127.0.0.1:8545 --account TEST::0
    ape run deploy --network ethereum:mainnet:node --chain-id 1 --account ALIAS \
        --aave-addresses-provider 0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e \
        --uniswap-factory 0x1F98431c8aD98523631AE4a59f267346ea31F984

Beside a devnet the addresses and the chain come from `.keeper/devnet.json`. With `--at` nothing is deployed:
the contract standing there is proven instead, and its views. A keystore account is opened by
ape, which asks for its passphrase or takes it from `APE_ACCOUNTS_<alias>_PASSPHRASE`; `--yes` signs without
asking.
"""

from __future__ import annotations

from typing import Any

import click
from ape.cli import ConnectedProviderCommand, account_option

from keeper.domain.units import Address
from scripts._thresholds import (
    ADDRESS,
    DEVNET,
    artifact,
    confirmations,
    container,
    devnet,
    immutables,
    require_chain,
    unlock,
)


@click.command(cls=ConnectedProviderCommand)
@account_option(prompt=None)
@click.option("--chain-id", type=int, help="The chain that is meant; any other is refused.")
@click.option("--aave-addresses-provider", type=ADDRESS, help="Aave V3's PoolAddressesProvider.")
@click.option("--uniswap-factory", type=ADDRESS, help="Uniswap V3's factory.")
@click.option("--at", type=ADDRESS, help="Prove the contract at this address; deploy nothing.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
def cli(
    provider: Any,
    account: Any,
    chain_id: int | None,
    aave_addresses_provider: Address | None,
    uniswap_factory: Address | None,
    at: Address | None,
    yes: bool,
) -> None:
    """Deploy LoanThresholds as shipped, read it back and prove its code."""
    chain = require_chain(provider, chain_id)
    if at is None:
        world = devnet()
        aave = _stands(
            provider,
            "--aave-addresses-provider",
            aave_addresses_provider,
            world.aave.addresses_provider if world else None,
        )
        factory = _stands(
            provider, "--uniswap-factory", uniswap_factory, world.uniswap.factory if world else None
        )
        if account is None:
            raise click.ClickException("account: say which one deploys, with --account")
        unlock(account, yes)
        wait = confirmations(provider)
        sense = account.deploy(container("LoanSense"), required_confirmations=wait)
        check = account.deploy(container("LoanCheck"), aave, factory, required_confirmations=wait)
        thresholds = account.deploy(
            container(), aave, factory, sense.address, check.address, required_confirmations=wait
        )
        at = Address(str(thresholds.address))
        if thresholds.FACTORY() != factory:
            raise click.ClickException(f"deploy: FACTORY() is {thresholds.FACTORY()}, not {factory}")
    words = immutables(provider, at)
    thresholds = container().at(at)
    immutables(provider, words["SENSE"], "LoanSense")
    checks = immutables(provider, words["CHECK"], "LoanCheck")
    for name in ("AAVE", "PROVIDER", "FACTORY"):
        said = str(getattr(thresholds, name)())
        if not said == words[name] == checks[name]:
            raise click.ClickException(
                f"deploy: {name}() is {said}, the code holds {words[name]} and its LoanCheck {checks[name]}"
            )
    click.echo(f"chain {chain}, version {thresholds.version()}, source {artifact()['source_hash']}")
    for name, value in words.items():
        click.echo(f"{name} {value}")
    click.echo(f"LoanThresholds {at}")


def _stands(provider: Any, option: str, given: Address | None, devnets: Address | None) -> Address:
    """The address given, or the devnet's, once there is code at it."""
    address = given or devnets
    if address is None:
        raise click.ClickException(f"deploy: {option} is not given, and there is no {DEVNET} to take it from")
    if not provider.get_code(address):
        raise click.ClickException(f"deploy: there is no contract at {option} {address}")
    return address

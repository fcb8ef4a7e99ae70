"""Sign and send, with one of ape's accounts, the calls that `keeper rule set` and `keeper rule clear` print.

    keeper rule set OWNER --kind basket --asset WETH:6000:500 --asset USDC:4000:500 --max-step 10000 > calls.json
    ape run sign calls.json --network http://127.0.0.1:8545 --account TEST::1

Chain and owner are those of the file, and any other is refused. What each call does is told, the first is tried before
anything is signed, and the next is sent when the one before is in a block.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from ape.cli import ConnectedProviderCommand, account_option

from keeper.domain.plans import Call
from keeper.domain.units import Address
from scripts._thresholds import confirmations, require_accepted, require_chain, unlock


@click.command(cls=ConnectedProviderCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@account_option()
@click.option("--yes", is_flag=True, help="Sign without asking.")
def cli(provider: Any, account: Any, file: Path, yes: bool) -> None:
    """Sign and send the calls in a file of `keeper rule`."""
    chain_id, owner, calls = read_calls(file)
    require_chain(provider, chain_id)
    if str(account.address).lower() != owner.lower():
        raise click.ClickException(f"account: the calls are {owner}'s, and {account.address} is to sign")
    for number, (_, does) in enumerate(calls, 1):
        click.echo(f"{number}. {does}")
    unlock(account, yes)
    for number, (call, _) in enumerate(calls, 1):
        require_accepted(provider, owner, call)
        transaction = provider.network.ecosystem.create_transaction(receiver=call.to, data=call.data)
        transaction.required_confirmations = confirmations(provider)
        receipt = account.call(transaction)
        if receipt.failed:
            raise click.ClickException(f"chain: call {number} failed in {receipt.txn_hash}")
        click.echo(f"{number}. sent in {receipt.txn_hash}, {receipt.gas_used} gas")


def read_calls(file: Path) -> tuple[int, Address, list[tuple[Call, str]]]:
    """The chain, the owner, and each call with what it does."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        calls = [
            (Call(Address(each["to"]), bytes.fromhex(each["data"].removeprefix("0x"))), str(each["does"]))
            for each in told["calls"]
        ]
        return int(told["chain"]), Address(told["from"]), calls
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise click.ClickException(f"calls: {file} is not what `keeper rule set` prints") from error

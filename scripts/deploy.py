"""Deploy the rules of one kind of position and the views they ask, as shipped; read them back, prove the code on chain.

    ape run deploy --network http://127.0.0.1:8545 --account TEST::0 --kind ranges
    ape run deploy --network ethereum:mainnet:node --chain-id 1 --account ALIAS \
        --aave-addresses-provider 0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e \
        --uniswap-factory 0x1F98431c8aD98523631AE4a59f267346ea31F984 --volatility none

Beside a devnet the addresses and the chain come from `.keeper/devnet.json`. With `--at` nothing is deployed:
the contract standing there is proven instead, with whatever it asks. A keystore account is opened by
ape, which asks for its passphrase or takes it from `APE_ACCOUNTS_<alias>_PASSPHRASE`; `--yes` signs without
asking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from ape.cli import account_option

from keeper.devnet.world import World
from keeper.domain.errors import Blind
from keeper.domain.units import NOBODY, Address
from keeper.protocols.methods import Method
from keeper.protocols.methods import address as checksummed
from scripts._connected import OnNetwork
from scripts._families import ARGUMENTS, FAMILIES, Argument, Family
from scripts._thresholds import (
    ADDRESS,
    ADDRESS_OR_NONE,
    DEVNET,
    artifact,
    ask,
    confirmations,
    container,
    devnet,
    immutables,
    require_chain,
    unlock,
)

Said = dict[str, Any]
"""Constructor arguments by the contracts' own names for them."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for name, argument in reversed(ARGUMENTS.items()):
        command = click.option(argument.option, name, type=argument.type, help=argument.help)(command)
    return command


@click.command(cls=OnNetwork)
@account_option(prompt=None)
@click.option("--kind", type=click.Choice(list(FAMILIES)), default="loans", show_default=True)
@click.option("--chain-id", type=int, help="The chain that is meant; any other is refused.")
@_options
@click.option("--at", type=ADDRESS, help="Prove the contract at this address; deploy nothing.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
def cli(
    provider: Any,
    account: Any,
    kind: str,
    chain_id: int | None,
    at: Address | None,
    yes: bool,
    **options: Any,
) -> None:
    """Deploy the rules of one kind of position as shipped, read them back and prove their code."""
    chain = require_chain(provider, chain_id)
    family = FAMILIES[kind]
    wanted = {name for each in _contracts(family) for name in _constructor(each)} - set(family.views)
    said = {name: value for name, value in options.items() if value is not None}
    if strange := sorted(set(said) - wanted):
        raise click.ClickException(f"deploy: {kind} do not take {ARGUMENTS[strange[0]].option}")
    if at is None:
        world = devnet()
        here = world if world is not None and world.chain_id == chain else None
        said = {name: _stands(provider, ARGUMENTS[name], said.get(name), here) for name in sorted(wanted)}
        if account is None:
            raise click.ClickException("account: say which one deploys, with --account")
        unlock(account, yes)
        at = deploy(account, family, said, confirmations(provider))
    words = prove(provider, at, family, said)
    version = container(family.main).at(at).version()
    click.echo(f"chain {chain}, version {version}, source {artifact(family.main)['source_hash']}")
    for name, value in words.items():
        click.echo(f"{name} {value}")
    click.echo(f"{family.main} {at}")


def deploy(account: Any, family: Family, said: Said, wait: int | None) -> Address:
    """Where the family's contract stands after its views; `said` learns where those do."""

    def placed(contract: str) -> Address:
        values = [said[name] for name in _constructor(contract)]
        return Address(str(account.deploy(container(contract), *values, required_confirmations=wait).address))

    for name, view in family.views.items():
        said[name] = placed(view)
    return placed(family.main)


def prove(provider: Any, at: Address, family: Family, said: Said) -> dict[str, str]:
    """A contract's immutables, once it and all it asks of ours are the shipped code and hold what they should."""
    words = immutables(provider, at, family.main)
    stands = container(family.main).at(at)
    public = {entry["name"] for entry in artifact(family.main)["abi"] if entry["type"] == "function"}
    for name in words.keys() & public:
        _same(f"{name}()", str(getattr(stands, name)()), words[name], "the code holds")
    for name, (other, asked) in family.asks.items():
        _same(name, words[name], _answer(provider, words[other], asked), f"{other} answers")
    for name, argument in family.holds.items():
        if argument in said:
            _same(name, words[name], str(said[argument]), "what was said is")
        if argument in family.views:
            view = family.views[argument]
            seen = immutables(provider, words[name], view)
            for shared in words.keys() & seen.keys():
                _same(shared, words[shared], seen[shared], f"its {view} holds")
        elif (kind := ARGUMENTS[argument].kind) and words[name] != NOBODY:
            prove(provider, Address(words[name]), FAMILIES[kind], {})
    return words


def _same(name: str, found: str, other: str, whose: str) -> None:
    if found != other:
        raise click.ClickException(f"deploy: {name} is {found}, and {whose} {other}")


def _answer(provider: Any, of: str, asked: Method) -> str:
    try:
        (told,) = asked.read(ask(provider, Address(of), asked))
    except Blind as error:
        raise click.ClickException(f"deploy: {of} does not answer {asked.signature} ({error})") from error
    return checksummed(told)


def _contracts(family: Family) -> list[str]:
    return [*family.views.values(), family.main]


def _constructor(contract: str) -> list[str]:
    """The names of what a shipped contract is deployed with, in order."""
    made = (entry["inputs"] for entry in artifact(contract)["abi"] if entry["type"] == "constructor")
    return [entry["name"] for entry in next(made, [])]


def _stands(provider: Any, argument: Argument, given: Any, world: World | None) -> Any:
    """The argument as given, or the devnet's; an address only once there is code at it, ours where it must be."""
    value = given
    if value is None and argument.on_devnet and world:
        value = argument.on_devnet(world)
    if value is None:
        source = f", and there is no {DEVNET} of this chain to take it from" if argument.on_devnet else ""
        raise click.ClickException(f"deploy: {argument.option} is not given{source}")
    is_none = value == NOBODY and argument.type is ADDRESS_OR_NONE
    if isinstance(value, str) and not is_none:
        if not provider.get_code(value):
            raise click.ClickException(f"deploy: there is no contract at {argument.option} {value}")
        if argument.kind:
            prove(provider, Address(value), FAMILIES[argument.kind], {})
    return value

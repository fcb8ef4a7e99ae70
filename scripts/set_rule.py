"""Write a rule on chain, read it back, and say what the contract's own `check` makes of it.

    ape run set_rule --network http://127.0.0.1:8545 --account TEST::1 --thresholds 0x... \
        --collateral 0x... --debt 0x... --floor-bps 12000 --target-bps 15000 --ceiling-bps 20000 \
        --max-step 50000000000

Health factors are in basis points: 12000 is a health of 1.2. `--max-step` is in the debt asset's smallest
unit. Without `--id` the rule is appended; with it, it replaces. What the contract would refuse is refused
here first, in the same words.
"""

from __future__ import annotations

from typing import Any

import click
from ape.cli import ConnectedProviderCommand, account_option

from keeper.domain.loans import Band, Limits, LoanRule
from keeper.domain.units import NOBODY, Address, health_text
from keeper.domain.verdicts import Kind
from keeper.protocols.loan_thresholds import rule_fields
from scripts._thresholds import (
    ADDRESS,
    confirmations,
    container,
    devnet,
    immutables,
    refusal,
    require_chain,
    unlock,
)

_DAY = 86_400
_TOKEN = [
    {
        "type": "function",
        "name": name,
        "stateMutability": "view",
        "inputs": [],
        "outputs": [{"name": "", "type": kind}],
    }
    for name, kind in (("symbol", "string"), ("decimals", "uint8"))
]


@click.command(cls=ConnectedProviderCommand)
@account_option()
@click.option("--chain-id", type=int, help="The chain that is meant; any other is refused.")
@click.option("--thresholds", type=ADDRESS, help="The LoanThresholds contract.")
@click.option(
    "--id", "rule_id", type=click.IntRange(min=0), help="The rule to replace; without it, a new one."
)
@click.option("--collateral", type=ADDRESS, required=True, help="The asset to sell.")
@click.option("--debt", type=ADDRESS, required=True, help="The asset to repay.")
@click.option("--floor-bps", type=int, required=True, help="Act below this health.")
@click.option("--target-bps", type=int, required=True, help="Land on this health.")
@click.option("--ceiling-bps", type=int, required=True, help="Above this health there is room; stored.")
@click.option("--slippage-bps", type=int, default=100, show_default=True, help="Of the value sold.")
@click.option("--cooldown", type=click.IntRange(min=0), default=0, show_default=True, help="Seconds.")
@click.option("--max-step", type=int, required=True, help="Most repaid at once, in the debt asset's units.")
@click.option("--days", type=float, default=365.0, show_default=True, help="How long the rule holds.")
@click.option("--expiry", type=int, help="The same as a unix time.")
@click.option("--keeper", type=ADDRESS, default=NOBODY, help="Who may act; without it, anyone.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
def cli(
    provider: Any,
    account: Any,
    chain_id: int | None,
    thresholds: Address | None,
    rule_id: int | None,
    collateral: Address,
    debt: Address,
    floor_bps: int,
    target_bps: int,
    ceiling_bps: int,
    slippage_bps: int,
    cooldown: int,
    max_step: int,
    days: float,
    expiry: int | None,
    keeper: Address,
    yes: bool,
) -> None:
    """Write a rule on chain, read it back, and say what `check` makes of it."""
    require_chain(provider, chain_id)
    world = devnet()
    at = thresholds or (world.thresholds if world else NOBODY)
    if at == NOBODY:
        raise click.ClickException("rule: say which contract holds it, with --thresholds")
    immutables(provider, at)
    now = int(provider.get_block("latest").timestamp)
    rule = LoanRule(
        collateral=collateral,
        debt=debt,
        band=Band(floor_bps, target_bps, ceiling_bps),
        limits=Limits(
            slippage_bps, cooldown, max_step, now + int(days * _DAY) if expiry is None else expiry, keeper
        ),
    )
    if reason := refusal(rule, now):
        raise click.ClickException(reason)

    contract = container().at(at)
    count = int(contract.rule_count(account.address))
    number = count if rule_id is None else rule_id
    if number > count:
        raise click.ClickException(f"rule: id {number} is past the end of the owner's {count} rules")
    show(provider, account.address, number, rule)
    unlock(account, yes)
    receipt = contract.set_rule(
        number, rule_fields(rule), sender=account, required_confirmations=confirmations(provider)
    )
    stored = tuple(contract.rule_of(account.address, number))
    if stored != rule_fields(rule):
        raise click.ClickException(f"rule: {stored} was read back, and {rule_fields(rule)} was sent")
    click.echo(f"set in {receipt.txn_hash}, {receipt.gas_used} gas, and read back the same")
    finding = contract.check(account.address, number)
    click.echo(
        f"check: {Kind(finding.verdict).name.lower()}, health {health_text(finding.health)}, "
        f"repay {finding.repay}, sell {finding.sell}" + (f" ({finding.why})" if finding.why else "")
    )


def show(provider: Any, owner: str, number: int, rule: LoanRule) -> None:
    """The rule as people read it, before anything is signed."""
    band, limits = rule.band, rule.limits
    sold, _ = _symbol_and_unit(provider, rule.collateral)
    repaid, unit = _symbol_and_unit(provider, rule.debt)
    click.echo(f"rule {number} of {owner}")
    click.echo(f"  sell {sold} {rule.collateral} to repay {repaid} {rule.debt}")
    click.echo(
        f"  below health {band.floor_bps / 10_000:.4f}, back to {band.target_bps / 10_000:.4f} "
        f"(ceiling {band.ceiling_bps / 10_000:.4f})"
    )
    click.echo(f"  at most {limits.max_step / unit:,.2f} {repaid} at once, every {limits.cooldown} s")
    who = "anyone" if limits.keeper == NOBODY else limits.keeper
    click.echo(f"  at most {limits.slippage_bps} bps lost, by {who}, until unix second {limits.expiry}")


def _symbol_and_unit(provider: Any, token: Address) -> tuple[str, int]:
    from ape import Contract  # noqa: PLC0415

    if not provider.get_code(token):
        raise click.ClickException(f"rule: there is no token at {token}")
    contract = Contract(token, abi=_TOKEN, fetch_from_explorer=False)
    return str(contract.symbol()), 10 ** int(contract.decimals())

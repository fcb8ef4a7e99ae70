"""Write a rule on chain, read it back, and say what the contract's own `check` makes of it.

    ape run set_rule --network http://127.0.0.1:8545 --account TEST::1 --collateral WETH --debt USDC \
        --floor-bps 14000 --target-bps 17000 --ceiling-bps 25000 --max-step 50000000000 --approve

Health factors are in basis points: 12000 is a health of 1.2. `--max-step` is in the debt asset's smallest
unit. Without `--id` the rule is appended; with it, it replaces. Symbols, the contract and the chain are known
beside a devnet; elsewhere they are given by `--thresholds`, `--chain-id` and addresses. The call is tried before
it is signed, and what the contract would refuse is shown in its own words.
"""

from __future__ import annotations

from typing import Any

import click
from ape.cli import account_option

from keeper.domain.loans import Band, Limits, LoanRule
from keeper.domain.plans import Call
from keeper.domain.texts import date_text
from keeper.domain.units import BPS, NOBODY, Address, health_text
from keeper.domain.verdicts import Kind
from keeper.protocols.aave_v3 import GET_RESERVE_DATA, Reserve, read_reserve
from keeper.protocols.erc20 import SYMBOL
from keeper.protocols.loan_thresholds import SET_RULE, rule_fields
from scripts._connected import OnNetwork
from scripts._thresholds import (
    ADDRESS,
    ASSET,
    UINT,
    ask,
    confirmations,
    container,
    devnet,
    immutables,
    require_accepted,
    require_chain,
    unlock,
)

_DAY = 86_400
_APPROVE = {
    "type": "function",
    "name": "approve",
    "stateMutability": "nonpayable",
    "inputs": [{"name": "spender", "type": "address"}, {"name": "value", "type": "uint256"}],
    "outputs": [{"name": "", "type": "bool"}],
}


@click.command(cls=OnNetwork)
@account_option()
@click.option("--chain-id", type=int, help="The chain that is meant; any other is refused.")
@click.option("--thresholds", type=ADDRESS, help="The LoanThresholds contract.")
@click.option("--id", "rule_id", type=UINT, help="The rule to replace; without it, a new one.")
@click.option("--collateral", type=ASSET, required=True, help="The asset to sell.")
@click.option("--debt", type=ASSET, required=True, help="The asset to repay.")
@click.option("--floor-bps", type=UINT, required=True, help="Act below this health.")
@click.option("--target-bps", type=UINT, required=True, help="Land on this health.")
@click.option("--ceiling-bps", type=UINT, default=0, help="Above this health there is room; 0 for none.")
@click.option("--slippage-bps", type=UINT, default=100, show_default=True, help="Of the value sold.")
@click.option("--cooldown", type=UINT, default=0, show_default=True, help="Seconds.")
@click.option("--max-step", type=UINT, required=True, help="Most repaid at once, in the debt asset's units.")
@click.option("--days", type=float, default=365.0, show_default=True, help="How long the rule holds.")
@click.option("--expiry", type=UINT, help="The same as a unix time.")
@click.option("--keeper", type=ADDRESS, default=NOBODY, help="Who may act; without it, anyone.")
@click.option(
    "--approve", is_flag=True, help="Also let the contract take the collateral's aToken, unlimited."
)
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
    approve: bool,
    yes: bool,
) -> None:
    """Write a rule on chain, read it back, and say what `check` makes of it."""
    require_chain(provider, chain_id)
    world = devnet()
    at = thresholds or (world.thresholds if world else NOBODY)
    if at == NOBODY:
        raise click.ClickException("rule: say which contract holds it, with --thresholds")
    aave = Address(immutables(provider, at)["AAVE"])
    now = int(provider.get_block("latest").timestamp)
    if expiry is None:
        expiry = now + int(days * _DAY)
    rule = LoanRule(
        collateral=collateral,
        debt=debt,
        band=Band(floor_bps, target_bps, ceiling_bps),
        limits=Limits(slippage_bps, cooldown, max_step, expiry, keeper),
    )
    contract = container().at(at)
    count = int(contract.rule_count(account.address))
    number = count if rule_id is None else rule_id
    call = Call(at, SET_RULE.call(number, rule_fields(rule)))
    require_accepted(provider, Address(str(account.address)), call)
    sold, repaid = reserve_of(provider, aave, collateral), reserve_of(provider, aave, debt)

    click.echo(f"rule {number} of {account.address}")
    show(provider, rule, repaid.unit)
    unlock(account, yes)
    sent = {"sender": account, "required_confirmations": confirmations(provider)}
    receipt = contract.set_rule(number, rule_fields(rule), **sent)
    stored = tuple(contract.rule_of(account.address, number))
    if stored != rule_fields(rule):
        raise click.ClickException(f"rule: {stored} was read back, and {rule_fields(rule)} was sent")
    click.echo(f"set in {receipt.txn_hash}, {receipt.gas_used} gas, and read back the same")
    if approve:
        let_take(sold.a_token, at, sent)
    finding = contract.check(account.address, number)
    click.echo(
        f"check: {Kind(finding.verdict).name.lower()}, health {health_text(finding.health)}, "
        f"repay {finding.amount}, sell {finding.swapped} ({finding.why})"
    )


def reserve_of(provider: Any, aave: Address, asset: Address) -> Reserve:
    """What Aave knows of an asset; ClickException when it lists none such."""
    reserve = read_reserve(ask(provider, aave, GET_RESERVE_DATA, asset))
    if reserve.a_token == NOBODY:
        raise click.ClickException(f"rule: Aave at {aave} does not list {asset}")
    return reserve


def show(provider: Any, rule: LoanRule, debt_unit: int) -> None:
    """The rule as people read it, before anything is signed."""
    band, limits = rule.band, rule.limits
    floor, target, ceiling = (
        f"{bps / BPS:.4f}" for bps in (band.floor_bps, band.target_bps, band.ceiling_bps)
    )
    (sold,) = SYMBOL.read(ask(provider, rule.collateral, SYMBOL))
    (repaid,) = SYMBOL.read(ask(provider, rule.debt, SYMBOL))
    who = "anyone" if limits.keeper == NOBODY else limits.keeper
    click.echo(f"  sell {sold} {rule.collateral} to repay {repaid} {rule.debt}")
    click.echo(f"  below health {floor}, back to {target} (ceiling {ceiling})")
    click.echo(f"  at most {limits.max_step / debt_unit:,.2f} {repaid} at once, every {limits.cooldown} s")
    click.echo(f"  at most {limits.slippage_bps} bps lost, by {who}, until {date_text(limits.expiry)}")


def let_take(a_token: Address, thresholds: Address, sent: dict[str, Any]) -> None:
    """Approve the contract for the owner's aToken, without limit."""
    from ape import Contract  # noqa: PLC0415

    receipt = Contract(a_token, abi=[_APPROVE], fetch_from_explorer=False).approve(
        thresholds, 2**256 - 1, **sent
    )
    click.echo(f"approved in {receipt.txn_hash}: the contract may take {a_token}")

"""`ape run deploy` and `ape run set_rule` from the command line, and the loan they guard, on a fork."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from keeper.devnet.world import World
from keeper.domain.errors import NodeRefused
from keeper.domain.loans import Band, Limits, LoanRule
from keeper.domain.units import NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.protocols.loan_thresholds import (
    CHECK,
    REBALANCE,
    SET_RULE,
    Finding,
    read_finding,
    rule_fields,
)
from keeper.protocols.methods import revert_reason
from scripts._thresholds import refusal
from tests.ape.conftest import ALIAS, OWNER, ROOT, Ape


def ask(world: World, to: Address, data: bytes, sender: Address = NOBODY) -> bytes:
    answer: str = world.node.ask("eth_call", {"from": sender, "to": to, "data": f"0x{data.hex()}"}, "latest")
    return bytes.fromhex(answer[2:])


def finding(world: World, thresholds: Address, owner: Address, rule: int) -> Finding:
    return read_finding(ask(world, thresholds, CHECK.call(owner, rule)))


def deploy_arguments(world: World) -> tuple[str | int, ...]:
    return (
        *("run", "deploy", "--network", world.node.url, "--account", ALIAS, "--yes"),
        *("--aave-addresses-provider", world.aave.addresses_provider),
        *("--uniswap-factory", world.uniswap.factory),
    )


def rule_arguments(world: World, **other: str | int) -> tuple[str | int, ...]:
    chosen: dict[str, str | int] = {
        "network": world.node.url,
        "account": ALIAS,
        "chain-id": world.chain_id,
        "thresholds": world.thresholds,
        "collateral": world.weth.token,
        "debt": world.usdc.token,
        "floor-bps": 16_000,
        "target-bps": 17_000,
        "ceiling-bps": 20_000,
        "max-step": 50_000 * 10**6,
        **{name.replace("_", "-"): value for name, value in other.items()},
    }
    return ("run", "set_rule", "--yes", *(part for name in chosen for part in (f"--{name}", chosen[name])))


def printed(name: str, text: str) -> str:
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return found.group(1)


def test_a_loan__guarded_by_the_scripts_on_a_fork__is_brought_back_to_its_target(
    ape: Ape, fork: World
) -> None:
    loan = fork.open_loan(OWNER, 10, health="1.5")
    assert loan.health < 1.6 * WAD

    deployed = ape.run(*deploy_arguments(fork), "--chain-id", fork.chain_id)
    assert deployed.returncode == 0, deployed.stderr
    thresholds = Address(printed("LoanThresholds", deployed.stdout))
    assert printed("AAVE", deployed.stdout) == fork.aave.pool
    assert printed("FACTORY", deployed.stdout) == fork.uniswap.factory

    written = ape.run(*rule_arguments(fork, thresholds=thresholds))
    assert written.returncode == 0, written.stderr
    assert "below health 1.6000, back to 1.7000 (ceiling 2.0000)" in written.stdout
    assert "check: barred, health 1.4999" in written.stdout
    assert "allowance: the owner has granted none of the aToken" in written.stdout

    again = ape.run(*rule_arguments(fork, thresholds=thresholds, id=0), "--approve")
    assert again.returncode == 0, again.stderr
    assert "check: breached, health 1.4999" in again.stdout
    seen = finding(fork, thresholds, OWNER, 0)
    assert seen.kind == Kind.BREACHED, seen.why
    deadline = fork.node.head().timestamp + 600
    plan = (seen.action, seen.amount, seen.swapped, seen.fee, deadline)
    fork.send(fork.roles.stranger, thresholds, REBALANCE.signature, OWNER, 0, plan)
    after = fork.account_data(OWNER)
    assert abs(after.health - 1.7 * WAD) <= 0.005 * 1.7 * WAD
    assert finding(fork, thresholds, OWNER, 0).kind == Kind.WITHIN


def test_a_chain__other_than_the_one_that_was_meant__is_refused_before_anything_is_sent(
    ape: Ape, devnet: World
) -> None:
    before = devnet.node.head().number
    done = ape.run(*deploy_arguments(devnet), "--chain-id", 1)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: chain: 1 was meant, and {devnet.chain_id} is connected"
    assert "Traceback" not in done.stderr
    assert devnet.node.head().number == before


def test_a_keystore_account__with_a_wrong_passphrase__is_one_sentence(ape: Ape, devnet: World) -> None:
    arguments = (*deploy_arguments(devnet), "--chain-id", devnet.chain_id)
    done = ape.run(*arguments, passphrase="wrong horse")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: account: {ALIAS} does not open with this passphrase"
    assert "wrong horse" not in done.stdout + done.stderr


def test_a_contract__that_is_not_the_shipped_one__is_not_taken_for_it(ape: Ape, devnet: World) -> None:
    arguments = ("run", "deploy", "--network", devnet.node.url, "--chain-id", devnet.chain_id, "--at")
    proven = ape.run(*arguments, devnet.thresholds)
    assert proven.returncode == 0, proven.stderr
    assert printed("LoanThresholds", proven.stdout) == devnet.thresholds

    code = devnet.node.ask("eth_getCode", devnet.thresholds, "latest")
    tampered = Address("0x" + "11" * 20)
    devnet.node.ask("anvil_setCode", tampered, code[:200] + "00" + code[202:])
    refused = ape.run(*arguments, tampered)
    assert refused.returncode == 1
    assert "is not the shipped LoanThresholds" in refused.stderr.splitlines()[-1]


def test_a_devnet__in_the_working_folder__says_the_chain_the_contract_and_the_assets(
    ape: Ape, devnet: World, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    devnet.write(tmp_path / ".keeper" / "devnet.json")
    arguments = ["run", "set_rule", "--network", devnet.url, "--account", ALIAS, "--yes"]
    arguments += ["--collateral", "WETH", "--debt", "usdc", "--max-step", "1000000"]
    arguments += ["--floor-bps", "16000", "--target-bps", "17000", "--ceiling-bps", "20000"]
    done = ape.run(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"sell WETH {devnet.weth.token} to repay USDC {devnet.usdc.token}" in done.stdout
    assert "check: within, health ∞" in done.stdout


def test_a_rule__that_the_contract_would_refuse__is_refused_before_it_is_signed(
    ape: Ape, devnet: World
) -> None:
    done = ape.run(*rule_arguments(devnet, floor_bps=17_000))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Error: rule: floor is not below the target"


@pytest.mark.parametrize(
    "wrong",
    [
        {"collateral": NOBODY},
        {"debt": NOBODY},
        {"debt": Address("0x" + "11" * 20)},
        {"ceiling_bps": 2**24},
        {"target_bps": 20_000},
        {"target_bps": 19_950},
        {"floor_bps": 17_000},
        {"floor_bps": 16_950},
        {"floor_bps": 10_000},
        {"slippage_bps": 0},
        {"slippage_bps": 501},
        {"cooldown": 2**24},
        {"max_step": 0},
        {"max_step": 2**96},
        {"expiry": 0},
        {"expiry": 2**40},
        {"floor_bps": 0, "slippage_bps": 0},
        {},
    ],
)
def test_the_scripts_own_check__on_a_malformed_rule__says_what_the_contract_says(
    devnet: World, wrong: dict[str, Any]
) -> None:
    now = devnet.node.head().timestamp
    fields: dict[str, Any] = {
        "collateral": Address("0x" + "11" * 20),
        "debt": Address("0x" + "22" * 20),
        "floor_bps": 16_000,
        "target_bps": 17_000,
        "ceiling_bps": 20_000,
        "slippage_bps": 100,
        "cooldown": 0,
        "max_step": 1,
        "expiry": now + 86_400,
        **wrong,
    }
    rule = LoanRule(
        fields["collateral"],
        fields["debt"],
        Band(fields["floor_bps"], fields["target_bps"], fields["ceiling_bps"]),
        Limits(fields["slippage_bps"], fields["cooldown"], fields["max_step"], fields["expiry"], NOBODY),
    )
    said: str | None = None
    try:
        ask(devnet, devnet.thresholds, SET_RULE.call(0, rule_fields(rule)), OWNER)
    except NodeRefused as error:
        said = revert_reason(bytes.fromhex(error.data.removeprefix("0x")))
    assert refusal(rule, now) == said
    assert (said is None) == (wrong == {})


@pytest.mark.nightly
def test_ape_compile__with_the_projects_configuration__gives_the_shipped_bytecode(
    ape: Ape, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "contracts", tmp_path / "contracts")
    shutil.copy(ROOT / "ape-config.yaml", tmp_path)
    done = ape.run("compile", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    built = (tmp_path / ".build" / "__local__.json").read_text(encoding="utf-8")
    shipped = (ROOT / "keeper" / "contracts" / "LoanThresholds.json").read_text(encoding="utf-8")
    bytecode = re.search(r'"runtime": "(0x[0-9a-f]+)"', shipped)
    assert bytecode is not None
    assert bytecode.group(1) in built

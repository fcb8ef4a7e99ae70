"""`ape run deploy` and `ape run set_rule` from the command line, and the loan they guard, on a fork."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.app import open_keeper
from keeper.devnet.anvil import DEFAULT_CHAIN_ID, Anvil
from keeper.devnet.world import World
from keeper.domain.flights import State
from keeper.domain.units import NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.protocols.deployments import deployed_on
from keeper.protocols.loan_thresholds import (
    CHECK,
    Finding,
    read_finding,
)
from keeper.settings import Settings, read_settings
from tests.ape.conftest import ALIAS, OWNER, ROOT, Ape, funded
from tests.conftest import KEEPER_KEY


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
        *("--volatility", "none"),
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


def test_a_loan__guarded_by_the_scripts_on_a_fork__is_brought_back_to_its_target_by_the_keeper(
    ape: Ape, fork: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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

    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)
    with ExitStack() as opened:
        lived = opened.enter_context(seen_again(fork))
        keeper = opened.enter_context(open_keeper(keeping(lived, thresholds, tmp_path), dry_run=False))
        acted = keeper.turn(keeper.node.head())
        assert acted.trouble == ()
        ((intent,), (judged,)) = acted.intents, acted.verdicts
        assert (judged.kind, judged.why) == (Kind.BREACHED, "health: below the floor")
        assert intent.plan.key.owner == OWNER
        settled = keeper.turn(keeper.node.head())
        assert [change.flight.state for change in settled.changes] == [State.INCLUDED]
        assert [verdict.kind for verdict in settled.verdicts] == [Kind.WITHIN]
        after = lived.account_data(OWNER)
        assert abs(after.health - 1.7 * WAD) <= 0.005 * 1.7 * WAD
        assert finding(lived, thresholds, OWNER, 0).kind == Kind.WITHIN


@contextmanager
def seen_again(fork: World) -> Iterator[World]:
    """A fork of the fork: under mainnet's id a keeper asks for mainnet's own Aave, which the devnet has not."""
    known = deployed_on(fork.chain_id)
    is_mainnet = known is not None and known.provider == fork.aave.addresses_provider
    chain_id = fork.chain_id if is_mainnet else DEFAULT_CHAIN_ID
    with Anvil(fork_url=fork.url, chain_id=chain_id) as anvil:
        yield replace(fork.through(anvil.url), chain_id=chain_id)


def keeping(world: World, thresholds: Address, folder: Path) -> Settings:
    """What a keeper reads that holds the owner's rules here."""
    path = folder / "keeper.toml"
    path.write_text(
        f"""
        [chain]
        id = {world.chain_id}
        url = "{world.url}"
        [[watch]]
        thresholds = "{thresholds}"
        owners = ["{OWNER}"]
        """,
        encoding="utf-8",
    )
    return read_settings(path)


@pytest.mark.parametrize("script", ["deploy", "set_rule"])
def test_a_chain__other_than_the_one_that_was_meant__is_refused_before_anything_is_sent(
    ape: Ape, devnet: World, script: str
) -> None:
    before = devnet.node.head().number
    meant = {
        "deploy": (*deploy_arguments(devnet), "--chain-id", 1),
        "set_rule": rule_arguments(devnet, chain_id=1),
    }
    done = ape.run(*meant[script])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: chain: 1 was meant, and {devnet.chain_id} is connected"
    assert "Traceback" not in done.stderr
    assert devnet.node.head().number == before


def test_a_network__named_in_the_projects_configuration__is_deployed_to_and_its_rule_written(
    ape: Ape, devnet: World
) -> None:
    named = "ethereum:mainnet:node"
    with Anvil(fork_url=devnet.url, chain_id=1) as anvil:
        world = funded(replace(devnet.through(anvil.url), chain_id=1))
        asked = list(deploy_arguments(world))
        asked[asked.index("--network") + 1] = named
        done = ape.run(*asked, "--chain-id", 1, mainnet=anvil.url)
        assert done.returncode == 0, done.stderr
        assert "chain 1, " in done.stdout
        thresholds = Address(printed("LoanThresholds", done.stdout))
        assert anvil.node.ask("eth_getCode", thresholds, "latest") != "0x"

        written = ape.run(*rule_arguments(world, thresholds=thresholds, network=named), mainnet=anvil.url)
        assert written.returncode == 0, written.stderr
        assert "read back the same" in written.stdout


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


def deployed(ape: Ape, world: World, folder: Path, kind: str, *more: str | int) -> str:
    """What `ape run deploy` printed beside the devnet's manifest."""
    if not (folder / "scripts").exists():
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        world.write(folder / ".keeper" / "devnet.json")
    arguments = ("run", "deploy", "--network", world.url, "--account", ALIAS, "--yes", "--kind", kind)
    done = ape.run(*arguments, *more, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ranges_and_baskets__beside_a_devnet__are_deployed_on_what_stands_there(
    ape: Ape, devnet: World, tmp_path: Path
) -> None:
    ranges = deployed(ape, devnet, tmp_path, "ranges")
    assert printed("MANAGER", ranges) == devnet.uniswap.position_manager
    assert printed("FACTORY", ranges) == devnet.uniswap.factory

    baskets = deployed(ape, devnet, tmp_path, "baskets")
    assert (printed("SEQUENCER", baskets), printed("VOLATILITY", baskets)) == (NOBODY, devnet.volatility)
    check = Address(printed("CHECK", baskets))
    assert devnet.call(check, "FACTORY()", "(address)") == (devnet.uniswap.factory,)


def test_baskets__deployed_on_a_volatility_that_was_deployed_before__read_it(
    ape: Ape, devnet: World, tmp_path: Path
) -> None:
    measured = deployed(ape, devnet, tmp_path, "volatility", "--half-life", 604_800, "--min-interval", 3_600)
    assert (printed("HALF_LIFE", measured), printed("MIN_INTERVAL", measured)) == ("604800", "3600")
    volatility = printed("Volatility", measured)

    baskets = deployed(ape, devnet, tmp_path, "baskets", "--volatility", volatility)
    assert printed("VOLATILITY", baskets) == volatility
    place = Address(printed("BasketThresholds", baskets))
    assert devnet.call(place, "VOLATILITY()", "(address)")[0].lower() == volatility.lower()


@pytest.mark.parametrize(
    ("kind", "more", "reason"),
    [
        ("ranges", (), "--position-manager is not given, and there is no .keeper/devnet.json of this chain"),
        ("baskets", ("--sequencer", "none", "--volatility", "none"), "--uniswap-factory is not given"),
        ("baskets", ("--uniswap-factory", "FACTORY", "--sequencer", "none"), "--volatility is not given"),
        ("volatility", ("--min-interval", 60), "--half-life is not given"),
        ("ranges", ("--half-life", 60), "ranges do not take --half-life"),
        ("ranges", ("--position-manager", NOBODY), f"there is no contract at --position-manager {NOBODY}"),
        (
            "baskets",
            ("--uniswap-factory", "FACTORY", "--sequencer", "none", "--volatility", "FACTORY"),
            "is not the shipped Volatility",
        ),
    ],
)
def test_an_argument__missing_or_of_another_kind_or_not_what_it_should_be__deploys_nothing(
    ape: Ape, devnet: World, tmp_path: Path, kind: str, more: tuple[str | int, ...], reason: str
) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    before = devnet.node.head().number
    options = [devnet.uniswap.factory if part == "FACTORY" else part for part in more]
    start = ("run", "deploy", "--network", devnet.url, "--account", ALIAS, "--yes")
    done = ape.run(*start, "--chain-id", devnet.chain_id, "--kind", kind, *options, folder=tmp_path)
    assert done.returncode == 1
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert devnet.node.head().number == before


def test_a_contract__whose_immutables_are_forged_or_whose_view_holds_others__is_not_proven(
    ape: Ape, devnet: World
) -> None:
    arguments = ("run", "deploy", "--network", devnet.url, "--chain-id", devnet.chain_id, "--kind", "ranges")
    place = devnet.range_thresholds
    proven = ape.run(*arguments, "--at", place)
    assert proven.returncode == 0, proven.stderr

    other = ape.run(*arguments, "--at", place, "--position-manager", OWNER)
    assert other.returncode == 1
    assert f"MANAGER is {devnet.uniswap.position_manager}, and what was said is {OWNER}" in other.stderr

    def with_forged_factory(code: str) -> str:
        """The factory's word is the first after the code."""
        words = 64 * (2 if code is view else 3)
        return code[:-words] + "11".rjust(64, "0") + code[-words + 64 :]

    check = Address(printed("CHECK", proven.stdout))
    view: str = devnet.node.ask("eth_getCode", check, "latest")
    whole: str = devnet.node.ask("eth_getCode", place, "latest")
    forged = Address("0x" + "12" * 20)
    devnet.node.ask("anvil_setCode", forged, with_forged_factory(whole))
    refused = ape.run(*arguments, "--at", forged)
    assert refused.returncode == 1
    assert f"and MANAGER answers {devnet.uniswap.factory}" in refused.stderr.splitlines()[-1]

    devnet.node.ask("anvil_setCode", check, with_forged_factory(view))
    try:
        misled = ape.run(*arguments, "--at", place)
    finally:
        devnet.node.ask("anvil_setCode", check, view)
    assert misled.returncode == 1
    assert "and its RangeCheck holds 0x" in misled.stderr.splitlines()[-1]


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


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"floor_bps": 17_000}, "rule: floor is not below the target"),
        ({"expiry": 2**40}, "rule: expiry does not fit 40 bits"),
        ({"id": 10**6}, "rule: id is past the end of the owner's rules"),
    ],
)
def test_a_rule__that_the_contract_would_refuse__is_refused_before_it_is_signed(
    ape: Ape, devnet: World, wrong: dict[str, int], reason: str
) -> None:
    before = devnet.node.head().number
    done = ape.run(*rule_arguments(devnet, **wrong))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"Error: rule: the contract would refuse it: {reason}"
    assert "Traceback" not in done.stderr
    assert devnet.node.head().number == before


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ((), "network: say which, with --network, such as http://127.0.0.1:8545"),
        (("--network", "http://127.0.0.1:9"), "No (supported) node found on 'http://127.0.0.1:9'."),
    ],
)
def test_a_network__that_is_not_named_or_not_there__is_one_sentence(
    ape: Ape, devnet: World, network: tuple[str, ...], said: str
) -> None:
    words = list(rule_arguments(devnet))
    at = words.index("--network")
    refused = ape.run(*words[:at], *words[at + 2 :], *network)
    assert refused.returncode != 0
    assert said in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr
    assert "WARNING" not in refused.stderr, "every `cli` among the scripts is one of ape's commands"


def test_a_rule__with_nobody_to_ask_and_without_yes__is_not_signed(
    ape: Ape, devnet: World, tmp_path: Path
) -> None:
    words = [word for word in rule_arguments(devnet) if word != "--yes"]
    refused = ape.run(*words, folder=tmp_path if False else ROOT)
    assert refused.returncode != 0
    assert "account: nobody is here to be asked; say --yes" in refused.stderr + refused.stdout


def test_an_asset__given_by_symbol_where_there_is_no_devnet__is_one_sentence(
    ape: Ape, devnet: World, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    done = ape.run(*rule_arguments(devnet, debt="USDC"), folder=tmp_path)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "'--debt': USDC is a symbol, and only a devnet's are known" in said
    assert "there is no .keeper/devnet.json here, so give the asset's address" in said


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

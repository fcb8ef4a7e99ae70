"""`keeper rule` on the devnet: calls that a wallet signs and the contract takes, refusals in the contract's words."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from keeper.app import look
from keeper.devnet.transactions import wait_for
from keeper.devnet.world import World
from keeper.doctor import examine
from keeper.domain.loans import Band, Limits, LoanRule, Terms
from keeper.domain.plans import Asset
from keeper.domain.units import Address
from keeper.planner.results import DOWN
from keeper.planner.results import Path as Path_
from keeper.planner.rule_file import Assets, rule_file
from keeper.rules.loans import rule_text
from keeper.settings import read_settings
from tests.conftest import KEEPER_KEY, NO_LIMIT, SetRule
from tests.test_cli import config, keeper, one_sentence


def sent_by(world: World, written: dict[str, Any]) -> None:
    """What the owner's wallet does with the calls."""
    for call in written["calls"]:
        message = {"from": written["from"], "to": call["to"], "data": call["data"], "gas": hex(3_000_000)}
        assert wait_for(world.node, world.node.ask("eth_sendTransaction", message))["status"] == "0x1"


def options(world: World) -> list[str]:
    return ["--collateral", world.weth.token, "--debt", world.usdc.token, "--floor", "1.4", "--target", "1.7"]


def test_set__signed_by_the_owner__is_the_rule_that_show_shows__and_clear_takes_it_back(
    world: World, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=2)
    path = config(world, tmp_path)
    made = keeper(
        "rule", "set", owner, *options(world), "--max-step", "50000.5", "--approve", "--config", path
    )
    assert made.returncode == 0, made.stderr
    written = json.loads(made.stdout)
    assert written["chain"] == world.chain_id
    assert [call["does"].split()[0] for call in written["calls"]] == ["lets", "sets"]
    sent_by(world, written)

    shown = keeper("rule", "show", owner, "--json", "--config", path)
    (position,) = json.loads(shown.stdout)["positions"]
    assert (position["floor"], position["target"], position["max_step"]) == (
        "1.4000",
        "1.7000",
        "50000500000",
    )
    assert position["verdict"] == "within"
    table = keeper("rule", "show", owner, "--config", path).stdout
    expiry = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(position["expiry"]))
    for wanted in ("loan rule 0 at", "50,000.5 USDC", f"WETH {world.weth.token}", expiry, "anyone"):
        assert wanted in table
    assert keeper("rule", "lint", owner, "--config", path).stdout == "1 rule, and nothing wrong with it\n"

    sent_by(world, json.loads(keeper("rule", "clear", owner, "0", "--config", path).stdout))
    cleared = json.loads(keeper("rule", "show", owner, "--json", "--config", path).stdout)["positions"]
    assert [(each["verdict"], each["why"]) for each in cleared] == [("barred", "rule: none is set")]


def test_set__from_a_file_for_a_safe__is_a_batch_for_its_transaction_builder(
    world: World, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=2)
    path, file = config(world, tmp_path), tmp_path / "rule.toml"
    file.write_text(
        f'collateral = "{world.weth.token}"\ndebt = "{world.usdc.token}"\nfloor = 1.4\ntarget = 1.7\n'
        "max_step = 50_000\nslippage_bps = 50\n[terms]\nspeed_bps = 5000\n"
    )
    made = keeper("rule", "set", owner, "--file", file, "--target", "1.75", "--safe", "--config", path)
    assert made.returncode == 0, made.stderr
    batch = json.loads(made.stdout)
    assert (batch["version"], batch["chainId"]) == ("1.0", str(world.chain_id))
    assert batch["meta"]["createdFromSafeAddress"] == owner
    (transaction,) = batch["transactions"]
    assert set(transaction) == {"to", "value", "data", "contractMethod", "contractInputsValues"}
    sent_by(world, {"from": owner, "calls": [transaction]})
    shown = json.loads(keeper("rule", "show", owner, "--json", "--config", path).stdout)["positions"][0]
    assert (shown["target"], shown["slippage_bps"], shown["speed_bps"]) == ("1.7500", 50, 5_000)


def test_set__from_the_file_a_plan_leaves__is_the_rule_it_planned(world: World, tmp_path: Path) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=2)
    planned = {
        "floor": 1.4,
        "target": 1.7,
        "ceiling": float("inf"),
        "cooldown": 3600.0,
        "speed": 1.0,
        "sigmas": 0.0,
    }
    actions = SimpleNamespace(traded=np.array([1_000.0]), side=np.array([DOWN]))
    path, file = config(world, tmp_path), tmp_path / "rule.toml"
    life = cast("Path_", SimpleNamespace(actions=actions, equity=np.array([0.0])))
    file.write_text(rule_file("loan", planned, life, Assets()))
    assets = ("--collateral", world.weth.token, "--debt", world.usdc.token)
    made = keeper("rule", "set", owner, "--file", file, *assets, "--config", path)
    assert made.returncode == 0, made.stderr
    sent_by(world, json.loads(made.stdout))
    (shown,) = json.loads(keeper("rule", "show", owner, "--json", "--config", path).stdout)["positions"]
    assert (shown["floor"], shown["target"], shown["cooldown"]) == ("1.4000", "1.7000", 3_600)
    assert shown["max_step"] == str(1_500 * 10**6)


def test_set__a_floor_that_follows_volatility__is_said_tried_and_shown_as_it_stands(
    world: World, tmp_path: Path
) -> None:
    owner, path, file = world.roles.owner, config(world, tmp_path), tmp_path / "rule.toml"
    world.open_loan(owner, 100, health=2)
    head = 'collateral = "WETH"\ndebt = "USDC"\nfloor = 1.2\ntarget = 1.4\nmax_step = 50_000\n[terms]\n'
    moving = f'highest_bps = 15_000\nsigmas_bps = 20_000\nhorizon = 604_800\nfeed = "{world.weth.feed}"\n'
    file.write_text(head + moving)
    made = keeper("rule", "set", owner, "--file", file, "--approve", "--config", path)
    told = f"highest_bps 15000; sigmas_bps 20000; horizon 604800; feed {world.weth.feed}"
    assert made.stderr.splitlines()[-1].endswith(f"anyone may act; {told}")
    sent_by(world, json.loads(made.stdout))
    (shown,) = json.loads(keeper("rule", "show", owner, "--json", "--config", path).stdout)["positions"]
    assert (shown["floor"], shown["highest"], shown["feed"]) == ("1.2000", "1.5000", world.weth.feed)
    assert shown["why"] == "volatility: not known of late, so that the floor is at its highest"
    for wrong, why in (
        ("feed = 5\n", "rule: terms.feed: is not an address"),
        (f'speed_bps = "{owner}"\n', "rule: terms.speed_bps: is not a number"),
        ("highest_bps = 15_000\n", "rule: the contract would refuse it: rule: highest_bps needs a feed, "),
    ):
        file.write_text(head + wrong)
        assert one_sentence(keeper("rule", "set", owner, "--file", file, "--config", path), 2).startswith(why)


def test_set__that_the_contract_would_refuse__is_its_own_sentence(world: World, tmp_path: Path) -> None:
    path = config(world, tmp_path)
    words = options(world)
    words[words.index("1.7")] = "1.3"
    said = one_sentence(
        keeper("rule", "set", world.roles.owner, *words, "--max-step", "1", "--config", path), 2
    )
    assert said == (
        "rule: the contract would refuse it: rule: floor is not below the target; next: keeper rule set --help"
    )


def test_set__by_symbols__says_the_whole_rule_before_it_is_signed(world: World, tmp_path: Path) -> None:
    owner, path, file = world.roles.owner, config(world, tmp_path), tmp_path / "rule.toml"
    world.open_loan(owner, 100, health=2)
    file.write_text(
        'collateral = "weth"\ndebt = "USDC"\nfloor = 1.4\ntarget = 1.7\nceiling = 2.5\nmax_step = 50_000\n'
        f"borrow_step = 20_000.5\ncooldown = 3_600\nexpiry = {world.node.head().timestamp + 86_400}\n"
        "[terms]\nspeed_bps = 5000\n"
    )
    made = keeper("rule", "set", owner, "--file", file, "--approve", "--config", path)
    first, *allows, sets = made.stderr.splitlines()
    assert first == f"for {owner} to sign on chain {world.chain_id}:"
    assert len(allows) == 2
    assert allows[0].startswith(f"1. lets {world.thresholds} take the aToken of WETH, ")
    credit = f"borrow USDC on the account's credit, by {world.usdc.debt_token}, without limit"
    assert allows[1] == f"2. lets {world.thresholds} {credit}"
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(world.node.head().timestamp + 86_400))
    assert sets == (
        f"3. sets loan rule 0: WETH {world.weth.token} against USDC {world.usdc.token}; below a health of 1.4 back to "
        "1.7, at most 50,000 USDC at once; above 2.5 borrows, at most 20,000.5 USDC at once; slippage 100 bps; "
        f"cooldown 1 hour; expires {date}; anyone may act; speed_bps 5000"
    )
    written = json.loads(made.stdout)
    assert [f"{n}. {call['does']}" for n, call in enumerate(written["calls"], 1)] == [*allows, sets]
    sent_by(world, written)
    (shown,) = json.loads(keeper("rule", "show", owner, "--json", "--config", path).stdout)["positions"]
    assert (shown["collateral"], shown["debt"]) == (world.weth.token, world.usdc.token)
    assert (shown["borrow_step"], shown["speed_bps"]) == ("20000500000", 5_000)

    said = keeper("rule", "set", owner, "--file", file, "--collateral", "WEHT", "--config", path)
    assert f"rule: Aave lists no WEHT; say the address: WETH {world.weth.token}" in one_sentence(said, 2)


def test_set__of_a_rule_that_borrows_without_its_grants__names_them_and_so_do_lint_and_the_doctor(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, path = world.roles.owner, config(world, tmp_path)
    world.open_loan(owner, 100, health=2)
    words = (*options(world), "--max-step", "50000", "--ceiling", "2.5", "--borrow-step", "20000")
    made = keeper("rule", "set", owner, *words, "--config", path)
    lacking = [line for line in made.stderr.splitlines() if line.startswith("not granted yet")]
    assert [("aToken" in line, "credit" in line) for line in lacking] == [(True, False), (False, True)]
    granted = json.loads(keeper("rule", "set", owner, *words, "--approve", "--config", path).stdout)
    allowance, credit, _ = granted["calls"]
    sent_by(world, {"from": owner, "calls": [*json.loads(made.stdout)["calls"], allowance]})

    why = "delegation: the owner has delegated no credit in the debt asset"
    again = keeper("rule", "set", owner, *words, "--id", "0", "--config", path)
    assert [line for line in again.stderr.splitlines() if "not granted" in line] == lacking[1:]
    assert f"cannot act: its contract says {why}" in keeper("rule", "lint", owner, "--config", path).stdout
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)
    (found,) = [each for each in examine(read_settings(path), path) if each.subject == "rule"]
    assert found.said.endswith(why)

    sent_by(world, {"from": owner, "calls": [credit]})
    assert keeper("rule", "lint", owner, "--config", path).stdout == "1 rule, and nothing wrong with it\n"
    assert "not granted" not in keeper("rule", "set", owner, *words, "--id", "0", "--config", path).stderr
    assert [each for each in examine(read_settings(path), path) if each.subject == "rule"] == []
    (seen,) = look(read_settings(path))[1]
    assert seen.band == "1.4000 → 1.7000 ← 2.5000"


def test_a_rule_in_words__of_a_leverage_and_one_keeper__says_what_will_not_happen() -> None:
    sold, owed = Asset(Address("0x" + "11" * 20), "WETH", 18), Asset(Address("0x" + "22" * 20), "USDC", 6)
    limits = Limits(50, 0, 10**6, 2**63, Address("0x" + "33" * 20))
    rule = LoanRule(sold.address, owed.address, Band(25_000, 20_000, 15_000), limits, Terms(in_leverage=True))
    assert rule_text(rule, sold, owed) == (
        f"WETH {sold.address} against USDC {owed.address}; above a leverage of 2.5 back to 2, at most 1 USDC at once; "
        "below 1.5 does nothing, for want of a borrow_step; slippage 50 bps; cooldown none; expires never; "
        f"only {limits.keeper} may act"
    )


def test_set__with_a_key_misspelt__says_which_is_meant(world: World, tmp_path: Path) -> None:
    path, file = config(world, tmp_path), tmp_path / "rule.toml"
    for text, wanted in (
        ("max_stepp = 1\n", "rule: max_stepp: there is no such key; did you mean max_step?"),
        (
            "max_step = 1\n[terms]\nspeed = 3\n",
            "rule: terms.speed: there is no such term; did you mean speed_bps?",
        ),
        ("max_step = 1\nborrow_step = 1\n[terms]\nborrow_step = 1\n", "rule: borrow_step: is said twice"),
    ):
        file.write_text(text)
        said = keeper("rule", "set", world.roles.owner, *options(world), "--file", file, "--config", path)
        assert one_sentence(said, 2).startswith(wanted)


def test_set__that_makes_no_sense__is_one_sentence_that_says_where(world: World, tmp_path: Path) -> None:
    path, owner = config(world, tmp_path), world.roles.owner
    given = options(world)
    for words, wanted in (
        (given, "rule: max_step: is missing"),
        ([*given, "--max-step", "much"], "rule: max_step: "),
        ([*given, "--max-step", "0.0000001"], "rule: 1E-7 is not max_step of at most 6 decimals"),
        ([*given, "--max-step", "1", "--id", "3"], "rule: 3 is past the end: "),
        ([*given, "--max-step", "1", "--file", str(tmp_path / "none.toml")], "cannot be read"),
    ):
        assert wanted in one_sentence(keeper("rule", "set", owner, *words, "--config", path), 2)
    file = tmp_path / "rule.toml"
    file.write_text("[terms]\nwishes = 3\n")
    said = keeper("rule", "set", owner, *given, "--max-step", "1", "--file", file, "--config", path)
    assert "rule: terms.wishes: there is no such term; those there are: in_leverage" in one_sentence(said, 2)


def test_clear__of_a_rule_that_is_not_there__is_refused_in_the_contracts_words(
    world: World, tmp_path: Path
) -> None:
    said = one_sentence(
        keeper("rule", "clear", world.roles.owner, "0", "--config", config(world, tmp_path)), 2
    )
    assert said.startswith("rule: the contract would refuse it: ")


def test_lint__of_rules_with_faults__tells_them_and_exits_3(
    world: World, set_rule: SetRule, tmp_path: Path
) -> None:
    owner, path = world.roles.owner, config(world, tmp_path)
    world.open_loan(owner, 100, health=1.3)
    set_rule(owner, slippage_bps=1)
    set_rule(owner, 13_000, 16_000, id=1, max_step=NO_LIMIT)
    told = keeper("rule", "lint", owner, "--config", path)
    assert told.returncode == 3
    assert "rule 0: fires now: health: below the floor" in told.stdout
    assert "rule 0: slippage too tight: one step from the floor would lose" in told.stdout
    assert "loan rule 1 and 0: never fires: rule 0 sells the same for the same" in told.stdout
    found = json.loads(keeper("rule", "lint", owner, "--json", "--config", path).stdout)
    assert found["rules"] == 2
    assert {each["fault"] for each in found["faults"]} >= {"fires now", "slippage too tight", "never fires"}


def test_show_and_lint__of_an_owner_without_rules__say_so(world: World, tmp_path: Path) -> None:
    path = config(world, tmp_path)
    assert "has none in the watched contracts" in one_sentence(
        keeper("rule", "show", world.roles.stranger, "--config", path), 4
    )
    said = one_sentence(keeper("rule", "lint", world.roles.stranger, "--config", path), 4)
    assert "has no rule in the watched contracts" in said
    assert "is not an address" in one_sentence(keeper("rule", "lint", "nobody", "--config", path), 2)

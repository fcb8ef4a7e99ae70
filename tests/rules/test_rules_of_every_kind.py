"""Rules on ranges and baskets on the devnet: written by a person or a plan, signed by the owner, read back the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from typer.testing import CliRunner

from keeper import app
from keeper.cli import cli
from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.domain.units import BASE
from keeper.planner.cases import FIXED
from keeper.planner.results import DOWN, Kind
from keeper.planner.results import Path as Life
from keeper.planner.rule_file import Assets, rule_file
from keeper.protocols.ticks import sqrt_price_at
from keeper.rules.cases import lint_rules
from keeper.rules.writing import Written, read_rule, write_rule
from keeper.settings import Settings
from tests.rules.test_rule_command import sent_by

BASKET = {"assets": ["WETH:5000:500", "USDC:5000:500"], "max_step": "10000"}
RANGE = {"below": 600, "above": 600, "buffer": 50, "hold": 300}


def write(
    settings: Settings, world: World, kind: str, options: dict[str, Any], file: Path | None = None
) -> Written:
    """What `keeper rule set --approve` comes to, signed by the owner."""
    text = read_rule(file, options, kind)
    written = write_rule(settings, world.roles.owner, None, text, None, approve=True)
    sent_by(world, written.to_json())
    return written


def shown(settings: Settings, kind: str) -> list[dict[str, Any]]:
    """Every rule of a kind as it stands on chain."""
    _, looks = app.look(settings)
    of_kind = [look for look in looks if settings.kinds[look.verdict.key.thresholds] == kind]
    return [{**look.rule, "verdict": look.verdict.kind.name, "why": look.verdict.why} for look in of_kind]


def test_a_basket__set_by_options__is_said_whole_and_stands_on_chain_as_it_was_said(
    world: World, watching: Settings, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.give("WETH", owner, 10)
    world.give("USDC", owner, 20_000)
    words = [word for asset in BASKET["assets"] for word in ("--asset", asset)]
    path = str(tmp_path / "keeper.toml")
    command = ["rule", "set", owner, "--kind", "basket", *words, "--max-step", "10000", "--approve"]
    done = CliRunner().invoke(cli, [*command, "--config", path])
    assert done.exit_code == 0, done.stderr
    first, allows, allows_too, sets = done.stderr.splitlines()
    ether, dollar = world.weth, world.usdc
    assert first == f"for {owner} to sign on chain {world.chain_id}:"
    assert allows == f"1. lets {world.basket_thresholds} take WETH {world.weth.token}, without limit"
    assert allows_too.startswith(f"2. lets {world.basket_thresholds} take USDC ")
    assert sets.startswith(
        f"3. sets basket rule 0: 50 % WETH {ether.token} ± 5 %, priced by {ether.feed}, 200 to 20,000 USD and at most "
        f"25 hours old; 50 % USDC {dollar.token} ± 5 %, priced by {dollar.feed}, 0.1 to 10 USD"
    )
    assert (
        "; out of a band back to 50 % of it, at most 10,000 USD at once; pools within 100 bps of the feeds; "
        "loses at most 100 USD in 1 day; slippage 100 bps; cooldown none; expires "
    ) in sets
    assert sets.endswith("; anyone may act")
    sent_by(world, json.loads(done.stdout))
    (rule,) = shown(watching, "basket")
    assert (rule["verdict"], rule["why"]) == ("WITHIN", "basket: within its bands")
    assert rule["asset_0"] == f"{world.weth.token} 5000 ± 500"
    assert (rule["max_step"], rule["budget"], rule["slippage_urgent_bps"]) == (10_000, str(100 * BASE), 100)
    assert lint_rules(watching, owner) == (1, ())
    done = CliRunner().invoke(cli, ["rule", "clear", owner, "0", "--kind", "basket", "--config", path])
    assert "clears basket rule 0" in done.stderr
    sent_by(world, json.loads(done.stdout))
    assert [each["why"] for each in shown(watching, "basket")] == ["rule: none is set"]


@pytest.mark.parametrize("priced_in", ["USDC", "WETH"])
def test_a_range__with_cutoffs_as_prices__leaves_where_they_are_in_either_order_of_the_tokens(
    world: World, watching: Settings, open_range: Callable[..., int], priced_in: str
) -> None:
    token_id = open_range()
    prices = {"cutoff_low": "1500", "cutoff_high": "2500"}
    if priced_in == "WETH":
        prices = {"cutoff_low": "0.0004", "cutoff_high": "0.000666667"}
    exits = {"exit_low": "USDC"} if priced_in == "USDC" else {"exit_high": "USDC"}
    options = {**RANGE, "token_id": token_id, "priced_in": priced_in, **prices, **exits}
    written = write(watching, world, "range", options)
    (rule,) = shown(watching, "range")
    assert (rule["verdict"], rule["why"]) == ("WITHIN", "range: inside its trigger")
    assert (rule["token_id"], rule["hold"], rule["deviation"]) == (str(token_id), 300, 50)
    dear, cheap = ("high", "low") if world.weth_is_token0 else ("low", "high")
    for side, usd in ((dear, 2_500), (cheap, 1_500)):
        root = sqrt_price_at(int(rule[f"cutoff_{side}"])) / 2**96
        price = root**2 * 1e12 if world.weth_is_token0 else 1e12 / root**2
        assert price == pytest.approx(usd, rel=2e-4)
    assert rule[f"exit_{cheap}"] == ("all_in_token1" if world.weth_is_token0 else "all_in_token0")
    assert rule[f"exit_{dear}"] == "as_it_lies"
    grants, said = written.said
    assert grants.startswith(f"lets {world.range_thresholds} move every Uniswap position of the account")
    if priced_in == "USDC":
        assert "; leaves the pool below 1,49" in said or "; leaves the pool below 1,500" in said
        assert (
            "all in USDC; leaves the pool above 2,49" in said
            or "all in USDC; leaves the pool above 2,500" in said
        )
    assert "following both ways; to 600 ticks below and 600 above the price" in said
    assert lint_rules(watching, world.roles.owner) == (1, ())


def test_the_file_a_plan_leaves__of_a_basket_and_of_a_range__goes_straight_in(
    world: World, watching: Settings, open_range: Callable[..., int], tmp_path: Path
) -> None:
    world.give("WETH", world.roles.owner, 10)
    world.give("USDC", world.roles.owner, 20_000)
    actions = SimpleNamespace(traded=np.array([1_000.0]), side=np.array([DOWN]))
    life = cast("Life", SimpleNamespace(actions=actions, equity=np.array([0.0]), seconds=3_600))
    planned: dict[str, dict[str, float]] = {
        "basket": {"trigger": 0.08, "destination": 0.02, "is_relative": 0.0, "cooldown": 600.0, "look": 2.0}
        | {"scale": FIXED},
        "range": {"width": 0.07, "trigger": 0.08, "hold": 1.0, "cooldown": 600.0},
    }
    more: dict[str, dict[str, Any]] = {
        "basket": {"assets": ["weth", world.usdc.token]},
        "range": {"token_id": open_range()},
    }
    for kind, rule in planned.items():
        file = tmp_path / f"{kind}.toml"
        file.write_text(rule_file(cast("Kind", kind), rule, life, Assets(weights=(0.6, 0.4))))
        assert "# keeper rule set OWNER --file rule.toml --approve" in file.read_text().splitlines()[0]
        write(watching, world, kind, more[kind], file)
    (basket,) = shown(watching, "basket")
    assert basket["asset_0"] == f"{world.weth.token} 6000 ± 800"
    assert (basket["destination_bps"], basket["cooldown"], basket["max_step"]) == (2_500, 600, 1_500)
    (held,) = shown(watching, "range")
    assert (held["below"], held["above"], held["buffer"], held["hold"]) == (700, 700, 100, 60)


def test_a_rule__with_something_wrong__is_one_sentence_that_says_what_is_meant(
    world: World, watching: Settings, open_range: Callable[..., int], tmp_path: Path
) -> None:
    token_id = open_range()
    wrong: list[tuple[str, dict[str, Any], str]] = [
        (
            "basket",
            {**BASKET, "assets": ["WETH:5000", "USDC"]},
            "rule: --asset: say TOKEN:TARGET_BPS:BAND_BPS",
        ),
        (
            "basket",
            {**BASKET, "assets": ["WEHT:5000:500", "USDC:5000:500"]},
            "rule: Aave lists no WEHT; say the",
        ),
        (
            "basket",
            {**BASKET, "max_stepp": 1},
            "rule: max_stepp: there is no such key; did you mean max_step?",
        ),
        ("basket", {"assets": BASKET["assets"]}, "rule: max_step: is missing"),
        (
            "basket",
            {**BASKET, "assets": ["WETH:5000:500", "USDC:4000:500"]},
            "rule: the targets do not make a whole",
        ),
        ("range", {**RANGE, "token_id": 10**9}, "rule: token_id: there is no position 1000000000"),
        ("range", {**RANGE, "token_id": token_id, "hold": 30}, "refuse it: rule: hold is below 60 seconds"),
        (
            "range",
            {**RANGE, "token_id": token_id, "cutoff_low": "0.5"},
            "rule: 0.5 is no tick; beside priced_in",
        ),
        (
            "range",
            {**RANGE, "token_id": token_id, "exit_low": "DAI"},
            "the position's pool lists no DAI; say",
        ),
        ("range", {**RANGE, "token_id": token_id, "floor": "1.4"}, "rule: floor: there is no such key; "),
        (
            "loan",
            {"floor": "1.4", "target": "1.7", "max_step": "1", "debt": "DAI"},
            "rule: collateral: is missing",
        ),
    ]
    for kind, options, sentence in wrong:
        with pytest.raises(Misconfigured) as caught:
            write(watching, world, kind, options)
        assert sentence in str(caught.value)
    file = tmp_path / "rule.toml"
    for text, kind, sentence in (
        ('kind = "rnage"\n', None, "rule: kind: there is no rnage; did you mean range?"),
        ('kind = "range"\n', "basket", "holds a rule on a range, and --kind says basket"),
        ('kind = "basket"\n[[assets]]\ntarget_bps = 1\nbandbps = 1\n', None, "did you mean band_bps?"),
    ):
        file.write_text(text)
        with pytest.raises(Misconfigured, match=sentence):
            read_rule(file, {}, kind)
    file.write_text('kind = "basket"\n[[assets]]\ntarget_bps = 5000\nband_bps = 5\n')
    with pytest.raises(Misconfigured, match="the file has 1 asset; name the token of each"):
        read_rule(file, {"assets": ["WETH", "USDC"]})


def test_lint__across_every_kind__tells_a_basket_that_sells_what_a_ranges_exit_buys(
    world: World, watching: Settings, open_range: Callable[..., int]
) -> None:
    owner = world.roles.owner
    token_id = open_range()
    world.give("WETH", owner, 10)
    world.give("USDC", owner, 20_000)
    write(watching, world, "basket", BASKET)
    leaving = {"priced_in": "USDC", "cutoff_low": "1500", "exit_low": "USDC"}
    write(watching, world, "range", {**RANGE, "token_id": token_id, **leaving})
    manager = world.uniswap.position_manager
    world.send(owner, manager, "setApprovalForAll(address,bool)", world.range_thresholds, False)
    count, found = lint_rules(watching, owner)
    assert count == 2
    barred, loop = found
    assert barred.why == "its contract says approval: the owner has not made this contract an operator"
    assert loop.fault == "loops"
    assert loop.why.startswith("range rule 0 leaves its pool all in USDC, 3")
    assert loop.why.endswith("of them, and basket rule 0 would sell them for WETH again")
    done = CliRunner().invoke(
        cli, ["rule", "lint", owner, "--config", str(watching.journal.path.parent / "keeper.toml")]
    )
    assert done.exit_code == 3
    assert done.stdout.splitlines()[1].startswith("range rule 0 and basket rule 0: loops: ")

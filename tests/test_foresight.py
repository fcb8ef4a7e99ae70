"""The look ahead over all kinds: how it is told, whose money is counted, and what it does where nobody can be asked."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from keeper import app, show
from keeper.chain.node import Node
from keeper.cli import cli
from keeper.devnet.world import World
from keeper.domain.errors import NodeRefused
from keeper.domain.foresight import Cause, Horizon
from keeper.domain.units import GWEI
from keeper.foresight import Purse, foresee
from keeper.send.fees import SendLimits, first_fees
from keeper.settings import Settings
from keeper.watch.access import TOKEN
from tests.conftest import SetRule, Watching
from tests.positions.test_baskets import basket_opener, settle_at
from tests.watch.conftest import SECRET, shown
from tests.watch.test_metrics import numbers

HORIZON = Horizon(86_400, 0.8)
LIMITS = SendLimits(max_fee_wei=500 * GWEI, tip_wei=GWEI)


@pytest.fixture
def settings(world: World, watching: Watching, set_rule: SetRule) -> Settings:
    """Two loans near their floors, the twin's nearer and without an allowance that would do."""
    roles = world.roles
    for who, health, allowance in ((roles.owner, 1.44, 2**255), (roles.twin, 1.42, 10**15)):
        world.open_loan(who, 100, health=health)
        set_rule(who, allowance=allowance)
    return watching(world.thresholds, [roles.owner, roles.twin])


def test_look_ahead__as_a_person_and_as_a_script_have_it__names_rule_time_and_obstacle_and_exits_3(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    path = str(tmp_path / "keeper.toml")
    assert settings.chain.id == world.chain_id
    done = CliRunner().invoke(cli, ["look", "--ahead", "--json", "--config", path])
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert [each["verdict"] for each in told["positions"]] == ["within", "within"]
    nearest, other = told["ahead"]
    assert (nearest["owner"], other["owner"]) == (world.roles.twin, world.roles.owner)
    assert nearest["obstacles"] == [
        {"cause": "grant", "why": "allowance: the aToken allowance is short of what must be sold"}
    ]
    assert other["obstacles"] == []
    assert nearest["early_seconds"] < other["early_seconds"] < other["median_seconds"]
    done = CliRunner().invoke(cli, ["look", "--ahead", "--config", path], env={"COLUMNS": "250"})
    assert done.exit_code == 3
    assert "within reach of a trigger in 1 day" in done.stdout
    assert "nothing that is known" in done.stdout
    world.approve(world.roles.twin, world.weth.a_token, world.thresholds)
    assert CliRunner().invoke(cli, ["look", "--ahead", "--config", path]).exit_code == 0


def test_gas_money__of_two_positions__is_enough_for_the_nearer_before_it_is_for_both(
    world: World, settings: Settings
) -> None:
    node, head = world.node, world.node.head()
    positions = app.watched(settings, node)
    fee = first_fees(head.base_fee, LIMITS, LIMITS.action_fee_wei).max_fee
    world.node.ask("anvil_setBalance", world.roles.keeper, hex(3 * 10**6 * fee))
    for most_gas, able in ((10**6, 2), (2 * 10**6, 1), (4 * 10**6, 0)):
        foreseen = foresee(node, positions, head, HORIZON, Purse(world.roles.keeper, most_gas, LIMITS))
        poor = [
            any(found.cause is Cause.GAS_MONEY for found in each.obstacles) for each in foreseen.foresights
        ]
        assert poor == [n >= able for n in range(2)], (most_gas, foreseen)


def test_a_base_fee__above_what_the_operator_bids__is_an_obstacle_to_all(
    world: World, settings: Settings
) -> None:
    world.mine(base_fee=GWEI)
    low = replace(LIMITS, max_fee_wei=GWEI // 2, tip_wei=0)
    foreseen = foresee(
        world.node, app.watched(settings, world.node), world.node.head(), HORIZON, Purse(None, 1, low)
    )
    assert len(foreseen.foresights) == 2
    for each in foreseen.foresights:
        assert Cause.GAS_PRICE in {found.cause for found in each.obstacles}


def test_a_node__that_takes_no_overrides__leaves_a_kind_untold_and_the_others_are_told(
    world: World, settings: Settings, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    basket_opener(world)(world.roles.owner)
    settle_at(world, 2_000)
    loans = app.watched(settings, world.node)

    def refused(*_: object) -> None:
        raise NodeRefused("eth_call: too many arguments, want at most 2")

    monkeypatch.setattr("keeper.positions.loan_ahead.ask_as_if", refused)
    foreseen = foresee(world.node, loans, world.node.head(), HORIZON, Purse(None, 1, LIMITS))
    assert foreseen.foresights == ()
    assert foreseen.untold == ("node: eth_call: too many arguments, want at most 2",)


def test_a_node__that_leaves_overrides_out__is_not_believed(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some nodes read two parameters and drop the rest: the words come back as they are written."""
    plain = type(world.node).ask_each

    def forgetful(node: object, questions: list[tuple[str, list[object]]]) -> object:
        return plain(
            node,
            [(method, params[:2] if "stateDiff" in str(params) else params) for method, params in questions],
        )

    monkeypatch.setattr(type(world.node), "ask_each", forgetful)
    foreseen = foresee(
        world.node, app.watched(settings, world.node), world.node.head(), HORIZON, Purse(None, 1, LIMITS)
    )
    assert foreseen.foresights == ()
    (why,) = foreseen.untold
    assert why.endswith(f"does not show {world.thresholds} as if its rules were others")


def test_a_node__that_words_a_revert_as_no_node_should__leaves_a_kind_untold_and_costs_no_turn(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = type(world.node).ask_each

    def wordy(node: Node, questions: list[tuple[str, list[object]]]) -> list[object]:
        tried = ["stateDiff" in str(params) and "from" in str(params[0]) for _, params in questions]
        refusal = NodeRefused("eth_call: VM execution error.", -32015, "Reverted 0x")
        told = plain(node, questions)
        return [refusal if is_tried else each for each, is_tried in zip(told, tried, strict=True)]

    monkeypatch.setattr(type(world.node), "ask_each", wordy)
    with app.open_keeper(settings, dry_run=True) as keeper:
        assert keeper.lookout is not None
        soon = replace(keeper, lookout=replace(keeper.lookout, every_blocks=1))
        soon.turn(soon.node.head())
        world.mine()
        turn = soon.turn(soon.node.head())
    assert len(turn.verdicts) == 2
    assert turn.foreseen is not None
    assert (turn.foreseen.foresights, turn.foreseen.untold) == (
        (),
        ("node: the answer to eth_call is not bytes",),
    )


def test_a_fault_of_ours__in_looking_ahead__is_told_and_costs_no_turn(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("keeper.positions.loan_ahead.ask_as_if", faulty)
    foreseen = foresee(
        world.node, app.watched(settings, world.node), world.node.head(), HORIZON, Purse(None, 1, LIMITS)
    )
    assert foreseen.foresights == ()
    (why,) = foreseen.untold
    assert why.startswith(
        "foresight: it ended in a ZeroDivisionError that nobody foresaw, at test_foresight.py:"
    )


def test_the_dashboard__of_a_position_within_reach__shows_when_and_what_would_stop_it(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    with app.open_keeper(settings, dry_run=False) as keeper:
        keeper.turn(keeper.node.head())
    with shown(settings) as asker:
        state = asker.until(lambda state: state["outlook"]["block"])
        told = numbers(asker)
    by_owner = {position["owner"]: position["ahead"] for position in state["positions"]}
    assert by_owner[world.roles.twin]["obstacles"] == [
        "allowance: the aToken allowance is short of what must be sold"
    ]
    assert by_owner[world.roles.owner]["obstacles"] == []
    assert told["keeper_within_reach",] == 2
    assert {cause: told["keeper_foreseen_obstacles", cause.value] for cause in Cause} == {
        cause: int(cause is Cause.GRANT) for cause in Cause
    }


def test_a_turn_that_looked_ahead__as_it_is_told__has_a_line_for_each_obstacle(
    world: World, settings: Settings
) -> None:
    with app.open_keeper(settings, dry_run=True) as keeper:
        assert keeper.lookout is not None
        soon = replace(keeper, lookout=replace(keeper.lookout, every_blocks=1))
        soon.turn(soon.node.head())
        world.mine()
        turn = soon.turn(soon.node.head())
    said = StringIO()
    show.print_turn(Console(file=said, highlight=False), turn, True, settings.kinds)
    (line,) = [each for each in said.getvalue().splitlines() if "ahead: " in each]
    assert line.endswith("allowance: the aToken allowance is short of what must be sold")
    told = show.turn_json(turn, True, settings.kinds)
    assert [[found["cause"] for found in each["obstacles"]] for each in told["ahead"]] == [["grant"], []]
    assert told["untold"] == []

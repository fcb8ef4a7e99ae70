"""`keeper simulate`: a history over two forks tells what a rule does to the positions there are, and moves nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.settings import read_settings
from keeper.simulate.histories import Wanted
from keeper.simulate.screen import print_simulated
from keeper.simulate.stage import require_page, simulate, write_page
from tests.conftest import SetRule
from tests.test_cli import config
from tests.test_progress import terminal_of

FALL = """open_time,open,high,low,close,gas_gwei
1583971200,200,201,180,182,20
1583974800,182,183,150,152,40
1583978400,152,160,126,130,60
"""


def test_simulate__a_fall__liquidates_who_is_alone_and_not_who_is_kept(
    world: World, set_rule: SetRule, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.5)
    set_rule(owner, 14_000, 16_000)
    settings = read_settings(config(world, tmp_path))
    manifest, bars = tmp_path / "devnet.json", tmp_path / "fall.csv"
    manifest.write_text(world.to_json())
    bars.write_text(FALL)
    before = world.node.head()

    terminal = io.StringIO()
    told = simulate(settings, manifest, Wanted(str(bars)), terminal_of(terminal))
    for wanted in ("with the keeper: ", "with nobody: "):
        assert wanted in terminal.getvalue(), "how far it is, is shown"

    (rule,) = told.rules
    kept, alone = rule.guarded, rule.alone
    assert (kept.liquidations, alone.acts) == ((), ())
    assert len(kept.acts) >= 1
    assert len(alone.liquidations) >= 1
    assert kept.lowest is not None
    assert alone.lowest is not None
    assert float(alone.lowest) < 1 < float(kept.lowest)
    assert kept.outside < alone.outside
    assert kept.equity_start == alone.equity_start
    assert (kept.equity_end or 0) > (alone.equity_end or 0) > 0
    assert kept.gas > 0
    assert world.node.head() == before, "the devnet itself has not moved"

    assert told.saved == pytest.approx((kept.equity_end or 0) - kept.gas - (alone.equity_end or 0))
    assert [price.time for price in told.prices] == [1583971200, 1583974800, 1583978400]
    assert [hour.time for hour in kept.hours] == [price.time for price in told.prices]
    assert min(hour.low or 9 for hour in alone.hours) == pytest.approx(float(alone.lowest), abs=1e-4)
    assert dict(rule.marks) == {"low": 1.4, "target": 1.6, "high": 2.5}
    for act in kept.acts:
        assert (act.action, act.delayed) == ("deleverage", 1)
        assert (act.before or 9) < 1.4 < (act.after or 0)
        assert act.cost is not None
        assert act.cost.gas == pytest.approx(act.gas * act.price)
        assert act.cost.fee > 0

    write_page(told, tmp_path / "fall.html")
    assert 'data-plot="rule0"' in (tmp_path / "fall.html").read_text()
    (position,) = told.to_json()["positions"]
    assert (position["owner"], position["kind"], position["rule"]) == (owner, "loan", 0)
    assert position["guarded"]["actions"] == len(kept.acts) == len(position["guarded"]["acts"])
    screen = io.StringIO()
    print_simulated(Console(file=screen, width=150), told)
    for wanted in (
        "loan rule 0",
        "with the keeper",
        "without",
        f"of {kept.blocks} blocks",
        "loans ended with",
        "times as fast",
    ):
        assert wanted in screen.getvalue()


def test_simulate__of_nothing__is_one_sentence(world: World, tmp_path: Path) -> None:
    settings = read_settings(config(world, tmp_path))
    with pytest.raises(Misconfigured, match="no devnet runs from this folder"):
        simulate(settings, tmp_path / "devnet.json", Wanted(), None)
    (tmp_path / "devnet.json").write_text(world.to_json())
    with pytest.raises(Misconfigured, match="none of the watched owners has written a rule"):
        simulate(settings, tmp_path / "devnet.json", Wanted(), None)
    elsewhere = settings.model_copy(update={"chain": settings.chain.model_copy(update={"id": 1})})
    with pytest.raises(
        Misconfigured, match="devnet is chain 31337, and the settings say 1; --fork-url names"
    ):
        simulate(elsewhere, tmp_path / "devnet.json", Wanted(), None)


def test_a_page__that_could_not_be_written__is_refused_before_the_play(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"--html .* is a folder; name a file to write"):
        require_page(tmp_path)
    with pytest.raises(Misconfigured, match=r"--html .*none.page\.html is in no folder that there is"):
        require_page(tmp_path / "none" / "page.html")
    require_page(tmp_path / "page.html")


def test_simulate__a_depeg__moves_the_feed_of_usdc_and_the_debt_with_it(
    world: World, set_rule: SetRule, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.5)
    set_rule(owner, 11_000, 13_000)
    settings = read_settings(config(world, tmp_path))
    (tmp_path / "devnet.json").write_text(world.to_json())
    wanted = Wanted("usdc-depeg", start="2023-03-11T08:00", end="2023-03-11T10:00")

    told = simulate(settings, tmp_path / "devnet.json", wanted, None)

    dollars = [price.usdc or 0 for price in told.prices]
    at_three_quarters = [0.9630**0.25 * 0.9248**0.75, 0.9248**0.25 * 0.9023**0.75, 0.9023]
    assert dollars == pytest.approx([usd / 0.9630 for usd in at_three_quarters], abs=1e-6)
    ether = told.prices[-1].close / told.prices[0].open
    (rule,) = told.rules
    health = [hour.end or 0 for hour in rule.alone.hours]
    assert health[-1] / 1.5 == pytest.approx(ether / dollars[-1], rel=1e-3), "debt in USDC weighs less"
    assert (rule.guarded.acts, rule.guarded.liquidations) == ((), ())


def test_simulate__in_a_hostile_mempool__says_what_that_cost(
    world: World, set_rule: SetRule, tmp_path: Path
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.5)
    set_rule(owner, 14_000, 16_000)
    settings = read_settings(config(world, tmp_path))
    bars = tmp_path / "fall.csv"
    (tmp_path / "devnet.json").write_text(world.to_json())
    bars.write_text("".join(FALL.splitlines(keepends=True)[:2]))

    told = simulate(settings, tmp_path / "devnet.json", Wanted(str(bars)), None, hostile=True)

    (rule,) = told.rules
    hostile, calm = rule.guarded, rule.calm
    assert calm is not None
    assert told.hostility is not None
    assert told.hostility.held >= len(hostile.acts) >= 1
    assert told.hostility.outbid + told.hostility.sandwiched + told.hostility.spared >= 1
    assert min(act.delayed for act in hostile.acts) > max(act.delayed for act in calm.acts) == 1
    assert (calm.equity_start, rule.alone.acts) == (hostile.equity_start, ())
    cost = (calm.equity_end or 0) - calm.gas - (hostile.equity_end or 0) + hostile.gas
    assert told.hostile_cost == pytest.approx(cost)
    assert cost > 0
    screen = io.StringIO()
    print_simulated(Console(file=screen, width=150), told)
    assert "in peace" in screen.getvalue()
    assert "The mempool was hostile: it held back" in screen.getvalue()
    assert told.to_json()["hostile"]["cost_usd"] == told.hostile_cost

"""The keeper has feeds measured, and holds loans whose floors follow what was measured, over the real chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.app import open_keeper
from keeper.chain.loans import Loans
from keeper.devnet.actors import move_pool_to
from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.domain.loan_band import standing
from keeper.domain.loans import Band, Limits, LoanRule, Terms
from keeper.domain.rules import RuleKey
from keeper.domain.units import NOBODY, WAD, Address
from keeper.domain.verdicts import Kind
from keeper.positions.feeds import FeedPositions
from keeper.positions.port import Doubts
from keeper.protocols.loan_thresholds import SET_RULE_AND_TERMS, rule_fields, terms_fields
from keeper.settings import read_settings
from keeper.turn import Keeper, Turn
from tests.conftest import FOREVER, KEEPER_KEY, NO_LIMIT

HOUR = 3_600
DAY = 24 * HOUR
DUE = "volatility: a round is due to be counted"
NOT_DUE = "volatility: nothing is due to be counted"
DOUBTS = Doubts(max_price_age=90_000, drift_bps=30)


@pytest.fixture
def keeper(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keeper]:
    """A keeper of one owner's loans and of ether's feed."""
    monkeypatch.setenv("KEEPER_KEY", KEEPER_KEY)
    (tmp_path / "keeper.toml").write_text(
        f"""
        [chain]
        id = {world.chain_id}
        url = "{world.node.url}"
        [[watch]]
        thresholds = "{world.thresholds}"
        owners = ["{world.roles.owner}"]
        [[watch]]
        kind = "feeds"
        thresholds = "{world.volatility}"
        owners = ["{world.weth.feed}"]
        worth_eth = 0.01
        """
    )
    with open_keeper(read_settings(tmp_path / "keeper.toml"), False) as opened:
        yield opened


def lived(world: World, prices: list[float], pause: int = 36 * HOUR) -> None:
    """Each price of ether stands for so long and is counted."""
    for price in prices:
        world.warp(pause)
        world.set_price("WETH", price)
        world.send(world.roles.stranger, world.volatility, "poke(address)", world.weth.feed)
    world.set_price("USDC", 1)
    move_pool_to(world)


def write(world: World, band: Band, terms: Terms) -> LoanRule:
    owner = world.roles.owner
    rule = LoanRule(
        world.weth.token, world.usdc.token, band, Limits(100, 0, NO_LIMIT, FOREVER, NOBODY), terms
    )
    fields = (rule_fields(rule), terms_fields(terms))
    world.send(owner, world.thresholds, SET_RULE_AND_TERMS.signature, 0, *fields)
    world.approve(owner, world.weth.a_token, world.thresholds)
    return rule


def following(world: World) -> Terms:
    return Terms(highest_bps=18_000, sigmas_bps=20_000, horizon=7 * DAY, feed=world.weth.feed)


def turned(keeper: Keeper) -> Turn:
    return keeper.turn(keeper.node.head())


def why(turn: Turn, of: Address) -> tuple[Kind, str]:
    (verdict,) = [verdict for verdict in turn.verdicts if verdict.key.thresholds == of]
    return verdict.kind, verdict.why


def test_a_feed_with_a_round_to_count__is_poked_once_by_the_keepers_own_sender__and_again_when_due(
    world: World, keeper: Keeper
) -> None:
    first = turned(keeper)
    (intent,) = first.intents
    assert (intent.plan.action, intent.plan.moves) == ("poke", ())
    assert intent.why == "volatility: no round of this feed was ever counted"
    assert why(turned(keeper), world.volatility) == (Kind.WITHIN, NOT_DUE)
    world.warp(HOUR)
    assert why(turned(keeper), world.volatility) == (Kind.WITHIN, NOT_DUE), "the feed has no newer round"
    world.set_price("WETH", 2_020)
    due = turned(keeper)
    assert why(due, world.volatility) == (Kind.BREACHED, DUE)
    assert len(due.intents) == 1
    after = turned(keeper)
    assert (after.intents, why(after, world.volatility)) == ((), (Kind.WITHIN, NOT_DUE))
    counted = world.call(
        world.volatility, "memory_of(address)", "(uint256,uint256,uint256,uint256)", world.weth.feed
    )
    assert counted[1] == 2_020 * 10**8


def test_a_feed_with_a_round_to_count__gas_above_what_it_is_worth__waits(
    world: World, keeper: Keeper
) -> None:
    world.mine(base_fee=400 * 10**9)
    seen = turned(keeper)
    kind, reason = why(seen, world.volatility)
    assert (seen.intents, kind) == ((), Kind.BARRED)
    assert reason.startswith("send: the base fee of ")
    world.mine(base_fee=10**9)
    assert [intent.plan.action for intent in turned(keeper).intents] == ["poke"]


def test_a_feed_that_does_not_answer__is_blind_and_nothing_is_sent(world: World) -> None:
    held = FeedPositions(world.node, world.volatility, [world.roles.stranger, world.usdc.token], DOUBTS)
    seen = held.observe(world.node.head())
    assert [(v.kind, v.why) for v in seen.verdicts] == [(Kind.BLIND, "oracle: a feed does not answer")] * 2
    assert seen.breaches == ()
    (look, _) = held.look(world.node.head())
    assert look.rule == {"feed": world.roles.stranger, "counted_at": 0, "updated_at": 0}


@pytest.mark.parametrize("name", ["thresholds", "pool"])
def test_feeds__of_a_contract_that_measures_nothing__are_refused(world: World, name: str) -> None:
    with pytest.raises(Misconfigured, match="is not a Volatility contract"):
        FeedPositions(world.node, getattr(world, name), [world.weth.feed], DOUBTS)
    with pytest.raises(Misconfigured, match="there is no code"):
        FeedPositions(world.node, world.roles.stranger, [world.weth.feed], DOUBTS)


def test_a_loan_whose_floor_follows_volatility__is_left_alone_in_calm_and_brought_to_the_higher_target_in_a_storm(
    world: World, keeper: Keeper
) -> None:
    lived(world, [2_000 + n / 4 for n in range(7)])
    world.open_loan(world.roles.owner, 100, health=1.45)
    rule = write(world, Band(12_000, 14_000, 0), following(world))
    assert why(turned(keeper), world.thresholds) == (Kind.WITHIN, "health: at or above the floor")
    lived(world, [2_000 * (1.12 if n % 2 else 1.0) for n in range(1, 6)], pause=24 * HOUR)
    lived(world, [2_001.5], pause=2 * HOUR)
    (sight,) = Loans(world.node, world.thresholds, [world.roles.owner]).observe(world.node.head()).sights
    assert sight.rule is not None
    now = standing(sight.rule)
    assert rule.band.floor_bps < now.floor_bps < 18_000
    told = world.call(
        world.thresholds, "band_of(address,uint256)", "(uint256,uint256,uint256,bool)", world.roles.owner, 0
    )
    assert told == (now.floor_bps, now.target_bps, now.ceiling_bps, True)
    acted = turned(keeper)
    assert [(i.plan.action, i.why) for i in acted.intents] == [("deleverage", "health: below the floor")]
    health = world.account_data(world.roles.owner).health / WAD
    assert health == pytest.approx(now.target_bps / 10_000, rel=1e-3)
    assert why(turned(keeper), world.thresholds)[0] is Kind.WITHIN


def test_a_loan_whose_floor_follows_volatility__that_nobody_measures__is_held_to_the_highest_and_told_so(
    world: World, keeper: Keeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.75)
    write(world, Band(12_000, 14_000, 0), following(world))
    loans = next(positions for positions in keeper.watched if not isinstance(positions, FeedPositions))
    (look,) = loans.look(world.node.head())
    said = "health: below the floor, which is at its highest as volatility is not known"
    assert (look.verdict.kind, look.verdict.why, look.band) == (Kind.BREACHED, said, "1.8000 → 2.1000")
    assert look.rule["highest"] == "1.8000"
    acted = turned(keeper)
    (deleverage, *_) = acted.intents
    assert (deleverage.plan.action, deleverage.why) == ("deleverage", said)
    (look,) = loans.look(world.node.head())
    unknown = "volatility: not known of late, so that the floor is at its highest"
    assert (look.verdict.kind, look.verdict.why) == (Kind.WITHIN, unknown)
    key = RuleKey(world.thresholds, world.roles.owner, 0)
    assert look.verdict.key == key

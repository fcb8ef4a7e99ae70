"""The keeper acts on a loan from both sides of its band, over the real chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.app import open_keeper
from keeper.chain.loans import Loans
from keeper.devnet.actors import move_pool_to
from keeper.devnet.world import World
from keeper.domain.loans import Band, Limits, LoanRule, Terms
from keeper.domain.plans import Worth, no_dearer
from keeper.domain.rules import RuleKey
from keeper.domain.units import BPS, GWEI, NOBODY, WAD
from keeper.domain.verdicts import Kind
from keeper.positions.port import gas_price_down
from keeper.protocols.loan_thresholds import (
    CHECK,
    SET_RULE_AND_TERMS,
    Action,
    read_finding,
    rule_fields,
    terms_fields,
)
from keeper.turn import Keeper, Turn
from tests.conftest import FOREVER, NO_LIMIT, Watching

LEVERAGED = Band(25_000, 20_000, 16_000)


def write(world: World, band: Band, terms: Terms) -> LoanRule:
    """The owner's rule, with allowance and credit for it."""
    owner, usdc = world.roles.owner, world.usdc
    limits = Limits(100, 0, NO_LIMIT, FOREVER, NOBODY)
    rule = LoanRule(world.weth.token, usdc.token, band, limits, terms)
    fields = (rule_fields(rule), terms_fields(terms))
    world.send(owner, world.thresholds, SET_RULE_AND_TERMS.signature, 0, *fields)
    world.approve(owner, world.weth.a_token, world.thresholds)
    world.send(owner, usdc.debt_token, "approveDelegation(address,uint256)", world.thresholds, 2**255)
    return rule


def move_price(world: World, dollars: float) -> None:
    world.set_price("WETH", dollars)
    move_pool_to(world)


@pytest.fixture
def keeper(world: World, watching: Watching) -> Iterator[Keeper]:
    with open_keeper(watching(world.thresholds, [world.roles.owner]), False) as opened:
        yield opened


@contextmanager
def blocks_by_hand(world: World) -> Iterator[Callable[[Keeper], Turn]]:
    """Turns whose transactions wait for a block that comes right after."""
    world.automine(False)

    def turn(keeper: Keeper) -> Turn:
        done = keeper.turn(keeper.node.head())
        world.mine()
        return done

    yield turn
    world.automine(True)


def cover(world: World) -> float:
    account = world.account_data(world.roles.owner)
    return account.collateral_base / account.debt_base


@pytest.mark.parametrize("unit", ["health", "leverage"])
def test_a_loan__out_of_its_band_on_either_side__is_brought_back_by_the_same_keeper(
    world: World, keeper: Keeper, unit: str
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.66)
    terms = Terms(in_leverage=unit == "leverage", borrow_step=NO_LIMIT)
    write(world, LEVERAGED if terms.in_leverage else Band(14_000, 16_600, 20_000), terms)
    with blocks_by_hand(world) as turn:
        assert [verdict.why for verdict in turn(keeper).verdicts] == [
            "health: between the floor and the ceiling"
        ]
        world.automine(True)
        move_price(world, 2_700)
        world.automine(False)
        above = turn(keeper)
        (intent,) = above.intents
        assert (intent.plan.action, intent.why) == ("releverage", "health: above the ceiling")
        assert [move.verb for move in intent.rehearsal.moves] == ["borrow", "buy"]
        assert turn(keeper).verdicts[0].kind is Kind.WITHIN
        if terms.in_leverage:
            assert 2.0 <= cover(world) <= 2.01
        else:
            assert 1.66 <= world.account_data(world.roles.owner).health / WAD <= 1.66 * 1.005

        world.automine(True)
        move_price(world, 2_050)
        world.automine(False)
        (intent,) = turn(keeper).intents
        assert (intent.plan.action, intent.why) == ("deleverage", "health: below the floor")
        assert turn(keeper).verdicts[0].kind is Kind.WITHIN
    if terms.in_leverage:
        assert abs(cover(world) - 2.0) < 0.001


def test_a_looped_loan__in_an_e_mode__is_brought_back_from_either_side(world: World, keeper: Keeper) -> None:
    """A band that no loan outside of an e-mode could stand in, and a keeper that finds out by itself."""
    deployer, owner, pool = world.roles.deployer, world.roles.owner, world.aave.pool
    category = (1, 9_000, 9_300, 10_100, NOBODY, "ETH and USD")
    configure = "setEModeCategory(uint8,uint16,uint16,uint16,address,string)"
    world.send(deployer, world.aave.configurator, configure, *category)
    for reserve in (world.weth, world.usdc):
        join = "setAssetEModeCategory(address,uint8)"
        world.send(deployer, world.aave.configurator, join, reserve.token, 1)
    world.open_loan(owner, 100, health=1.1)
    world.send(owner, pool, "setUserEMode(uint8)", 1)
    assert world.account_data(owner).threshold_bps == 9_300
    write(world, Band(10_300, 10_600, 12_000), Terms(borrow_step=NO_LIMIT))
    fair = world.price("WETH") / 10**8
    with blocks_by_hand(world) as turn:
        (intent,) = turn(keeper).intents
        assert (intent.plan.action, intent.why) == ("releverage", "health: above the ceiling")
        assert turn(keeper).verdicts[0].kind is Kind.WITHIN
        landed = world.account_data(owner)
        assert 1.06 <= landed.health / WAD <= 1.06 * 1.005
        assert landed.debt_base * BPS > landed.collateral_base * 8_500

        world.automine(True)
        move_price(world, fair * 0.96)
        world.automine(False)
        (intent,) = turn(keeper).intents
        assert (intent.plan.action, intent.why) == ("deleverage", "health: below the floor")
        planned = intent.plan.after.value
        assert planned is not None
        assert turn(keeper).verdicts[0].kind is Kind.WITHIN
    landed = world.account_data(owner)
    assert abs(landed.health / WAD - 1.06) < 0.001
    assert abs(planned / landed.health - 1) < 0.001


def test_a_loan_that_may_borrow__without_credit_for_it__is_barred_with_the_contracts_reason(
    world: World, keeper: Keeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=2.2)
    write(world, Band(14_000, 16_600, 20_000), Terms(borrow_step=NO_LIMIT))
    world.send(
        world.roles.owner,
        world.usdc.debt_token,
        "approveDelegation(address,uint256)",
        world.thresholds,
        0,
    )
    (verdict,) = keeper.turn(keeper.node.head()).verdicts
    assert verdict.kind is Kind.BARRED
    assert verdict.why == "delegation: the owner has delegated no credit in the debt asset"


def test_sights__without_the_lens__tell_the_same_terms(world: World) -> None:
    rule = write(world, LEVERAGED, Terms(True, 5 * 10**9, 300))
    key, block = RuleKey(world.thresholds, world.roles.owner, 0), world.node.head()
    loans = Loans(world.node, world.thresholds, [world.roles.owner])
    (told,) = loans.sights([key], block)
    (apart,) = loans.with_terms(loans.accounts._without_lens([key], block), block)
    assert told == apart
    assert told.rule == rule
    assert not told.owes_terms


def test_finding__of_a_rule_that_borrows__names_its_side(world: World) -> None:
    world.open_loan(world.roles.owner, 100, health=2.6)
    rule = write(world, Band(14_000, 16_600, 20_000), Terms(borrow_step=NO_LIMIT))
    asked = CHECK.call(world.roles.owner, 0)
    finding = read_finding(world.node.call(world.thresholds, asked, world.node.head().hash))
    assert (finding.kind, finding.action) == (Kind.BREACHED, Action.RELEVERAGE)
    capped = replace(rule, terms=Terms(borrow_step=10**9))
    write(world, capped.band, capped.terms)
    finding = read_finding(world.node.call(world.thresholds, asked, world.node.head().hash))
    assert finding.amount == 10**9


def test_a_loan_with_a_hold__is_witnessed_first_and_acted_on_when_the_breach_has_held(
    world: World, keeper: Keeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.39)
    write(world, Band(14_000, 16_600, 0), Terms(hold=300))
    with blocks_by_hand(world) as turn:
        (intent,) = turn(keeper).intents
        assert (intent.plan.action, intent.plan.moves) == ("witness", ())
        (verdict,) = turn(keeper).verdicts
        assert verdict.why == "hold: the breach has not been seen for long enough"
        # It is seen again before each gap is over, and in between there is nothing to do.
        for _ in range(3):
            world.warp(40)
            assert turn(keeper).intents == ()
            world.warp(50)
            (intent,) = turn(keeper).intents
            assert intent.plan.action == "witness"
        world.warp(10)
        assert turn(keeper).intents == ()
        world.warp(80)
        (intent,) = turn(keeper).intents
        assert intent.plan.action == "deleverage"
        assert turn(keeper).verdicts[0].kind is Kind.WITHIN


def test_an_action__under_a_cap_on_the_price_of_gas__bids_no_more_than_the_cap_and_is_not_sent_above_it(
    world: World, keeper: Keeper
) -> None:
    """What the contract would compare is the whole price, tip included, and a rehearsal may see none of it."""
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.35)
    write(world, Band(14_000, 17_000, 0), Terms(gas_cap=GWEI // 2))
    world.automine(False)
    world.mine(base_fee=GWEI)
    dear = keeper.turn(keeper.node.head())
    assert dear.intents == ()
    assert dear.verdicts[0].why == "gas: the price is above the rule's cap"

    world.mine(base_fee=GWEI // 4)
    (intent,) = keeper.turn(keeper.node.head()).intents
    world.mine(base_fee=GWEI // 4)
    done = keeper.turn(keeper.node.head())
    assert done.verdicts[0].kind is Kind.WITHIN, done.verdicts[0].why
    (flight,) = (change.flight for change in done.changes if change.flight.receipt)
    assert flight.intent.id == intent.id
    (attempt,) = flight.attempts
    assert attempt.fees.max_fee < GWEI * 6 // 10
    assert flight.receipt is not None
    assert flight.receipt.succeeded


@given(st.integers(10**6, 2**32 * 10**6), st.integers(0, BPS - 1))
def test_the_price_of_gas_to_bid__at_any_cap_and_urgency__is_one_the_contract_takes(
    cap: int, urgency: int
) -> None:
    price = gas_price_down(cap, urgency)
    assert price is not None
    assert price >= cap
    assert price * (BPS - urgency) <= cap * BPS
    least = Worth(price * 500_000 - 1, "less is at stake")
    assert no_dearer(least, price, 500_000) == least
    assert no_dearer(None, price, 500_000).wei == price * 500_000


@pytest.mark.parametrize(("cap", "urgency"), [(0, 0), (0, BPS), (10**9, BPS)])
def test_the_price_of_gas__without_a_cap_or_at_full_urgency__is_bounded_by_nothing(
    cap: int, urgency: int
) -> None:
    assert gas_price_down(cap, urgency) is None

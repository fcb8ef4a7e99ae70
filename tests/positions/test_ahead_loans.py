"""What would stop an action on a loan is told before the loan is breached, and then it is what stops it.

Every obstacle is the chain's own: real allowances, real flags of Aave, a real pool; and so is the one in good order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from keeper.app import open_keeper
from keeper.devnet.actors import move_pool_to
from keeper.devnet.world import World
from keeper.domain.foresight import Cause, Foreseen, Foresight, Horizon
from keeper.domain.loans import PLAIN, Band, Limits, LoanRule, Terms
from keeper.domain.units import GWEI, NOBODY
from keeper.domain.verdicts import Kind
from keeper.foresight import foresee
from keeper.positions import loan_screened
from keeper.positions.loans import LoanPositions
from keeper.positions.port import Positions
from keeper.protocols.loan_thresholds import SET_RULE_AND_TERMS, rule_fields, terms_fields
from keeper.turn import Keeper
from tests.conftest import FOREVER, NO_LIMIT, Watching

HORIZON = Horizon(86_400, 0.8)
FLOOR = Band(14_000, 17_000, 0)
BAND = Band(14_000, 16_600, 20_000)
DAY = 86_400


@pytest.fixture
def keeper(world: World, watching: Watching) -> Iterator[Keeper]:
    with open_keeper(watching(world.thresholds, [world.roles.owner, world.roles.twin]), False) as opened:
        yield opened


def write(world: World, band: Band, terms: Terms = PLAIN, id_: int = 0, **changes: Any) -> None:
    """The owner's rule, with all that it needs."""
    owner, usdc = world.roles.owner, world.usdc
    limits = replace(Limits(100, 0, NO_LIMIT, FOREVER, NOBODY), **changes)
    rule = LoanRule(world.weth.token, usdc.token, band, limits, terms)
    fields = (rule_fields(rule), terms_fields(terms))
    world.send(owner, world.thresholds, SET_RULE_AND_TERMS.signature, id_, *fields)
    world.approve(owner, world.weth.a_token, world.thresholds)
    world.send(owner, usdc.debt_token, "approveDelegation(address,uint256)", world.thresholds, 2**255)


def look_ahead(keeper: Keeper, horizon: Horizon = HORIZON, positions: tuple[Positions, ...] = ()) -> Foreseen:
    assert keeper.lookout is not None
    head = keeper.node.head()
    return foresee(keeper.node, positions or keeper.watched, head, horizon, keeper.lookout.purse)


def only(foreseen: Foreseen) -> Foresight:
    assert foreseen.untold == ()
    (foresight,) = foreseen.foresights
    return foresight


def move_price(world: World, dollars: float) -> None:
    world.set_price("WETH", dollars)
    move_pool_to(world)


def govern(signature: str, *values: Any) -> Callable[[World], None]:
    def happen(world: World) -> None:
        world.send(world.roles.deployer, world.aave.configurator, signature, world.usdc.token, *values)

    return happen


def granted(amount: int) -> Callable[[World], None]:
    return lambda world: void(world.approve(world.roles.owner, world.weth.a_token, world.thresholds, amount))


def credited(amount: int) -> Callable[[World], None]:
    def happen(world: World) -> None:
        call = "approveDelegation(address,uint256)"
        world.send(world.roles.owner, world.usdc.debt_token, call, world.thresholds, amount)

    return happen


def void(_: object) -> None:
    return None


def broke(world: World) -> None:
    world.node.ask("anvil_setBalance", world.roles.keeper, hex(10**12))


def dear(world: World) -> None:
    world.mine(base_fee=GWEI)


def nothing(_: World) -> None:
    return None


@dataclass(frozen=True, slots=True)
class InTheWay:
    """What happens before the breach, whose rule it is, and what is said of it then and at the breach."""

    cause: Cause
    why: str
    happen: Callable[[World], None] = nothing
    band: Band = FLOOR
    terms: Terms = PLAIN
    slippage_bps: int = 100
    expires_in: int = 0
    ether: int = 100
    stops: str = ""


IN_THE_WAY = {
    "allowance_missing": InTheWay(
        Cause.GRANT, "allowance: the owner has granted none of the aToken", granted(0)
    ),
    "allowance_short": InTheWay(
        Cause.GRANT, "allowance: the aToken allowance is short of what must be sold", granted(10**15)
    ),
    "credit_missing": InTheWay(
        Cause.GRANT,
        "delegation: the owner has delegated no credit in the debt asset",
        credited(0),
        BAND,
        Terms(borrow_step=NO_LIMIT),
    ),
    "credit_short": InTheWay(
        Cause.GRANT,
        "delegation: the credit delegated is short of what must be borrowed",
        credited(10**6),
        BAND,
        Terms(borrow_step=NO_LIMIT),
    ),
    "borrow_cap": InTheWay(
        Cause.PROTOCOL,
        "aave: the debt's borrow cap leaves too little room",
        govern("setBorrowCap(address,uint256)", 1),
        BAND,
        Terms(borrow_step=NO_LIMIT),
    ),
    "frozen": InTheWay(
        Cause.PROTOCOL,
        "aave: the debt's reserve is frozen, paused or inactive",
        govern("setReserveFreeze(address,bool)", True),
        BAND,
        Terms(borrow_step=NO_LIMIT),
    ),
    "paused": InTheWay(
        Cause.PROTOCOL,
        "aave: the debt's reserve is paused or inactive",
        govern("setReservePause(address,bool)", True),
    ),
    "slippage_below_the_pools_fee": InTheWay(
        Cause.POOL,
        "loan: the value lost is above the rule's slippage",
        slippage_bps=3,
        stops="rehearsal: loan: the value lost is above the rule's slippage",
    ),
    "pool_too_thin": InTheWay(
        Cause.POOL,
        "loan: the value lost is above the rule's slippage",
        slippage_bps=10,
        ether=6_000,
        stops="rehearsal: loan: the value lost is above the rule's slippage",
    ),
    "budget": InTheWay(
        Cause.REST,
        "rule: the loss is above what is left of the budget",
        terms=Terms(budget=10**8, window=DAY),
    ),
    "gas_cap": InTheWay(
        Cause.GAS_PRICE, "gas: the price is above the rule's cap", dear, terms=Terms(gas_cap=GWEI // 2)
    ),
    "expiry": InTheWay(Cause.EXPIRY, "rule: it expires at", expires_in=3_600, stops="rule: expired"),
    "gas_money": InTheWay(
        Cause.GAS_MONEY, "gas: the sender can pay for 0 of the 1 actions up to this", broke, stops="send: "
    ),
}


@pytest.mark.parametrize("case", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_an_obstacle__of_a_loan_near_its_edge__is_told_before_the_breach_and_is_what_stops_it_then(
    world: World, keeper: Keeper, case: InTheWay
) -> None:
    is_low = case.band is FLOOR
    world.open_loan(world.roles.owner, case.ether, health=1.44 if is_low else 1.95)
    expiry = world.node.head().timestamp + case.expires_in if case.expires_in else FOREVER
    write(world, case.band, case.terms, slippage_bps=case.slippage_bps, expiry=expiry)
    case.happen(world)

    told = only(look_ahead(keeper))
    assert [(found.cause, found.why[: len(case.why)]) for found in told.obstacles] == [(case.cause, case.why)]
    assert 3_600 < told.reach.early < 6 * 3_600
    assert told.reach.early < told.reach.median

    if case.expires_in:
        world.mine(case.expires_in + 12)
    move_price(world, 1_900 if is_low else 2_100)
    if case.cause is Cause.GAS_PRICE:
        case.happen(world)
    turn = keeper.turn(keeper.node.head())
    (verdict,) = turn.verdicts
    assert verdict.kind is Kind.BARRED
    assert verdict.why.startswith(case.stops or case.why)
    assert turn.intents == ()


def test_a_loan__in_good_order_near_its_edge__has_no_obstacle_and_is_acted_on_when_it_is_breached(
    world: World, keeper: Keeper
) -> None:
    for who, health in ((world.roles.owner, 1.44), (world.roles.twin, 2.4)):
        world.open_loan(who, 100, health=health)
    write(world, FLOOR)
    told = only(look_ahead(keeper))
    assert (told.key.owner, told.obstacles) == (world.roles.owner, ())
    move_price(world, 1_900)
    (intent,) = keeper.turn(keeper.node.head()).intents
    assert intent.plan.action == "deleverage"


def test_a_loan__whose_prices_are_about_to_be_too_old__is_told_of_them_until_they_blind_it(
    world: World, keeper: Keeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.44)
    write(world, FLOOR)
    world.mine(89_000)
    (found,) = only(look_ahead(keeper)).obstacles
    assert found.cause is Cause.PRICE
    assert found.why.endswith("s old, and none is believed that is over 90000 s")
    world.mine(1_200)
    (verdict,) = keeper.turn(keeper.node.head()).verdicts
    assert verdict.kind is Kind.BLIND


def test_a_loan__that_has_just_acted_and_comes_near_again__is_told_of_its_cooldown(
    world: World, keeper: Keeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.41)
    write(world, replace(FLOOR, target_bps=14_500), cooldown=7 * DAY)
    move_price(world, 1_960)
    keeper.turn(keeper.node.head())
    world.mine()
    (found,) = only(look_ahead(keeper)).obstacles
    assert (found.cause, found.why) == (Cause.REST, "rule: cooling down for another 6 days")
    move_price(world, 1_850)
    (verdict,) = keeper.turn(keeper.node.head()).verdicts
    assert (verdict.kind, verdict.why) == (Kind.BARRED, "rule: cooling down")


@pytest.mark.parametrize(
    ("health", "band", "terms"),
    [
        (1.66, Band(21_000, 18_000, 0), Terms(in_leverage=True)),
        (1.66, Band(30_000, 22_000, 19_800), Terms(in_leverage=True, borrow_step=NO_LIMIT)),
        (1.44, FLOOR, Terms(hold=3_600)),
        (1.44, FLOOR, Terms(speed_bps=5_000, urgent_step=NO_LIMIT, budget=10**12, window=DAY)),
    ],
    ids=["leverage", "leverage_too_low", "held", "limits"],
)
def test_a_loan__in_good_order_under_other_terms__is_foreseen_without_an_obstacle(
    world: World, keeper: Keeper, health: float, band: Band, terms: Terms
) -> None:
    world.open_loan(world.roles.owner, 100, health=health)
    write(world, band, terms)
    (verdict,) = keeper.turn(keeper.node.head()).verdicts
    assert verdict.kind is Kind.WITHIN, verdict
    told = only(look_ahead(keeper, Horizon(7 * DAY, 0.8)))
    assert told.obstacles == ()


def test_a_floor_that_follows_volatility__is_foreseen_where_it_stands_and_in_its_own_time(
    world: World, keeper: Keeper
) -> None:
    """Volatility is not known here, so that the floor stands at its highest: 1.6, and not at 1.4."""
    world.open_loan(world.roles.owner, 100, health=1.63)
    follows = Terms(highest_bps=16_000, sigmas_bps=20_000, horizon=7 * DAY, feed=world.weth.feed)
    write(world, FLOOR, follows)
    told = only(look_ahead(keeper))
    assert told.obstacles == ()
    granted(10**15)(world)
    (found,) = only(look_ahead(keeper)).obstacles
    assert found.why == "allowance: the aToken allowance is short of what must be sold"


def test_loans__kept_in_a_mirror__are_foreseen_alike(world: World, keeper: Keeper) -> None:
    for who, health in ((world.roles.owner, 1.44), (world.roles.twin, 2.4)):
        world.open_loan(who, 100, health=health)
    write(world, FLOOR)
    granted(10**15)(world)
    (plain,) = keeper.watched
    assert isinstance(plain, LoanPositions)
    owners = [world.roles.owner, world.roles.twin]
    mirrored = LoanPositions(world.node, world.thresholds, owners, plain.doubts, mirrored_from=1)
    mirrored.observe(world.node.head())
    assert look_ahead(keeper, positions=(mirrored,)) == look_ahead(keeper)


def test_loans__too_many_within_reach__only_the_nearest_are_read(
    world: World, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.44)
    for n, floor_bps in enumerate((13_900, 14_000, 13_800)):
        write(world, replace(FLOOR, floor_bps=floor_bps), id_=n)
    (plain,) = keeper.watched
    assert isinstance(plain, LoanPositions)
    owners = [world.roles.owner]
    mirrored = LoanPositions(world.node, world.thresholds, owners, plain.doubts, mirrored_from=1)
    mirrored.observe(world.node.head())
    assert len(look_ahead(keeper, positions=(mirrored,)).foresights) == 3
    monkeypatch.setattr(loan_screened, "_MOST_WITHIN_REACH", 1)
    assert only(look_ahead(keeper, positions=(mirrored,))).key.id == 1


def test_a_turn__every_so_many_blocks__looks_ahead_after_it_has_sent(world: World, keeper: Keeper) -> None:
    world.open_loan(world.roles.owner, 100, health=1.44)
    write(world, FLOOR)
    granted(0)(world)
    assert keeper.lookout is not None
    assert keeper.lookout.every_blocks == 50
    lookout = replace(keeper.lookout, every_blocks=3)
    watching = replace(keeper, lookout=lookout)
    told = []
    for _ in range(7):
        told.append(watching.turn(watching.node.head()).foreseen)
        world.mine()
    assert [each is not None for each in told] == [False, False, False, True, False, False, True]
    assert told[3] is not None
    assert [found.cause for found in only(told[3]).obstacles] == [Cause.GRANT]
    never = replace(keeper, lookout=replace(lookout, every_blocks=0))
    assert never.turn(never.node.head()).foreseen is None

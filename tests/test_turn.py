"""One turn over the real chain: what is done, what is not, and the reason for either."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise

import pytest

from keeper.app import open_keeper
from keeper.chain.loans import Loans
from keeper.chain.rule_keys import MOST_RULES
from keeper.desk import explain
from keeper.devnet.actors import move_pool_to
from keeper.devnet.founding import deploy_thresholds
from keeper.devnet.transactions import calldata, offer
from keeper.devnet.world import World
from keeper.domain.errors import Misconfigured
from keeper.domain.flights import State
from keeper.domain.rules import RuleKey
from keeper.domain.units import BASE, GWEI, HEALTH_WAD_PER_BPS, Address
from keeper.domain.verdicts import Kind, Verdict
from keeper.positions.loans import LoanPositions
from keeper.positions.port import Doubts
from keeper.protocols.loan_thresholds import SET_RULE, rule_fields
from keeper.settings import Settings
from keeper.show import flight_text
from keeper.turn import Keeper, Turn
from tests.conftest import SetRule, Watching

OpenKeeper = Callable[..., Keeper]


@pytest.fixture
def settings(world: World, watching: Watching) -> Settings:
    return watching(world.thresholds, (world.roles.owner, world.roles.twin))


@pytest.fixture
def keeper(settings: Settings) -> Iterator[OpenKeeper]:
    with ExitStack() as opened:

        def open_it(dry_run: bool = False, max_price_age: int = 90_000, **limits: int) -> Keeper:
            believed = settings.limits.model_copy(update={"max_price_age_seconds": max_price_age})
            kept = opened.enter_context(
                open_keeper(settings.model_copy(update={"limits": believed}), dry_run)
            )
            return replace(kept, limits=replace(kept.limits, **limits))

        yield open_it


def take_turn(keeper: Keeper) -> Turn:
    return keeper.turn(keeper.node.head())


def verdict_of(turn: Turn, owner: Address) -> Verdict:
    (verdict,) = [verdict for verdict in turn.verdicts if verdict.key.owner == owner]
    return verdict


def test_a_breached_loan__lands_on_its_target__and_the_next_turn_leaves_it_alone(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.3)
    set_rule(owner)
    world.automine(False)
    kept = keeper()

    turn = take_turn(kept)
    assert verdict_of(turn, owner).kind is Kind.BREACHED
    assert len(turn.intents) == 1
    world.mine()

    after = take_turn(kept)
    assert [change.flight.state for change in after.changes] == [State.INCLUDED]
    assert verdict_of(after, owner).kind is Kind.WITHIN
    assert after.intents == ()
    target = 17_000 * HEALTH_WAD_PER_BPS
    assert abs(world.account_data(owner).health - target) * 10_000 < target * 5


def test_an_action__where_ether_has_a_price__bids_no_more_than_what_is_at_stake_and_says_so(
    world: World, set_rule: SetRule, settings: Settings
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.1)
    set_rule(owner)
    world.automine(False)
    for benefit_bps, feed in ((1, world.weth.feed), (1, world.weth.token), (10_000, world.weth.feed)):
        limits = settings.limits.model_copy(update={"ether_feed": feed, "benefit_bps": benefit_bps})
        with open_keeper(settings.model_copy(update={"limits": limits}), dry_run=True) as kept:
            (intent,) = take_turn(kept).intents
        debt, bonus = world.account_data(owner).debt_base, 500
        at_risk = debt * bonus // 20_000 * 3 // 4  # three quarters of the way from 1.4 to 1
        moved = intent.plan.move("repay").amount * 100  # dollars of six decimals
        if feed != world.weth.feed:
            assert intent.worth is None, "a token is no feed"
            continue
        assert intent.worth is not None
        if benefit_bps == 1:
            assert intent.worth.wei == pytest.approx(at_risk * 10**18 // (2_000 * BASE), rel=1e-3)
            assert "dollars are at risk" in intent.worth.why
        else:
            assert intent.worth.wei == pytest.approx(moved * 10**18 // (2_000 * BASE), rel=1e-3)


def test_an_action__whose_gas_would_cost_more_than_it_is_worth__waits_and_says_why(
    world: World, set_rule: SetRule, settings: Settings
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 1, health=1.35)
    set_rule(owner)
    world.automine(False)
    world.mine(base_fee=100 * GWEI)
    limits = settings.limits.model_copy(update={"ether_feed": world.weth.feed})
    with open_keeper(settings.model_copy(update={"limits": limits}), dry_run=False) as kept:
        turn = take_turn(kept)
        assert turn.intents == ()
        why = verdict_of(turn, owner).why
        assert "gwei an action may bid: 3." in why
        assert "dollars are at risk" in why
        world.mine(base_fee=GWEI // 100)
        (intent,) = take_turn(kept).intents
        assert intent.worth is not None
        assert kept.journal is not None
        (flight,) = kept.journal.flights()
        assert flight.intent == intent, "what it is worth outlives the process"
        assert flight.newest.fees.max_fee * intent.gas_limit <= intent.worth.wei
        assert intent.worth.why in flight_text(flight)


def test_a_dry_run__rehearses_and_signs_nothing(world: World, set_rule: SetRule, keeper: OpenKeeper) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.automine(False)
    turn = take_turn(keeper(dry_run=True))
    assert len(turn.intents) == 1
    assert world.node.ask("txpool_status")["pending"] == "0x0"
    assert world.node.ask("eth_getTransactionCount", world.roles.keeper, "pending") == hex(0)


@pytest.mark.parametrize("margin", [1.3, 2.0])
def test_an_action__as_it_is_sent__has_the_rehearsed_gas_and_the_operators_margin(
    world: World, set_rule: SetRule, settings: Settings, margin: float
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.automine(False)
    limits = settings.limits.model_copy(update={"gas_margin": margin})
    with open_keeper(settings.model_copy(update={"limits": limits}), dry_run=False) as kept:
        (intent,) = take_turn(kept).intents
    (waiting,) = world.node.ask("eth_getBlockByNumber", "pending", True)["transactions"]
    assert int(waiting["gas"], 16) == intent.gas_limit
    assert margin <= intent.gas_limit / intent.rehearsal.gas < margin + 1e-5
    world.mine(seconds=240)
    receipt = world.node.ask("eth_getTransactionReceipt", waiting["hash"])
    assert receipt["status"] == "0x1"
    assert intent.rehearsal.gas <= int(receipt["gasUsed"], 16) * 1.3, "what was rehearsed is what it took"


def test_two_breached_loans__the_nearer_to_liquidation__goes_first_and_the_other_next_block(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    owner, twin = world.roles.owner, world.roles.twin
    world.open_loan(owner, 100, health=1.35)
    world.open_loan(twin, 100, health=1.2)
    for who in (owner, twin):
        set_rule(who)
    world.automine(False)
    kept = keeper()

    first = take_turn(kept)
    assert [intent.plan.key.owner for intent in first.intents] == [twin]
    assert verdict_of(first, owner).kind is Kind.BARRED
    assert verdict_of(first, owner).why.startswith("sender: nonce 0, decided in block")
    world.mine()
    second = take_turn(kept)
    assert [intent.plan.key.owner for intent in second.intents] == [owner]


def test_a_flight_mined_after_the_block_judged__still_counts_as_under_way(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.automine(False)
    kept = keeper()
    judged = kept.node.head()
    kept.turn(judged)
    world.mine()

    late = kept.turn(judged)
    assert late.intents == ()
    assert "still under way" in verdict_of(late, world.roles.owner).why


def test_a_loan_that_cannot_be_read__is_blind__and_the_other_is_still_attended(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    owner, twin = world.roles.owner, world.roles.twin
    world.open_loan(owner, 100, health=1.3)
    world.open_loan(twin, 100, health=1.3)
    world.supply(twin, "WBTC", 1)
    for who in (owner, twin):
        set_rule(who)
    world.set_price("WBTC", 0)
    world.automine(False)

    turn = take_turn(keeper())
    assert verdict_of(turn, twin).kind is Kind.BLIND
    assert verdict_of(turn, twin).why == "oracle: Aave cannot value the account"
    assert [intent.plan.key.owner for intent in turn.intents] == [owner]


@pytest.mark.parametrize(
    ("rule", "limits", "kind", "why"),
    [
        ({"allowance": 0}, {}, Kind.BARRED, "allowance: the owner has granted none of the aToken"),
        (
            {"allowance": 10**18},
            {},
            Kind.BARRED,
            "allowance: the aToken allowance is short of what must be sold",
        ),
        ({"keeper": "stranger"}, {}, Kind.BARRED, "rule: another keeper is named, "),
        ({}, {"action_fee_wei": 1}, Kind.BARRED, "fees: the base fee of "),
        ({}, {"max_price_age": 1}, Kind.BLIND, "oracle: the collateral's price is "),
    ],
)
def test_a_breach_that_may_not_be_acted_on__is_barred_or_blind__with_its_reason_in_the_journal(
    world: World,
    set_rule: SetRule,
    keeper: OpenKeeper,
    settings: Settings,
    rule: dict[str, object],
    limits: dict[str, int],
    kind: Kind,
    why: str,
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.3)
    if rule.get("keeper") == "stranger":
        rule = {"keeper": world.roles.stranger}
    set_rule(owner, **rule)
    world.warp(100)
    kept = keeper(**limits)

    turn = take_turn(kept)
    assert turn.intents == ()
    explained = explain(settings, owner, turn.block.number)
    assert explained is not None
    for verdict in (verdict_of(turn, owner), explained.page.verdicts[0]):
        assert verdict.kind is kind
        assert verdict.why.startswith(why)


def test_a_rule_set_while_the_keeper_runs__is_seen_in_the_next_turn(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    kept = keeper(dry_run=True)
    assert take_turn(kept).verdicts == ()
    set_rule(world.roles.owner)
    assert verdict_of(take_turn(kept), world.roles.owner).why == "loan: no debt"


def test_a_keeper_without_gas_money__is_barred__and_takes_no_nonce(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    world.automine(False)
    world.node.ask("anvil_setBalance", world.roles.keeper, hex(1))
    kept = keeper()

    turn = take_turn(kept)
    assert verdict_of(turn, world.roles.owner).kind is Kind.BARRED
    assert "holds 1 wei" in verdict_of(turn, world.roles.owner).why
    world.node.ask("anvil_setBalance", world.roles.keeper, hex(10**18))
    world.mine()
    assert len(take_turn(kept).intents) == 1


def test_a_pool_whose_next_range_is_thin__is_sized_by_what_it_really_asks(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    """Most liquidity lies within ±8000 ticks, so a price just inside their edge makes the closed form too cheap."""
    owner = world.roles.owner
    edge = 2_000 / 1.0001**7_990
    world.set_price("WETH", edge)
    move_pool_to(world)
    world.open_loan(owner, 3_000, health=1.3)
    set_rule(owner, slippage_bps=500)
    world.automine(False)
    turn = take_turn(keeper())
    (intent,) = turn.intents
    after = intent.rehearsal.after.value
    assert after is not None
    assert abs(after - 17_000 * HEALTH_WAD_PER_BPS) * 1_000 < after


def test_a_pool_too_thin_where_it_stands__is_quoted_through_to_the_deep_range_beyond(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    """Just above the dense range `check` sees only thin liquidity, but selling walks straight into the dense one."""
    owner = world.roles.owner
    world.set_price("WETH", 2_000 * 1.0001**8_200)
    move_pool_to(world)
    world.open_loan(owner, 2_500, health=1.3)
    set_rule(owner, slippage_bps=500)
    loans = Loans(world.node, world.thresholds, [owner])
    (finding,) = loans.findings([RuleKey(world.thresholds, owner, 0)], world.node.head())
    assert (finding.kind, finding.why.split(":")[0]) == (Kind.BARRED, "pool")

    world.automine(False)
    (intent,) = take_turn(keeper()).intents
    after = intent.rehearsal.after.value
    assert after is not None
    assert abs(after - 17_000 * HEALTH_WAD_PER_BPS) * 1_000 < after


def test_a_contract_that_cannot_be_read__is_the_turn_s_trouble__and_the_others_are_attended(
    world: World, set_rule: SetRule, keeper: OpenKeeper, settings: Settings
) -> None:
    owner = world.roles.owner
    world.open_loan(owner, 100, health=1.3)
    set_rule(owner)
    world.automine(False)
    kept = keeper()
    doomed = deploy_thresholds(world).thresholds
    gone = LoanPositions(world.node, doomed, [owner], Doubts(90_000, 30))
    world.node.ask("anvil_setCode", doomed, "0x")
    kept = replace(kept, watched=(gone, *kept.watched))

    turn = take_turn(kept)
    assert len(turn.intents) == 1
    assert len(turn.trouble) == 1
    explained = explain(settings, owner, turn.block.number)
    assert explained is not None
    assert explained.page.note == turn.trouble[0]


def test_a_dry_run__in_the_journal__says_that_it_was_one(
    world: World, set_rule: SetRule, keeper: OpenKeeper, settings: Settings
) -> None:
    set_rule(world.roles.owner)
    turn = take_turn(keeper(dry_run=True))
    explained = explain(settings, world.roles.owner, turn.block.number)
    assert explained is not None
    assert explained.page.note == "dry run: nothing is signed"


def test_an_owner_whose_rule_stays_breached__takes_turns_with_the_others(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    """A tiny step leaves the hostile rule breached for ever, and its health is the lowest."""
    hostile, honest = world.roles.owner, world.roles.twin
    world.open_loan(hostile, 1, health=1.1)
    set_rule(hostile, max_step=100, cooldown=0)
    world.open_loan(honest, 100, health=1.15)
    set_rule(honest)
    world.automine(False)
    kept = keeper(actions_per_owner=2)

    acted = []
    for _ in range(4):
        turn = take_turn(kept)
        acted += [intent.plan.key.owner for intent in turn.intents]
        world.mine()
    assert acted == [hostile, honest, hostile]
    assert verdict_of(take_turn(kept), hostile).why.startswith("operator: 2 actions for this owner")


def test_an_owner_with_many_rules_of_which_nothing_comes__has_one_tried_before_the_others_have_theirs(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    """Each of them is rehearsed in vain, and is nearer to liquidation than the honest loan."""
    hostile, honest = world.roles.owner, world.roles.twin
    world.open_loan(hostile, 1, health=1.1)
    for number in range(5):
        set_rule(hostile, slippage_bps=1, cooldown=0, id=number)
    world.open_loan(honest, 100, health=1.15)
    set_rule(honest)
    world.automine(False)
    turn = take_turn(keeper())
    assert [intent.plan.key.owner for intent in turn.intents] == [honest]
    untried = [
        verdict.why
        for verdict in turn.verdicts
        if verdict.key.owner == hostile and "under way" in verdict.why
    ]
    assert len(untried) == 4


def test_a_stranger_who_makes_one_owners_actions_revert__has_only_that_owner_wait(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    small, large, stranger = world.roles.owner, world.roles.twin, world.roles.stranger
    world.open_loan(small, "0.5", health=1.3)
    set_rule(small)
    world.open_loan(large, 100, health=1.5)
    set_rule(large)
    world.give("USDC", stranger, 10_000)
    world.approve(stranger, world.usdc.token, world.aave.pool)
    world.automine(False)
    kept = keeper()
    reverted: list[int] = []
    for _ in range(9):
        turn = take_turn(kept)
        assert turn.tripped == ()
        for intent in turn.intents:
            reverted.append(turn.block.number)
            left = world.account_data(small).debt_base // 100 - intent.plan.moves[0].amount
            repaid = (
                "repay(address,uint256,uint256,address)",
                world.usdc.token,
                left * 60 // 10_000,
                2,
                small,
            )
            method, said = offer(stranger, world.aave.pool, calldata(*repaid), 50 * GWEI, turn.block.base_fee)
            world.node.ask(method, *said)
        world.mine()
    assert len(reverted) == 3
    assert [b - a for a, b in pairwise(reverted)] == [2, 4], "each revert in a row doubles the wait"
    assert "3 actions for this owner reverted in a row" in verdict_of(take_turn(kept), small).why

    world.automine(True)
    world.set_price("WETH", 1_400)
    world.automine(False)
    assert [intent.plan.key.owner for intent in take_turn(kept).intents] == [large]


def test_an_owner_with_too_many_rules__has_the_first_held_and_is_told_of_the_rest(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    owner = world.roles.owner
    for number in range(MOST_RULES + 2):
        set_rule(owner, id=number)
    verdicts = take_turn(keeper(dry_run=True)).verdicts
    assert [verdict.key.id for verdict in verdicts] == list(range(MOST_RULES + 1))
    assert (verdicts[-1].kind, verdicts[-1].why[:26]) == (Kind.BARRED, "rule: only the first 32 of")


def test_an_action_that_would_use_too_much_gas__is_barred(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    world.open_loan(world.roles.owner, 100, health=1.3)
    set_rule(world.roles.owner)
    turn = take_turn(keeper(most_gas=300_000))
    assert turn.intents == ()
    assert verdict_of(turn, world.roles.owner).why.startswith("gas: the action would use ")


def test_a_feed_that_talks_nonsense__blinds_its_own_rules_alone(
    world: World, set_rule: SetRule, keeper: OpenKeeper
) -> None:
    """The feed answers every call with one word, as a price alone would; only the twin's rule stands on it."""
    owner, twin = world.roles.owner, world.roles.twin
    world.open_loan(owner, 100, health=1.3)
    world.open_loan(twin, 100, health=1.3)
    set_rule(owner)
    rule = set_rule(twin)
    hostile = replace(rule, collateral=world.reserve("WBTC").token)
    world.send(twin, world.thresholds, SET_RULE.signature, 0, rule_fields(hostile))
    one_word = "0x" + "600160005260206000f3"  # MSTORE(0, 1); RETURN(0, 32)
    world.node.ask("anvil_setCode", world.reserve("WBTC").feed, one_word)
    world.automine(False)

    turn = take_turn(keeper())
    assert [intent.plan.key.owner for intent in turn.intents] == [owner]
    assert verdict_of(turn, twin).kind is Kind.BLIND


def test_a_kind_of_position__that_there_is_not__is_refused_by_name(settings: Settings) -> None:
    odd = settings.watch[0].model_copy(update={"kind": "bonds"})
    with (
        pytest.raises(Misconfigured, match=r"there is no kind 'bonds', only baskets, feeds, loans, ranges"),
        open_keeper(settings.model_copy(update={"watch": (odd,)}), dry_run=True),
    ):
        pass

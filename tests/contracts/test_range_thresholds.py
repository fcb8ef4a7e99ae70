"""The contract on real Uniswap: the range goes where the rule says, or it stays and the reason is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode

from keeper.devnet.transactions import reason_in
from keeper.domain.errors import NodeRefused
from keeper.protocols.liquidity import held_down, worth_down
from keeper.protocols.ticks import sqrt_price_at
from tests.contracts.range_stage import (
    ADMIN,
    BARRED,
    BLIND,
    BREACHED,
    COMPOUND,
    DAY,
    EXIT,
    HOLD,
    KEEPER,
    NEVER,
    NOTHING,
    OWNER,
    RECENTRE,
    STRANGER,
    USD,
    WAD,
    WHOLE,
    WITHIN,
    Finding,
    Stage,
    shipped,
)

WITHIN_FINDING = (WITHIN, "range: inside its trigger")
BREACHED_FINDING = (BREACHED, "range: the price is beyond its trigger")


def ruled(stage: Stage, lower: int = -600, upper: int = 600, **changes: Any) -> int:
    """A position of the owner's, and a rule on it."""
    token_id = stage.open(lower, upper)
    stage.set_rule(stage.rule(token_id, **changes))
    return token_id


def worth(stage: Stage, token_id: int, tick: int, purse: tuple[int, int] = (0, 0)) -> int:
    """Of a position and a purse, at a tick from the start."""
    position, price = stage.position(token_id), sqrt_price_at(stage.start + tick)
    edges = sqrt_price_at(position.lower), sqrt_price_at(position.upper)
    held = held_down(position.liquidity, price, *edges)
    return worth_down(held[0] + purse[0], held[1] + purse[1], price)


def left_behind(stage: Stage, a: str = "WETH", b: str = "USDC") -> tuple[int, ...]:
    """Tokens, allowances and positions of the contract."""
    manager, both = stage.uniswap.position_manager, [stage.tokens[s] for s in stage.pair(a, b)]
    held = [stage.balance(token, stage.thresholds) for token in both]
    allowance = ("allowance(address,address)", "(uint256)", stage.thresholds)
    granted = [
        stage.ask(token, *allowance, spender) for token in both for spender in (manager, stage.pool(a, b))
    ]
    return (*held, *granted, stage.balance(manager, stage.thresholds))


# It follows


@pytest.mark.parametrize("tick", [700, 800, 2_000, 10_000, -701, -2_000, -10_000])
def test_rebalance__price_and_mean_beyond_the_trigger__the_range_stands_around_the_mean(
    any_ranges: Stage, tick: int
) -> None:
    stage = any_ranges
    old = ruled(stage)
    stage.settle(tick)
    found = stage.check()
    assert (found.verdict, found.why) == BREACHED_FINDING
    assert (found.action, found.measure) == (RECENTRE, tick - 699 if tick > 0 else -700 - tick)
    new, lost = stage.followed(stage.act(found))
    assert stage.edges(new) == (found.lower - stage.start, found.upper - stage.start)
    assert stage.edges(new)[0] <= tick - 600 < stage.edges(new)[0] + 10
    assert stage.edges(new)[1] - 10 < tick + 600 <= stage.edges(new)[1]
    assert stage.holder(new) == OWNER
    assert stage.rule_of() == replace(stage.rule(old), token_id=new)
    # Half of it is swapped at five hundredths of a percent.
    assert lost == found.lost
    assert 0 < lost < 6 * WHOLE // 10_000
    assert stage.verdict() == WITHIN_FINDING
    assert left_behind(stage) == (0,) * 7
    with pytest.raises(Exception, match="Invalid token ID"):
        stage.position(old)


@pytest.mark.parametrize("tick", [699, -700])
def test_rebalance__price_and_mean_on_the_trigger__is_refused(any_ranges: Stage, tick: int) -> None:
    stage = any_ranges
    ruled(stage)
    stage.settle(tick)
    found = stage.check()
    assert (found.verdict, found.why) == WITHIN_FINDING
    assert found.measure == 0
    assert stage.refusal(found) == "range: inside its trigger"


def test_rebalance__acts__nothing_but_the_swaps_cost_is_lost(any_ranges: Stage) -> None:
    stage = any_ranges
    old = ruled(stage)
    stage.trade()
    stage.settle(900)
    before, purse = worth(stage, old, 900), stage.purse(OWNER)
    found = stage.check()
    new, lost = stage.followed(stage.act(found))
    after = stage.purse(OWNER)
    back = (after[0] - purse[0], after[1] - purse[1])
    assert min(back) >= 0
    kept = worth(stage, new, 900, back)
    # Fees came out too, so at least this much is kept of what stood there.
    assert before * (WHOLE - lost) // WHOLE <= kept
    assert worth(stage, new, 900) >= kept * 9_990 // 10_000


def test_rebalance__acts__reports_what_it_did_and_remembers_when(any_ranges: Stage) -> None:
    stage = any_ranges
    old = ruled(stage)
    stage.settle(900)
    mined = stage.act()
    (log,) = [log for log in mined.logs if log["address"].lower() == stage.thresholds.lower()]
    words = [int(log["data"][2 + 64 * i : 66 + 64 * i], 16) for i in range(6)]
    new = stage.rule_of().token_id
    assert [int(topic, 16) for topic in log["topics"][1:]] == [int(OWNER, 16), 0, int(KEEPER, 16)]
    assert words[:2] == [old, new]
    assert words[4] == stage.position(new).liquidity
    stamped = stage.ask(stage.thresholds, "last_acted(address,uint256)", "(uint256)", OWNER, 0)
    assert stamped == stage.time()


def test_rebalance__fees_were_earned__go_into_the_new_range(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = ruled(stage)
    with stage.undone():
        stage.settle(900)
        stage.act()
        plain = stage.position(stage.rule_of().token_id).liquidity
    stage.trade(20)
    stage.settle(900)
    assert stage.holder(token_id) == OWNER
    stage.act()
    assert stage.position(stage.rule_of().token_id).liquidity > plain * 1_001 // 1_000


@pytest.mark.parametrize(("below", "above"), [(300, 900), (1_200, 60), (55, 57)])
def test_rebalance__halves_differ__the_range_is_as_lopsided(
    any_ranges: Stage, below: int, above: int
) -> None:
    stage = any_ranges
    ruled(stage, below=below, above=above)
    stage.settle(903)
    stage.act()
    lower, upper = stage.edges(stage.rule_of().token_id)
    assert lower <= 903 - below < lower + 10
    assert upper - 10 < 903 + above <= upper


@pytest.mark.parametrize("tick", [560, -561])
def test_rebalance__the_buffer_is_negative__acts_while_still_inside(any_ranges: Stage, tick: int) -> None:
    stage = any_ranges
    ruled(stage, buffer=-50)
    stage.settle(540 if tick > 0 else -540)
    assert stage.verdict() == WITHIN_FINDING
    stage.settle(tick)
    found = stage.check()
    assert (found.verdict, found.why) == BREACHED_FINDING
    stage.act(found)
    assert stage.verdict() == WITHIN_FINDING
    assert left_behind(stage) == (0,) * 7


@pytest.mark.parametrize(("direction", "follows"), [(0, {900, -900}), (1, {900}), (2, {-900})])
def test_rebalance__a_direction_is_given__follows_there_only(
    any_ranges: Stage, direction: int, follows: set[int]
) -> None:
    stage = any_ranges
    ruled(stage, direction=direction)
    for tick in (900, -900):
        with stage.undone():
            stage.settle(tick)
            found = stage.check()
            if tick in follows:
                stage.act(found)
            else:
                assert (found.verdict, found.why) == WITHIN_FINDING
                assert stage.refusal(found) == "range: inside its trigger"


def test_rebalance__day_after_day__follows_and_keeps_its_accounts(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage, cooldown=60, daily=2)
    for tick in (900, -100):
        stage.settle(tick)
        stage.act()
    stage.settle(900)
    assert stage.verdict() == (BARRED, "rule: the day's count is used up")
    assert stage.refusal() == "rule: the day's count is used up"
    stage.pass_time(DAY - stage.time() % DAY)
    stage.act()
    assert stage.verdict() == WITHIN_FINDING


# Beside the price


@pytest.mark.parametrize("tick", [905, -905])
def test_rebalance__beside_the_price__swaps_nothing_and_waits_next_to_it(
    any_ranges: Stage, tick: int
) -> None:
    stage = any_ranges
    old = ruled(stage, placement=1)
    stage.settle(tick)
    found = stage.check()
    assert (found.verdict, found.why, found.amount) == (*BREACHED_FINDING, 0)
    before = worth(stage, old, tick)
    new, lost = stage.followed(stage.act(found))
    lower, upper = stage.edges(new)
    assert (lower, upper) == ((-300, 900) if tick > 0 else (-900, 300))
    assert lost <= 1
    assert abs(worth(stage, new, tick) / before - 1) < 1e-3
    assert stage.verdict() == WITHIN_FINDING
    assert stage.refusal(found, amount=1) != ""


def test_rebalance__beside_the_price__refuses_a_plan_that_swaps(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage, placement=1)
    stage.settle(905)
    assert stage.refusal(stage.check(), amount=1) == "plan: the rule swaps nothing"


def test_rebalance__beside_the_price_within_a_spacing__is_barred_as_it_would_be_in_breach(
    any_ranges: Stage,
) -> None:
    stage = any_ranges
    ruled(stage, placement=1, deviation=1, buffer=2)
    stage.settle(905)
    why = "rule: the new range would be the old one or in breach"
    assert stage.verdict() == (BARRED, why)
    assert stage.refusal() == why


# It leaves


@pytest.mark.parametrize("to", [0, 1, 2])
@pytest.mark.parametrize("tick", [1_500, -1_501])
def test_rebalance__beyond_a_cutoff__leaves_in_what_the_owner_wants(
    any_ranges: Stage, tick: int, to: int
) -> None:
    stage = any_ranges
    token_id = ruled(stage, cutoff_low=-1_500, cutoff_high=1_500, exit_low=to, exit_high=to)
    stage.trade(5)
    stage.settle(tick)
    before, purse = worth(stage, token_id, tick), stage.purse(OWNER)
    found = stage.check()
    assert (found.verdict, found.why) == (BREACHED, "range: the price is beyond a cutoff")
    assert (found.action, found.measure, found.lower, found.upper) == (EXIT, 1, 0, 0)
    stage.act(found)
    after = stage.purse(OWNER)
    back = (after[0] - purse[0], after[1] - purse[1])
    assert to == 0 or back[2 - to] == 0
    assert worth_down(*back, sqrt_price_at(stage.start + tick)) >= before * 9_980 // 10_000
    assert stage.verdict() == (BARRED, "rule: none is set")
    assert left_behind(stage) == (0,) * 7


def test_rebalance__beyond_a_cutoff_against_the_direction__leaves_all_the_same(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage, cutoff_low=-1_500, exit_low=2, direction=1)
    stage.settle(-1_400)
    assert stage.verdict() == WITHIN_FINDING
    stage.settle(-1_600)
    assert stage.check().action == EXIT
    stage.act()


def test_rebalance__between_trigger_and_cutoff__recentres(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage, cutoff_low=-1_500, cutoff_high=1_500)
    stage.settle(1_499)
    assert stage.check().action == RECENTRE
    stage.act()


# It compounds


def earned(stage: Stage, **changes: Any) -> int:
    token_id = ruled(stage, **{"compound_at": 1, **changes})
    stage.trade(10)
    stage.pass_time(HOLD + 1)
    return token_id


def test_compound__fees_are_worth_it__are_added_to_the_same_position(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = earned(stage)
    liquidity = stage.position(token_id).liquidity
    found = stage.check()
    assert (found.verdict, found.why) == (BREACHED, "range: its fees are worth compounding")
    assert (found.action, found.lower, found.upper) == (
        COMPOUND,
        stage.start - 600,
        stage.start + 600,
    )
    mined = stage.act(found)
    added = stage.position(token_id).liquidity - liquidity
    # Ten trades of two percent up and down, each paying five hundredths of a percent.
    assert added > liquidity // 10_000
    assert mined.gas_used < 500_000
    assert stage.rule_of().token_id == token_id
    assert stage.ask(stage.thresholds, "last_acted(address,uint256)", "(uint256)", OWNER, 0) == 0
    assert left_behind(stage) == (0,) * 7


def test_compound__again_at_once__there_is_nothing_to_compound(any_ranges: Stage) -> None:
    stage = any_ranges
    earned(stage, compound_at=10**12 if stage.pair()[1] == "WETH" else USD)
    found = stage.check()
    stage.act(found)
    assert stage.verdict() == WITHIN_FINDING
    assert stage.refusal(found) == "range: its fees are not worth compounding"


def test_compound__fees_below_the_owners_mark__waits(any_ranges: Stage) -> None:
    stage = any_ranges
    earned(stage, compound_at=2**96 - 1)
    found = stage.check()
    assert (found.verdict, found.why) == WITHIN_FINDING
    assert stage.refusal(replace(found, action=COMPOUND)) == "range: its fees are not worth compounding"


def test_compound__the_rule_wants_none__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    earned(stage, compound_at=0)
    found = replace(stage.check(), action=COMPOUND)
    assert stage.refusal(found) == "rule: fees are not compounded alone"


def test_compound__beyond_the_trigger__recentring_does_it(any_ranges: Stage) -> None:
    stage = any_ranges
    earned(stage)
    stage.settle(900)
    found = stage.check()
    assert found.action == RECENTRE
    assert (
        stage.refusal(replace(found, action=COMPOUND))
        == "range: beyond its trigger, where recentring compounds"
    )


def test_compound__price_off_its_mean__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    earned(stage)
    found = stage.check()
    stage.push(100)
    assert stage.verdict() == (BARRED, "pool: its price is too far from the mean")
    assert stage.refusal(found) == "pool: its price is too far from the mean"


def test_compound__the_plan_swaps_the_wrong_way__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    earned(stage)
    found = stage.check()
    wrong = replace(found, sells_token0=not found.sells_token0, amount=found.amount + 1, bought=0)
    assert stage.refusal(wrong) in {
        "range: less is placed than the rule's share",
        "plan: sells more than there is",
    }


# It refuses


def test_check__before_and_after_the_hold__says_what_it_waits_for(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage)
    stage.push(900)
    found = stage.check()
    assert (found.verdict, found.why) == (WITHIN, "range: beyond its trigger, but not for the hold")
    assert stage.refusal(found) == "range: inside its trigger"
    stage.pass_time(HOLD)
    found = stage.check()
    assert (found.verdict, found.why) == BREACHED_FINDING


def test_check__mean_beyond_but_price_back_inside__is_within(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage)
    stage.settle(900)
    stage.push(690)
    found = stage.check()
    assert (found.verdict, found.why) == WITHIN_FINDING
    assert stage.refusal(found) == "range: inside its trigger"


def test_rebalance__price_too_far_from_its_mean__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage)
    stage.settle(900)
    stage.push(960)
    assert stage.verdict() == (BARRED, "pool: its price is too far from the mean")
    assert stage.refusal() == "pool: its price is too far from the mean"


def test_check__nothing_to_act_on__says_so(any_ranges: Stage) -> None:
    stage = any_ranges
    assert stage.verdict() == (BARRED, "rule: none is set")
    assert stage.refusal(stage.check()) == "rule: none is set"
    token_id = stage.open()
    stage.set_rule(stage.rule(token_id + 1))
    assert stage.verdict() == (BARRED, "range: there is no such position")
    assert stage.refusal(stage.check()) == "ERC721: owner query for nonexistent token"
    stage.set_rule(stage.rule(token_id, expiry=stage.time() + 50))
    stage.pass_time(51)
    assert stage.verdict() == (BARRED, "rule: expired")
    assert stage.refusal(stage.check()) == "rule: expired"


def test_check__a_position_without_liquidity__is_within(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = ruled(stage)
    stage.settle(900)
    manager, all_of_it = stage.uniswap.position_manager, stage.position(token_id).liquidity
    signature = "decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))"
    stage.send(OWNER, manager, signature, (token_id, all_of_it, 0, 0, NEVER))
    assert stage.verdict() == (WITHIN, "range: no liquidity")
    assert stage.refusal(stage.check()) == "range: no liquidity"


def test_check__a_pool_that_remembers_too_little__is_blind(any_ranges: Stage) -> None:
    stage = any_ranges
    stage.open_pool("MUTE", "USDC", 500, 10**15, observations=1)
    token_id = stage.open(a="MUTE", liquidity=10**12)
    stage.set_rule(stage.rule(token_id))
    stage.settle(900, 20, a="MUTE")
    stage.push(910, "MUTE")
    assert stage.verdict() == (BLIND, "pool: it remembers less than the hold")
    assert stage.refusal(stage.check()) == "pool: it remembers less than the hold"
    stage.pass_time(HOLD)
    assert stage.verdict() == BREACHED_FINDING


@pytest.mark.parametrize("within", [True, False])
def test_check__the_contract_is_no_operator__says_so_before_it_is_needed(
    any_ranges: Stage, within: bool
) -> None:
    stage = any_ranges
    ruled(stage)
    if not within:
        stage.settle(900)
    manager = stage.uniswap.position_manager
    stage.send(OWNER, manager, "setApprovalForAll(address,bool)", stage.thresholds, False)
    why = "approval: the owner has not made this contract an operator"
    assert stage.verdict() == (WITHIN if within else BARRED, why)
    if not within:
        assert stage.refusal() == "Not approved"


def test_rebalance__approved_for_the_one_position__acts_once(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = ruled(stage, cooldown=0)
    manager = stage.uniswap.position_manager
    stage.send(OWNER, manager, "setApprovalForAll(address,bool)", stage.thresholds, False)
    stage.send(OWNER, manager, "approve(address,uint256)", stage.thresholds, token_id)
    stage.settle(900)
    stage.act()
    stage.settle(2_000)
    assert stage.verdict() == (BARRED, "approval: the owner has not made this contract an operator")


def test_rebalance__too_little_or_too_much_is_swapped__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage)
    stage.settle(900)
    found = stage.check()
    short = "range: less is placed than the rule's share"
    assert stage.refusal(found, amount=found.amount * 98 // 100, least=0) == short
    assert stage.refusal(found, amount=found.amount * 102 // 100, least=0) == short
    # With one token alone the pool itself mints nothing.
    assert stage.refusal(found, amount=0, least=0) == "no reason given"
    assert stage.refusal(found, amount=found.amount * 3, least=0) == "plan: sells more than there is"
    assert stage.refusal(found, least=found.bought + 1) == "plan: less is bought than its least"
    stage.act(found, amount=found.amount * 998 // 1_000, least=0)


def test_rebalance__a_swap_above_the_slippage__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage, slippage_bps=2)
    stage.settle(900)
    why = "range: the value lost is above the rule's slippage"
    assert stage.verdict() == (BARRED, why)
    assert stage.refusal() == why


def test_rebalance__the_budget_is_used_up__waits_until_it_has_refilled(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage, budget_bps=4, refill=DAY, cooldown=0)
    stage.settle(900)
    stage.act()
    stage.settle(-900)
    why = "rule: the loss is above what is left of the budget"
    assert stage.verdict() == (BARRED, why)
    assert stage.refusal() == why
    # Two and a half basis points twice, of four: refilled in a quarter of a day.
    stage.pass_time(DAY // 4)
    stage.act()


def test_rebalance__a_swap_that_moves_the_price_too_far__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = stage.open(liquidity=4_000 * WAD)
    stage.set_rule(stage.rule(token_id, deviation=20, slippage_bps=500, budget_bps=500))
    stage.settle(900)
    why = "pool: the swap takes its price too far from the mean"
    assert stage.verdict() == (BARRED, why)
    assert stage.refusal() == why


def test_rebalance__a_token_that_says_nothing__is_moved_all_the_same(any_ranges: Stage) -> None:
    stage = any_ranges
    stage.open_pool("MUTE", "USDC", 500, 10**15)
    token_id = stage.open(a="MUTE", liquidity=10**12)
    stage.set_rule(stage.rule(token_id, cooldown=0))
    for tick in (900, -900, 900):
        stage.settle(tick, a="MUTE")
        stage.act()
        assert left_behind(stage, "MUTE") == (0,) * 7


@pytest.mark.parametrize("fee", [100, 3_000, 10_000])
def test_rebalance__another_fee_and_spacing__follows(any_ranges: Stage, fee: int) -> None:
    stage = any_ranges
    stage.open_pool("WETH", "USDC", fee)
    spacing = {100: 1, 3_000: 60, 10_000: 200}[fee]
    start = stage.start
    lower, upper = ((start + edge) // spacing * spacing - start for edge in (-600, 600))
    token_id = stage.open(lower, upper, fee=fee)
    stage.set_rule(stage.rule(token_id, slippage_bps=500, budget_bps=500))
    stage.settle(1_500, fee=fee)
    found = stage.check()
    assert (found.verdict, found.why) == BREACHED_FINDING
    new, _ = stage.followed(stage.act(found))
    low, high = stage.edges(new)
    assert low <= 900 < low + spacing
    assert high - spacing < 2_100 <= high


def test_check__two_rules_on_one_position__the_first_to_act_takes_it_along(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = ruled(stage)
    stage.set_rule(stage.rule(token_id, buffer=50), 1)
    stage.settle(900)
    stage.act(id_=1)
    assert stage.verdict() == (BARRED, "range: there is no such position")
    assert stage.verdict(1) == WITHIN_FINDING


@pytest.mark.parametrize(
    ("manager", "reason"),
    [
        ("swap_router", "check: it is on another position manager"),
        ("nobody", "range: no contract at the position manager's address"),
    ],
)
def test_deployment__a_manager_that_is_none_or_not_the_checks__is_refused(
    ranges: Stage, manager: str, reason: str
) -> None:
    stage = ranges
    given = stage.uniswap.swap_router if manager == "swap_router" else STRANGER
    code = shipped("RangeThresholds").code + encode(("address", "address"), (given, stage.range_check)).hex()
    with pytest.raises(NodeRefused) as refused:
        stage.node.ask("eth_call", {"from": ADMIN, "data": "0x" + code}, "latest")
    assert reason_in(refused.value.data) == reason


def test_finding__of_a_rule_with_nothing_to_do__is_empty_of_sizes(any_ranges: Stage) -> None:
    stage = any_ranges
    ruled(stage)
    assert stage.check() == Finding(*(WITHIN, NOTHING, -699, 0, 0, False, 0, 0, 0, WITHIN_FINDING[1]))
    assert stage.ask(stage.thresholds, "MANAGER()", "(address)") == stage.uniswap.position_manager
    assert stage.ask(stage.thresholds, "FACTORY()", "(address)") == stage.uniswap.factory
    assert stage.ask(stage.thresholds, "CHECK()", "(address)") == stage.range_check

"""One attack for each sentence of the threat model in `contracts/interfaces/IRangeThresholds.vyi`, in its order."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from keeper import contracts
from keeper.devnet.transactions import calldata, reason_in
from keeper.domain.errors import NodeRefused
from keeper.domain.units import Address
from keeper.protocols.liquidity import held_down, worth_down
from keeper.protocols.ticks import sqrt_price_at
from tests.contracts.loan_stage import CONTRACTS, create
from tests.contracts.range_stage import (
    ADMIN,
    BARRED,
    BREACHED,
    BUYER,
    COMPOUND,
    DAY,
    EXIT,
    HOLD,
    KEEPER,
    NEVER,
    OWNER,
    PLAN,
    RECENTRE,
    RULE,
    STRANGER,
    TRADER,
    WAD,
    WHOLE,
    Finding,
    Stage,
    shipped,
)

CALLBACK = "uniswapV3SwapCallback(int256,int256,bytes)"
INSIDE = "range: inside its trigger"
FAR = "pool: its price is too far from the mean"
NOT_OWNERS = "range: the position is not the owner's"
TRANSFER = "transferFrom(address,address,uint256)"
ANYTHING = Finding(BREACHED, RECENTRE, 1, 0, 0, True, 10**6, 0, 0, "")


def in_breach(stage: Stage, tick: int = 900, **changes: Any) -> int:
    token_id = stage.open()
    stage.set_rule(stage.rule(token_id, **changes))
    stage.settle(tick)
    return token_id


def worth(stage: Stage, who: Address = OWNER, tick: int | None = None) -> int:
    """All that somebody holds of the pair, positions included, at a tick from the start."""
    price = sqrt_price_at(stage.start + (stage.tick() if tick is None else tick))
    manager = stage.uniswap.position_manager
    total = worth_down(*stage.purse(who), price)
    for i in range(stage.balance(manager, who)):
        token_id = stage.ask(manager, "tokenOfOwnerByIndex(address,uint256)", "(uint256)", who, i)
        found = stage.position(token_id)
        edges = sqrt_price_at(found.lower), sqrt_price_at(found.upper)
        total += worth_down(*held_down(found.liquidity, price, *edges), price)
    return total


def at_stake(stage: Stage, token_id: int, tick: int) -> int:
    """What a position holds, without its fees."""
    price, found = sqrt_price_at(stage.start + tick), stage.position(token_id)
    edges = sqrt_price_at(found.lower), sqrt_price_at(found.upper)
    return worth_down(*held_down(found.liquidity, price, *edges), price)


def test_threat_model__every_sentence__has_an_attack_here() -> None:
    written = (CONTRACTS / "interfaces" / "IRangeThresholds.vyi").read_text(encoding="utf-8")
    threats = set(re.findall(r"^ +(T\d+) ", written, re.MULTILINE))
    tried = {
        name.split("__")[0].removeprefix("test_").upper() for name in globals() if re.match(r"test_t\d", name)
    }
    assert len(threats) == 15
    assert threats == tried


# T1


def test_t1__stranger_writes_or_clears_rules__only_ever_its_own(ranges: Stage) -> None:
    stage = ranges
    token_id = in_breach(stage)
    stage.set_rule(stage.rule(token_id, below=10_000), owner=STRANGER)
    assert stage.refusal_to(KEEPER, stage.thresholds, "clear_rule(uint256)", 0) == "rule: none is set"
    assert stage.rule_of() == stage.rule(token_id)


def test_t1__stranger_names_an_approved_position_in_a_rule_of_its_own__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = in_breach(stage)
    stage.set_rule(stage.rule(token_id, below=5_000, slippage_bps=500), owner=STRANGER)
    stage.send(
        STRANGER, stage.uniswap.position_manager, "setApprovalForAll(address,bool)", stage.thresholds, True
    )
    assert stage.verdict(owner=STRANGER) == (BARRED, NOT_OWNERS)
    assert stage.refusal(ANYTHING, owner=STRANGER) == NOT_OWNERS
    assert stage.holder(token_id) == OWNER


def test_t1__victim_approved_but_wrote_no_rule__is_untouched(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage)
    victims = stage.open(owner=BUYER)
    before = stage.position(victims)
    assert stage.refusal(ANYTHING, owner=BUYER) == "rule: none is set"
    stage.act()
    assert stage.position(victims) == before
    assert stage.holder(victims) == BUYER


def test_t1__position_is_sold__the_old_owners_rule_does_not_follow_it(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = in_breach(stage)
    manager = stage.uniswap.position_manager
    stage.send(BUYER, manager, "setApprovalForAll(address,bool)", stage.thresholds, True)
    found = stage.check()
    stage.send(OWNER, manager, TRANSFER, OWNER, BUYER, token_id)
    assert stage.verdict() == (BARRED, NOT_OWNERS)
    assert stage.refusal(found) == NOT_OWNERS
    assert stage.refusal(ANYTHING) == NOT_OWNERS
    assert stage.refusal(replace(ANYTHING, action=COMPOUND)) == NOT_OWNERS


def test_t1__owner_takes_the_approval_back__the_action_is_undone_whole(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = in_breach(stage)
    found = stage.check()
    manager = stage.uniswap.position_manager
    stage.send(OWNER, manager, "setApprovalForAll(address,bool)", stage.thresholds, False)
    before = stage.position(token_id)
    assert stage.refusal(found) == "Not approved"
    assert stage.position(token_id) == before


# T2


def test_t2__stranger_acts_on_a_rule_that_names_a_keeper__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, keeper=KEEPER)
    found = stage.check()
    for nosy in (STRANGER, OWNER, TRADER):
        assert stage.refusal(found, sender=nosy) == "rule: another keeper is named"
        assert stage.refusal(replace(found, action=COMPOUND), sender=nosy) == "rule: another keeper is named"
    stage.act(found)


# T3


def test_t3__keeper_acts_too_early_too_often_or_too_late__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, 690, cooldown=600, expiry=stage.time() + 20_000)
    assert stage.refusal(ANYTHING) == INSIDE
    stage.settle(900)
    assert stage.refusal(deadline=stage.time() - 1) == "plan: past its deadline"
    stage.act()
    stage.settle(-900)
    assert stage.refusal() == "rule: cooling down"
    stage.pass_time(600)
    stage.act()
    stage.settle(900)
    stage.pass_time(600)
    found = stage.check()
    stage.pass_time(20_000)
    assert stage.refusal(found) == "rule: expired"


def test_t3__keeper_pushes_the_price_for_one_block__triggers_nothing(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, 0)
    for tick in (701, 900, 3_000, 30_000):
        with stage.undone():
            stage.push(tick)
            assert stage.refusal(ANYTHING) == INSIDE


def test_t3__keeper_holds_the_price_for_a_part_of_the_hold__triggers_nothing_or_is_off_the_mean(
    any_ranges: Stage,
) -> None:
    stage = any_ranges
    in_breach(stage, 0)
    # A dozen seconds of twenty-five, pushed so far that the mean leaves with it.
    stage.push(20_000)
    stage.pass_time(12)
    assert stage.verdict()[1] == FAR
    assert stage.refusal(ANYTHING) == FAR
    stage.push(705)
    assert stage.refusal(ANYTHING) in {FAR, INSIDE}
    stage.push(0)
    assert stage.refusal(ANYTHING) == INSIDE


# T4


def test_t4__keeper_chooses_no_ticks__and_what_is_minted_is_the_rules_share(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, placed_bps=9_950)
    assert "int24" not in PLAN
    found = stage.check()
    for share in (90, 99, 101, 110):
        why = stage.refusal(found, amount=found.amount * share // 100, least=0)
        assert why == "range: less is placed than the rule's share"
    stage.act(found)


def test_t4__keeper_pushes_the_price_to_move_the_range__it_stands_around_the_mean(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage)
    honest = stage.check()
    for by in (-45, 45):
        with stage.undone():
            stage.push(900 + by)
            found = stage.check()
            stage.act(found, least=0)
            lower, upper = stage.edges(stage.rule_of().token_id)
            # The second of the push is in the mean, and no more of it.
            assert abs(lower + stage.start - honest.lower) <= 10
            assert abs(upper + stage.start - honest.upper) <= 10


# T5


def test_t5__keeper_acts_off_the_mean_or_leaves_it__is_refused(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = stage.open(liquidity=4_000 * WAD)
    stage.set_rule(stage.rule(token_id, deviation=20, slippage_bps=500, budget_bps=500))
    stage.settle(900)
    assert stage.refusal() == "pool: the swap takes its price too far from the mean"
    for by in (-25, 25):
        stage.settle(900)
        stage.push(900 + by)
        assert stage.refusal() == FAR


# T6


def sandwiches(stage: Stage, slippage_bps: int) -> tuple[list[float], set[str]]:
    """What pushing the pool, acting and pushing it back takes of the owner, in basis points; and why it was refused."""
    token_id = in_breach(stage, slippage_bps=slippage_bps, deviation=200, budget_bps=500, placed_bps=9_000)
    stake = at_stake(stage, token_id, 900)
    taken, refused = [], set()
    for by in range(-60, 61, 5):
        with stage.undone():
            before = worth(stage, OWNER, 900)
            stage.push(900 + by)
            try:
                stage.act(least=0)
            except NodeRefused as refusal:
                refused.add(reason_in(refusal.data))
                continue
            stage.push(900)
            taken.append((before - worth(stage, OWNER, 900)) / stake * 10_000)
    return taken, refused


def test_t6__sandwich__takes_no_more_than_the_slippage(any_ranges: Stage) -> None:
    stage = any_ranges
    # An owner who allows anything loses more than twenty-five basis points to the same sandwiches.
    with stage.undone():
        taken, refused = sandwiches(stage, 500)
        assert refused == set()
        assert max(taken) > 25
    taken, refused = sandwiches(stage, 20)
    assert refused == {"range: the value lost is above the rule's slippage"}
    # Some land, and the worst of them stays inside the slippage (a hair of mean left aside).
    assert len(taken) > 5
    assert 5 < max(taken) < 20.5


def test_t6__stolen_key_day_after_day__takes_the_budget_and_its_refilling_at_most(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = in_breach(
        stage,
        slippage_bps=30,
        budget_bps=40,
        refill=DAY,
        cooldown=0,
        daily=255,
        deviation=200,
        placed_bps=9_000,
    )
    stake = at_stake(stage, token_id, 900)
    began, lost, refused = stage.time(), 0, set()
    # Whoever holds the key also holds the price for as long as it takes: the worst the owner assumed away.
    while stage.time() - began < DAY:
        found = stage.check()
        try:
            lost += stage.followed(stage.act(found, least=0))[1]
        except NodeRefused as refusal:
            refused.add(reason_in(refusal.data))
        stage.settle(-900 if stage.tick() > 0 else 900, 1_800)
    # A day's worth: the budget, and the budget again as it refilled; and with no budget it would have been far more.
    assert refused == {"rule: the loss is above what is left of the budget", INSIDE}
    assert 72 * WHOLE // 10_000 < lost <= 80 * WHOLE // 10_000
    assert stake > 0


def test_t6__stolen_key__is_held_to_the_days_count_at_the_slippage_each(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, slippage_bps=30, budget_bps=10_000, refill=1, cooldown=0, daily=3)
    stage.pass_time(DAY - stage.time() % DAY)
    lost, began = [], stage.time()
    while stage.time() - began < DAY // 2:
        if stage.verdict()[0] == BREACHED:
            lost.append(stage.followed(stage.act(least=0))[1])
        stage.settle(-900 if stage.tick() > 0 else 900, 3_600)
    assert len(lost) == 3
    assert sum(lost) <= 3 * 30 * WHOLE // 10_000


def test_t6__keeper_mints_at_a_pushed_price__the_owner_is_measured_at_the_mean(any_ranges: Stage) -> None:
    stage = any_ranges
    # So narrow a range changes hands within the deviation: what is minted there melts when the price comes back.
    token_id = stage.open(-100, 100)
    narrow = stage.rule(
        token_id,
        below=230,
        above=230,
        deviation=200,
        buffer=0,
        placed_bps=1,
        budget_bps=500,
        slippage_bps=500,
    )
    stage.set_rule(narrow)
    stage.settle(900)
    stage.push(1_090)
    found = stage.check()
    with stage.undone():
        _, lost = stage.followed(stage.act(found, least=0))
        assert lost > 30 * WHOLE // 10_000
    stage.set_rule(replace(narrow, slippage_bps=10))
    assert stage.refusal(found, least=0) == "range: the value lost is above the rule's slippage"
    assert stage.refusal(found, amount=found.amount // 2, least=0).startswith("range: ")


# T7


def test_t7__false_pool_or_anybody_calls_back__is_refused(ranges: Stage) -> None:
    stage = ranges
    in_breach(stage)
    order = bytes.fromhex(stage.tokens["WETH"][2:]).rjust(32, b"\0")
    # Something to steal.
    stage.mint("WETH", STRANGER, WAD)
    stage.send(STRANGER, stage.tokens["WETH"], "transfer(address,uint256)", stage.thresholds, WAD)
    false_pool = stage.create("mocks/false_pool_mock")
    refused = "pool: this caller is not the pool in flight"
    call_back = "call_back(address,int256,int256,bytes)"
    for deltas in ((1, -1), (-1, 1), (0, 0), (2**127, -(10**11))):
        assert stage.refusal_to(STRANGER, false_pool, call_back, stage.thresholds, *deltas, order) == refused
        assert stage.refusal_to(STRANGER, stage.thresholds, CALLBACK, *deltas, order) == refused
        assert stage.refusal_to(OWNER, stage.thresholds, CALLBACK, *deltas, order) == refused
        # The zero address is what stands there when nothing is in flight; nobody can send as it, a node can pretend.
        with pytest.raises(NodeRefused):
            pretended = {
                "from": "0x" + "00" * 20,
                "to": stage.thresholds,
                "data": calldata(CALLBACK, *deltas, order),
            }
            stage.node.ask("eth_call", pretended, "latest")
    assert stage.balance(stage.tokens["WETH"], stage.thresholds) == WAD


def test_t7__stranger_makes_the_real_pool_pay_or_lend_to_the_contract__is_refused(ranges: Stage) -> None:
    stage = ranges
    in_breach(stage)
    pool = stage.pool()
    swap = "swap(address,bool,int256,uint160,bytes)"
    stage.refusal_to(STRANGER, pool, swap, stage.thresholds, True, 10**6, 4295128740, b"")
    flash = "flash(address,uint256,uint256,bytes)"
    stage.refusal_to(STRANGER, pool, flash, stage.thresholds, 10**6, 10**6, b"")


# T8


def hooked(stage: Stage, **changes: Any) -> Finding:
    """A breached position in a pool of the token that calls back."""
    stage.open_pool("HOOK", "USDC")
    token_id = stage.open(a="HOOK")
    stage.set_rule(stage.rule(token_id, **changes))
    stage.settle(900, a="HOOK")
    return stage.check()


def doors(stage: Stage, found: Finding) -> dict[str, str]:
    """Every way into the contract that changes something."""
    return {
        "rebalance": calldata(f"rebalance(address,uint256,{PLAN})", OWNER, 0, stage.plan(found)),
        "compound": calldata(f"compound(address,uint256,{PLAN})", OWNER, 0, stage.plan(found)),
        "set_rule": calldata(f"set_rule(uint256,{RULE})", 0, stage.rule(1).values()),
        "clear_rule": calldata("clear_rule(uint256)", 0),
        "callback": calldata(CALLBACK, WAD, -(10**6), b"\1" * 32),
        "check": calldata("check(address,uint256)", OWNER, 0),
    }


@pytest.mark.parametrize("delay", [0, 1, 2])
@pytest.mark.parametrize("tick", [900, -900])
def test_t8__token_calls_back_while_it_moves__finds_every_door_locked(
    ranges: Stage, delay: int, tick: int
) -> None:
    stage = ranges
    hooked(stage)
    stage.settle(tick, a="HOOK")
    hook = stage.tokens["HOOK"]
    for question in doors(stage, stage.check()).values():
        with stage.undone():
            arm = (stage.thresholds, bytes.fromhex(question[2:]), delay)
            stage.send(STRANGER, hook, "arm(address,bytes,uint256)", *arm)
            new, _ = stage.followed(stage.act())
            assert stage.ask(hook, "called()", "(bool)") is True
            assert stage.ask(hook, "succeeded()", "(bool)") is False
            assert stage.rule_of().token_id == new


# T9


@pytest.mark.parametrize("tick", [900, -900])
@pytest.mark.parametrize("to", [0, 1, 2])
def test_t9__token_keeps_a_part_of_what_is_sent__the_action_fails_whole(
    any_ranges: Stage, tick: int, to: int
) -> None:
    stage = any_ranges
    stage.open_pool("TOLL", "USDC")
    token_id = stage.open(a="TOLL")
    for exits in ({}, {"cutoff_low": -800, "cutoff_high": 800, "exit_low": to, "exit_high": to}):
        stage.set_rule(stage.rule(token_id, **exits))
        stage.settle(tick, a="TOLL")
        found = stage.check()
        assert found.action == (EXIT if exits else RECENTRE)
        toll = stage.tokens["TOLL"]
        stage.send(STRANGER, toll, "levy(uint256)", 100)
        before = stage.position(token_id)
        holds_toll = stage.pair("TOLL")[0 if tick < 0 else 1] == "TOLL"
        sold = bool(exits) and to != 0
        if holds_toll or not exits or sold:
            moved = holds_toll or not exits or stage.pair("TOLL")[to - 1] == "TOLL"
            if moved:
                stage.refusal(found, least=0)
                assert stage.position(token_id) == before
                assert stage.holder(token_id) == OWNER
        stage.send(STRANGER, toll, "levy(uint256)", 0)


# T10


def test_t10__owner_changes_the_rule_while_the_plan_is_on_its_way__the_new_one_is_obeyed(
    any_ranges: Stage,
) -> None:
    stage = any_ranges
    token_id = in_breach(stage)
    found = stage.check()
    for changes, why in (
        ({"buffer": 500}, INSIDE),
        ({"direction": 2}, INSIDE),
        ({"keeper": STRANGER}, "rule: another keeper is named"),
        ({"slippage_bps": 1}, "range: the value lost is above the rule's slippage"),
        ({"budget_bps": 1}, "rule: the loss is above what is left of the budget"),
        ({"placement": 1}, "plan: the rule swaps nothing"),
        ({"below": 60, "above": 3_000}, "range: less is placed than the rule's share"),
    ):
        stage.set_rule(stage.rule(token_id, **changes))
        assert stage.refusal(found) == why
    stage.send(OWNER, stage.thresholds, "clear_rule(uint256)", 0)
    assert stage.refusal(found) == "rule: none is set"


# T11


def test_t11__whatever_happened__nothing_is_left_behind(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, compound_at=1, cooldown=0, cutoff_low=-2_000, exit_low=2)
    stage.act()
    stage.trade(5)
    stage.pass_time(HOLD + 1)
    assert stage.check().action == COMPOUND
    stage.act()
    stage.settle(-2_500)
    assert stage.check().action == EXIT
    stage.act()
    assert stage.purse(stage.thresholds) == (0, 0)
    assert stage.balance(stage.uniswap.position_manager, stage.thresholds) == 0
    for symbol in stage.pair():
        for spender in (stage.uniswap.position_manager, stage.pool(), KEEPER, OWNER):
            allowance = ("allowance(address,address)", "(uint256)", stage.thresholds, spender)
            assert stage.ask(stage.tokens[symbol], *allowance) == 0


def test_t11__stranger_gives_the_contract_tokens__nobody_gets_them_nor_less(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage)
    with stage.undone():
        stage.act()
        honest = worth(stage)
    for symbol, amount in zip(stage.pair(), (1, 10**9), strict=True):
        stage.mint(symbol, STRANGER, amount)
        stage.send(STRANGER, stage.tokens[symbol], "transfer(address,uint256)", stage.thresholds, amount)
    stage.act()
    assert abs(worth(stage) - honest) <= honest // 10**8
    assert stage.purse(stage.thresholds) == (1, 10**9)


def test_t11__stranger_adds_a_wei_of_liquidity_to_the_position__the_plan_still_lands(
    any_ranges: Stage,
) -> None:
    stage = any_ranges
    token_id = in_breach(stage)
    found = stage.check()
    manager = stage.uniswap.position_manager
    for symbol in stage.pair():
        stage.mint(symbol, STRANGER, 10**9)
        stage.approve(STRANGER, stage.tokens[symbol], manager)
    increasing = (token_id, 10**9, 10**9, 0, 0, NEVER)
    signature = "increaseLiquidity((uint256,uint256,uint256,uint256,uint256,uint256))"
    stage.send(STRANGER, manager, signature, increasing)
    stage.act(found)


def test_t11__stranger_sends_the_contract_a_position__it_stays_where_it_is(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage)
    gift = stage.open(owner=STRANGER)
    stage.send(STRANGER, stage.uniswap.position_manager, TRANSFER, STRANGER, stage.thresholds, gift)
    stage.set_rule(stage.rule(gift), owner=STRANGER)
    assert stage.refusal(ANYTHING, owner=STRANGER) == NOT_OWNERS
    assert stage.refusal(ANYTHING, owner=stage.thresholds) == "rule: none is set"
    stage.act()
    assert stage.holder(gift) == stage.thresholds


# T12


def test_t12__stranger_compounds_to_start_the_cooldown__it_does_not_start(any_ranges: Stage) -> None:
    stage = any_ranges
    token_id = stage.open()
    stage.set_rule(stage.rule(token_id, compound_at=1, cooldown=100_000, daily=1))
    stage.trade(5)
    stage.pass_time(HOLD + 1)
    stage.act(sender=STRANGER)
    stage.settle(900)
    assert stage.verdict()[0] == BREACHED
    stage.act()


def test_t12__stranger_sends_plans_that_fail__nothing_is_stamped(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, cooldown=100_000, daily=1)
    words = ("words_of(address,uint256)", "(uint256,uint256,uint256)", OWNER, 0)
    before = stage.ask(stage.thresholds, *words)
    found = stage.check()
    stage.refusal(found, amount=found.amount * 9 // 10, least=0, sender=STRANGER)
    stage.refusal(found, least=NEVER, sender=STRANGER)
    assert stage.ask(stage.thresholds, *words) == before
    stage.act(found)


def test_t12__keeper_loops_over_dust__there_is_no_breach_to_loop_on(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, cooldown=0, daily=255, compound_at=10**9)
    found = stage.check()
    stage.act(found)
    assert stage.refusal(found) == INSIDE
    assert stage.refusal(replace(found, amount=0)) == INSIDE
    nothing_to_add = replace(found, action=COMPOUND, amount=0)
    assert stage.refusal(nothing_to_add) == "range: its fees are not worth compounding"


# T13


def test_t13__nothing_is_left_of_count_budget_and_cooldown__the_exit_is_open(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, cooldown=100_000, daily=1, budget_bps=3, refill=7 * DAY, cutoff_low=-2_000, exit_low=2)
    stage.act()
    stage.settle(-1_900)
    assert stage.verdict() == (BARRED, "rule: cooling down")
    stage.settle(-2_001)
    assert stage.check().action == EXIT
    stage.act()


@pytest.mark.parametrize(("beyond", "allowed"), [(1, 51), (101, 151), (150, 200), (700, 200)])
def test_t13__price_falls_fast_beyond_the_cutoff__the_guard_yields_so_far_and_no_further(
    any_ranges: Stage, beyond: int, allowed: int
) -> None:
    stage = any_ranges
    in_breach(stage, -2_000 - beyond - 1, cutoff_low=-2_000, exit_low=2, slippage_bps=500, deviation=50)
    at = -2_000 - beyond - 1
    # From above, so that the price, which is then the nearer to the cutoff, decides what is allowed.
    for by, acts in ((-allowed + 2, True), (-allowed - 10, False)):
        with stage.undone():
            stage.push(at + by)
            found = stage.check()
            assert found.action == EXIT
            if acts:
                stage.act(found, least=0)
            else:
                assert found.why == FAR
                assert stage.refusal(found, least=0) == FAR


def test_t13__keeper_sandwiches_the_exit__takes_four_times_the_slippage_at_most_and_once(
    any_ranges: Stage,
) -> None:
    stage = any_ranges
    token_id = in_breach(
        stage, -3_000, cutoff_low=-2_000, exit_low=2, slippage_bps=10, deviation=500, budget_bps=1
    )
    stake = at_stake(stage, token_id, -3_000)
    taken, refused = [], set()
    for by in range(-60, 1, 5):
        with stage.undone():
            before = worth(stage, OWNER, -3_000)
            stage.push(-3_000 + by)
            try:
                stage.act(least=0)
            except NodeRefused as refusal:
                refused.add(reason_in(refusal.data))
                continue
            taken.append((before - worth(stage, OWNER, -3_000)) / stake * 10_000)
            assert stage.verdict() == (BARRED, "rule: none is set")
    assert refused == {"range: the value lost is above the rule's slippage"}
    assert 30 < max(taken) < 40.5


def test_t13__owner_wants_it_as_it_lies__nothing_holds_the_exit_up(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage, -2_100, cutoff_low=-2_000, exit_low=0)
    stage.push(-6_000)
    assert stage.verdict() == (BREACHED, "range: the price is beyond a cutoff")
    stage.act()


# T14


def test_t14__position_of_another_manager__does_not_exist_here(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage)
    # A manager with the same code, and in it the owner's position of the same number as one here.
    assert stage.ask(stage.thresholds, "MANAGER()", "(address)") == stage.uniswap.position_manager
    false_manager = stage.create("mocks/false_manager_mock", stage.uniswap.factory, OWNER, stage.pool())
    assert stage.ask(false_manager, "ownerOf(uint256)", "(address)", 99) == OWNER
    stage.set_rule(stage.rule(99), 1)
    assert stage.verdict(1) == (BARRED, "range: there is no such position")
    assert stage.refusal(ANYTHING, id_=1) == "ERC721: owner query for nonexistent token"


def test_t14__factory_has_no_such_pool__the_manager_would_not_have_minted_it(any_ranges: Stage) -> None:
    stage = any_ranges
    in_breach(stage)
    with stage.undone():
        stage.node.ask("anvil_setCode", stage.pool(), "0x")
        assert stage.verdict()[1] == "pool: the factory has none for this position"
        assert stage.refusal(ANYTHING) == "pool: the factory has none for this position"


# T15


def opcodes(name: str) -> set[int]:
    """What a contract's runtime code may execute: pushed bytes and the tables after the code are data.

    Source: Vyper's signature at the end of the creation code, CBOR and its length: runtime length, table lengths, ..
    """
    shipped_code = contracts.load(name)
    creation, runtime = shipped_code.bytecode, shipped_code.runtime
    size = int.from_bytes(creation[-2:], "big")
    signature = cbor2.loads(creation[-size:-2])
    length, tables = signature[1], signature[2]
    assert length == len(runtime)
    code, found, at = runtime[: length - sum(tables)], set(), 0
    while at < len(code):
        found.add(code[at])
        at += 1 + max(0, code[at] - 0x5F if code[at] <= 0x7F else 0)
    return found


def test_t15__the_whole_of_both_contracts__has_no_door_for_the_powerful() -> None:
    changing = {}
    for name in ("RangeThresholds", "RangeCheck"):
        shipped_code = contracts.load(name)
        changing[name] = {
            entry["name"]
            for entry in shipped_code.abi
            if entry["type"] == "function" and entry["stateMutability"] not in {"view", "pure"}
        }
        assert not any(entry["type"] in {"fallback", "receive"} for entry in shipped_code.abi)
        used = opcodes(name)
        # CREATE, CALLCODE, DELEGATECALL, CREATE2 and SELFDESTRUCT; and STATICCALL, to see that the walk sees.
        assert not used & {0xF0, 0xF2, 0xF4, 0xF5, 0xFF}
        assert 0xFA in used
        assert len(shipped_code.runtime) < 24_576
    assert changing == {
        "RangeThresholds": {"set_rule", "clear_rule", "rebalance", "compound", "uniswapV3SwapCallback"},
        "RangeCheck": set(),
    }


def test_t15__the_deployer__can_do_no_more_than_a_stranger(ranges: Stage) -> None:
    stage = ranges
    in_breach(stage, keeper=KEEPER)
    assert stage.refusal_to(ADMIN, stage.thresholds, "clear_rule(uint256)", 0) == "rule: none is set"
    assert stage.refusal(stage.check(), sender=ADMIN) == "rule: another keeper is named"


def test_t15__another_contract_of_the_kind__has_the_checks_answer_for_its_own_rules_only(
    any_ranges: Stage,
) -> None:
    stage = any_ranges
    in_breach(stage)
    code = shipped("RangeThresholds")
    manager = stage.uniswap.position_manager
    other = create(stage.node, code, manager, stage.range_check)
    finding = "((uint8,uint8,int256,int256,int256,bool,uint256,uint256,uint256,string))"
    signature = "finding(address,address,uint256)"
    told = [
        Finding(*stage.ask(stage.range_check, signature, finding, thresholds, OWNER, 0))
        for thresholds in (stage.thresholds, other)
    ]
    assert told[0] == stage.check()
    assert told[0].verdict == BREACHED
    assert (told[1].verdict, told[1].why) == (BARRED, "rule: none is set")
    # Written there as well, the rule finds that the owner has approved this contract and not that one.
    stage.send(OWNER, other, f"set_rule(uint256,{RULE})", 0, stage.rule_of().values())
    theirs = Finding(*stage.ask(stage.range_check, signature, finding, other, OWNER, 0))
    assert theirs.why == "approval: the owner has not made this contract an operator"

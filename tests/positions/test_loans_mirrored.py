"""Loans through the mirror and the screen are what they are without: verdict for verdict, to the digit."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from keeper.chain.mirror import Mirror, Mirrored
from keeper.domain.errors import NodeRefused
from keeper.domain.units import HEALTH_WAD_PER_BPS, Address
from keeper.domain.verdicts import Kind
from keeper.judge.loan_screen import DOUBT, screen
from keeper.judge.loan_worth import Valuer, worth
from keeper.positions.loans import LoanPositions
from keeper.positions.port import Doubts
from keeper.protocols.methods import address
from keeper.protocols.multicall3 import MULTICALL3
from tests.contracts.crowd import a_crowd, e_mode_price, found_e_modes
from tests.contracts.loan_stage import BASE, LENDER, PRICES, Rule, Stage, Terms

DOUBTS = Doubts(max_price_age=10**9, drift_bps=30)
NEVER_MIRRORED = 10**9
BORROWS = Terms(borrow_step=10**9)
FOLLOWS = Terms(highest_bps=1, sigmas_bps=15_000, horizon=7 * 86_400)


def write_rules(stage: Stage, owners: Sequence[Address], chance: random.Random, feed: Address) -> None:
    """A rule for nearly everybody, most with an edge within a few basis points of where the loan stands."""
    for n, owner in enumerate(owners):
        collateral, debt, _, _, _, health = stage.account(owner)
        stands = health // HEALTH_WAD_PER_BPS if debt else 20_000
        floor = min(max(stands + chance.choice([-3_000, -40, -1, 0, 1, 40]), 10_100), 90_000)
        rule = replace(stage.rule, floor_bps=floor, target_bps=floor + 2_000, ceiling_bps=0)
        match n % 6:
            case 0 if collateral > debt > 0:
                lever = max(collateral * 10_000 // (collateral - debt) + chance.choice([-1, 0, 1]), 10_400)
                edges = {"floor_bps": lever + 600, "target_bps": lever + 300, "ceiling_bps": lever}
                write(stage, owner, replace(rule, **edges), replace(BORROWS, in_leverage=True))
            case 1:
                write(stage, owner, replace(rule, ceiling_bps=floor + 5_000), BORROWS)
            case 2:
                write(stage, owner, replace(rule, expiry=stage.time() + chance.choice([400, 10**9])), None)
            case 3:
                moving = replace(FOLLOWS, highest_bps=floor + 40, feed=feed)
                write(
                    stage, owner, replace(rule, ceiling_bps=floor + 5_000), replace(moving, borrow_step=10**9)
                )
            case _:
                write(stage, owner, rule, None)


def write(stage: Stage, owner: Address, rule: Rule, terms: Terms | None) -> None:
    with suppress(NodeRefused):  # then there is an owner without a rule
        stage.set_rule(rule, owner=owner, terms=terms)


def meddle(stage: Stage, owners: Sequence[Address], chance: random.Random) -> None:
    """One thing that changes an account, of those that Aave knows."""
    owner, other = chance.sample(list(owners), 2)
    symbol = chance.choice(sorted(stage.tokens))
    token, pool = stage.tokens[symbol], stage.aave.pool
    amount = stage.balance(stage.a_token(symbol), owner) // chance.choice([3, 10, 1_000]) + 1
    owed = stage.balance(stage.debt_token(symbol), owner) // 2 + 1
    stage.mint(symbol, owner, amount + owed)
    with suppress(NodeRefused):  # MUTE takes no second approval
        stage.approve(owner, token, pool)
    choices: list[tuple[Address, str, tuple[object, ...]]] = [
        (pool, "supply(address,uint256,address,uint16)", (token, amount, other, 0)),
        (pool, "withdraw(address,uint256,address)", (token, amount, owner)),
        (pool, "borrow(address,uint256,uint256,uint16,address)", (token, owed, 2, 0, owner)),
        (pool, "repay(address,uint256,uint256,address)", (token, owed, 2, other)),
        (pool, "setUserUseReserveAsCollateral(address,bool)", (token, chance.random() < 0.5)),
        (pool, "setUserEMode(uint8)", (chance.randrange(3),)),
        (stage.a_token(symbol), "transfer(address,uint256)", (other, amount)),
        (stage.thresholds, "clear_rule(uint256)", (0,)),
    ]
    to, signature, arguments = chance.choice(choices)
    with suppress(NodeRefused):
        stage.send(owner, to, signature, *arguments)


@pytest.fixture
def crowded(either_aave: Stage) -> tuple[Stage, list[Address], random.Random]:
    """Several collaterals and debts, e-modes with and without a price, stable debt, rules of every kind."""
    stage, chance = either_aave, random.Random(11)
    code = files("keeper").joinpath("data", "multicall3.hex").read_text(encoding="ascii").strip()
    stage.node.ask("anvil_setCode", MULTICALL3, code)
    found_e_modes(stage)
    owners = [*a_crowd(stage, chance, 18), LENDER, address(f"0x{1:040x}")]
    feed = stage.create("Feed", "ETH / USD", 8, BASE)
    stage.live(feed, [BASE + n % 2 * BASE // 50 for n in range(8)])
    write_rules(stage, owners[:-1], chance, feed)
    return stage, owners, chance


def test_a_random_market__mirrored_or_read__is_judged_alike_and_nothing_but_within_is_screened_out(
    crowded: tuple[Stage, list[Address], random.Random],
) -> None:
    stage, owners, chance = crowded
    plain = LoanPositions(stage.node, stage.thresholds, owners, DOUBTS, NEVER_MIRRORED)
    mirrored = LoanPositions(stage.node, stage.thresholds, owners, DOUBTS, mirrored_from=1)
    mirror = Mirror(stage.node, plain.loans)
    kinds: Counter[tuple[Kind, bool]] = Counter()
    for turn in range(14):
        if turn == 7:
            stage.govern("setReserveFreeze(address,bool)", stage.tokens["WBTC"], True)
        for _ in range(chance.randrange(3)):
            meddle(stage, owners, chance)
        for symbol in chance.sample(sorted(stage.tokens), chance.randrange(1, 3)):
            stage.set_feed(symbol, int(PRICES[symbol] * chance.uniform(0.97, 1.03)))
        e_mode_price(stage, chance.randrange(BASE, 5_000 * BASE))
        stage.pass_time(chance.choice([1, 12, 600]))
        block = stage.node.head()
        expected = {verdict.key: verdict for verdict in plain.observe(block).verdicts}
        seen = mirrored.observe(block)
        assert {verdict.key: verdict for verdict in seen.verdicts} == expected
        assert seen.said == ()
        columns = mirror.observe(block, ())
        is_exact(stage, columns, owners)
        for key, code in zip(columns.rules.keys, screened(columns), strict=True):
            kind = expected[key].kind
            assert code == DOUBT or kind in (Kind.WITHIN, Kind.BARRED)
            kinds[kind, code == DOUBT] += 1
    assert {kind for kind, _ in kinds} >= {Kind.WITHIN, Kind.BREACHED, Kind.BARRED}
    assert kinds[Kind.WITHIN, False] > 5 * kinds[Kind.WITHIN, True], "a screen that doubts everything is none"


def screened(seen: Mirrored) -> list[int]:
    codes: list[int] = screen(seen.rules, seen.held, seen.market, seen.block.timestamp).tolist()
    return codes


def is_exact(stage: Stage, seen: Mirrored, owners: Sequence[Address]) -> None:
    """Every account's integers, recomputed from the columns, are Aave's own, and within the screen's bounds."""
    bounds = Valuer(seen.market).bounds(seen.held, np.arange(len(owners)))
    whole = 0
    for account, owner in enumerate(owners):
        if not seen.held.fit[account]:
            continue
        collateral, debt, _, threshold, _, health = stage.account(owner)
        loan = worth(seen.market, seen.held.of(account))
        assert loan is not None
        assert (loan.collateral_base, loan.debt_base, loan.threshold_bps, loan.health) == (
            collateral,
            debt,
            threshold,
            health,
        )
        whole += 1
        if debt:
            assert bounds.health[0][account] <= health <= bounds.health[1][account]
    assert whole > len(owners) // 2


def test_a_feed_that_dies__mirrored_or_read__blinds_the_same_loans(
    crowded: tuple[Stage, list[Address], random.Random],
) -> None:
    stage, owners, _ = crowded
    plain = LoanPositions(stage.node, stage.thresholds, owners, DOUBTS, NEVER_MIRRORED)
    mirrored = LoanPositions(stage.node, stage.thresholds, owners, DOUBTS, mirrored_from=1)
    mirrored.observe(stage.node.head())
    stage.set_feed("WBTC", 0)
    block = stage.node.head()
    seen = mirrored.observe(block).verdicts
    assert set(seen) == set(plain.observe(block).verdicts)
    assert Kind.BLIND in {verdict.kind for verdict in seen}

    young = Doubts(max_price_age=100, drift_bps=30)
    plain.doubts = mirrored.doubts = young
    stage.pass_time(300)
    block = stage.node.head()
    seen = mirrored.observe(block).verdicts
    assert set(seen) == set(plain.observe(block).verdicts)
    assert any("s old, over 100 s" in verdict.why for verdict in seen)

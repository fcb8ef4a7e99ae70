"""What a hundred thousand loans cost a turn in which nobody did anything, the reading of the market left out.

The market is read from the devnet, and so are some loans; the hundred thousand are those again and again, each a little
larger or smaller, as columns only: no node here holds that many. The peers read and judge the loans that are on chain,
and their time is of this process alone, multiplied to as many.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from bench.read_loans import Web3Reader
from bench.rows import Row
from bench.stage import open_crowd, raised
from keeper.chain.mirror import Mirror, Mirrored
from keeper.domain.blocks import Block
from keeper.domain.columns import HoldingColumns, RuleColumns
from keeper.domain.holdings import Holding
from keeper.domain.loans import Sight
from keeper.domain.rules import RuleKey
from keeper.domain.units import HEALTH_WAD_PER_BPS, Address
from keeper.domain.verdicts import Kind, Verdict
from keeper.judge.loan_health import judge
from keeper.judge.loan_worth import worth
from keeper.positions.loan_screened import Screened
from keeper.positions.loans import LoanPositions
from keeper.positions.port import Doubts

GOAL_MS: Final = 20.0
LOANS: Final = 100_000
_FLOOR_BPS: Final = 11_200
_DOUBTS: Final = Doubts(max_price_age=90_000, drift_bps=30)


def warm_turn_100k_loans(quick: bool) -> list[Row]:
    """Milliseconds of processor time: the screen over all, and the exact judgement of those that it doubts."""
    count, loans, rounds = (200, LOANS // 5, 3) if quick else (2_000, LOANS, 9)
    with raised() as world:
        healths = [1.11 + 2.4 * at / count for at in range(count)]
        owners = open_crowd(world, 5, healths, [_FLOOR_BPS] * count, target_bps=15_000)
        block = world.node.head()
        plain = LoanPositions(world.node, world.thresholds, owners, _DOUBTS, mirrored_from=2**63)
        crowd = crowded(Mirror(world.node, plain.loans).observe(block, ()), loans)
        peer = Web3Reader(world)
        plain.observe(block)
        ours = [spent(lambda: judged(crowd)) for _ in range(rounds)]
        present = [spent(lambda: plain.observe(block)) for _ in range(rounds)]
        by_multicall = [spent(lambda: below(peer, owners, world.node.head())) for _ in range(3)]
    breached = judged(crowd)
    assert 0 < len(breached) < loans // 20
    peers = {
        f"every loan read, from {count} loans": median(present) * LOANS / count,
        f"web3.py, Multicall3, from {count} loans": median(by_multicall) * LOANS / count,
    }
    return [Row("warm_turn_100k_loans_cpu_ms", median(ours) * LOANS / loans, "ms", GOAL_MS, peers)]


def spent(work: Callable[[], object]) -> float:
    """Milliseconds of this process's processors."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3


def crowded(few: Mirrored, loans: int) -> Mirrored:
    """The mirror of a few loans, become one of many like them."""
    chance = random.Random(1)
    held, rules = HoldingColumns(loans), RuleColumns()
    for account in range(loans):
        row = account % len(few.rules)
        like = few.held.of(row)
        size = chance.randrange(500, 2_000)
        collateral = tuple((id_, shares * size // 1_000) for id_, shares in like.collateral)
        debt = tuple((id_, shares * size // 1_000 + 1) for id_, shares in like.debt)
        held.put(account, Holding(like.mode, collateral, debt), fit=True)
        key = few.rules.keys[row]
        rules.put(RuleKey(key.thresholds, key.owner, account), account, few.rules.rules[row])
    return Mirrored(few.block, few.market, held, rules, (), few.price_ages, (), ())


def judged(mirrored: Mirrored) -> list[Verdict]:
    """Those to be acted on, by what a turn does once the market and the doubted loans are read."""
    seen = Screened(mirrored)
    breached = []
    for key in seen.doubtful:
        row = mirrored.rules.row(key)
        assert row is not None
        loan = worth(mirrored.market, mirrored.held.of(int(mirrored.rules.account[row])))
        verdict = judge(Sight(key, mirrored.rules.rules[row], 0, loan), mirrored.block.timestamp)
        if verdict.kind is Kind.BREACHED:
            breached.append(verdict)
    return breached


def below(peer: Web3Reader, owners: Sequence[Address], block: Block) -> list[Address]:
    """The peer's way: read every account, and compare."""
    accounts = peer.by_multicall(owners, block)
    floor = _FLOOR_BPS * HEALTH_WAD_PER_BPS
    return [owner for owner, account in zip(owners, accounts, strict=True) if account[5] < floor]

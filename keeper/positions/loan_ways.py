"""The two ways to bring a loan back into its band, as far as they differ: what is swapped for what, and how much of it.

The closed forms of `keeper/size` know only the liquidity in range; a pool's own answer counts every tick on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.loans import Loans
from keeper.domain.blocks import Block
from keeper.domain.errors import Unsafe
from keeper.domain.loan_band import edges, measure_down
from keeper.domain.loans import Loan, LoanMarket, LoanRule
from keeper.domain.plans import Asset, Move
from keeper.domain.units import BPS, WAD, mul_div_down, mul_div_up
from keeper.protocols.loan_thresholds import Action
from keeper.size import deleverage, releverage
from keeper.size.steps import Step

_OFFERS: Final = 8


@dataclass(frozen=True, slots=True)
class Way:
    """One action: its verbs, its closed form, what to ask a pool, and the keeper's own bound on the swap.

    `asked` gives the collateral for the whole of an amount: 0 when the pool cannot carry it, None when no pool can be
    tried on this node. `ratio` orders offers by `rank`, the lowest being the owner's best.
    """

    action: Action
    verbs: tuple[str, str]
    closed: Callable[[LoanRule, Loan, LoanMarket], Step | None]
    amount_at: Callable[[int, LoanRule, Loan, LoanMarket], int | None]
    asked: Callable[[Loans, LoanRule, int, int, Block], int | None]
    ratio: Callable[[int, int, LoanMarket], int]
    rank: Callable[[Step], int]
    after: Callable[[Step, Loan, LoanMarket], int]
    limit: Callable[[int, int], int]

    def moves(self, collateral: Asset, debt: Asset, swapped: int, amount: int, fee: int) -> tuple[Move, ...]:
        """What happens to the debt, then to the collateral."""
        return Move(self.verbs[0], debt, amount), Move(self.verbs[1], collateral, swapped, fee)

    def sized(self, loans: Loans, rule: LoanRule, loan: Loan, market: LoanMarket, block: Block) -> Step:
        """The step in closed form if the pool itself asks the same, to a basis point; else the best any pool offers."""
        step = self.closed(rule, loan, market)
        if step is not None:
            asked = self.asked(loans, rule, step.fee, step.amount, block)
            if asked is None:
                return step
            if asked and abs(asked - step.swapped) * BPS <= step.swapped:
                return replace(step, swapped=asked)
        offers = [self._offer(pool.fee, loans, rule, loan, market, block) for pool in market.pools]
        best = min(
            (offer for offer in offers if offer),
            key=lambda offer: (self.rank(offer), offer.fee),
            default=None,
        )
        if best is None:
            raise Unsafe(f"pool: none of the pair can carry what there is to {self.verbs[0]}")
        return best

    def _offer(
        self, fee: int, loans: Loans, rule: LoanRule, loan: Loan, market: LoanMarket, block: Block
    ) -> Step | None:
        """The step one pool offers by its own answers, each size corrected by what the last one would have cost."""
        ratio = WAD
        for _ in range(_OFFERS):
            amount = self.amount_at(ratio, rule, loan, market)
            asked = self.asked(loans, rule, fee, amount, block) if amount else None
            if not amount or not asked:
                return None
            last, ratio = ratio, self.ratio(amount, asked, market)
            if abs(ratio - last) * BPS <= last:
                return Step(fee, amount, asked, ratio)
        return None


def way_of(rule: LoanRule, loan: Loan) -> Way:
    """Which way a loan outside its band is to go."""
    ceiling = edges(rule).ceiling
    return UP if ceiling and measure_down(loan, rule.terms.in_leverage) > ceiling else DOWN


def _sale(loans: Loans, rule: LoanRule, fee: int, amount: int, block: Block) -> int | None:
    cost = loans.swap_cost(rule, fee, amount, block)
    if cost is None:
        return None
    return cost[0] if cost[1] == amount else 0


def _purchase(loans: Loans, rule: LoanRule, fee: int, amount: int, block: Block) -> int | None:
    gain = loans.swap_gain(rule, fee, amount, block)
    if gain is None:
        return None
    return gain[1] if gain[0] == amount else 0


DOWN: Final = Way(
    action=Action.DELEVERAGE,
    verbs=("repay", "sell"),
    closed=deleverage.deleverage,
    amount_at=deleverage.repay_at_up,
    asked=_sale,
    ratio=deleverage.ratio_up,
    rank=lambda step: step.ratio,
    after=deleverage.health_after_down,
    limit=lambda swapped, drift_bps: mul_div_up(swapped, BPS + drift_bps, BPS),
)
UP: Final = Way(
    action=Action.RELEVERAGE,
    verbs=("borrow", "buy"),
    closed=releverage.releverage,
    amount_at=releverage.borrow_at_down,
    asked=_purchase,
    ratio=releverage.ratio_down,
    rank=lambda step: -step.ratio,
    after=releverage.health_after_down,
    limit=lambda swapped, drift_bps: mul_div_down(swapped, BPS - drift_bps, BPS),
)

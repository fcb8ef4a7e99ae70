"""What may be wrong with a rule on a loan, and with two of one owner.

An account on Aave has one health, so that two rules of one owner are always about the same number, and may work
against each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.loan_band import edges
from keeper.domain.loans import Loan, LoanMarket, LoanRule, Sight
from keeper.domain.texts import span_text
from keeper.domain.units import BPS, WAD, Address, decimal_text, mul_div_down, mul_div_up
from keeper.domain.verdicts import Kind
from keeper.judge.loan_health import judge
from keeper.protocols.loan_thresholds import Finding
from keeper.rules.faults import MOST_STEPS, Fault, Lint, obstacle
from keeper.size.deleverage import deleverage, repay_at_up

YEAR: Final = 365 * 86_400
DRIFT_DAYS: Final = 30
"""Interest that carries a loan from its target to its floor sooner than this makes work, and costs, of its own."""


@dataclass(frozen=True, slots=True)
class LoanCase:
    """One rule as it stands at a block, with its contract's own verdict and the market it would act in.

    `held` is the owner's collateral in units of `a_token`; the yearly rates, for drawing conclusions only, are those
    of the debt and of the collateral.
    """

    sight: Sight
    finding: Finding
    market: LoanMarket | None
    a_token: Address
    held: int
    borrow_rate: float
    supply_rate: float

    @property
    def rule(self) -> LoanRule:
        """The rule, which there is."""
        assert self.sight.rule is not None
        return self.sight.rule


def alone(case: LoanCase, now: int) -> Iterator[Lint]:
    """What is wrong with one rule at unix second `now`."""
    rule, finding, key = case.rule, case.finding, (case.sight.key,)
    if now > rule.limits.expiry:
        yield Lint(key, Fault.NEVER, f"it expired {span_text(now - rule.limits.expiry)} ago")
        return
    if case.market is None:
        yield Lint(key, Fault.NEVER, "Aave knows no market of its collateral and its debt")
        return
    if case.sight.loan is None or case.sight.loan.debt_base == 0 or case.market.repayable == 0:
        yield Lint(key, Fault.NEVER, "the owner owes none of its debt asset, so that nothing could be repaid")
        return
    if case.held == 0:
        yield Lint(
            key, Fault.NEVER, "the owner has none of its collateral on Aave, so that nothing could be sold"
        )
        return
    judged = judge(case.sight, now)
    if breached := next((each for each in (judged, finding) if each.kind is Kind.BREACHED), None):
        yield Lint(key, Fault.NOW, breached.why)
    if in_the_way := obstacle(finding.kind, finding.why):
        yield Lint(key, Fault.BARRED, in_the_way)
    yield from _at_the_floor(case, case.sight.loan, case.market)
    yield from _drifting(case)


def _at_the_floor(case: LoanCase, loan: Loan, market: LoanMarket) -> Iterator[Lint]:
    """What the first action would meet, were the loan just below its floor with the pools as they are."""
    rule, key = case.rule, (case.sight.key,)
    fallen = _just_below(rule, loan)
    unbounded = replace(rule, limits=replace(rule.limits, max_step=2**256 - 1))
    whole = repay_at_up(WAD, unbounded, fallen, replace(market, repayable=2**256 - 1))
    if whole is None:
        yield Lint(
            key, Fault.UNREACHABLE, "selling its collateral lowers health as fast as repaying raises it"
        )
        return
    if whole > market.repayable:
        owed, wanted = (_amount(each, market.debt_unit) for each in (market.repayable, whole))
        yield Lint(
            key,
            Fault.UNREACHABLE,
            f"from the floor it takes a repayment of {wanted}, and only {owed} are owed",
        )
    needed = mul_div_up(
        min(whole, market.repayable) * market.debt_price,
        market.collateral_unit,
        market.debt_unit * market.collateral_price,
    )
    if needed > case.held:
        wanted, held = (_amount(each, market.collateral_unit) for each in (needed, case.held))
        yield Lint(
            key, Fault.UNREACHABLE, f"from the floor it takes a sale of {wanted}, and only {held} are on Aave"
        )
    steps = -(-min(whole, market.repayable) // rule.limits.max_step)
    if steps > MOST_STEPS:
        lasts = span_text((steps - 1) * rule.limits.cooldown)
        yield Lint(
            key,
            Fault.UNREACHABLE,
            f"max_step makes {steps} actions of the way from the floor to the target, and the cooldown {lasts}",
        )
    yield from _through_the_pools(case, fallen, market)


def _through_the_pools(case: LoanCase, fallen: Loan, market: LoanMarket) -> Iterator[Lint]:
    rule, key = case.rule, (case.sight.key,)
    step = deleverage(rule, fallen, market)
    if step is None:
        yield Lint(
            key, Fault.SLIPPAGE, "no pool of the pair has the liquidity in range for one step from the floor"
        )
        return
    loss_bps = mul_div_up(step.ratio - WAD, BPS, WAD)
    if loss_bps > rule.limits.slippage_bps:
        yield Lint(
            key,
            Fault.SLIPPAGE,
            f"one step from the floor would lose {loss_bps} bps in the best pool, and it allows "
            f"{rule.limits.slippage_bps}",
        )


def _drifting(case: LoanCase) -> Iterator[Lint]:
    band, net = edges(case.rule), case.borrow_rate - case.supply_rate
    if net <= 0:
        return
    seconds = math.log(band.target / band.floor) / net * YEAR
    if seconds < DRIFT_DAYS * 86_400:
        yield Lint(
            (case.sight.key,),
            Fault.DRIFT,
            f"interest alone, {net:.1%} a year, goes from the target to the floor in {span_text(int(seconds))}",
        )


def together(one: LoanCase, other: LoanCase, now: int) -> Iterator[Lint]:
    """What `one` does to `other`; each pair comes in both orders."""
    a, b = one.rule, other.rule
    if a.terms.in_leverage != b.terms.in_leverage or now > min(a.limits.expiry, b.limits.expiry):
        return
    keys = (one.sight.key, other.sight.key)
    upper, lower = edges(a), edges(b)
    if lower.ceiling and upper.target > lower.ceiling:
        if lower.target < upper.floor:
            yield Lint(
                keys,
                Fault.LOOP,
                f"rule {keys[0].id} repays up to {_text(upper.target)}, from where rule {keys[1].id} borrows down to "
                f"{_text(lower.target)}, below the first one's floor",
            )
        else:
            yield Lint(
                keys,
                Fault.CONTRADICTION,
                f"rule {keys[0].id} lands on {_text(upper.target)}, above rule {keys[1].id}'s ceiling of "
                f"{_text(lower.ceiling)}",
            )
    elif lower.ceiling and lower.target < upper.floor:
        yield Lint(
            keys,
            Fault.CONTRADICTION,
            f"rule {keys[1].id} borrows down to {_text(lower.target)}, below rule {keys[0].id}'s floor of "
            f"{_text(upper.floor)}",
        )
    same = (a.collateral, a.debt) == (b.collateral, b.debt)
    if same and upper.floor > lower.floor and a.limits.max_step >= b.limits.max_step and not lower.ceiling:
        yield Lint(
            (keys[1], keys[0]),
            Fault.NEVER,
            f"rule {keys[0].id} sells the same for the same, as much at once, and from a higher floor: "
            f"{_text(upper.floor)} before {_text(lower.floor)}",
        )


def _just_below(rule: LoanRule, loan: Loan) -> Loan:
    """The same debt with its collateral fallen until the rule fires."""
    measure, debt = edges(rule).floor - 1, loan.debt_base
    threshold = max(loan.threshold_bps, 1)
    if rule.terms.in_leverage:
        health = mul_div_down(measure, threshold, BPS)
        return replace(loan, collateral_base=mul_div_down(measure, debt, WAD), health=health)
    return replace(loan, collateral_base=mul_div_down(measure * debt, BPS, threshold * WAD), health=measure)


def _text(measure: int) -> str:
    return decimal_text(measure, 18, 4)


def _amount(units: int, unit: int) -> str:
    return decimal_text(units, len(str(unit)) - 1, 2)

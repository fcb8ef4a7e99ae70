"""A loan lived through a history: one collateral against one debt, by the conventions of `conventions.py`.

Prices are those of the collateral in units of the debt. Below its floor the loan sells collateral to repay until it
stands on its target, above its ceiling it borrows to buy, or with a speed below 1 goes that share of the way; in
between liquidators see every bar's low before the rule sees its close. Gas is paid from a purse beside the loan, which
counts into net worth and not into health.

Source: Aave V3 for health and liquidation; keeper/size/deleverage.py and releverage.py for the sizes, of which
`repayment` and `borrowing` are the same formulas in floats (`tests/planner` holds them within a stated tolerance).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from keeper.domain.loan_band import TOLERANCE_BPS
from keeper.domain.units import BPS
from keeper.planner.charges import Charges, impact_share
from keeper.planner.compiled import compiled
from keeper.planner.judgements import LOAN_HIGH, LOAN_LOW, loan_code
from keeper.planner.record import (
    ACTION_WIDTH,
    AIM,
    EARNED,
    EQUITY,
    EXPOSURE,
    HIGH,
    IDEAL,
    LOST,
    LOW,
    LOWEST,
    MEASURE,
    write,
)
from keeper.planner.results import DOWN, FAILED, LIQUIDATED, UP, Floats, Ints
from keeper.planner.tally import (
    BINS,
    FAILURES,
    LIQUIDATIONS,
    MIN_HEALTH,
    TRADES,
    TURNOVER,
    begin,
    count_bar,
    count_cost,
    end,
)

RULE: Final = ("floor", "target", "ceiling", "cooldown", "look", "sigmas", "highest", "speed")
"""The columns of a loan's rules: healths (no ceiling: inf; no rule: a floor of 0), seconds, bars, how many standard
deviations a floor that follows volatility bears (0: it is fixed) and the health it rises to, and the share of the way
to the target that one action goes.
"""

_WAD: Final = 1e18
_FOREVER: Final = 2**62
ABOVE: Final = 1.0 + TOLERANCE_BPS / (2.0 * BPS)
_OFF_EDGE: Final = 2.0 * TOLERANCE_BPS / BPS
_ROUNDS: Final = 8
_BITES: Final = 32


class LoanHistory(NamedTuple):
    """Bars of the collateral's price in the debt; `moment` unix seconds of the close; `gas` money per action.

    `supplied` and `borrowed` are what one unit of either grows to since the last bar; `moves` is one standard deviation
    of the price over a rule's horizon, of volatility as known before each bar's close, and inf where it is not known.
    """

    moment: Ints
    opens: Floats
    lows: Floats
    closes: Floats
    gas: Floats
    supplied: Floats
    borrowed: Floats
    moves: Floats
    day: int


class Lending(NamedTuple):
    """The market's terms: shares all; below `full_below` of health all of a debt may be liquidated at once."""

    threshold: float
    close_factor: float
    full_below: float
    bonus: float


@compiled
def health_of(collateral: float, debt: float, threshold: float) -> float:
    """Health of values in money; inf without a debt."""
    return collateral * threshold / debt if debt > 0.0 else np.inf


@compiled
def repayment(
    collateral: float, debt: float, target: float, threshold: float, charges: Charges
) -> tuple[float, float]:
    """Debt to repay and collateral value to sell for it, to land on the target; zeros when no sale gets there."""
    health = health_of(collateral, debt, threshold)
    ratio, repay = 1.0, 0.0
    for _ in range(_ROUNDS):
        if threshold * ratio >= target:
            return 0.0, 0.0
        repay = min(debt * (target - health) / (target - threshold * ratio), debt)
        kept = 1.0 - charges.fee - impact_share(repay * ratio, charges.impact_scale, charges.impact_exponent)
        if kept <= 0.0:
            return 0.0, 0.0
        ratio = (1.0 + charges.premium) / kept
    sell = repay * ratio
    return (repay, sell) if sell <= collateral else (0.0, 0.0)


@compiled
def borrowing(collateral: float, debt: float, target: float, threshold: float, charges: Charges) -> float:
    """Debt to take on and sell for collateral, to land from above where the keeper aims: a hair over the target."""
    health = health_of(collateral, debt, threshold)
    target *= ABOVE
    kept, borrow = 1.0, 0.0
    for _ in range(_ROUNDS):
        borrow = debt * (health - target) / (target - threshold * kept)
        kept = 1.0 - charges.fee - charges.premium
        kept -= impact_share(borrow, charges.impact_scale, charges.impact_exponent)
    return max(borrow, 0.0)


@compiled
def aim_of(health: float, floor: float, target: float, ceiling: float, speed: float) -> float:
    """Where one step from outside the band is to land, as `loan_band.aim_down` has it for health."""
    if speed >= 1.0:
        return target
    aim = health + (target - health) * speed
    if health < target:
        return min(max(aim, floor / (1.0 - _OFF_EDGE)), target)
    return max(min(aim, ceiling / (1.0 + _OFF_EDGE)), target)


@compiled
def standing(
    floor: float, target: float, ceiling: float, sigmas: float, highest: float, moved: float
) -> tuple[float, float, float]:
    """The band as volatility has it, as `loan_band.standing` does: all as much higher as the floor is."""
    low = min(max(np.exp(sigmas * moved), floor), highest)
    raised = low / floor
    return low, target * raised, ceiling * raised


@compiled
def breached_side(
    moment: int, last_acted: int, cooldown: int, debt: float, health: float, floor: float, ceiling: float
) -> int:
    """Which end of its band a loan has left, as the judge sees it: `DOWN`, `UP`, or 0 for neither."""
    top = ceiling * _WAD if np.isfinite(ceiling) else 0.0
    code = loan_code(
        moment, True, _FOREVER, last_acted, cooldown, floor * _WAD, top, True, debt, min(health, 1e6) * _WAD
    )
    if code == LOAN_LOW:
        return DOWN
    if code == LOAN_HIGH:
        return UP
    return 0


@compiled
def _attempt(
    side: int,
    held: Floats,
    price: float,
    target: float,
    lending: Lending,
    charges: Charges,
    gas: float,
    at: int,
    row: Floats,
    log: Floats,
) -> bool:
    """Bring the loan to its target from the side it stands on, or pay for having tried; whether it moved.

    `held` is collateral in its own units, debt, and the purse.
    """
    collateral, debt = held[0] * price, held[1]
    worth = collateral - debt + held[2]
    before = health_of(collateral, debt, lending.threshold)
    after, sold, fee, impact, premium, told = before, 0.0, 0.0, 0.0, 0.0, FAILED
    if side == DOWN:
        repay, sold = repayment(collateral, debt, target, lending.threshold, charges)
        if repay <= 0.0:
            # The keeper finds no step to send, so nothing is paid.
            return False
        collateral, debt, told = collateral - sold, debt - repay, DOWN
        premium = repay * charges.premium
    elif side == UP:
        borrow = borrowing(collateral, debt, target, lending.threshold, charges)
        sold, told = borrow, UP
        premium = borrow * charges.premium
        kept = 1.0 - charges.fee - charges.premium
        kept -= impact_share(borrow, charges.impact_scale, charges.impact_exponent)
        collateral, debt = collateral + borrow * kept, debt + borrow
    if told == FAILED:
        row[FAILURES] += 1.0
        gas *= charges.failed
    else:
        row[TRADES] += 1.0
        row[TURNOVER] += sold / worth if worth > 0.0 else 0.0
        gas *= charges.attempts
        fee = sold * charges.fee
        impact = sold * impact_share(sold, charges.impact_scale, charges.impact_exponent)
        after = health_of(collateral, debt, lending.threshold)
    held[0], held[1], held[2] = collateral / price, debt, held[2] - gas
    count_cost(row, worth, fee, impact, gas, premium, 0.0)
    if len(log) > 0:
        entry = log[int(row[TRADES] + row[FAILURES] + row[LIQUIDATIONS]) - 1]
        write(entry, at, told, before, after, sold, fee, impact, gas, premium, 0.0)
    return told != FAILED


@compiled
def liquidate(held: Floats, price: float, lending: Lending, at: int, row: Floats, log: Floats) -> None:
    """Let liquidators take what they may at `price`, until health is 1 again or nothing is left to take."""
    for _ in range(_BITES):
        collateral, debt = held[0] * price, held[1]
        health = health_of(collateral, debt, lending.threshold)
        if health >= 1.0 or collateral <= 0.0:
            return
        repaid = debt if health < lending.full_below else debt * lending.close_factor
        seized = repaid * (1.0 + lending.bonus)
        if seized > collateral:
            repaid, seized = collateral / (1.0 + lending.bonus), collateral
        penalty = seized - repaid
        worth = collateral - debt + held[2]
        row[LIQUIDATIONS] += 1.0
        count_cost(row, worth, 0.0, 0.0, 0.0, 0.0, penalty)
        held[0], held[1] = (collateral - seized) / price, debt - repaid
        if len(log) > 0:
            entry = log[int(row[TRADES] + row[FAILURES] + row[LIQUIDATIONS]) - 1]
            after = health_of(collateral - seized, debt - repaid, lending.threshold)
            write(entry, at, LIQUIDATED, health, after, seized, 0.0, 0.0, 0.0, 0.0, penalty)


@compiled
def live(
    rule: Floats,
    lending: Lending,
    history: LoanHistory,
    charges: Charges,
    capital: float,
    row: Floats,
    bars: Floats,
    log: Floats,
) -> None:
    """One rule over one history, into `row`; also bar by bar into `bars` and `log`, unless those are empty.

    It starts on its target. A loan of which nothing is left ends there, worth nothing.
    """
    floor, target, ceiling = rule[0], rule[1], rule[2]
    cooldown, look, sigmas, highest, speed = int(rule[3]), int(rule[4]), rule[5], rule[6], rule[7]
    threshold, closes, moment, gas = lending.threshold, history.closes, history.moment, history.gas
    bins = np.empty((BINS, 2))
    tally = begin(row, bins, capital)
    leverage = target / (target - threshold)
    held = np.array([capital * leverage / closes[0], capital * (leverage - 1.0), 0.0])
    last_acted = moment[0] - cooldown
    due, side, ideal, lowest = -1, 0, capital, np.inf
    low, aim, high = floor, target, ceiling
    for i in range(len(moment)):
        price = closes[i]
        ideal_return = 0.0
        if sigmas > 0.0:
            low, aim, high = standing(floor, target, ceiling, sigmas, highest, history.moves[i])
        if i > 0:
            supplied, borrowed = history.supplied[i], history.borrowed[i]
            held[0] *= supplied
            held[1] *= borrowed
            ideal_return = leverage * (supplied * price / closes[i - 1] - 1.0) - (leverage - 1.0) * (
                borrowed - 1.0
            )
            if due == i:
                due = -1
                opened = history.opens[i]
                health = health_of(held[0] * opened, held[1], threshold)
                side = breached_side(moment[i], last_acted, cooldown, held[1], health, low, high)
                step = aim_of(health, low, aim, high, speed)
                if _attempt(side, held, opened, step, lending, charges, gas[i], i, row, log):
                    last_acted = moment[i]
            seen = health_of(held[0] * history.lows[i], held[1], threshold)
            lowest = min(lowest, seen)
            if seen < 1.0:
                liquidate(held, history.lows[i], lending, i, row, log)
        else:
            seen = health_of(held[0] * price, held[1], threshold)
        health = health_of(held[0] * price, held[1], threshold)
        value = held[0] * price - held[1] + held[2]
        if value <= 0.0:
            tally = count_bar(tally, bins, 0.0, ideal_return, health - aim, history.day)
            break
        if due < 0 and (i + 1) % look == 0:
            side = breached_side(moment[i], last_acted, cooldown, held[1], health, low, high)
            if side != 0 and charges.delay > 0:
                due = i + charges.delay
            elif side != 0:
                step = aim_of(health, low, aim, high, speed)
                if _attempt(side, held, price, step, lending, charges, gas[i], i, row, log):
                    last_acted = moment[i]
                    value = held[0] * price - held[1] + held[2]
        deviation = health - aim if held[1] > 0.0 else 0.0
        tally = count_bar(tally, bins, value, ideal_return, deviation, history.day)
        if len(bars) > 0:
            ideal *= 1.0 + ideal_return
            bars[i, EQUITY], bars[i, IDEAL], bars[i, MEASURE], bars[i, LOWEST] = value, ideal, health, seen
            bars[i, EXPOSURE] = held[0] * price / value
            bars[i, AIM], bars[i, LOW], bars[i, HIGH] = aim, low, high
            bars[i, EARNED], bars[i, LOST] = 0.0, 0.0
    end(tally, row, bins)
    row[MIN_HEALTH] = lowest


@compiled
def live_many(
    rules: Floats, lending: Lending, history: LoanHistory, charges: Charges, capital: float, rows: Floats
) -> None:
    """Each rule over the same history, each into its own row."""
    none = np.empty((0, ACTION_WIDTH))
    for at in range(len(rules)):
        live(rules[at], lending, history, charges, capital, rows[at], none, none)

"""Whether a loan's health has left the band its owner wrote, in integers and without I/O.

The contract's `check` comes to the same verdicts (`tests/size` holds the two equal); what only the chain can know of a
breached loan (prices, allowances, paused reserves, pool depth) is `check`'s to add.
Source: contracts/LoanCheck.vy `finding`.
"""

from __future__ import annotations

from typing import Final

from keeper.domain.loan_band import Edges, edges, measure_down
from keeper.domain.loans import Sight, health_measure
from keeper.domain.verdicts import Kind, Verdict

NO_RULE: Final = 0
EXPIRED: Final = 1
UNREADABLE: Final = 2
NO_LOAN: Final = 3
HEALTHY: Final = 4
COOLING: Final = 5
LOW: Final = 6
BETWEEN: Final = 7
HIGH: Final = 8
LOW_UNMEASURED: Final = 9

REASONS: Final[tuple[tuple[Kind, str], ...]] = (
    (Kind.BARRED, "rule: none is set"),
    (Kind.BARRED, "rule: expired"),
    (Kind.BLIND, "oracle: Aave cannot value the account"),
    (Kind.WITHIN, "loan: no debt"),
    (Kind.WITHIN, "health: at or above the floor"),
    (Kind.BARRED, "rule: cooling down"),
    (Kind.BREACHED, "health: below the floor"),
    (Kind.WITHIN, "health: between the floor and the ceiling"),
    (Kind.BREACHED, "health: above the ceiling"),
    (Kind.BREACHED, "health: below the floor, which is at its highest as volatility is not known"),
)
"""Verdict and sentence of each code, worded as the contract words them."""


def health_code(
    now: int,
    has_rule: bool,
    expiry: int,
    last_acted: int,
    cooldown: int,
    floor: int,
    ceiling: int,
    readable: bool,
    debt_base: int,
    measure: int,
) -> int:
    """The index into `REASONS`; numbers in, number out, so that it compiles over columns unchanged.

    `measure` in WAD like the edges, a ceiling of 0 being none; `now` in unix seconds of the block judged.
    """
    if not has_rule:
        return NO_RULE
    if now > expiry:
        return EXPIRED
    if not readable:
        return UNREADABLE
    if debt_base == 0:
        return NO_LOAN
    if ceiling == 0 and measure >= floor:
        return HEALTHY
    if floor <= measure <= ceiling:
        return BETWEEN
    if now < last_acted + cooldown:
        return COOLING
    return LOW if measure < floor else HIGH


def judge(sight: Sight, now: int) -> Verdict:
    """The verdict on one rule at the block whose time is `now`."""
    rule, loan = sight.rule, sight.loan
    band = edges(rule) if rule else Edges(0, 0, 0)
    code = health_code(
        now,
        rule is not None,
        rule.limits.expiry if rule else 0,
        sight.last_acted,
        rule.limits.cooldown if rule else 0,
        band.floor,
        band.ceiling,
        loan is not None,
        loan.debt_base if loan else 0,
        measure_down(loan, rule.terms.in_leverage) if rule and loan else 0,
    )
    if code == LOW and rule and rule.terms.highest_bps and rule.sigma == 0:
        code = LOW_UNMEASURED
    kind, why = REASONS[code]
    return Verdict(sight.key, kind, why, health_measure(loan.health if loan else None))

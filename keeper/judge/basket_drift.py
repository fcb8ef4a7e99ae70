"""Whether a basket has drifted out of the bands its owner wrote, in integers and without I/O.

The contract's `check` comes to the same verdicts (`tests/judge` holds the two equal); what only the chain can know of a
breached basket (allowances, pools, the price of gas) is `check`'s to add.
Source: contracts/BasketCheck.vy `finding`, contracts/limits.vy `_obstacle`.
"""

from __future__ import annotations

from typing import Final

from keeper.domain.baskets import LEAST_WORTH, BasketSight, drift_measure, measure_up, spent_up, worth
from keeper.domain.units import BPS
from keeper.domain.verdicts import Kind, Verdict

_DAY: Final = 86_400

NO_RULE: Final = 0
EXPIRED: Final = 1
UNREADABLE: Final = 2
WORTHLESS: Final = 3
INSIDE: Final = 4
COOLING: Final = 5
COUNTED_OUT: Final = 6
SPENT: Final = 7
DRIFTED: Final = 8

BREACH: Final = "basket: an asset has drifted out of its band"
REASONS: Final[tuple[tuple[Kind, str], ...]] = (
    (Kind.BARRED, "rule: none is set"),
    (Kind.BARRED, "rule: expired"),
    (Kind.BLIND, "basket: could not be read"),
    (Kind.WITHIN, "basket: worth less than a dollar"),
    (Kind.WITHIN, "basket: within its bands"),
    (Kind.BARRED, "rule: cooling down"),
    (Kind.BARRED, "rule: it has acted as often as it may in a day"),
    (Kind.BARRED, "rule: the loss budget is spent"),
    (Kind.BREACHED, BREACH),
)
"""Verdict and sentence of each code, worded as the contract words them; what cannot be read says why."""


def drift_code(
    now: int,
    last_acted: int,
    cooldown: int,
    measure: float,
    edge: float,
    is_counted_out: bool,
    is_spent: bool,
) -> int:
    """What a basket that could be read is judged to be; numbers in, number out, so that it compiles unchanged.

    `measure` is breached above `edge`, both in any one unit; `now` in unix seconds of the block judged.
    """
    if measure <= edge:
        return INSIDE
    if now < last_acted + cooldown:
        return COOLING
    if is_counted_out:
        return COUNTED_OUT
    return SPENT if is_spent else DRIFTED


def judge(sight: BasketSight, now: int) -> Verdict:
    """The verdict on one rule at the block whose time is `now`."""
    measure = measure_up(sight.lines) if sight.lines else None
    code = _code(sight, measure, now)
    kind, why = REASONS[code]
    return Verdict(sight.key, kind, sight.blind if code == UNREADABLE else why, drift_measure(measure))


def _code(sight: BasketSight, measure: int | None, now: int) -> int:
    rule, state = sight.rule, sight.state
    if rule is None:
        return NO_RULE
    limits = rule.limits
    if now > limits.expiry:
        return EXPIRED
    if measure is None:
        return UNREADABLE
    if worth(sight.lines) < LEAST_WORTH:
        return WORTHLESS
    is_counted_out = 0 < limits.daily <= state.count and now // _DAY == state.last_acted // _DAY
    # Before it ever acted nothing cools down.
    cooldown = limits.cooldown if state.last_acted else 0
    is_spent = spent_up(limits, state, now) >= limits.budget
    return drift_code(now, state.last_acted, cooldown, measure, BPS, is_counted_out, is_spent)


def blind_when_old(verdict: Verdict, sight: BasketSight, limit: int) -> Verdict:
    """The verdict, or blind when a price behind it is older than this operator believes, in seconds."""
    if not sight.lines or verdict.kind is Kind.BARRED or sight.price_age <= limit:
        return verdict
    why = f"oracle: a price is {sight.price_age} s old, and the limit is {limit} s"
    return Verdict(verdict.key, Kind.BLIND, why, verdict.measure)

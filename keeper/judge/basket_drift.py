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
BREACH: Final = "basket: an asset has drifted out of its band"


def judge(sight: BasketSight, now: int) -> Verdict:
    """The verdict on one rule at the block whose time is `now`."""
    measure = measure_up(sight.lines) if sight.lines else None
    kind, why = _judged(sight, measure, now)
    return Verdict(sight.key, kind, why, drift_measure(measure))


def _judged(sight: BasketSight, measure: int | None, now: int) -> tuple[Kind, str]:
    rule, state = sight.rule, sight.state
    if rule is None:
        return Kind.BARRED, "rule: none is set"
    if now > rule.limits.expiry:
        return Kind.BARRED, "rule: expired"
    if measure is None:
        return Kind.BLIND, sight.blind
    if worth(sight.lines) < LEAST_WORTH:
        return Kind.WITHIN, "basket: worth less than a dollar"
    if measure <= BPS:
        return Kind.WITHIN, "basket: within its bands"
    obstacle = ""
    if state.last_acted and now < state.last_acted + rule.limits.cooldown:
        obstacle = "rule: cooling down"
    elif rule.limits.daily and now // _DAY == state.last_acted // _DAY and state.count >= rule.limits.daily:
        obstacle = "rule: it has acted as often as it may in a day"
    elif spent_up(rule.limits, state, now) >= rule.limits.budget:
        obstacle = "rule: the loss budget is spent"
    return (Kind.BARRED, obstacle) if obstacle else (Kind.BREACHED, BREACH)


def blind_when_old(verdict: Verdict, sight: BasketSight, limit: int) -> Verdict:
    """The verdict, or blind when a price behind it is older than this operator believes, in seconds."""
    if not sight.lines or verdict.kind is Kind.BARRED or sight.price_age <= limit:
        return verdict
    why = f"oracle: a price is {sight.price_age} s old, and the limit is {limit} s"
    return Verdict(verdict.key, Kind.BLIND, why, verdict.measure)

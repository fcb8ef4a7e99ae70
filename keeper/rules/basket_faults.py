"""What may be wrong with a rule on a basket, and with two of one owner: each sees the same account.

Assumes: prices stay as they are; what drifts is reckoned as if it had been bought or sold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.baskets import (
    LEAST_WORTH,
    BasketRule,
    BasketSight,
    Line,
    measure_up,
    weighed,
    worth,
)
from keeper.domain.texts import span_text
from keeper.domain.units import BPS, WAD, Address, decimal_text, mul_div_down, mul_div_up
from keeper.domain.verdicts import Kind
from keeper.judge.basket_drift import judge
from keeper.protocols.basket_thresholds import Finding
from keeper.protocols.liquidity import Venue
from keeper.rules.faults import MOST_STEPS, Fault, Lint, obstacle
from keeper.size.reweigh import Trade, flows_down, reweigh

_WIDTH_PER_BPS: Final = BPS
_BEYOND_BPS: Final = 10
"""How much more of the whole than its room an asset is taken to have drifted."""


@dataclass(frozen=True, slots=True)
class BasketCase:
    """One rule as it stands at a block, with its contract's own verdict, the pools of every pair, and tokens' names."""

    sight: BasketSight
    finding: Finding
    venues: Mapping[frozenset[Address], Sequence[Venue]]
    symbols: Mapping[Address, str]

    @property
    def rule(self) -> BasketRule:
        """The rule, which there is."""
        assert self.sight.rule is not None
        return self.sight.rule

    def holding(self, balances: Mapping[Address, int]) -> tuple[Line, ...]:
        """The lines as they would be with other balances; tokens that are not named keep theirs."""
        lines = [replace(each, balance=balances.get(each.token, each.balance)) for each in self.sight.lines]
        return weighed(lines, self.rule.cap_bps, self.rule.destination_bps)


def alone(case: BasketCase, now: int) -> Iterator[Lint]:
    """What is wrong with one rule at unix second `now`."""
    rule, sight, key = case.rule, case.sight, (case.sight.key,)
    if now > rule.limits.expiry:
        yield Lint(key, Fault.NEVER, f"it expired {span_text(now - rule.limits.expiry)} ago")
        return
    if not sight.lines:
        yield Lint(key, Fault.BARRED, f"its basket cannot be valued: {sight.blind}")
        return
    if worth(sight.lines) < LEAST_WORTH:
        yield Lint(key, Fault.NEVER, "the owner holds less than a dollar of its assets")
        return
    judged = judge(sight, now)
    if breached := next((each for each in (judged, case.finding) if each.kind is Kind.BREACHED), None):
        yield Lint(key, Fault.NOW, breached.why)
    if in_the_way := obstacle(case.finding.kind, case.finding.why):
        yield Lint(key, Fault.BARRED, in_the_way)
    fires = False
    for line in sight.lines:
        falls = line.width < line.target_bps * _WIDTH_PER_BPS
        share = min(line.width, (rule.cap_bps - line.target_bps) * _WIDTH_PER_BPS)
        fires = fires or falls or share < (BPS - line.target_bps) * _WIDTH_PER_BPS
        if not falls:
            band, weight = _percent(line.width // _WIDTH_PER_BPS), _percent(line.target_bps)
            name = case.symbols[line.token]
            why = (
                f"{name} may stray by {band} of the whole, and is {weight} of it, so that no fall of it fires"
            )
            yield Lint(key, Fault.BAND, why)
    if not fires:
        yield Lint(key, Fault.NEVER, "every band reaches from none of its asset to all of it")
        return
    yield from _when_drifted(case)


def _when_drifted(case: BasketCase) -> Iterator[Lint]:
    """What the first action would meet, were one asset just out of its band: the worst of each kind."""
    rule, key = case.rule, (case.sight.key,)
    worst_loss, worst_cost, most_steps = 0, 0, 0
    for name, lines in _drifts(case):
        trades = reweigh(rule, lines, case.venues)
        if trades is None:
            why = (
                f"{name}, no pool of a pair carries the trade within {rule.spot_bps} bps of the feeds' price"
            )
            yield Lint(key, Fault.SLIPPAGE, why)
            return
        whole = sum(flow for line, flow in zip(lines, flows_down(lines, 2**255), strict=True) if line.over)
        most_steps = max(most_steps, -(-whole // (rule.max_step * WAD)))
        sold, lost = _cost_up(lines, trades)
        worst_loss = max(worst_loss, mul_div_up(lost, BPS * 10, sold) if sold else 0)
        worst_cost = max(worst_cost, lost)
    if worst_loss > rule.limits.slippage_bps * 10:
        why = (
            f"one step from the edge of a band would lose {decimal_text(worst_loss, 1)} bps in the best pools, and it "
            f"allows {rule.limits.slippage_bps}"
        )
        yield Lint(key, Fault.SLIPPAGE, why)
    if worst_cost > rule.limits.budget * 10**10:
        cost, budget = decimal_text(worst_cost, 18, 2), decimal_text(rule.limits.budget, 8, 2)
        why = f"one step from the edge of a band would lose {cost} USD, and its whole budget is {budget}"
        yield Lint(key, Fault.BUDGET, why)
    if most_steps > MOST_STEPS:
        lasts = span_text((most_steps - 1) * rule.limits.cooldown)
        why = f"max_step makes {most_steps} actions of the way back into the band, and the cooldown {lasts}"
        yield Lint(key, Fault.UNREACHABLE, why)


def _drifts(case: BasketCase) -> Iterator[tuple[str, tuple[Line, ...]]]:
    """The basket with each asset in turn just out of its band on each side, at the expense of the others."""
    whole = worth(case.sight.lines)
    beyond = mul_div_up(whole, _BEYOND_BPS, BPS)
    for line in case.sight.lines:
        target = mul_div_down(whole, line.target_bps, BPS)
        for side, sign in (("above", 1), ("below", -1)):
            share = line.width
            if sign > 0:
                share = min(share, (case.rule.cap_bps - line.target_bps) * _WIDTH_PER_BPS)
            value = target + sign * (mul_div_up(whole, share, BPS * _WIDTH_PER_BPS) + beyond)
            if not 0 <= value <= whole:
                continue
            rest = {
                other.token: mul_div_down(whole - value, other.target_bps, BPS - line.target_bps)
                for other in case.sight.lines
                if other.token != line.token
            }
            values = {**rest, line.token: value}
            balances = {
                each.token: mul_div_down(values[each.token], each.unit, each.price)
                for each in case.sight.lines
            }
            yield f"with {case.symbols[line.token]} {side} its band", case.holding(balances)


def _cost_up(lines: Sequence[Line], trades: Sequence[Trade]) -> tuple[int, int]:
    """What trades sell and lose by the feeds, in WAD of dollars."""
    line = {each.token: each for each in lines}
    sold = sum(mul_div_down(t.amount_in, line[t.sell].price, line[t.sell].unit) for t in trades)
    got = sum(mul_div_down(t.out, line[t.buy].price, line[t.buy].unit) for t in trades)
    return sold, max(sold - got, 0)


def together(one: BasketCase, other: BasketCase, now: int) -> Iterator[Lint]:
    """Whether each would undo what the other has done; each pair comes in both orders."""
    keys = (one.sight.key, other.sight.key)
    if now > min(one.rule.limits.expiry, other.rule.limits.expiry):
        return
    undone, undoes = _breaches(one, other), _breaches(other, one)
    first, second = (f"basket rule {key.id}" for key in keys)
    if undone and undoes and keys[0].id < keys[1].id:
        why = (
            f"where {first} has traded to its weights {second} trades away from them, and the other way round"
        )
        yield Lint(keys, Fault.LOOP, why)
    elif undone and not undoes:
        yield Lint(keys, Fault.CONTRADICTION, f"where {first} has traded to its weights {second} fires")


def _breaches(one: BasketCase, other: BasketCase) -> bool:
    """Whether a basket brought to one rule's weights is out of the other's bands."""
    shared = {line.token for line in one.sight.lines} & {line.token for line in other.sight.lines}
    if not shared:
        return False
    whole = worth(one.sight.lines)
    balances = {
        line.token: mul_div_down(mul_div_down(whole, line.target_bps, BPS), line.unit, line.price)
        for line in one.sight.lines
    }
    return measure_up(other.holding(balances)) > BPS


def _percent(bps: int) -> str:
    return f"{decimal_text(bps, 2)} %"

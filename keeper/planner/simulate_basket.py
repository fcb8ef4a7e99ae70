"""A basket of weights lived through a history: n assets, one band, by the conventions of `conventions.py`.

Every asset has a target weight and the band reaches `trigger` to both sides of it (of the target itself where the band
is relative). When any weight leaves its band, each that did is moved to its `destination`: 0 is the target itself, the
trigger is the band's edge. What one side then sells more than the other buys goes to assets that did not drift, or the
other way round, up to their targets, the farthest first.

Source: keeper/size/reweigh.py, whose flows these are in floats (`tests/planner` holds the two equal).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from keeper.planner.charges import Charges, impact_share
from keeper.planner.compiled import compiled
from keeper.planner.judgements import has_drifted
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
from keeper.planner.results import DOWN, FAILED, UP, Floats, Ints
from keeper.planner.tally import (
    BINS,
    FAILURES,
    TRADES,
    TURNOVER,
    begin,
    count_bar,
    count_cost,
    end,
)

RULE: Final = ("trigger", "destination", "is_relative", "cooldown", "look", "scale")
"""The columns of a basket's rules: shares, seconds, bars, and which row of the scales widens the band."""


_ROUNDS: Final = 5


class BasketHistory(NamedTuple):
    """Closes and opens are bars × assets, in money; `moment` unix seconds of the close; `gas` money per action.

    `ideal` is the return over each bar of the weights held without cost; each row of `scales` multiplies the band at
    each bar.
    """

    moment: Ints
    opens: Floats
    closes: Floats
    gas: Floats
    ideal: Floats
    scales: Floats
    day: int


@compiled
def farthest(
    units: Floats, prices: Floats, at: int, targets: Floats, is_relative: bool
) -> tuple[int, float, float, float]:
    """The asset farthest out, its signed deviation, how far that is as its band counts, and the basket's value."""
    if len(targets) == 2:
        # Both are as far (of themselves, the smaller is farther); the first is the one told of.
        held = units[0] * prices[at, 0]
        value = held + units[1] * prices[at, 1]
        off = held / value - targets[0]
        least = min(targets[0], targets[1])
        return 0, off, abs(off) / least if is_relative else abs(off), value
    value = 0.0
    for j in range(len(targets)):
        value += units[j] * prices[at, j]
    which, deviation, most = 0, 0.0, -1.0
    for j in range(len(targets)):
        off = units[j] * prices[at, j] / value - targets[j]
        distance = abs(off) / targets[j] if is_relative else abs(off)
        if distance > most:
            which, deviation, most = j, off, distance
    return which, deviation, most, value


@compiled
def _land(
    units: Floats,
    prices: Floats,
    at: int,
    targets: Floats,
    seen: tuple[int, float, float, float],
    band: float,
    reach: float,
    is_relative: bool,
    wanted: Floats,
) -> None:
    """Into `wanted`, the weights to land on."""
    _, _, distance, value = seen
    if len(targets) == 2:
        keep = min(reach / distance, 1.0)
        for j in range(2):
            wanted[j] = targets[j] + keep * (units[j] * prices[at, j] / value - targets[j])
        return
    gap = 0.0
    for j in range(len(targets)):
        off = units[j] * prices[at, j] / value - targets[j]
        unit = targets[j] if is_relative else 1.0
        if abs(off) > band * unit:
            off = min(abs(off), reach * unit) * (1.0 if off > 0.0 else -1.0)
        wanted[j] = targets[j] + off
        gap += off
    for _ in range(len(targets)):
        side = 1.0 if gap > 0.0 else -1.0
        which, most = 0, 0.0
        for j in range(len(targets)):
            left_over = (wanted[j] - targets[j]) * side
            if left_over > most:
                which, most = j, left_over
        taken = side * min(most, abs(gap))
        wanted[which] -= taken
        gap -= taken


@compiled
def _sold(units: Floats, prices: Floats, at: int, wanted: Floats, left: float) -> float:
    """What is sold of a basket, for the `left` of it to stand on the weights wanted."""
    sold = 0.0
    for j in range(len(wanted)):
        sold += max(units[j] * prices[at, j] - wanted[j] * left, 0.0)
    return sold


@compiled
def _fill(
    units: Floats,
    prices: Floats,
    at: int,
    wanted: Floats,
    value: float,
    gas: float,
    charges: Charges,
) -> tuple[float, float, float, float]:
    """Move every weight to what is wanted: value left, sold, fee, impact."""
    left = value - gas
    sold, fee, impact = 0.0, 0.0, 0.0
    for _ in range(_ROUNDS):
        # What must be sold depends on what its sale leaves; each look is right to one power of the cost more.
        sold = _sold(units, prices, at, wanted, left)
        # Gas comes out of what is held, and is no sale.
        sold = max(sold - gas, 0.0)
        fee = sold * charges.fee
        impact = sold * impact_share(sold, charges.impact_scale, charges.impact_exponent)
        left = value - gas - fee - impact
    for j in range(len(wanted) if left > 0.0 else 0):
        units[j] = wanted[j] * left / prices[at, j]
    return left, sold, fee, impact


@compiled
def attempt(
    units: Floats,
    prices: Floats,
    at: int,
    targets: Floats,
    seen: tuple[int, float, float, float],
    is_breached: bool,
    band: float,
    reach: float,
    is_relative: bool,
    gas: float,
    charges: Charges,
    row: Floats,
    log: Floats,
) -> float:
    """Rebalance where the basket is still out of its band, else only pay for having tried; the value left."""
    which, deviation, _, value = seen
    before = targets[which] + deviation
    if is_breached:
        wanted = np.empty(len(targets))
        _land(units, prices, at, targets, seen, band, reach, is_relative, wanted)
        gas *= charges.attempts
        left, sold, fee, impact = _fill(units, prices, at, wanted, value, gas, charges)
        if left <= 0.0:
            # Gas would eat the basket up; the keeper sends nothing.
            return value
        after = wanted[which]
        side = UP if deviation > 0.0 else DOWN
        row[TRADES] += 1.0
        row[TURNOVER] += sold / value
    else:
        gas = min(gas * charges.failed, 0.5 * value)
        left, sold, fee, impact = value - gas, 0.0, 0.0, 0.0
        units *= left / value
        after, side = before, FAILED
        row[FAILURES] += 1.0
    count_cost(row, value, fee, impact, gas, 0.0, 0.0)
    if len(log) > 0:
        write(
            log[int(row[TRADES] + row[FAILURES]) - 1],
            at,
            side,
            before,
            after,
            sold,
            fee,
            impact,
            gas,
            0.0,
            0.0,
        )
    return left


@compiled
def live(
    rule: Floats,
    targets: Floats,
    history: BasketHistory,
    charges: Charges,
    capital: float,
    row: Floats,
    bars: Floats,
    log: Floats,
) -> None:
    """One rule over one history, into `row`; also bar by bar into `bars` and `log`, unless those are empty."""
    trigger, destination, is_relative = rule[0], rule[1], rule[2] > 0.0
    cooldown, look, scale = int(rule[3]), int(rule[4]), int(rule[5])
    opens, closes, moment, gas = history.opens, history.closes, history.moment, history.gas
    ideals, scales, day = history.ideal, history.scales, history.day
    bins = np.empty((BINS, 2))
    tally = begin(row, bins, capital)
    units = targets * capital / closes[0]
    last_acted = moment[0] - cooldown
    due = -1
    value, ideal = capital, capital
    for i in range(len(moment)):
        widened = scales[scale, i]
        band, reach = trigger * widened, destination * widened
        if due == i:
            due = -1
            seen = farthest(units, opens, i, targets, is_relative)
            is_breached = has_drifted(moment[i], last_acted, cooldown, seen[2], band)
            attempt(
                units,
                opens,
                i,
                targets,
                seen,
                is_breached,
                band,
                reach,
                is_relative,
                gas[i],
                charges,
                row,
                log,
            )
            if is_breached:
                last_acted = moment[i]
        seen = farthest(units, closes, i, targets, is_relative)
        which, deviation, distance, value = seen
        is_due = due < 0 and (i + 1) % look == 0
        if is_due and has_drifted(moment[i], last_acted, cooldown, distance, band):
            if charges.delay > 0:
                due = i + charges.delay
            else:
                value = attempt(
                    units, closes, i, targets, seen, True, band, reach, is_relative, gas[i], charges, row, log
                )
                last_acted = moment[i]
        tally = count_bar(tally, bins, value, ideals[i], deviation, day)
        if len(bars) > 0:
            ideal *= 1.0 + ideals[i]
            aim = targets[which]
            half = band * aim if is_relative else band
            bars[i, EQUITY], bars[i, IDEAL] = value, ideal
            bars[i, MEASURE] = bars[i, LOWEST] = aim + deviation
            bars[i, EXPOSURE] = units[0] * closes[i, 0] / value
            bars[i, AIM], bars[i, LOW], bars[i, HIGH] = aim, aim - half, aim + half
            bars[i, EARNED], bars[i, LOST] = 0.0, 0.0
    end(tally, row, bins)


@compiled
def live_many(
    rules: Floats, targets: Floats, history: BasketHistory, charges: Charges, capital: float, rows: Floats
) -> None:
    """Each rule over the same history, each into its own row."""
    none = np.empty((0, ACTION_WIDTH))
    for at in range(len(rules)):
        live(rules[at], targets, history, charges, capital, rows[at], none, none)

"""Baskets of two assets, many rules abreast: what `simulate_basket.live` does for one, bit for bit.

Rules stand in lanes, so that one instruction counts a bar for several of them. The lanes only screen: a rule whose
weight may be out of its band is taken out, judged by the judge's own code, and rebalanced by the code that serves one
rule alone. That a lane and a life come out the same to the last bit is held by a test.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from keeper.planner.charges import Charges
from keeper.planner.compiled import compiled
from keeper.planner.judgements import has_drifted
from keeper.planner.record import ACTION_WIDTH
from keeper.planner.results import Floats
from keeper.planner.simulate_basket import BasketHistory, attempt, farthest
from keeper.planner.tally import BINS, Tally, begin, end, sort_day

LANES: Final = 64
"""Rules abreast; they share one row of the history's scales."""

# The rows of the lanes' state.
_FIRST: Final = 0
_SECOND: Final = 1
_VALUE: Final = 2
_DEVIATION: Final = 3
_BAND: Final = 4
_PREVIOUS: Final = 5
_PEAK: Final = 6
_DRAWDOWN: Final = 7
_DIFFERENCE: Final = 8
_GAINED: Final = 9
_SQUARED: Final = 10
_DOWNSIDE: Final = 11
_DEVIATED: Final = 12
_WORST: Final = 13
_MORNING: Final = 14
_APART: Final = 15
_STATE: Final = 16
# What a screen may be wrong by, so that it lets through every rule the judge might find breached.
_SLACK: Final = 1.0 - 1e-12


@compiled
def live_abreast(
    rules: Floats, targets: Floats, history: BasketHistory, charges: Charges, capital: float, rows: Floats
) -> None:
    """Up to `LANES` rules over the same history, each into its own row."""
    opens, closes, moment, gas = history.opens, history.closes, history.moment, history.gas
    ideals, day, count = history.ideal, history.day, len(rules)
    scales = history.scales[int(rules[0, 5])]
    state = np.zeros((_STATE, LANES))
    bins = np.empty((LANES, BINS, 2))
    units = np.empty(2)
    log = np.empty((0, ACTION_WIDTH))
    aim, least = targets[0], min(targets[0], targets[1])
    last_acted = np.empty(LANES, np.int64)
    due = np.full(LANES, -1, np.int64)
    waiting, bars_of_day = 0, 0
    for lane in range(LANES):
        state[_FIRST, lane] = targets[0] * capital / closes[0, 0]
        state[_SECOND, lane] = targets[1] * capital / closes[0, 1]
        state[_PREVIOUS, lane] = state[_PEAK, lane] = state[_MORNING, lane] = capital
        # A lane that holds no rule has a band it never leaves.
        state[_BAND, lane] = np.inf
    for lane in range(count):
        begin(rows[lane], bins[lane], capital)
        last_acted[lane] = moment[0] - int(rules[lane, 3])
        state[_BAND, lane] = rules[lane, 0] * (least if rules[lane, 2] > 0.0 else 1.0) * _SLACK
    for i in range(len(moment)):
        widened = scales[i]
        if waiting > 0:
            for lane in range(count):
                if due[lane] == i:
                    due[lane] = -1
                    waiting -= 1
                    units[0], units[1] = state[_FIRST, lane], state[_SECOND, lane]
                    seen = farthest(units, opens, i, targets, rules[lane, 2] > 0.0)
                    band, reach = rules[lane, 0] * widened, rules[lane, 1] * widened
                    acts = has_drifted(moment[i], last_acted[lane], int(rules[lane, 3]), seen[2], band)
                    attempt(
                        units,
                        opens,
                        i,
                        targets,
                        seen,
                        acts,
                        band,
                        reach,
                        rules[lane, 2] > 0.0,
                        gas[i],
                        charges,
                        rows[lane],
                        log,
                    )
                    state[_FIRST, lane], state[_SECOND, lane] = units[0], units[1]
                    if acts:
                        last_acted[lane] = moment[i]
        first, second = closes[i, 0], closes[i, 1]
        outside = 0.0
        for lane in range(LANES):
            held = state[_FIRST, lane] * first
            value = held + state[_SECOND, lane] * second
            off = held / value - aim
            state[_VALUE, lane] = value
            state[_DEVIATION, lane] = off
            outside += 1.0 if abs(off) >= state[_BAND, lane] * widened else 0.0
        if outside > 0.0:
            for lane in range(count):
                if due[lane] >= 0 or abs(state[_DEVIATION, lane]) < state[_BAND, lane] * widened:
                    continue
                if (i + 1) % int(rules[lane, 4]) != 0:
                    continue
                units[0], units[1] = state[_FIRST, lane], state[_SECOND, lane]
                seen = farthest(units, closes, i, targets, rules[lane, 2] > 0.0)
                band, reach = rules[lane, 0] * widened, rules[lane, 1] * widened
                if not has_drifted(moment[i], last_acted[lane], int(rules[lane, 3]), seen[2], band):
                    continue
                if charges.delay > 0:
                    due[lane] = i + charges.delay
                    waiting += 1
                    continue
                state[_VALUE, lane] = attempt(
                    units,
                    closes,
                    i,
                    targets,
                    seen,
                    True,
                    band,
                    reach,
                    rules[lane, 2] > 0.0,
                    gas[i],
                    charges,
                    rows[lane],
                    log,
                )
                state[_FIRST, lane], state[_SECOND, lane] = units[0], units[1]
                last_acted[lane] = moment[i]
        ideal = ideals[i]
        for lane in range(LANES):
            value = state[_VALUE, lane]
            gained = value / state[_PREVIOUS, lane] - 1.0
            difference = gained - ideal
            squared = gained * gained
            peak = max(state[_PEAK, lane], value)
            off = state[_DEVIATION, lane]
            state[_PREVIOUS, lane] = value
            state[_PEAK, lane] = peak
            state[_DRAWDOWN, lane] = max(state[_DRAWDOWN, lane], 1.0 - value / peak)
            state[_APART, lane] += difference
            state[_DIFFERENCE, lane] += difference * difference
            state[_GAINED, lane] += gained
            state[_SQUARED, lane] += squared
            state[_DOWNSIDE, lane] += squared if gained < 0.0 else 0.0
            state[_DEVIATED, lane] += off * off
            state[_WORST, lane] = max(state[_WORST, lane], abs(off))
        bars_of_day += 1
        if bars_of_day == day:
            bars_of_day = 0
            for lane in range(count):
                sort_day(bins[lane], 1.0 - state[_PREVIOUS, lane] / state[_MORNING, lane])
                state[_MORNING, lane] = state[_PREVIOUS, lane]
    for lane in range(count):
        tally = Tally(
            state[_PREVIOUS, lane],
            state[_PEAK, lane],
            state[_MORNING, lane],
            bars_of_day,
            state[_APART, lane],
            state[_DIFFERENCE, lane],
            state[_GAINED, lane],
            state[_SQUARED, lane],
            state[_DOWNSIDE, lane],
            state[_DEVIATED, lane],
            state[_WORST, lane],
            state[_DRAWDOWN, lane],
        )
        end(tally, rows[lane], bins[lane])

"""A range of concentrated liquidity lived through a history, by the conventions of `conventions.py`.

Liquidity lies from centre / r to centre · r, r = e^width. When the price, and its mean over the hold, stand farther
than `trigger` (of ln price) from the centre, and no farther than `deviation` from one another, everything is withdrawn,
what the new range does not take is swapped, and the same width is laid around the mean. Fees wait beside the position
until then, as the pool lets them.

Source: Uniswap V3 whitepaper, 6.29 and 6.30, for what liquidity holds; keeper/size/recentre.py for what is swapped.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from keeper.planner.charges import Charges, impact_share
from keeper.planner.compiled import compiled
from keeper.planner.judgements import has_left
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
    BARS_IN_RANGE,
    BINS,
    FAILURES,
    TRADES,
    TURNOVER,
    begin,
    count_bar,
    count_cost,
    end,
)
from keeper.planner.tally import (
    EARNED as EARNINGS,
)
from keeper.planner.tally import (
    LOST as LOSSES,
)

RULE: Final = ("width", "trigger", "hold", "cooldown", "look", "scale", "deviation")
"""The columns of a range's rules: ln of r, ln price from the centre, bars, seconds, bars, row of the scales, ln price
from its mean.
"""
MOST_DEVIATION: Final = 500 * math.log(1.0001)
"""No rule on the chain allows more between the price and its mean."""

_ROUNDS: Final = 48
"""Each halves what a sale may be wrong by."""
_LEAST_LEFT: Final = 1e-3


class RangeHistory(NamedTuple):
    """Bars of the price of the risky token in money; `moment` unix seconds of the close; `gas` money per action.

    `root` and `ln` are of the close, `cumulated` the running sum of ln with a leading 0; `low` and `high`
    are ln of the extremes. `growth` is what one unit of liquidity in range earns over each bar, in money.
    """

    moment: Ints
    opens: Floats
    closes: Floats
    root: Floats
    ln: Floats
    cumulated: Floats
    low: Floats
    high: Floats
    growth: Floats
    gas: Floats
    scales: Floats
    day: int


class Laid(NamedTuple):
    """Liquidity between the square roots of two prices, and ln of its centre and half-width."""

    liquidity: float
    root_low: float
    root_high: float
    centre: float
    width: float


@compiled
def tokens_of(laid: Laid, root: float) -> tuple[float, float]:
    """What the liquidity holds at a price, by its square root: the risky token, and money."""
    within = min(max(root, laid.root_low), laid.root_high)
    return (
        laid.liquidity * (1.0 / within - 1.0 / laid.root_high),
        laid.liquidity * (within - laid.root_low),
    )


@compiled
def lay(value: float, price: float, centre: float, width: float) -> Laid:
    """The range around `centre`, ln of a price, that `value` fills at `price`; where they agree, half in each token."""
    middle, reach = math.exp(0.5 * centre), math.exp(0.5 * width)
    laid = Laid(1.0, middle / reach, middle * reach, centre, width)
    risky, money = tokens_of(laid, math.sqrt(price))
    return Laid(value / (risky * price + money), laid.root_low, laid.root_high, centre, width)


@compiled
def share_in_range(low: float, high: float, centre: float, width: float) -> float:
    """The share of ln low..ln high that lies in the range; of a bar that did not move, all or nothing."""
    if high <= low:
        return 1.0 if abs(low - centre) <= width else 0.0
    inside = min(high, centre + width) - max(low, centre - width)
    return max(inside, 0.0) / (high - low)


@compiled
def _has_too_much(risky: float, money: float, price: float, centre: float, width: float) -> bool:
    """Whether there is more of the risky token beside the money than a range takes at a price."""
    of_risky, of_money = tokens_of(lay(1.0, price, centre, width), math.sqrt(price))
    return risky * of_money > money * of_risky


@compiled
def to_ratio(
    risky: float, money: float, price: float, centre: float, width: float, charges: Charges
) -> float:
    """Value to sell so that what is then held is what the new range takes at the price that the sale leaves.

    The swap goes through the range's own pool, whose price moves by more than the sale loses to its depth.
    """
    sells_risky = _has_too_much(risky, money, price, centre, width)
    few, enough = 0.0, risky * price if sells_risky else money
    for _ in range(_ROUNDS):
        sold = 0.5 * (few + enough)
        lost = impact_share(sold, charges.impact_scale, charges.impact_exponent)
        kept = sold * max(1.0 - charges.fee - lost, 0.0)
        left = max(1.0 - (1.0 + charges.impact_exponent) * lost, _LEAST_LEFT)
        if sells_risky:
            too_much = _has_too_much(risky - sold / price, money + kept, price * left, centre, width)
        else:
            too_much = _has_too_much(risky + kept / price, money - sold, price / left, centre, width)
        if too_much == sells_risky:
            few = sold
        else:
            enough = sold
    return few


@compiled
def _recentre(
    laid: Laid,
    price: float,
    centre: float,
    width: float,
    purse: float,
    gas: float,
    charges: Charges,
    at: int,
    row: Floats,
    log: Floats,
) -> tuple[Laid, float]:
    """Withdraw, swap what the new range does not take, and lay it around `centre`; the fees waiting go in too."""
    risky, money = tokens_of(laid, math.sqrt(price))
    money += purse
    value = risky * price + money
    off = math.log(price) - laid.centre
    sold = to_ratio(risky, money, price, centre, width, charges)
    fee = sold * charges.fee
    impact = sold * impact_share(sold, charges.impact_scale, charges.impact_exponent)
    gas *= charges.attempts
    row[TRADES] += 1.0
    row[TURNOVER] += sold / value
    count_cost(row, value, fee, impact, gas, 0.0, 0.0)
    if len(log) > 0:
        entry = log[int(row[TRADES] + row[FAILURES]) - 1]
        after = math.log(price) - centre
        write(entry, at, UP if off > 0.0 else DOWN, off, after, sold, fee, impact, gas, 0.0, 0.0)
    left = value - fee - impact - gas
    return lay(left, price, centre, width), left


@compiled
def _mean(history: RangeHistory, last: int, hold: int) -> float:
    """Of ln of the closes over the hold, up to and with bar `last`, as far back as there are any."""
    first = max(last + 1 - hold, 0)
    return float((history.cumulated[last + 1] - history.cumulated[first]) / (last + 1 - first))


@compiled
def _out(off: float, mean: float) -> float:
    """How far out price and mean are on the same side, by the nearer of the two; both from the centre."""
    return min(abs(off), abs(mean)) if off * mean > 0.0 else 0.0


@compiled
def _fail(off: float, worth: float, gas: float, at: int, row: Floats, log: Floats) -> None:
    """Count an attempt that found the price back in place."""
    row[FAILURES] += 1.0
    count_cost(row, worth, 0.0, 0.0, gas, 0.0, 0.0)
    if len(log) > 0:
        entry = log[int(row[TRADES] + row[FAILURES]) - 1]
        write(entry, at, FAILED, off, off, 0.0, 0.0, 0.0, gas, 0.0, 0.0)


@compiled
def _moved(
    laid: Laid, risky: float, held: float, previous: float, price: float, root: float
) -> tuple[float, float, float, float]:
    """Tokens and value at a new price; the gain of having kept the old tokens; what was lost beside it."""
    hedged = risky * (price - previous)
    risky, money = tokens_of(laid, root)
    value = risky * price + money
    return risky, value, hedged, held + hedged - value


@compiled
def live(
    rule: Floats,
    history: RangeHistory,
    charges: Charges,
    capital: float,
    row: Floats,
    bars: Floats,
    log: Floats,
) -> None:
    """One rule over one history, into `row`; also bar by bar into `bars` and `log`, unless those are empty.

    A range that costs ate up ends there, worth nothing.
    """
    width, ratio, hold = rule[0], rule[1] / rule[0], int(rule[2])
    cooldown, look, scale, deviation = int(rule[3]), int(rule[4]), int(rule[5]), rule[6]
    closes, ln, moment, gas = history.closes, history.ln, history.moment, history.gas
    bins = np.empty((BINS, 2))
    tally = begin(row, bins, capital)
    laid = lay(capital, closes[0], ln[0], width * history.scales[scale, 0])
    risky, _ = tokens_of(laid, history.root[0])
    last_acted = moment[0] - cooldown
    due, purse, ideal, held, previous = -1, 0.0, capital, capital, closes[0]
    for i in range(len(moment)):
        gained, widened = 0.0, width * history.scales[scale, i]
        if due == i:
            due, opened = -1, history.opens[i]
            risky, held, hedged, lost = _moved(laid, risky, held, previous, opened, math.sqrt(opened))
            gained, previous = hedged, opened
            row[LOSSES] += lost
            now = math.log(opened)
            off, mean = now - laid.centre, _mean(history, i - 1, hold) if hold > 1 else now
            out = _out(off, mean - laid.centre) if abs(now - mean) <= deviation else 0.0
            if has_left(moment[i], last_acted, cooldown, out, ratio * laid.width):
                laid, held = _recentre(laid, opened, mean, widened, purse, gas[i], charges, i, row, log)
                risky, _ = tokens_of(laid, math.sqrt(opened))
                last_acted, purse = moment[i], 0.0
            else:
                spent = gas[i] * charges.failed
                purse -= spent
                _fail(off, held, spent, i, row, log)
        if i > 0:
            inside = share_in_range(history.low[i], history.high[i], laid.centre, laid.width)
            earned = laid.liquidity * history.growth[i] * inside
            purse += earned
            row[EARNINGS] += earned
            row[BARS_IN_RANGE] += inside
        risky, held, hedged, lost = _moved(laid, risky, held, previous, closes[i], history.root[i])
        gained, previous = gained + hedged, closes[i]
        row[LOSSES] += lost
        off = ln[i] - laid.centre
        if len(bars) > 0:
            reach = ratio * laid.width
            bars[i, MEASURE] = off
            bars[i, LOWEST] = history.low[i] - laid.centre
            bars[i, AIM], bars[i, LOW], bars[i, HIGH] = 0.0, -reach, reach
        if due < 0 and (i + 1) % look == 0:
            mean = _mean(history, i, hold) if hold > 1 else ln[i]
            out = _out(off, mean - laid.centre) if abs(ln[i] - mean) <= deviation else 0.0
            if has_left(moment[i], last_acted, cooldown, out, ratio * laid.width):
                if charges.delay > 0:
                    due = i + charges.delay
                else:
                    laid, held = _recentre(
                        laid, closes[i], mean, widened, purse, gas[i], charges, i, row, log
                    )
                    risky, _ = tokens_of(laid, history.root[i])
                    last_acted, purse = moment[i], 0.0
        value = held + purse
        ideal_return = gained / tally.previous
        if value <= 0.0:
            tally = count_bar(tally, bins, 0.0, ideal_return, off, history.day)
            break
        tally = count_bar(tally, bins, value, ideal_return, off, history.day)
        if len(bars) > 0:
            ideal *= 1.0 + ideal_return
            bars[i, EQUITY], bars[i, IDEAL], bars[i, EXPOSURE] = value, ideal, risky * closes[i] / value
            bars[i, EARNED], bars[i, LOST] = row[EARNINGS], row[LOSSES]
    end(tally, row, bins)


@compiled
def live_many(rules: Floats, history: RangeHistory, charges: Charges, capital: float, rows: Floats) -> None:
    """Each rule over the same history, each into its own row."""
    none = np.empty((0, ACTION_WIDTH))
    for at in range(len(rules)):
        live(rules[at], history, charges, capital, rows[at], none, none)

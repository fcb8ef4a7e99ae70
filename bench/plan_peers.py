"""The planner's peers: the same rules as one writes them by hand, and as one writes them for numpy.

Fees only, filled at the close that is judged. By hand it is one rule, bar by bar; for numpy all rules at once, as
columns, still bar by bar, since what is held depends on what was done before.
"""

from __future__ import annotations

import math

import numpy as np

from keeper.planner.results import Floats
from keeper.planner.simulate_loan import ABOVE

_ROUNDS = 8


def basket_by_hand(close: Floats, trigger: float, fee: float) -> Floats:
    """Trades of a basket of half and half that is brought back to its target."""
    prices = close.tolist()
    units, cash, trades = 0.5 / prices[0], 0.5, 0
    for price in prices:
        value = units * price + cash
        off = units * price / value - 0.5
        if abs(off) > trigger:
            sold = abs(off) * value
            for _ in range(4):
                left = value - fee * sold
                sold = max(units * price - left / 2, cash - left / 2)
            left = value - fee * sold
            units, cash, trades = 0.5 * left / price, 0.5 * left, trades + 1
    return np.array([trades], dtype=np.float64)


def basket_by_columns(close: Floats, triggers: Floats, fee: float) -> Floats:
    """The same for many triggers."""
    units, cash = np.full(len(triggers), 0.5 / close[0]), np.full(len(triggers), 0.5)
    trades = np.zeros(len(triggers))
    for price in close:
        held = units * price
        value = held + cash
        out = np.abs(held / value - 0.5) > triggers
        if out.any():
            left = value
            for _ in range(5):
                left = value - fee * np.maximum(held - left / 2, cash - left / 2)
            units = np.where(out, 0.5 * left / price, units)
            cash = np.where(out, 0.5 * left, cash)
            trades += out
    return trades


def loan_by_hand(
    floor: float, low: Floats, close: Floats, target: float, ceiling: float, threshold: float, fee: float
) -> Floats:
    """Actions of a loan that is brought to its target from below its floor, and a hair over it from its ceiling."""
    leverage = target / (target - threshold)
    units, debt, actions = leverage / float(close[0]), leverage - 1.0, 0
    for bottom, price in zip(low.tolist(), close.tolist(), strict=True):
        if units * bottom * threshold < debt:
            raise AssertionError("the band must have kept it")
        health = units * price * threshold / debt
        if health < floor:
            repay = debt * (target - health) / (target - threshold / (1.0 - fee))
            units, debt, actions = units - repay / (1.0 - fee) / price, debt - repay, actions + 1
        elif health > ceiling:
            over = target * ABOVE
            borrow = debt * (health - over) / (over - threshold * (1.0 - fee))
            units, debt, actions = units + borrow * (1.0 - fee) / price, debt + borrow, actions + 1
    return np.array([actions], dtype=np.float64)


def range_by_hand(close: Floats, width: float, fee: float) -> Floats:
    """Times a range is laid anew around the price that left it."""
    centre, value, moved = math.log(close[0]), 1.0, 0
    size, reach = _size(value, float(close[0]), width), math.exp(width / 2)
    root = math.sqrt(close[0])
    bottom, top = root / reach, root * reach
    for price in close.tolist():
        if abs(math.log(price) - centre) > width:
            within = min(max(math.sqrt(price), bottom), top)
            held = size * (1 / within - 1 / top) * price
            value = held + size * (within - bottom)
            value -= abs(held - value / 2) * fee
            centre, moved = math.log(price), moved + 1
            size, root = _size(value, price, width), math.sqrt(price)
            bottom, top = root / reach, root * reach
    return np.array([moved], dtype=np.float64)


def range_by_columns(close: Floats, widths: Floats, fee: float) -> Floats:
    """The same for many widths; as here, with its worth at every bar."""
    count, reach = len(widths), np.exp(widths / 2)
    centre, moved = np.full(count, math.log(close[0])), np.zeros(count)
    size = 1.0 / (2.0 * math.sqrt(close[0]) * (1.0 - 1.0 / reach))
    bottom, top = math.sqrt(close[0]) / reach, math.sqrt(close[0]) * reach
    for price in close:
        root, ln = math.sqrt(price), math.log(price)
        within = np.minimum(np.maximum(root, bottom), top)
        held = size * (1 / within - 1 / top) * price
        value = held + size * (within - bottom)
        out = np.abs(ln - centre) > widths
        if out.any():
            value = np.where(out, value - np.abs(held - value / 2) * fee, value)
            size = np.where(out, value / (2.0 * root * (1.0 - 1.0 / reach)), size)
            bottom, top = np.where(out, root / reach, bottom), np.where(out, root * reach, top)
            centre, moved = np.where(out, ln, centre), moved + out
    return moved


def _size(value: float, price: float, width: float) -> float:
    return value / (2.0 * math.sqrt(price) * (1.0 - math.exp(-width / 2)))

"""How volatile a history was: what the chain measures of it, and estimators from closes and from extremes.

Rules that follow volatility are lived through with `fed`, as the contract has it. All return a year's volatility unless
they say variance; `seconds` is a bar's length.

Assumes: bars follow each other without a gap; prices are positive. Between looks the true extremes are missed, so that
the estimators from extremes read a few per cent low.
Source: J.P. Morgan RiskMetrics 1996; Parkinson 1980; Garman and Klass 1980; Rogers and Satchell 1991; Yang and Zhang
2000, with its k of 0.34 / (1.34 + (n + 1) / (n - 1)); contracts/Volatility.vy for `fed`.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy import signal

from keeper.domain.errors import Misconfigured
from keeper.domain.volatility import MOST_AGE
from keeper.planner.compiled import compiled
from keeper.planner.results import YEAR, Floats, Ints

HALF_LIFE: Final = 7 * 86_400
MIN_INTERVAL: Final = 3_600
"""Seconds, of the Volatility that the devnet deploys."""
_MOST_RETURN: Final = 0.5
_YEAR_ON_CHAIN: Final = 365 * 86_400


def fed(close: Floats, moment: Ints, half_life: int = HALF_LIFE, least: int = MIN_INTERVAL) -> Floats:
    """The sigma that Volatility.vy has at each bar, of the closes before it alone, poked at each; 0 where not known.

    That is before a half-life of returns was gathered, and three days after the last. In floats: within 1e-9 of the
    contract's (`tests/planner/test_volatility_on_chain.py`).
    """
    return _fed(np.asarray(close, np.float64), np.asarray(moment, np.int64), half_life, least)


@compiled
def _fed(close: Floats, moment: Ints, half_life: int, least: int) -> Floats:
    found = np.zeros(len(close))
    variance, gathered = 0.0, 0
    answer, counted = close[0], moment[0]
    for i in range(1, len(close)):
        elapsed = moment[i] - counted
        if gathered >= half_life and elapsed <= MOST_AGE:
            found[i] = math.sqrt(variance * _YEAR_ON_CHAIN / (1.0 - 2.0 ** (-gathered / half_life)))
        if elapsed >= least:
            size = min(abs(math.log(close[i] / answer)), _MOST_RETURN)
            kept = 2.0 ** (-elapsed / half_life)
            variance = variance * kept + size * size / elapsed * (1.0 - kept)
            gathered += elapsed
            answer, counted = close[i], moment[i]
    return found


def move(sigma: float | Floats, horizon: float) -> Floats:
    """How far a log-price moves in one standard deviation over the horizon, in seconds, as the chain's year has it."""
    return np.asarray(sigma * math.sqrt(horizon / _YEAR_ON_CHAIN))


def realised(close: Floats, seconds: int) -> float:
    """From closes, about a mean of zero: what an hour's drift adds is less than what estimating it would."""
    returns = np.diff(np.log(_enough(close)))
    return _a_year(float(np.mean(returns**2)), seconds)


def ewma_variance(returns: Floats, decay: float = 0.94, start: float | None = None) -> Floats:
    """The variance per bar after each return, v = decay × v + (1 - decay) × r²; knows no later return.

    `start` is the variance before the first return; without one, the first return's own.
    """
    if not 0 < decay < 1:
        raise Misconfigured(f"volatility: a decay of {decay} lies outside 0 to 1")
    if len(returns) == 0:
        return np.zeros(0)
    squares = np.asarray(returns, np.float64) ** 2
    first = float(squares[0]) if start is None else start
    smooth, _ = signal.lfilter([1 - decay], [1, -decay], squares, zi=[decay * first])
    return np.asarray(smooth, np.float64)


def ewma(close: Floats, seconds: int, decay: float = 0.94) -> Floats:
    """From closes: one figure per bar, the first bar's that of the first return."""
    variance = ewma_variance(np.diff(np.log(_enough(close))), decay)
    return np.asarray(np.sqrt(np.concatenate((variance[:1], variance)) * YEAR / seconds))


def parkinson_variance(high: Floats, low: Floats) -> Floats:
    """Each bar's variance from its extremes; without drift, five times as precise as open to close."""
    return np.asarray(np.log(high / low) ** 2 / (4 * math.log(2)))


def garman_klass_variance(open_: Floats, high: Floats, low: Floats, close: Floats) -> Floats:
    """Each bar's variance from extremes and body; without drift, seven times as precise."""
    body = np.log(close / open_) ** 2
    return np.asarray(np.log(high / low) ** 2 / 2 - (2 * math.log(2) - 1) * body)


def rogers_satchell_variance(open_: Floats, high: Floats, low: Floats, close: Floats) -> Floats:
    """Each bar's variance, whatever its drift; six times as precise."""
    up = np.log(high / close) * np.log(high / open_)
    down = np.log(low / close) * np.log(low / open_)
    return np.asarray(up + down)


def parkinson(high: Floats, low: Floats, seconds: int) -> float:
    """From extremes alone."""
    return _a_year(float(np.mean(parkinson_variance(high, low))), seconds)


def garman_klass(open_: Floats, high: Floats, low: Floats, close: Floats, seconds: int) -> float:
    """From extremes and bodies, where bars have no drift of their own."""
    return _a_year(float(np.mean(garman_klass_variance(open_, high, low, close))), seconds)


def rogers_satchell(open_: Floats, high: Floats, low: Floats, close: Floats, seconds: int) -> float:
    """From extremes and bodies, where bars drift."""
    return _a_year(float(np.mean(rogers_satchell_variance(open_, high, low, close))), seconds)


def yang_zhang(open_: Floats, high: Floats, low: Floats, close: Floats, seconds: int) -> float:
    """From bars that drift and may open away from the last close."""
    closes = _enough(close)
    if len(closes) < 4:
        raise Misconfigured(f"volatility: {len(closes)} bars are too few for Yang and Zhang, who need 4")
    between = np.log(open_[1:] / closes[:-1])
    body = np.log(closes[1:] / open_[1:])
    n = len(between)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    within = float(np.mean(rogers_satchell_variance(open_[1:], high[1:], low[1:], closes[1:])))
    variance = float(np.var(between, ddof=1)) + k * float(np.var(body, ddof=1)) + (1 - k) * within
    return _a_year(variance, seconds)


def _a_year(variance: float, seconds: int) -> float:
    return math.sqrt(variance * YEAR / seconds)


def _enough(close: Floats) -> Floats:
    if len(close) < 2:
        raise Misconfigured(f"volatility: {len(close)} closes have no return between them")
    return np.asarray(close, np.float64)

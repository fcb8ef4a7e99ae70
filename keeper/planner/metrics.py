"""What one life of a rule was worth: risk, cost and benefit from a `Path`, each also as a function of plain arrays.

The certainty-equivalent fee is the number to rank by: the yearly fee, in basis points, that its owner would as soon
have paid to hold the ideal without cost. It is costs plus half the risk aversion times squared tracking error, as
`theory.bands.yearly_loss` has it; the luck of one history's deviations stays out of it, and is told apart as
`realised_fee_bps`, what an owner of constant relative risk aversion would have paid on this very history.

Assumes: fractions and years unless a name says bps; losses are positive; days do not overlap, months do.
Source: Fleming, Kirby and Ostdiek 2001 for the fee; Rockafellar and Uryasev 2000 for the tail's mean; Sharpe 1994;
Sortino and Price 1994, about a return of zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner.results import DOWN, FAILED, LIQUIDATED, UP, YEAR, Floats, Path
from keeper.planner.sketch import drawdown

DAY: Final = 86_400
MONTH: Final = 30 * DAY


@dataclass(frozen=True, slots=True)
class Metrics:
    """One path's whole table; what its kind does not know is 0, but for a minimal health, which is then infinite.

    `…_bps` are basis points of net worth a year, added up over actions so that growth weighs none more than another.
    `turnover` is sold over net worth, `trades` actions done, both a year; `failed` and `liquidations` are counts.
    `shortfall_bps` is how much slower the logarithm grew than the ideal's: costs, deviation and luck together.
    """

    years: float
    growth: float
    volatility: float
    sharpe: float
    sortino: float
    max_drawdown: float
    var_95_day: float
    cvar_95_day: float
    cvar_99_day: float
    var_95_month: float
    cvar_95_month: float
    cvar_99_month: float
    rms_deviation: float
    max_deviation: float
    tracking_error: float
    trades: float
    days_between_trades: float
    turnover: float
    failed: int
    fee_bps: float
    impact_bps: float
    gas_bps: float
    premium_bps: float
    penalty_bps: float
    cost_bps: float
    min_health: float
    liquidations: int
    earned_bps: float
    lvr_bps: float
    time_within: float
    shortfall_bps: float
    realised_fee_bps: float
    certainty_fee_bps: float

    def table(self) -> dict[str, float]:
        """Every figure under its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def measure(path: Path, risk_aversion: float) -> Metrics:
    """The table of one path; `Misconfigured` when it is too short for a return."""
    if len(path.equity) < 2:
        raise Misconfigured(f"metrics: {len(path.equity)} bars have no return between them")
    per_year = YEAR / path.seconds
    years = path.years
    returns, ideal = returns_of(path.equity), returns_of(path.ideal)
    day = day_losses(path.equity, max(1, DAY // path.seconds))
    month = horizon_losses(path.equity, max(1, MONTH // path.seconds))
    acts = path.actions
    done = (acts.side == UP) | (acts.side == DOWN)
    # Net worth before paying: what stood at the close, and what was paid from it.
    worth = path.equity[acts.bar] + acts.cost
    split = {
        name: _bps_a_year(getattr(acts, name), worth, years)
        for name in ("fee", "impact", "gas", "premium", "penalty")
    }
    # Over all bars, as a sweep counts it, the first without a return among them.
    error = math.sqrt(float(np.sum((returns - ideal) ** 2)) / years)
    trades = float(np.sum(done)) / years
    cost = sum(split.values())
    return Metrics(
        years=years,
        growth=_log_growth(path.equity) / years,
        volatility=volatility(returns, per_year),
        sharpe=sharpe(returns, per_year),
        sortino=sortino(returns, per_year),
        max_drawdown=max_drawdown(path.equity),
        var_95_day=value_at_risk(day, 0.05),
        cvar_95_day=tail_mean(day, 0.05),
        cvar_99_day=tail_mean(day, 0.01),
        var_95_month=value_at_risk(month, 0.05),
        cvar_95_month=tail_mean(month, 0.05),
        cvar_99_month=tail_mean(month, 0.01),
        rms_deviation=rms(_deviation(path)),
        max_deviation=float(np.max(np.abs(_deviation(path)), initial=0.0)),
        tracking_error=error,
        trades=trades,
        days_between_trades=YEAR / DAY / trades if trades else math.inf,
        turnover=float(np.sum(acts.traded[done] / worth[done])) / years,
        failed=int(np.sum(acts.side == FAILED)),
        fee_bps=split["fee"],
        impact_bps=split["impact"],
        gas_bps=split["gas"],
        premium_bps=split["premium"],
        penalty_bps=split["penalty"],
        cost_bps=cost,
        min_health=float(np.min(path.lowest)) if path.kind == "loan" else math.inf,
        liquidations=int(np.sum(acts.side == LIQUIDATED)),
        earned_bps=_bps_a_year(np.diff(path.earned), path.equity[:-1], years),
        lvr_bps=_bps_a_year(np.diff(path.lost), path.equity[:-1], years),
        time_within=float(np.mean((path.measure >= path.low) & (path.measure <= path.high))),
        shortfall_bps=_behind(path) / years * 1e4,
        realised_fee_bps=realised_fee(returns, ideal, risk_aversion, per_year) * 1e4,
        certainty_fee_bps=certainty_fee(cost / 1e4, error, risk_aversion) * 1e4,
    )


def returns_of(equity: Floats) -> Floats:
    """Simple returns; what is lost stays lost, so that after ruin they are zero."""
    before, after = equity[:-1], equity[1:]
    alive = before > 0
    return np.asarray(np.where(alive, np.maximum(after, 0) / np.where(alive, before, 1.0) - 1, 0.0))


def volatility(returns: Floats, per_year: float) -> float:
    """A year's standard deviation."""
    return float(np.std(returns, ddof=1)) * math.sqrt(per_year) if len(returns) > 1 else 0.0


def sharpe(returns: Floats, per_year: float, safe_rate: float = 0.0) -> float:
    """A year's excess return over its standard deviation; 0 for what does not move."""
    spread = volatility(returns, per_year)
    return (float(np.mean(returns)) * per_year - safe_rate) / spread if spread > 0 else 0.0


def sortino(returns: Floats, per_year: float, safe_rate: float = 0.0) -> float:
    """A year's excess return over the root mean square of its losses; infinite for gains without a loss."""
    excess = float(np.mean(returns)) * per_year - safe_rate
    losses = math.sqrt(float(np.mean(np.minimum(returns - safe_rate / per_year, 0) ** 2)) * per_year)
    if losses > 0:
        return excess / losses
    return math.inf if excess > 0 else 0.0


def max_drawdown(equity: Floats) -> float:
    """The deepest fall from a peak, as a fraction of it."""
    return float(np.max(drawdown(equity), initial=0.0))


def day_losses(equity: Floats, bars: int) -> Floats:
    """What was lost over each whole day of so many bars, counted from the first, which begins with what was put in."""
    ends = equity[bars - 1 :: bars]
    return _lost(np.concatenate((equity[:1], ends[:-1])), ends)


def horizon_losses(equity: Floats, bars: int) -> Floats:
    """What was lost from each bar to so many later; neighbours overlap. None where the history is shorter."""
    return _lost(equity[: max(len(equity) - bars, 0)], equity[bars:])


def _lost(start: Floats, finish: Floats) -> Floats:
    """Losses as fractions, gains below zero; nothing is left to lose after ruin."""
    before = np.maximum(start[: len(finish)], 0)
    alive = before > 0
    return np.asarray(np.where(alive, 1 - np.maximum(finish, 0) / np.where(alive, before, 1.0), 0.0))


def value_at_risk(losses: Floats, tail: float) -> float:
    """The loss that only this share of cases exceeds; 0 where there are none."""
    worst, whole, _ = _tail(losses, tail)
    return float(worst[min(whole, len(worst) - 1)]) if len(worst) else 0.0


def tail_mean(losses: Floats, tail: float) -> float:
    """The mean loss over the worst share of cases, the case at its edge counted in part (CVaR)."""
    worst, whole, part = _tail(losses, tail)
    if not len(worst):
        return 0.0
    edge = part * worst[whole] if part > 0 else 0.0
    return float((np.sum(worst[:whole]) + edge) / (whole + part))


def rms(deviation: Floats) -> float:
    """Root mean square; 0 of nothing."""
    return math.sqrt(float(np.mean(deviation**2))) if len(deviation) else 0.0


def certainty_fee(cost: float, error: float, risk_aversion: float) -> float:
    """The number to rank by: what costs and deviation are worth as a yearly fee."""
    return cost + risk_aversion * error**2 / 2


def certainty_growth(returns: Floats, risk_aversion: float, per_year: float) -> float:
    """The sure yearly log growth as good as these returns, to constant relative risk aversion; -inf after ruin."""
    gross = 1 + returns
    if np.min(gross, initial=1.0) <= 0:
        return -math.inf
    logs = np.log(gross)
    if abs(risk_aversion - 1) < 1e-9:
        return float(np.mean(logs)) * per_year
    power = 1 - risk_aversion
    # By expm1, since a bar's power is 1 but for its last digits.
    return math.log1p(float(np.mean(np.expm1(power * logs)))) / power * per_year


def realised_fee(returns: Floats, ideal: Floats, risk_aversion: float, per_year: float) -> float:
    """The yearly fee on the ideal's returns that leaves as much utility on this history; negative after good luck."""
    kept = certainty_growth(returns, risk_aversion, per_year)
    return math.inf if math.isinf(kept) else certainty_growth(ideal, risk_aversion, per_year) - kept


def _tail(losses: Floats, tail: float) -> tuple[Floats, int, float]:
    """The worst cases first, how many of them count whole, and what part of the next."""
    if not 0 < tail <= 1:
        raise Misconfigured(f"metrics: a tail of {tail} is no share of cases")
    worst = -np.sort(-losses)
    wanted = len(losses) * tail
    # What rounding adds to n × 0.05 must not count as part of a case.
    whole = int(wanted + 1e-9)
    part = wanted - whole if wanted - whole > 1e-9 else 0.0
    return worst, whole, part


def _bps_a_year(money: Floats, worth: Floats, years: float) -> float:
    alive = worth > 0
    return float(np.sum(money[alive] / worth[alive])) / years * 1e4


def _log_growth(equity: Floats) -> float:
    return math.log(equity[-1] / equity[0]) if equity[-1] > 0 else -math.inf


def _behind(path: Path) -> float:
    ideal, ours = _log_growth(path.ideal), _log_growth(path.equity)
    # Where both are ruined neither is behind.
    return 0.0 if ideal == ours else ideal - ours


def _deviation(path: Path) -> Floats:
    # A loan without debt has no health, and so no distance from its target.
    deviation = path.measure - path.target
    return np.asarray(deviation[np.isfinite(deviation)])

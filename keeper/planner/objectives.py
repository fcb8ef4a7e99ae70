"""What an owner wants of a rule: one figure to have little of, and at most one bound on another.

How a trigger should move with volatility follows from what is wanted, and is no taste: an aversion to risk asks for a
fixed band, a budget of tracking error for one that narrows as volatility rises, a budget of trades for one that widens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.domain.errors import Misconfigured
from keeper.planner.cases import AGAINST_VOLATILITY, FIXED, WITH_VOLATILITY
from keeper.planner.chance import Bound, Figure
from keeper.planner.results import Floats, Scores


@dataclass(frozen=True, slots=True)
class Objective:
    """`wanted` is its name, `most` the bound on what it bounds (in its unit), `risk_aversion` what ranks within it.

    `confidence` and `days` are of a bound that is held over histories that might have been.
    """

    wanted: str
    most: float | None
    risk_aversion: float
    confidence: float = 0.95
    days: float | None = None

    @property
    def bound(self) -> Bound | None:
        """What must hold over histories that might have been; None where this history is all that counts."""
        figure = _KINDS[self.wanted].over_paths
        if figure is None or self.most is None:
            return None
        return Bound(figure, self.most, self.confidence, self.days)

    @property
    def scaling(self) -> int:
        """Which of `cases.SCALINGS` theory has for it."""
        return _KINDS[self.wanted].scaling

    @property
    def said(self) -> str:
        """In words, with its bound."""
        kind = _KINDS[self.wanted]
        within = "" if self.most is None else f", {kind.bounds} at most {self.most:g}{kind.unit}"
        return f"least {kind.least}{within}{self._how_surely}"

    @property
    def _how_surely(self) -> str:
        if self.bound is None:
            return ""
        days = "a year" if self.days is None else f"{self.days:g} days"
        return f" in {days} that might have been, at {self.confidence:g} confidence"

    def fee(self, scores: Scores) -> Floats:
        """What rules are ranked by, in basis points a year; infinite for those past the bound."""
        kind = _KINDS[self.wanted]
        ranked = kind.rank(scores, self.risk_aversion)
        if kind.bound is not None and self.most is not None:
            ranked = np.where(kind.bound(scores) <= self.most, ranked, np.inf)
        return np.where(np.isfinite(ranked), ranked, np.inf)


def objective(
    wanted: str,
    most: float | None,
    risk_aversion: float,
    confidence: float = 0.95,
    days: float | None = None,
) -> Objective:
    """A wish, if there is one of that name and it has the bound it needs."""
    if wanted not in _KINDS:
        raise Misconfigured(f"objective: there is no {wanted!r}; there are {', '.join(_KINDS)}")
    if (_KINDS[wanted].bound is None) != (most is None):
        needs = (
            "takes no bound" if most is not None else f"needs a bound on {_KINDS[wanted].bounds} (--at-most)"
        )
        raise Misconfigured(f"objective: {wanted} {needs}")
    if not 0 < risk_aversion < np.inf:
        raise Misconfigured(f"objective: a risk aversion of {risk_aversion} ranks nothing")
    if _KINDS[wanted].over_paths is None and days is not None:
        raise Misconfigured(f"objective: {wanted} is of this history, and has no horizon (--horizon)")
    if not 0.5 <= confidence < 1:
        raise Misconfigured(f"objective: a confidence of {confidence:g} is not from 0.5 to below 1")
    if wanted == _CHANCE and (most is None or not 0 < most < 1):
        raise Misconfigured(
            f"objective: a chance of liquidation of {most:g} cannot be shown to be kept; say one between 0 and 1"
        )
    return Objective(wanted, most, risk_aversion, confidence, days)


@dataclass(frozen=True, slots=True)
class _Kind:
    """`rank` is had little of, `bound` must stay below what is given, and `over_paths` too where that is a figure."""

    least: str
    bounds: str
    unit: str
    scaling: int
    rank: Callable[[Scores, float], Floats]
    bound: Callable[[Scores], Floats] | None
    over_paths: Figure | None = None


def _fee(scores: Scores, risk_aversion: float) -> Floats:
    return scores.certainty_fee_bps(risk_aversion)


def _cost(scores: Scores, risk_aversion: float) -> Floats:
    return scores.shortfall_bps_per_year if scores.kind == "range" else scores.cost_bps_per_year


def _error(scores: Scores, risk_aversion: float) -> Floats:
    return np.asarray(scores.tracking_error * 1e4)


_CHANCE: Final = "p-liquidation"
_KINDS: Final[Mapping[str, _Kind]] = {
    "risk-aversion": _Kind("certainty-equivalent fee", "", "", FIXED, _fee, None),
    "tracking-error": _Kind(
        "cost", "tracking error", " a year", AGAINST_VOLATILITY, _cost, lambda scores: scores.tracking_error
    ),
    "trades": _Kind(
        "tracking error", "trades", " a year", WITH_VOLATILITY, _error, lambda scores: scores.trades_per_year
    ),
    "cost": _Kind(
        "tracking error", "cost", " bp a year", FIXED, _error, lambda scores: scores.cost_bps_per_year
    ),
    "cvar": _Kind(
        "certainty-equivalent fee",
        "CVaR of a day at 95 %",
        "",
        FIXED,
        _fee,
        lambda scores: scores["cvar_95"],
        "cvar_95",
    ),
    _CHANCE: _Kind(
        "certainty-equivalent fee",
        "chance of liquidation",
        "",
        FIXED,
        _fee,
        # What did happen is one of the histories that might have.
        lambda scores: np.where(scores["liquidations"] > 0, np.inf, 0.0),
        "liquidations",
    ),
    "liquidations": _Kind(
        "certainty-equivalent fee",
        "liquidations",
        " on this history",
        FIXED,
        _fee,
        lambda scores: scores["liquidations"],
    ),
    "min-health": _Kind(
        "certainty-equivalent fee",
        "1 / lowest health",
        "",
        FIXED,
        _fee,
        lambda scores: np.asarray(1.0 / scores["min_health"]),
    ),
}
WISHES: Final = tuple(_KINDS)

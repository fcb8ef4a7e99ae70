"""A plan as one HTML file: the rule, what it buys and costs, why to doubt it, and all that is assumed.

Like the demo's page it stands alone: nothing is fetched, plots follow the reader's light or dark setting, and what is
plotted also stands in a table. `plan.html` holds its body.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

from keeper.planner import conventions
from keeper.planner.findings import Findings, Lived, contest_told
from keeper.report.page import card_html, figure_html, table_html, write_page

_BPS: Final = ("bp", 1.0)
_SHARE: Final = ("%", 100.0)
_FIGURES: Final[tuple[tuple[str, str, tuple[str, float]], ...]] = (
    ("certainty_fee_bps", "Certainty-equivalent fee, a year", _BPS),
    ("cost_bps", "Costs, a year", _BPS),
    ("fee_bps", "of it pool fees", _BPS),
    ("impact_bps", "of it price impact", _BPS),
    ("gas_bps", "of it gas", _BPS),
    ("premium_bps", "of it flash premium", _BPS),
    ("penalty_bps", "of it liquidation penalties", _BPS),
    ("tracking_error", "Tracking error, a year", _SHARE),
    ("rms_deviation", "Deviation, rms", ("", 1.0)),
    ("max_deviation", "Deviation, most", ("", 1.0)),
    ("trades", "Trades, a year", ("", 1.0)),
    ("days_between_trades", "Days between trades", ("", 1.0)),
    ("turnover", "Turnover, a year", _SHARE),
    ("failed", "Attempts that failed", ("", 1.0)),
    ("growth", "Log growth, a year", _SHARE),
    ("shortfall_bps", "Behind the ideal, a year", _BPS),
    ("realised_fee_bps", "Fee realised on this history, a year", _BPS),
    ("volatility", "Volatility, a year", _SHARE),
    ("sharpe", "Sharpe ratio", ("", 1.0)),
    ("sortino", "Sortino ratio", ("", 1.0)),
    ("max_drawdown", "Drawdown, most", _SHARE),
    ("var_95_day", "VaR 95 %, a day", _SHARE),
    ("cvar_95_day", "CVaR 95 %, a day", _SHARE),
    ("cvar_99_day", "CVaR 99 %, a day", _SHARE),
    ("var_95_month", "VaR 95 %, 30 days", _SHARE),
    ("cvar_95_month", "CVaR 95 %, 30 days", _SHARE),
    ("cvar_99_month", "CVaR 99 %, 30 days", _SHARE),
)
_OF_KIND: Final[Mapping[str, tuple[tuple[str, str, tuple[str, float]], ...]]] = {
    "basket": (),
    "loan": (("min_health", "Health, lowest", ("", 1.0)), ("liquidations", "Liquidations", ("", 1.0))),
    "range": (
        ("earned_bps", "Fees earned, a year", _BPS),
        ("lvr_bps", "Lost to arbitrage, a year", _BPS),
        ("time_within", "Time within the band", _SHARE),
    ),
}
_CAPTIONS: Final = {
    "frontier": (
        "Every rule that was tried. The line joins those that no other beats on both. The "
        "knee depends on what was tried, and is where to start looking. Stars are where theory puts its band. Crosses "
        "were liquidated: what is left of them is calm because little is left, and the line leaves them out."
    ),
    "life": "Above, the price and what the rule did at it; below, what the rule watches, and its band.",
    "cost": "Basis points of net worth a year, by what they went for.",
    "drawdown": "The chosen rule, and the ideal, held at its target without cost.",
    "distribution": (
        "At the close of each bar, before the rule acted. Beyond the band are the bars that jumped over its edge."
    ),
    "heat": (
        "What rules were ranked by, of the best rule in each cell. A plateau is a safer choice than a peak."
    ),
    "walk": "Each span was lived with the rule that was best on the years before it, by one who knew no more.",
}
_IN_A_CRASH: Final = ("max_drawdown", "max_deviation", "trades", "cost_bps", "min_health", "liquidations")


def write_plan(found: Findings, path: Path) -> None:
    """Write the page to `path`."""
    write_page(
        path,
        "plan.html",
        found.title,
        title=escape(found.title),
        span=escape(_span(found)),
        summary=escape(summary(found)),
        cards=_cards(found),
        rule=escape(found.rule_file),
        doubts=_items(found.doubts),
        figures=_figures(found),
        compared=_compared(found),
        crashes=_crashes(found),
        folds=_folds(found),
        front=_front(found),
        notes=_items(found.notes),
        conventions=_items(_conventions()),
    )


def summary(found: Findings) -> str:
    """What the plan came to, in two sentences; one about a bound that it keeps to, and those of the contest."""
    metrics = found.chosen.metrics
    rule = ", ".join(
        f"{name.replace('_', ' ')} {_number(value)}" for name, value in found.chosen.rule.items()
    )
    return (
        f"Wanted: {found.objective}. Of {len(found.scores):,} rules tried over {metrics.years:.1f} years the choice is "
        f"{rule}: {metrics.trades:.1f} trades a year, {metrics.cost_bps:.1f} basis points of costs and a "
        f"certainty-equivalent fee of {metrics.certainty_fee_bps:.1f} basis points a year at a risk aversion of "
        f"{found.risk_aversion:g}.{'' if found.held is None else f' {found.held.said}'}"
        + "".join(f" {sentence}" for sentence in contest_told(found.contest))
    )


def _figures(found: Findings) -> str:
    from keeper.report import plan_plots as plots  # noqa: PLC0415

    drawn = [
        ("frontier", "Cost against risk", plots.frontier(found)),
        ("life", "The chosen rule's life", plots.life(found)),
        ("cost", "What each rule cost", plots.costs(found)),
        ("drawdown", "Below the peak", plots.drawdown(found)),
        ("distribution", "Where the measure was", plots.distribution(found)),
        ("heat", "The rank by two parameters", plots.heat(found)),
        ("walk", "Walking forward", plots.walk(found) if found.folds else ""),
    ]
    return "\n".join(figure_html(name, title, plot, _CAPTIONS[name]) for name, title, plot in drawn if plot)


def _cards(found: Findings) -> str:
    everyone = [
        ("guarded", "The chosen rule", found.chosen),
        *(("twin", each.name, each) for each in found.compared[:2]),
    ]
    lines = (
        "certainty_fee_bps",
        "cost_bps",
        "tracking_error",
        "trades",
        "max_drawdown",
        "min_health",
        "liquidations",
    )
    figures = {name: (title, unit) for name, title, unit in _rows(found)}
    return "".join(
        card_html(
            kind,
            title,
            [
                (figures[name][0], _with_interval(lived, name, figures[name][1]))
                for name in lines
                if name in figures
            ],
        )
        for kind, title, lived in everyone
    )


def figures_of(found: Findings, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Figures of the chosen rule and of those compared, a row each; what a kind does not have is left out."""
    known = {name: (title, unit) for name, title, unit in _rows(found)}
    everyone = (found.chosen, *found.compared)
    return [
        (known[name][0], *(_text(getattr(lived.metrics, name), known[name][1]) for lived in everyone))
        for name in names
        if name in known
    ]


def _compared(found: Findings) -> str:
    everyone = (found.chosen, *found.compared)
    rows = [
        (title, *(_with_interval(lived, name, unit) for lived in everyone))
        for name, title, unit in _rows(found)
    ]
    return table_html("Every figure", ("Figure", *(lived.name for lived in everyone)), rows, "")


def _crashes(found: Findings) -> str:
    figures = {name: (title, unit) for name, title, unit in _rows(found)}
    shown = [name for name in _IN_A_CRASH if name in figures]
    rows = [
        (name, *(_text(getattr(metrics, each), figures[each][1]) for each in shown))
        for name, metrics in found.crashes.items()
    ]
    heads = ("Crash", *(figures[each][0] for each in shown))
    return table_html(
        "Crashes, apart from the years around them", heads, rows, "The history holds none of the crashes."
    )


def _folds(found: Findings) -> str:
    rows = [
        (
            f"{_day(fold.tested[0])} to {_day(fold.tested[1])}",
            ", ".join(f"{name} {_number(value)}" for name, value in fold.rule.items()),
            f"{fold.trained_fee_bps:.1f} bp",
            f"{fold.tested_fee_bps:.1f} bp",
            f"{fold.best_fee_bps:.1f} bp",
        )
        for fold in found.folds
    ]
    heads = ("Lived", "With", "Fee before", "Fee then", "Best in hindsight")
    return table_html("Walking forward", heads, rows, "The history is too short to walk forward in.")


def _front(found: Findings) -> str:
    front = found.front
    names = list(found.scores.parameters)
    rows = [
        (
            f"{cost:.2f} bp",
            _number(risk),
            *(_number(float(found.scores.parameters[name][at])) for name in names),
            "knee" if place == front.knee else "",
        )
        for place, (at, cost, risk) in enumerate(zip(front.members, front.cost, front.risk, strict=True))
    ]
    heads = ("Cost, a year", found.risk_unit, *(name.replace("_", " ") for name in names), "")
    return table_html("The rules that none beats", heads, rows, "", words=1)


def _rows(found: Findings) -> tuple[tuple[str, str, tuple[str, float]], ...]:
    return (*_FIGURES, *_OF_KIND[found.path.kind])


def _with_interval(lived: Lived, name: str, unit: tuple[str, float]) -> str:
    value = _text(getattr(lived.metrics, name), unit)
    if name not in lived.intervals:
        return value
    low, high = (_number(each * unit[1]) for each in lived.intervals[name])
    return f"{value} ({low} to {high})"


def _text(value: float, unit: tuple[str, float]) -> str:
    name, scale = unit
    return f"{_number(value * scale)} {name}".rstrip()


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == round(value) and abs(value) < 1e6:
        return f"{value:,.0f}".replace("-", "−")
    return (f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}").replace("-", "−")


def _items(sentences: tuple[str, ...] | list[str]) -> str:
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) or "<li>None is known.</li>"


def _conventions() -> list[str]:
    """The numbered sentences of `conventions`, as the code itself tells them."""
    told = re.split(r"^\s*\d+\.\s+", conventions.__doc__ or "", flags=re.MULTILINE)[1:]
    return [" ".join(each.replace("**", "").replace("`", "").split()) for each in told]


def _span(found: Findings) -> str:
    time = found.path.time
    return f"{_day(int(time[0]))} to {_day(int(time[-1]))}, {len(time):,} bars of {found.path.seconds // 60} minutes"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")

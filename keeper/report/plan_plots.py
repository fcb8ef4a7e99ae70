"""The plots of a plan, as plotly's JSON: what was tried, what the chosen rule lived through, and how it held.

Assumes: plotly, through `ink`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from keeper.planner.findings import Findings, Lived
from keeper.planner.results import DOWN, FAILED, LIQUIDATED, UP, Ints
from keeper.planner.sketch import drawdown as depth_of
from keeper.planner.sketch import extremes, heat_map, shares_of
from keeper.report.ink import (
    CALM,
    DANGER,
    FEE,
    GAS,
    GUARDED,
    INK,
    SLIPPAGE,
    SOFT,
    TWIN,
    json_of,
    moment_text,
    plain_figure,
)

_MEASURES: Final = {"basket": "weight", "loan": "health factor", "range": "ln price from the centre"}
_SIDES: Final = (
    (UP, "above its band", "triangle-down", GUARDED),
    (DOWN, "below its band", "triangle-up", CALM),
    (LIQUIDATED, "liquidated", "x", DANGER),
    (FAILED, "failed attempt", "circle-open", SOFT),
)
_COSTS: Final = (
    ("pool fee", "fee_bps", FEE),
    ("price impact", "impact_bps", SLIPPAGE),
    ("gas", "gas_bps", GAS),
    ("flash premium", "premium_bps", SOFT),
    ("liquidation penalty", "penalty_bps", DANGER),
)
_MOST_RULES: Final = 2_500


def frontier(found: Findings) -> str:
    """Every rule tried by cost and risk, those that none beats, the knee, theory, and the rules compared."""
    figure = plain_figure(found.risk_unit, ".3~g")
    figure.update_layout(hovermode="closest", dragmode="zoom")
    figure.update_xaxes(title={"text": _cost_axis(found), "font": {"color": SOFT}}, fixedrange=False)
    figure.update_yaxes(fixedrange=False)
    # A position that was liquidated has little left to lose, and would look the calmest of all.
    lost = found.scores["liquidations"] > 0
    _cloud(figure, found, "rules tried", np.flatnonzero(~lost), {"color": SOFT, "opacity": 0.35})
    if lost.any():
        _cloud(
            figure,
            found,
            "liquidated",
            np.flatnonzero(lost),
            {"color": DANGER, "symbol": "x", "opacity": 0.35},
        )
    front = found.front
    figure.add_scatter(
        x=front.cost.tolist(),
        y=front.risk.tolist(),
        name="none beats these",
        mode="lines+markers",
        line={"color": GUARDED, "width": 2, "shape": "hv"},
        marker={"size": 5},
        text=[_rule_text(found.scores.row(int(at)), found) for at in front.members],
        hovertemplate="%{text}<extra></extra>",
    )
    _point(figure, "knee", float(front.cost[front.knee]), float(front.risk[front.knee]), "diamond", CALM)
    for name, point in found.theory.items():
        _point(figure, name, point.cost_bps, point.tracking_error, "star", TWIN)
    for lived in found.compared:
        _point(figure, lived.name, *_place(found, lived), "square", SLIPPAGE)
    _point(figure, "chosen", *_place(found, found.chosen), "circle", DANGER)
    # Rules differ by orders of magnitude; a range may also gain on its portfolio, and then has no logarithm.
    if min(*front.cost.tolist(), *front.risk.tolist()) > 0:
        figure.update_xaxes(type="log", tickformat="~s")
        figure.update_yaxes(type="log")
    return json_of(figure)


def _cloud(figure: Any, found: Findings, name: str, rules: Ints, marker: dict[str, Any]) -> None:
    """Rules as points, thinned evenly; not by WebGL, which not every reader's browser has."""
    kept = rules[:: max(-(-len(rules) // _MOST_RULES), 1)]
    figure.add_scatter(
        x=found.cost[kept].tolist(),
        y=found.risk[kept].tolist(),
        name=name,
        mode="markers",
        marker={"size": 4, **marker},
        text=[_rule_text(found.scores.row(int(at)), found) for at in kept],
        hovertemplate="%{text}<extra></extra>",
    )


def life(found: Findings) -> str:
    """The price with what was done, above the measure in its band."""
    path = found.path
    kept = sorted({*extremes(path.price).tolist(), *extremes(path.measure).tolist()})
    figure = plain_figure("price", ",.4~g")
    figure.update_layout(
        hovermode="closest",
        dragmode="zoom",
        yaxis={"domain": [0.55, 1.0], "fixedrange": False},
        yaxis2={
            "domain": [0.0, 0.46],
            "title": {"text": _MEASURES[path.kind], "font": {"color": SOFT}},
            "tickformat": ".3~g",
            "gridcolor": figure.layout.yaxis.gridcolor,
            "linecolor": figure.layout.yaxis.linecolor,
        },
    )
    figure.update_xaxes(anchor="y2", fixedrange=False)
    when = [_moment(path.time[at]) for at in kept]
    figure.add_scatter(
        x=when, y=path.price[kept].tolist(), name="price", mode="lines", line={"color": INK, "width": 1.4}
    )
    for side, name, symbol, colour in _SIDES:
        of_side = path.actions.side == side
        bars = path.actions.bar[of_side]
        if len(bars):
            figure.add_scatter(
                x=[_moment(path.time[at]) for at in bars],
                y=path.price[bars].tolist(),
                name=name,
                mode="markers",
                marker={"symbol": symbol, "size": 8, "color": colour},
                text=[
                    f"sold {value:,.0f}, cost {cost:,.2f}"
                    for value, cost in zip(
                        path.actions.traded[of_side], path.actions.cost[of_side], strict=True
                    )
                ],
                hovertemplate="%{x}: %{text}<extra></extra>",
            )
    for name, values, colour, dash in (
        (_MEASURES[path.kind], path.measure, GUARDED, "solid"),
        ("band", path.low, CALM, "dash"),
        ("", path.high, CALM, "dash"),
        ("target", path.target, SOFT, "dot"),
    ):
        figure.add_scatter(
            x=when,
            # Infinite health, and a band without a ceiling, are gaps.
            y=[value if abs(value) < 1e6 else None for value in values[kept].tolist()],
            name=name or "band",
            showlegend=bool(name),
            mode="lines",
            line={"color": colour, "width": 1.2, "dash": dash},
            yaxis="y2",
            hoverinfo="skip",
        )
    return json_of(figure)


def costs(found: Findings) -> str:
    """What each rule cost a year, by what for."""
    figure = plain_figure("", "")
    figure.update_layout(barmode="stack", bargap=0.4, hovermode="closest")
    everyone = (found.chosen, *found.compared)
    for name, column, colour in _COSTS:
        values = [getattr(lived.metrics, column) for lived in everyone]
        if any(values):
            figure.add_bar(
                y=[lived.name for lived in everyone],
                x=values,
                name=name,
                orientation="h",
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate="%{y}: %{x:,.1f} bp",
            )
    figure.update_xaxes(title={"text": "basis points a year", "font": {"color": SOFT}}, tickformat=",.3~g")
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    return json_of(figure)


def drawdown(found: Findings) -> str:
    """How far below its peak the position was, and the ideal held without cost."""
    path = found.path
    ours, ideal = depth_of(path.equity), depth_of(path.ideal)
    figure = plain_figure("below the peak", ".0%")
    kept = extremes(ours)
    when = [_moment(path.time[at]) for at in kept]
    for name, values, colour in (("ideal", ideal, SOFT), ("the chosen rule", ours, GUARDED)):
        figure.add_scatter(
            x=when,
            y=(-values[kept]).tolist(),
            name=name,
            mode="lines",
            line={"color": colour, "width": 1.4},
            fill="tozeroy" if colour == GUARDED else None,
            hovertemplate="%{y:.1%}",
        )
    figure.update_layout(dragmode="zoom")
    figure.update_xaxes(fixedrange=False)
    return json_of(figure)


def distribution(found: Findings) -> str:
    """How often the measure was where, before the rule acted; the band's edges as lines."""
    path = found.path
    shares = shares_of(path.measure)
    figure = plain_figure("share of bars", ".1%")
    figure.add_bar(
        x=((shares.edges[1:] + shares.edges[:-1]) / 2).tolist(),
        y=shares.share.tolist(),
        width=(shares.edges[1:] - shares.edges[:-1]).tolist(),
        name=_MEASURES[path.kind],
        marker={"color": GUARDED, "line": {"width": 0}},
    )
    figure.update_layout(bargap=0, showlegend=False, hovermode="closest")
    figure.update_xaxes(title={"text": _MEASURES[path.kind], "font": {"color": SOFT}}, tickformat=".3~g")
    marks = [("target", path.target[-1], SOFT), ("", path.low[-1], CALM), ("", path.high[-1], CALM)]
    if path.kind == "loan":
        marks.append(("liquidation", 1.0, DANGER))
    for name, value, colour in marks:
        if abs(value) < 1e6:
            figure.add_vline(x=float(value), line={"color": colour, "width": 1.4, "dash": "dash"})
            if name:
                figure.add_annotation(
                    x=float(value), y=1.0, yref="paper", text=name, showarrow=False, font={"color": colour}
                )
    return json_of(figure)


def heat(found: Findings) -> str:
    """The best fee in each cell of the two parameters that varied most; empty when fewer than two did."""
    names = varied(found)
    if len(names) < 2:
        return ""
    down, across = sorted(names[:2], key=lambda name: name == "destination")
    of = dict(found.scores.parameters)
    if (down, across) == ("trigger", "destination"):
        # A destination means little without its trigger.
        across, of["share of the way to the trigger"] = (
            "share of the way to the trigger",
            of["destination"] / np.where(of["trigger"] > 0, of["trigger"], np.inf),
        )
    cells = heat_map(of[across], of[down], found.fee, cells=12)
    figure = plain_figure(down.replace("_", " "), "")
    figure.add_heatmap(
        x=[f"{value:.4g}" for value in cells.x],
        y=[f"{value:.4g}" for value in cells.y],
        z=[[value if value == value else None for value in row] for row in cells.best.tolist()],  # noqa: PLR0124
        colorscale="Viridis",
        reversescale=True,
        colorbar={"title": {"text": "bp a year"}, "tickfont": {"color": INK}},
        hovertemplate=f"{across} %{{x}}, {down} %{{y}}: %{{z:.1f}} bp<extra></extra>",
    )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(
        type="category", title={"text": across.replace("_", " "), "font": {"color": SOFT}}, nticks=10
    )
    figure.update_yaxes(type="category", nticks=10)
    return json_of(figure)


def walk(found: Findings) -> str:
    """For each step of the walk: the fee the rule had shown, the fee it then had, and the best there was."""
    figure = plain_figure("basis points a year", ",.3~g")
    figure.update_layout(barmode="group", bargap=0.3)
    spans = [f"{_day(fold.tested[0])} to {_day(fold.tested[1])}" for fold in found.folds]
    for name, values, colour in (
        ("as chosen, on the years before", [fold.trained_fee_bps for fold in found.folds], SOFT),
        ("as it then was", [fold.tested_fee_bps for fold in found.folds], GUARDED),
        ("best in hindsight", [fold.best_fee_bps for fold in found.folds], CALM),
    ):
        figure.add_bar(x=spans, y=values, name=name, marker={"color": colour, "line": {"width": 0}})
    figure.update_xaxes(type="category")
    return json_of(figure)


def varied(found: Findings) -> list[str]:
    """The parameters of which more than one value was tried, that with the most values first."""
    counts = {name: len(set(values.tolist())) for name, values in found.scores.parameters.items()}
    return sorted((name for name, count in counts.items() if count > 1), key=lambda name: -counts[name])


def _cost_axis(found: Findings) -> str:
    what = "behind its rebalancing portfolio" if found.path.kind == "range" else "cost"
    return f"{what}, basis points a year"


def _place(found: Findings, lived: Lived) -> tuple[float, float]:
    """Where a rule stands on the frontier's axes, by its own figures."""
    figures = lived.metrics
    cost = figures.shortfall_bps if found.path.kind == "range" else figures.cost_bps
    return cost, figures.cvar_95_day if found.path.kind == "loan" else figures.tracking_error


def _point(figure: Any, name: str, cost: float, risk: float, symbol: str, colour: str) -> None:
    figure.add_scatter(
        x=[cost],
        y=[risk],
        name=name,
        mode="markers",
        marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 1, "color": INK}},
        hovertemplate=f"{name}: %{{x:.1f}} bp, %{{y:.3~g}}<extra></extra>",
    )


def _rule_text(row: dict[str, float], found: Findings) -> str:
    return ", ".join(f"{name} {row[name]:.4g}" for name in varied(found)[:4])


def _moment(seconds: Any) -> str:
    return moment_text(int(seconds))


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")

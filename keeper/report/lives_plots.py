"""A simulation's plots, as plotly's JSON; colours are names that the page puts its own in for.

Assumes: plotly, which only this room imports.
"""

from __future__ import annotations

from typing import Any, Final

from keeper.report.ink import (
    CALM,
    DANGER,
    FEE,
    GAS,
    GUARDED,
    HOUR,
    INK,
    SLIPPAGE,
    TWIN,
    draw_price,
    hour_ends,
    json_of,
    moment_text,
    plain_figure,
)
from keeper.report.lives import Life, LifeHour, Simulated, Told
from keeper.report.texts import clock_text

WITH: Final = "with the keeper"
PEACE: Final = "with the keeper, in peace"
NOBODY: Final = "with nobody"
_DASHES: Final = {PEACE: "dashdot"}
"""It lies so near the life in hostility that a whole line would cover that."""
_MARKS: Final = {"low": ("dash", CALM), "target": ("dot", CALM), "high": ("dash", CALM)}


def sides(told: Told) -> list[tuple[str, str, Life]]:
    """A rule's lives by name and colour."""
    found = [(WITH, GUARDED, told.guarded), (PEACE, CALM, told.calm), (NOBODY, TWIN, told.alone)]
    return [(name, colour, life) for name, colour, life in found if life is not None]


def price(told: Simulated) -> str:
    """ETH by hour, with every action of the keeper and every liquidation where nobody was at work."""
    figure = plain_figure("US dollars", "$,.0f")
    draw_price(figure, [(hour.time, hour.open, hour.high, hour.low, hour.close) for hour in told.prices])
    acts = [(act, rule) for rule in told.rules for act in rule.guarded.acts]
    _points(
        figure,
        "keeper acts",
        {"symbol": "triangle-up", "size": 12, "color": GUARDED},
        [(act.time, act.price, f"{act.action}, {rule.kind} rule {rule.id}") for act, rule in acts],
    )
    for name, symbol, colour, lives in (
        ("liquidation, with nobody", "x", TWIN, [rule.alone for rule in told.rules]),
        ("liquidation, with the keeper", "x-open", DANGER, [rule.guarded for rule in told.rules]),
    ):
        seized = sorted({each for life in lives for each in life.liquidations})
        marks = [(time, usd, "liquidated") for time, usd in seized]
        _points(figure, name, {"symbol": symbol, "size": 9, "color": colour}, marks)
    figure.update_layout(hovermode="closest")
    return json_of(figure)


def dollar(told: Simulated) -> str:
    """What one USDC was worth at the end of each hour."""
    figure = plain_figure("US dollars", "$.3f")
    ends = hour_ends([hour.time for hour in told.prices])[1:]
    figure.add_scatter(x=ends, y=[hour.usdc for hour in told.prices], name="USDC", line={"color": INK})
    return json_of(figure)


def measure(told: Told) -> str:
    """The worst of a rule's measure in each hour of each life, and the marks of its band."""
    figure = plain_figure(told.measure, ".4~g")
    seen = []
    for name, colour, life in sides(told):
        worst = [worst_of(told, hour) for hour in life.hours]
        seen += [value for value in worst if value is not None]
        figure.add_scatter(
            x=[moment_text(hour.time + HOUR // 2) for hour in life.hours],
            y=worst,
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.2, "shape": "hvh", "dash": _DASHES.get(name, "solid")},
            hovertemplate="%{y:.4~g}",
        )
    hours = told.guarded.hours
    lines = [(f"{name} {value:g}", value, *_MARKS[name]) for name, value in told.marks]
    if told.kind == "loan" and told.marks:
        lines.append(("liquidation 1", 1.0, "solid", DANGER))
    # A ceiling far above all that happened would flatten what did.
    top = 1.2 * max(seen, default=1.0)
    for name, value, dash, colour in lines:
        if value > top and name.startswith("high"):
            continue
        figure.add_scatter(
            x=[moment_text(hours[0].time), moment_text(hours[-1].time + HOUR)],
            y=[value, value],
            name=name,
            mode="lines",
            line={"color": colour, "width": 1.4, "dash": dash},
            hoverinfo="skip",
        )
    return json_of(figure)


def worst_of(told: Told, hour: LifeHour) -> float | None:
    """The lowest health of an hour; of what is measured as a distance, the farthest."""
    return hour.low if told.kind == "loan" else hour.high


def cost(told: Simulated) -> str:
    """Each action's cost, stacked."""
    figure = plain_figure("US dollars", "$,.2f")
    figure.update_layout(barmode="relative", bargap=0.35)
    acts = sorted(
        ((act.time, rule, act) for rule in told.rules for act in rule.guarded.acts),
        key=lambda found: found[0],
    )
    when = [f"{clock_text(time)} {rule.kind} {rule.id}" for time, rule, _ in acts]
    for name, colour, values in (
        ("pool fee", FEE, [act.cost.fee if act.cost else None for _, _, act in acts]),
        ("slippage", SLIPPAGE, [act.cost.slippage if act.cost else None for _, _, act in acts]),
        ("gas", GAS, [act.gas * act.price for _, _, act in acts]),
    ):
        figure.add_bar(
            x=when,
            y=values,
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate="%{y:$,.2f}",
        )
    figure.update_xaxes(type="category", tickangle=None, automargin=True)  # turned where they would overlap
    return json_of(figure)


def equity(told: Simulated) -> str:
    """What all accounts with loans are worth in each life, at the end of each hour."""
    figure = plain_figure("US dollars", "$,.0f")
    ends = hour_ends([hour.time for hour in told.prices])
    for name, colour, start, values in equities(told):
        figure.add_scatter(
            x=ends,
            y=[start, *values],
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.2, "dash": _DASHES.get(name, "solid")},
            hovertemplate="%{y:$,.2f}",
        )
    figure.update_yaxes(rangemode="tozero")
    return json_of(figure)


def equities(told: Simulated) -> list[tuple[str, str, float, list[float]]]:
    """Of each life the name, its colour, what the accounts began with together, and what they had hour by hour."""
    owners = {rule.owner: rule for rule in told.rules if rule.guarded.equity_end is not None}
    found = []
    for name, colour in ((WITH, GUARDED), (PEACE, CALM), (NOBODY, TWIN)):
        lives = [life for rule in owners.values() for side, _, life in sides(rule) if side == name]
        if lives:
            start = sum(life.equity_start or 0.0 for life in lives)
            hours = zip(*(life.hours for life in lives), strict=True)
            found.append((name, colour, start, [sum(each.equity or 0.0 for each in at) for at in hours]))
    return found


def _points(figure: Any, name: str, marker: dict[str, Any], points: list[tuple[int, float, str]]) -> None:
    if points:
        figure.add_scatter(
            x=[moment_text(time) for time, _, _ in points],
            y=[usd for _, usd, _ in points],
            name=name,
            mode="markers",
            marker=marker,
            text=[said for _, _, said in points],
            hovertemplate="%{y:$,.2f}: %{text}",
        )

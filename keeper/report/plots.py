"""The plots, as plotly's JSON; colours are names that the page puts its own in for (`var(--ink)`).

Assumes: plotly, which only this room imports.
"""

from __future__ import annotations

from keeper.report.ink import (
    CALM,
    DANGER,
    FEE,
    GAS,
    GUARDED,
    HOUR,
    INK,
    RANGE,
    SLIPPAGE,
    TWIN,
    draw_price,
    hour_ends,
    json_of,
    moment_text,
    plain_figure,
)
from keeper.report.record import Record
from keeper.report.stories import BasketStory, RangeStory
from keeper.report.texts import clock_text, usd_text


def price(record: Record) -> str:
    """ETH by hour, with the keeper's acts and the twin's liquidations where they happened."""
    figure = plain_figure("US dollars", "$,.0f")
    draw_price(
        figure,
        [(hour.time, hour.price_open, hour.price_high, hour.price_low, hour.price) for hour in record.hours],
    )
    figure.add_scatter(
        x=[moment_text(act.time) for act in record.acts],
        y=[act.price for act in record.acts],
        name="keeper acts",
        mode="markers",
        marker={"symbol": "triangle-up", "size": 12, "color": GUARDED},
        text=[
            f"repaid {usd_text(act.repaid)}, health {act.health_before:.2f} → {act.health_after:.2f}"
            for act in record.acts
        ],
        hovertemplate="%{y:$,.2f}: %{text}",
    )
    figure.add_scatter(
        x=[moment_text(seized.time) for seized in record.seizures],
        y=[seized.price for seized in record.seizures],
        name="liquidation",
        mode="markers",
        marker={"symbol": "x", "size": 9, "color": TWIN},
        text=[f"{'guarded' if s.guarded else 'twin'} lost {usd_text(s.penalty)}" for s in record.seizures],
        hovertemplate="%{y:$,.2f}: %{text}",
    )
    figure.update_layout(hovermode="closest")
    return json_of(figure)


def health(record: Record) -> str:
    """The lowest health of each hour, with the rule's floor and target and Aave's line."""
    figure = plain_figure("health factor", ".2f")
    terms = record.terms
    for name, colour, values in (
        ("guarded", GUARDED, [hour.guarded_low for hour in record.hours]),
        ("twin", TWIN, [hour.twin_low for hour in record.hours]),
    ):
        figure.add_scatter(
            x=[moment_text(hour.time + HOUR // 2) for hour in record.hours],
            y=values,
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.2, "shape": "hvh"},
            hovertemplate="%{y:.3f}",
        )
    ends = [moment_text(record.hours[0].time), moment_text(record.hours[-1].time + HOUR)]
    for level, name, colour, dash in (
        (terms.target, f"target {terms.target:.2f}", CALM, "dot"),
        (terms.floor, f"floor {terms.floor:.2f}", CALM, "dash"),
        (1.0, "liquidation 1.00", DANGER, "solid"),
    ):
        figure.add_scatter(
            x=ends,
            y=[level, level],
            name=name,
            mode="lines",
            line={"color": colour, "width": 1.4, "dash": dash},
            hoverinfo="skip",
        )
    figure.add_hrect(y0=terms.floor, y1=terms.target, fillcolor=CALM, opacity=0.08, line_width=0)
    seen = [
        value for hour in record.hours for value in (hour.guarded_low, hour.twin_low) if value is not None
    ]
    top = min(max([*seen, terms.target]), 2 * terms.target)
    figure.update_yaxes(range=[min([*seen, 1.0]) - 0.08, top + 0.12])
    return json_of(figure)


def cost(record: Record) -> str:
    """Each act's cost, stacked."""
    figure = plain_figure("US dollars", "$,.2f")
    figure.update_layout(barmode="relative", bargap=0.35)
    when = [clock_text(act.time) for act in record.acts]
    for name, colour, values in (
        ("pool fee", FEE, [act.cost.fee for act in record.acts]),
        ("slippage", SLIPPAGE, [act.cost.slippage for act in record.acts]),
        ("gas", GAS, [act.cost.gas for act in record.acts]),
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


def equity(record: Record) -> str:
    """Collateral minus debt of both, at the end of each hour."""
    figure = plain_figure("US dollars", "$,.0f")
    for name, colour, values in (
        ("guarded", GUARDED, [record.guarded.equity_start, *(hour.guarded_equity for hour in record.hours)]),
        ("twin", TWIN, [record.twin.equity_start, *(hour.twin_equity for hour in record.hours)]),
    ):
        figure.add_scatter(
            x=hour_ends([hour.time for hour in record.hours]),
            y=values,
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.2},
            hovertemplate="%{y:$,.2f}",
        )
    figure.update_yaxes(rangemode="tozero")
    return json_of(figure)


def ranges(story: RangeStory) -> str:
    """ETH by hour, inside or outside the range that follows it and the one that stays."""
    figure = plain_figure("US dollars", "$,.0f")
    middles = [moment_text(hour.time + HOUR // 2) for hour in story.hours]
    for name, values, fill in (
        ("", [hour.guarded.lower for hour in story.hours], None),
        ("guarded range", [hour.guarded.upper for hour in story.hours], "tonexty"),
    ):
        figure.add_scatter(
            x=middles,
            y=values,
            name=name,
            showlegend=bool(name),
            mode="lines",
            line={"color": GUARDED, "width": 1.4, "shape": "hvh"},
            fill=fill,
            fillcolor=RANGE,
            hovertemplate="%{y:$,.2f}",
        )
    for name, level in (("twin's range", story.still.upper), ("", story.still.lower)):
        figure.add_scatter(
            x=middles,
            y=[level] * len(middles),
            name=name,
            showlegend=bool(name),
            mode="lines",
            line={"color": TWIN, "width": 1.4, "dash": "dash"},
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=[moment_text(hour.time + HOUR) for hour in story.hours],
        y=[hour.price for hour in story.hours],
        name="ETH",
        mode="lines",
        line={"color": INK, "width": 1.8},
        hovertemplate="%{y:$,.2f}",
    )
    figure.add_scatter(
        x=[moment_text(act.time) for act in story.acts],
        y=[act.price for act in story.acts],
        name="recentred",
        mode="markers",
        marker={"symbol": "triangle-up", "size": 12, "color": GUARDED},
        text=[f"to {usd_text(act.after.lower)} … {usd_text(act.after.upper)}" for act in story.acts],
        hovertemplate="%{y:$,.2f}: %{text}",
    )
    return json_of(figure)


def baskets(story: BasketStory) -> str:
    """The weight of ETH in both baskets, with the rule's band."""
    figure = plain_figure("weight of ETH", ".0%")
    ends = [moment_text(hour.time + HOUR) for hour in story.hours]
    for name, colour, values in (
        ("guarded", GUARDED, [hour.guarded_weight for hour in story.hours]),
        ("twin", TWIN, [hour.twin_weight for hour in story.hours]),
    ):
        figure.add_scatter(
            x=ends,
            y=values,
            name=name,
            mode="lines",
            line={"color": colour, "width": 2.2},
            hovertemplate="%{y:.1%}",
        )
    figure.add_hrect(
        y0=story.target - story.band,
        y1=story.target + story.band,
        fillcolor=CALM,
        opacity=0.08,
        line_width=0,
    )
    for level, name, dash in (
        (story.target, f"target {story.target:.0%}", "dot"),
        (story.target + story.band, f"band ± {story.band:.0%}", "dash"),
        (story.target - story.band, "", "dash"),
    ):
        figure.add_scatter(
            x=[ends[0], ends[-1]],
            y=[level, level],
            name=name,
            showlegend=bool(name),
            mode="lines",
            line={"color": CALM, "width": 1.4, "dash": dash},
            hoverinfo="skip",
        )
    return json_of(figure)

"""How every plot is drawn: colours the page fills in, one plain figure, and plotly's JSON of it.

Assumes: plotly, which is imported in this room alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import plotly.graph_objects as go
import plotly.io

# plotly refuses a colour it does not know, so each role is drawn in a stand-in and renamed in the JSON.
INK: Final = "#010101"
SOFT: Final = "#020202"
LINE: Final = "#030303"
GUARDED: Final = "#040404"
TWIN: Final = "#050505"
RANGE: Final = "#060606"
NAMES: Final = {
    INK: "ink",
    SOFT: "soft",
    LINE: "line",
    GUARDED: "guarded",
    TWIN: "twin",
    RANGE: "range",
}
# These read on white and on near-black alike.
DANGER: Final = "#d6404f"
CALM: Final = "#2f9e6e"
FEE: Final = "#7a6ff0"
SLIPPAGE: Final = "#d9a21b"
GAS: Final = "#3aa0b5"

HOUR: Final = 3600


def moment_text(seconds: int) -> str:
    """A moment as plotly reads it."""
    # Without a zone: a browser would move it to the reader's.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def plain_figure(unit: str, form: str) -> Any:
    """An empty figure whose values are in a unit, told in d3's form."""
    axis = {"gridcolor": LINE, "zerolinecolor": LINE, "linecolor": LINE, "fixedrange": True}
    return go.Figure(
        layout={
            "template": None,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
            "margin": {"l": 56, "r": 12, "t": 36, "b": 40},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": "#fdfdfd", "font": {"color": "#1b2430"}},
            "dragmode": False,
            "xaxis": {**axis, "showgrid": False, "tickangle": 0, "nticks": 7},
            "yaxis": {**axis, "title": {"text": unit, "font": {"color": SOFT}}, "tickformat": form},
        }
    )


def draw_price(figure: Any, bars: Sequence[tuple[int, float, float, float, float]]) -> None:
    """Ether by hour: the range of each, and its closes in a line. A bar is its time, open, high, low and close."""
    middles = [moment_text(bar[0] + HOUR // 2) for bar in bars]
    for name, values, fill in (
        ("", [bar[3] for bar in bars], None),
        ("range of the hour", [bar[2] for bar in bars], "tonexty"),
    ):
        figure.add_scatter(
            x=middles,
            y=values,
            name=name,
            showlegend=bool(name),
            mode="lines",
            line={"color": SOFT, "width": 0, "shape": "hvh"},
            fill=fill,
            fillcolor=RANGE,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=hour_ends([bar[0] for bar in bars]),
        y=[bars[0][1], *(bar[4] for bar in bars)],
        name="ETH",
        mode="lines",
        line={"color": INK, "width": 1.8},
        hovertemplate="%{y:$,.2f}",
    )


def hour_ends(times: Sequence[int]) -> list[str]:
    """The start of the first hour, and the end of each."""
    return [moment_text(times[0]), *(moment_text(time + HOUR) for time in times)]


def json_of(figure: Any) -> str:
    """The figure for the page, colours named."""
    text: str = plotly.io.to_json(figure)
    for stand_in, name in NAMES.items():
        text = text.replace(f'"{stand_in}"', f'"var(--{name})"')
    return text

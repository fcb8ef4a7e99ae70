"""How every plot is drawn: colours the page fills in, one plain figure, and plotly's JSON of it.

Assumes: plotly, which is imported in this room alone.
"""

from __future__ import annotations

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


def json_of(figure: Any) -> str:
    """The figure for the page, colours named."""
    text: str = plotly.io.to_json(figure)
    for stand_in, name in NAMES.items():
        text = text.replace(f'"{stand_in}"', f'"var(--{name})"')
    return text

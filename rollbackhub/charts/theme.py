"""How figures look in light and in dark. A figure itself names no colour but those of drills and of production (`group_colour`), which are the same
everywhere: the page lays one of these templates over it.

The colours are told apart by people with every common kind of colour blindness (after Okabe and Ito, darkened or lightened until
each has a contrast of 3:1 against its background), and no figure says anything by colour alone: lines differ in dash, points in symbol.
"""

from __future__ import annotations

from typing import Literal

import plotly.graph_objects as go

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")

_LOOK: dict[Theme, dict[str, str]] = {
    "light": {"text": "#3b4252", "grid": "#e4e7eb", "axis": "#8a93a3", "mark": "#4b5563", "surface": "#ffffff"},
    "dark": {"text": "#d5dae3", "grid": "#2f3a4c", "axis": "#7d8899", "mark": "#b4bdcb", "surface": "#1b2433"},
}
_COLOURS: dict[Theme, list[str]] = {
    "light": ["#c2410c", "#0067b1", "#00795a", "#9d3c83", "#8a6d00", "#5b6472"],
    "dark": ["#f08a4b", "#5aaeea", "#35c796", "#e08bc8", "#e3b341", "#a8b2c1"],
}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon", "star")

_GROUPS = (("drill", "#2f80c8"), ("production", "#d2602a"))
"""Seen on both backgrounds (3:1 at least), whichever groups a chart has and in whatever order."""


def group_colour(name: str) -> str | None:
    """The one colour of a series of drills or of production, by its name; None for any other series: the theme gives it one."""
    return next((colour for word, colour in _GROUPS if name.lower().startswith(word)), None)


def colours(theme: Theme) -> list[str]:
    """The series colours of a theme, in the order of the series."""
    return list(_COLOURS[theme])


def surface(theme: Theme) -> str:
    """The background that figures of a theme stand on."""
    return _LOOK[theme]["surface"]


def template(theme: Theme) -> go.layout.Template:
    """The whole look of a theme as a Plotly template."""
    look = _LOOK[theme]
    axis = {
        "gridcolor": look["grid"],
        "linecolor": look["axis"],
        "tickcolor": look["axis"],
        "zerolinecolor": look["axis"],
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 12}},
        "ticklabelstandoff": 6,
    }
    return go.layout.Template(
        # Bars of one series have the calm colour; further series take the others in turn.
        data={"bar": [{"marker": {"color": colour}} for colour in (_COLOURS[theme][1], _COLOURS[theme][0], *_COLOURS[theme][2:])]},
        layout={
            "colorway": _COLOURS[theme],
            "font": {"family": 'Inter, system-ui, -apple-system, "Segoe UI", sans-serif', "size": 13, "color": look["text"]},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hoverlabel": {"bgcolor": look["surface"], "bordercolor": look["axis"], "font": {"color": look["text"]}, "align": "left"},
            "hovermode": "closest",
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
            "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
            "xaxis": axis,
            "yaxis": axis,
            "shapedefaults": {"line": {"color": look["mark"], "width": 1.5}},
            # With a background: a label stays readable where a line runs behind it.
            "annotationdefaults": {"font": {"color": look["mark"], "size": 12}, "showarrow": False, "bgcolor": look["surface"], "borderpad": 0},
        },
    )

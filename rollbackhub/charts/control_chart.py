"""A control chart of drill durations: each drill in its order, the centre, the limits, and what signals."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from rollbackhub.charts.run_durations import log_axis
from rollbackhub.charts.theme import group_colour
from rollbackhub.common.durations import in_words


@dataclass(frozen=True, slots=True)
class ControlPoint:
    """One drill. `signal`: why it is not usual, in words; empty: it is. `at` is naive: the time on the viewer's clock."""

    at: dt.datetime
    seconds: float
    signal: str
    imported: bool
    url: str


def control_chart(*, points: Sequence[ControlPoint], low: float, centre: float, high: float, zone: str = "UTC") -> go.Figure:
    """Drills in their order on a logarithmic axis; those that signal have another mark. The three lines are labelled with their times."""
    figure = go.Figure()
    figure.add_scatter(
        name="Drills",
        mode="lines",
        x=[point.at for point in points],
        y=[point.seconds for point in points],
        line={"width": 1, "color": group_colour("Drills")},
        hoverinfo="skip",
        showlegend=False,
    )
    for name, symbol, mine in (
        ("As usual", "circle", [point for point in points if not point.signal]),
        ("Signals", "diamond-open", [point for point in points if point.signal]),
    ):
        if mine:
            figure.add_scatter(
                name=name,
                mode="markers",
                x=[point.at for point in mine],
                y=[point.seconds for point in mine],
                marker={
                    "symbol": [symbol + ("-dot" if point.imported else "") for point in mine],
                    "size": 11 if symbol != "circle" else 8,
                    "line": {"width": 2},
                    # What signals stands out; the rest are drills as in every chart.
                    "color": None if mine[0].signal else group_colour("Drills"),
                },
                customdata=[
                    [point.url, in_words(point.seconds), f"<br>{point.signal}" if point.signal else "", " · imported" if point.imported else ""]
                    for point in mine
                ],
                hovertemplate="<b>%{customdata[1]}</b>%{customdata[3]}%{customdata[2]}<br>%{x|%-d %b %Y, %H:%M} " + zone + "<extra></extra>",
            )
    for label, seconds, dash in (("upper limit", high, "dash"), ("centre", centre, "solid"), ("lower limit", low, "dash")):
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=seconds, y1=seconds, yref="y", line={"dash": dash, "width": 1.5})
        # plotly takes the logarithm for annotations, and the value itself for shapes.
        figure.add_annotation(x=1, xref="paper", xanchor="right", y=math.log10(seconds), yref="y", yanchor="bottom", text=f"{label} {in_words(seconds)}")
    figure.update_layout(
        height=360,
        showlegend=True,
        xaxis={"title": {"text": f"Started ({zone})"}, "type": "date"},
        yaxis={**log_axis([*(point.seconds for point in points), low, high]), "title": {"text": "Drill duration (logarithmic)"}},
        margin={"t": 16},
    )
    return figure

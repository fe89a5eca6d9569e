"""One metric of a verification: from the drain on, beside its baseline and what is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import plotly.graph_objects as go

from rollbackhub.charts.rows import Mark, SeriesValue

BAND = "rgba(127,127,127,0.14)"
"""The margin: a grey that is seen on both backgrounds."""

HEIGHT = 280
AXIS_PIXELS = 60
"""What the axis below takes of the height."""
LABEL_PIXELS, LABEL_WIDTH = 32, 66
"""A line's label, two rows right of the plot."""


def check_series(
    *, title: str, points: Sequence[SeriesValue], marks: Sequence[Mark], baseline: float | None, allowed: float | None, unit: Literal["share", "seconds"]
) -> go.Figure:
    """A line of the growth since the drain on an axis of seconds since the flip; the baseline, the most that is allowed, and between them the margin.

    Shares (0 to 1) are drawn in percent, seconds in milliseconds.
    """
    scale, suffix = (100, " %") if unit == "share" else (1000, " ms")
    values = [None if point.value is None else point.value * scale for point in points]
    lines = [(value * scale, name) for value, name in ((baseline, "baseline"), (allowed, "allowed")) if value is not None]
    highest = max([value for value in values if value is not None] + [value for value, _ in lines] + [0.001])
    top, above = highest * 1.25, 14 + 16 * max(len(marks), 1)
    plot_height = HEIGHT - above - AXIS_PIXELS
    figure = go.Figure()
    figure.add_scatter(
        name=title,
        x=[point.seconds for point in points],
        y=[None if value is None else round(value, 4) for value in values],
        customdata=[point.requests for point in points],
        mode="lines+markers",
        connectgaps=False,
        line={"width": 2},
        marker={"size": 5},
        hovertemplate=f"<b>%{{y:.2f}}{suffix}</b><br>of %{{customdata:,}} requests, %{{x:.1f}} s after the flip<extra></extra>",
    )
    figure.update_layout(
        height=HEIGHT,
        showlegend=False,
        xaxis={"title": {"text": "Seconds since the flip"}, "ticksuffix": " s", "zeroline": False},
        yaxis={"title": {"text": title}, "range": [0, top], "ticksuffix": suffix},
        margin={"t": above, "r": LABEL_WIDTH if lines else 16},
    )
    if baseline is not None and allowed is not None and allowed > baseline:
        band = {"type": "rect", "x0": 0, "x1": 1, "xref": "paper", "y0": baseline * scale, "y1": allowed * scale, "yref": "y"}
        figure.add_shape(**band, fillcolor=BAND, line={"width": 0}, layer="below")
    free = LABEL_PIXELS / 2
    for value, name in sorted(lines):
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=value, y1=value, yref="y", line={"dash": "dash" if name == "baseline" else "dot"})
        # Right of the plot, where no series ends; a narrow margin would bring the two together, and a small value the lower one onto the axis.
        at = value / top * plot_height
        middle = max(at, free)
        free = middle + LABEL_PIXELS
        text = f"{name}<br>{value:.3g}{suffix}"
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=4, y=value, yref="y", yanchor="middle", yshift=round(middle - at), align="left", text=text
        )
    for row, mark in enumerate(marks):
        figure.add_shape(type="line", x0=mark.seconds, x1=mark.seconds, xref="x", y0=0, y1=1, yref="paper", line={"dash": "dot"})
        figure.add_annotation(
            x=mark.seconds, xref="x", y=1, yref="paper", yanchor="bottom", xanchor="left", yshift=2 + 16 * (len(marks) - 1 - row), text=mark.label
        )
    return figure

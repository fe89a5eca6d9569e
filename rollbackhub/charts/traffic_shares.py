"""Who answered the callers around the flip: each version's share of the traffic over time."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rollbackhub.charts.rows import Mark, TrafficPoint
from rollbackhub.charts.theme import DASHES


def traffic_shares(*, points: Sequence[TrafficPoint], marks: Sequence[Mark], versions: Sequence[str]) -> go.Figure:
    """A line per version in percent, on an axis of seconds since the flip, with a vertical line at each mark.

    `versions` gives the order (and so the colours); a version without a share at an instant leaves a gap, not a zero.
    """
    figure = go.Figure()
    for index, version in enumerate(versions):
        figure.add_scatter(
            name=version,
            x=[point.seconds for point in points],
            y=[None if version not in point.shares else round(point.shares[version] * 100, 2) for point in points],
            mode="lines+markers",
            connectgaps=False,
            line={"width": 2, "dash": DASHES[index % len(DASHES)], "shape": "linear"},
            marker={"size": 5},
            hovertemplate=f"<b>{version}</b><br>%{{y:.1f}} % at %{{x:.2f}} s<extra></extra>",
        )
    figure.update_layout(
        height=320,
        showlegend=True,
        xaxis={"title": {"text": "Seconds since the flip"}, "ticksuffix": " s", "zeroline": False},
        yaxis={"title": {"text": "Share of the traffic"}, "range": [-3, 106], "tickvals": [0, 25, 50, 75, 100], "ticksuffix": " %"},
        legend={"orientation": "h", "y": -0.28, "yanchor": "top"},
        margin={"t": 62},
    )
    for row, mark in enumerate(marks):
        figure.add_shape(type="line", x0=mark.seconds, x1=mark.seconds, xref="x", y0=0, y1=1, yref="paper", line={"dash": "dot"})
        # One below the other: marks of a quick flip stand within milliseconds of each other.
        figure.add_annotation(
            x=mark.seconds, xref="x", y=1, yref="paper", yanchor="bottom", xanchor="left", yshift=2 + 16 * (len(marks) - 1 - row), text=mark.label
        )
    return figure

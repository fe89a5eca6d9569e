"""Within which time which share was done: a curve in steps."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rollbackhub.charts.log_seconds import drawn, log_axis
from rollbackhub.charts.theme import DASHES
from rollbackhub.common.durations import in_words

Curve = Sequence[tuple[float, float]]
"""Seconds, and the share (0 to 1) that was done by then; ascending."""


def duration_curve(*, curves: Sequence[tuple[str, Curve]], axis: str, share: str) -> go.Figure:
    """A line a curve (a name and its steps), in percent, each with a dash of its own; a dotted line marks the half."""
    figure = go.Figure()
    for index, (name, steps) in enumerate(curves):
        shown = [(seconds, done) for seconds, done in steps if seconds > 0 or done > 0]
        figure.add_scatter(
            name=name,
            mode="lines+markers",
            x=[drawn(seconds) for seconds, _ in shown],
            y=[round(100 * done, 2) for _, done in shown],
            line={"shape": "hv", "width": 2, "dash": DASHES[index % len(DASHES)]},
            marker={"size": 4},
            customdata=[in_words(seconds) for seconds, _ in shown],
            hovertemplate=f"<b>{name}</b><br>%{{y:.0f}} % within %{{customdata}}<extra></extra>",
        )
    figure.update_layout(
        height=340,
        showlegend=len(curves) > 1,
        xaxis=log_axis([seconds for _, steps in curves for seconds, _ in steps if seconds > 0], title=axis),
        yaxis={"title": {"text": f"{share} (%)"}, "range": [-3, 104], "tickvals": [0, 25, 50, 75, 90, 100]},
        margin={"t": 8},
    )
    figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=50, y1=50, yref="y", line={"dash": "dot"})
    return figure

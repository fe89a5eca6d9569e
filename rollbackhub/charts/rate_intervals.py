"""A share by period, each with its interval: few cases have a wide one, and it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True, slots=True)
class RatePoint:
    """The share (0 to 1) of a period with its 95 % interval: `hits` of `n`."""

    period: str
    hits: int
    n: int
    share: float
    low: float
    high: float


def rate_intervals(*, points: Sequence[RatePoint], axis: str) -> go.Figure:
    """A point a period, in percent, with its interval as a bar."""
    figure = go.Figure()
    figure.add_scatter(
        name=axis,
        mode="markers",
        x=[point.period for point in points],
        y=[round(100 * point.share, 2) for point in points],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [round(100 * max(point.high - point.share, 0), 2) for point in points],
            "arrayminus": [round(100 * max(point.share - point.low, 0), 2) for point in points],
            "thickness": 1.5,
            "width": 5,
        },
        marker={"size": 10, "symbol": "diamond", "line": {"width": 1.5}},
        customdata=[[point.hits, point.n, f"{100 * point.low:.0f} % to {100 * point.high:.0f} %"] for point in points],
        hovertemplate="<b>%{x}: %{y:.1f} %</b><br>%{customdata[0]:,} of %{customdata[1]:,}<br>95 % interval %{customdata[2]}<extra></extra>",
    )
    highest = max((point.high for point in points), default=1.0)
    figure.update_layout(
        height=320,
        showlegend=False,
        xaxis={"title": {"text": "Period (UTC)"}, "type": "category"},
        yaxis={"title": {"text": f"{axis} (%)"}, "range": [-2, min(104.0, 100 * highest * 1.08 + 2)], "ticksuffix": " %"},
        margin={"t": 12},
    )
    return figure

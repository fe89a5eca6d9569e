"""How many requests bad versions served, rollback by rollback: which share had at most so many."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go


def exposure_curve(*, steps: Sequence[tuple[float, float]]) -> go.Figure:
    """A line over requests (logarithmic; none is drawn as one) and the share (0 to 1) of rollbacks that had at most so many, ascending."""
    figure = go.Figure()
    figure.add_scatter(
        name="Rollbacks",
        mode="lines+markers",
        x=[max(requests, 1.0) for requests, _ in steps],
        y=[round(100 * share, 2) for _, share in steps],
        line={"shape": "hv", "width": 2},
        marker={"size": 4},
        customdata=[f"{requests:,.0f}" for requests, _ in steps],
        hovertemplate="<b>%{y:.0f} % of rollbacks</b><br>at most %{customdata} requests<extra></extra>",
    )
    most = max((requests for requests, _ in steps), default=10.0)
    decades = range(max(1, math.ceil(math.log10(max(most, 10.0)))) + 1)
    figure.update_layout(
        height=320,
        showlegend=False,
        xaxis={
            "title": {"text": "Requests served by the bad version (logarithmic)"},
            "type": "log",
            "range": [-0.1, max(decades) + 0.1],
            "tickvals": [10**decade for decade in decades],
            "ticktext": [f"{10**decade:,}" for decade in decades],
        },
        yaxis={"title": {"text": "Rollbacks (%)"}, "range": [-3, 104], "tickvals": [0, 25, 50, 75, 90, 100]},
        margin={"t": 8},
    )
    figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=50, y1=50, yref="y", line={"dash": "dot"})
    return figure

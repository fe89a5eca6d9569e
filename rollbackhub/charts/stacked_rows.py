"""Counts group by group, stacked by what they are made of: bars that lie."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rollbackhub.charts.months import count_ticks
from rollbackhub.charts.stacked_months import PATTERNS
from rollbackhub.charts.theme import group_colour

ROW_PIXELS, FRAME_PIXELS = 40, 130


def stacked_rows(*, groups: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], axis: str, as_shares: bool = False) -> go.Figure:
    """A bar a group, the first on top; each series (a name, and a count a group) has a pattern besides its colour. `as_shares`: in percent of each group."""
    figure = go.Figure()
    sums = [sum(values[place] for _, values in series) for place in range(len(groups))]
    for index, (name, values) in enumerate(series):
        shares = [100 * value / whole if whole else 0.0 for value, whole in zip(values, sums, strict=True)]
        figure.add_bar(
            name=name,
            orientation="h",
            y=list(groups),
            x=[round(share, 2) for share in shares] if as_shares else list(values),
            customdata=[[value, whole, round(share, 1)] for value, whole, share in zip(values, sums, shares, strict=True)],
            marker={
                "pattern": {"shape": PATTERNS[index % len(PATTERNS)], "size": 6, "fillmode": "overlay"},
                "line": {"width": 1},
                "color": group_colour(name),
            },
            hovertemplate=f"<b>%{{y}}</b><br>{name}: %{{customdata[0]:,}} of %{{customdata[1]:,}} (%{{customdata[2]}} %)<extra></extra>",
        )
    figure.update_layout(
        height=FRAME_PIXELS + ROW_PIXELS * max(len(groups), 1),
        barmode="stack",
        showlegend=len(series) > 1,
        xaxis={
            "title": {"text": f"{axis} (%)" if as_shares else axis},
            "rangemode": "tozero",
            **({"range": [0, 100], "tick0": 0, "dtick": 25, "ticksuffix": " %"} if as_shares else count_ticks(max(sums, default=0))),
        },
        yaxis={"autorange": "reversed", "showgrid": False},
        # Room for the last label: plotly hides one that would be cut off.
        margin={"t": 8, "r": 36},
    )
    return figure

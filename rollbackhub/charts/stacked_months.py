"""Counts by month, stacked by what became of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import plotly.graph_objects as go

from rollbackhub.charts.months import count_ticks, month_axis

PATTERNS = ("", "/", ".", "x", "-", "|", "+", "\\")


ALONE = 20 * 86_400_000
"""How wide the bar of a single month is: 20 days in milliseconds."""


def stacked_months(*, months: Sequence[dt.date], series: Sequence[tuple[str, Sequence[float]]], axis: str, unit: str) -> go.Figure:
    """A bar a month; each series (a name, and a value a month) has a pattern besides its colour. `unit` names what is counted, in the hover."""
    figure = go.Figure()
    for index, (name, values) in enumerate(series):
        figure.add_bar(
            name=name,
            x=list(months),
            y=list(values),
            # A bar of one date alone would be a millisecond wide.
            width=ALONE if len(months) == 1 else None,
            marker={"pattern": {"shape": PATTERNS[index % len(PATTERNS)], "size": 6, "fillmode": "overlay"}, "line": {"width": 1}},
            hovertemplate=f"<b>%{{x|%b %Y}}</b><br>{name}: %{{y:,}} {unit}<extra></extra>",
        )
    highest = max((sum(values) for values in zip(*(values for _, values in series), strict=True)), default=0)
    figure.update_layout(
        height=340,
        barmode="stack",
        showlegend=True,
        xaxis={**month_axis(months), **_range(months)},
        yaxis={"title": {"text": axis}, "rangemode": "tozero", **count_ticks(highest)},
        margin={"t": 8},
    )
    return figure


def _range(months: Sequence[dt.date]) -> dict[str, object]:
    """Bars of one month alone would be drawn on an axis of milliseconds."""
    if not months:
        return {}
    return {"range": [min(months) - dt.timedelta(days=20), max(months) + dt.timedelta(days=20)]} if len(months) <= 6 else {}

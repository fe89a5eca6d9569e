"""Shares of runs within their target, each with its interval: by change type, and by month."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from rollbackhub.charts.months import month_axis
from rollbackhub.charts.theme import DASHES, SYMBOLS, group_colour

BESIDE = dt.timedelta(days=6)
"""How far the groups of a month stand apart."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many hits of so many runs of a group, with the interval (0 to 1) that holds the true share with 95 % confidence."""

    group: str
    of: str | dt.date
    hits: int
    runs: int
    low: float
    high: float

    @property
    def percent(self) -> float:
        """In percent."""
        return 100 * self.hits / self.runs


def hit_rates_by_type(*, shares: Sequence[Share], groups: Sequence[str]) -> go.Figure:
    """A row for each change type, a mark with its interval for each group."""
    types = list(dict.fromkeys(str(share.of) for share in shares))
    figure = go.Figure()
    for index, group in enumerate(groups):
        mine = [share for share in shares if share.group == group]
        if not mine:
            continue
        beside = (index - (len(groups) - 1) / 2) * 0.3
        figure.add_scatter(
            name=group,
            mode="markers",
            x=[share.percent for share in mine],
            y=[types.index(str(share.of)) + beside for share in mine],
            marker={"symbol": SYMBOLS[2 * index], "size": 11, "color": group_colour(group)},
            error_x=_interval(mine),
            customdata=_texts(mine),
            hovertemplate=_hover(group),
        )
    figure.update_layout(
        height=120 + 64 * max(len(types), 1),
        showlegend=True,
        xaxis={"title": {"text": "Within target (%)"}, "range": [-3, 103], "tickvals": [0, 25, 50, 75, 100]},
        yaxis={
            "title": {"text": "Change type"},
            "tickvals": list(range(len(types))),
            "ticktext": types,
            "range": [max(len(types), 1) - 0.5, -0.5],
            "showgrid": False,
        },
        margin={"t": 16},
    )
    return figure


def hit_rates_by_month(*, shares: Sequence[Share], groups: Sequence[str]) -> go.Figure:
    """A line for each group, each month with its interval."""
    figure = go.Figure()
    for index, group in enumerate(groups):
        mine = [share for share in shares if share.group == group]
        if not mine:
            continue
        figure.add_scatter(
            name=group,
            mode="lines+markers",
            # Side by side, so that no interval covers another; the hover names the month.
            x=[share.of + index * BESIDE for share in mine if isinstance(share.of, dt.date)],
            y=[share.percent for share in mine],
            line={"dash": DASHES[index], "width": 2, "color": group_colour(group)},
            marker={"symbol": SYMBOLS[2 * index], "size": 8, "color": group_colour(group)},
            error_y=_interval(mine),
            customdata=_texts(mine),
            hovertemplate=_hover(group),
        )
    figure.update_layout(
        height=340,
        showlegend=True,
        xaxis=month_axis(share.of for share in shares if isinstance(share.of, dt.date)),
        yaxis={"title": {"text": "Within target (%)"}, "range": [-3, 104], "tickvals": [0, 25, 50, 75, 100]},
        margin={"t": 16},
    )
    return figure


def _interval(shares: Sequence[Share]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [round(100 * share.high - share.percent, 3) for share in shares],
        "arrayminus": [round(share.percent - 100 * share.low, 3) for share in shares],
        "thickness": 1.5,
        "width": 4,
    }


def _texts(shares: Sequence[Share]) -> list[list[str]]:
    return [
        [
            f"{share.of:%b %Y}" if isinstance(share.of, dt.date) else share.of,
            f"{share.hits:,} of {share.runs:,}",
            f"{100 * share.low:.0f} to {100 * share.high:.0f} %",
            f"{share.percent:.1f} %",
        ]
        for share in shares
    ]


def _hover(group: str) -> str:
    return (
        f"<b>%{{customdata[0]}}</b>, {group.lower()}<br>%{{customdata[3]}}: %{{customdata[1]}} within target<br>95 % interval %{{customdata[2]}}<extra></extra>"
    )

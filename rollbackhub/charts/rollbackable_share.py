"""The share of live aliases that could be rolled back, over time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True, slots=True)
class SharePoint:
    """From this instant on so many aliases of so many could be rolled back. `at` is naive: the time on the viewer's clock."""

    at: dt.datetime
    rollbackable: int
    total: int

    @property
    def percent(self) -> float | None:
        """None while there is no alias."""
        return round(100 * self.rollbackable / self.total, 1) if self.total else None


def rollbackable_share(*, points: Sequence[SharePoint], since: dt.datetime, now: dt.datetime, zone: str = "UTC") -> go.Figure:
    """A line in steps, in percent: what was true from one point holds until the next, and the last until now."""
    shown = [SharePoint(max(point.at, since), point.rollbackable, point.total) for point in points]
    if shown:
        shown.append(SharePoint(now, shown[-1].rollbackable, shown[-1].total))
    figure = go.Figure()
    figure.add_scatter(
        name="Rollbackable",
        mode="lines",
        x=[point.at for point in shown],
        y=[point.percent for point in shown],
        line={"shape": "hv", "width": 2},
        connectgaps=False,
        customdata=[[point.rollbackable, point.total] for point in shown],
        hovertemplate="<b>%{y:.1f} %</b>: %{customdata[0]} of %{customdata[1]} live aliases<br>%{x|%-d %b %Y, %H:%M} " + zone + "<extra></extra>",
    )
    figure.update_layout(
        height=230,
        showlegend=False,
        xaxis={"title": {"text": f"Time ({zone})"}, "type": "date", "range": [since, now]},
        yaxis={"title": {"text": "Rollbackable (%)"}, "range": [-3, 104], "tickvals": [0, 25, 50, 75, 100]},
        margin={"t": 12},
    )
    return figure

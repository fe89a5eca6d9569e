"""Every drill's rollback time against the target of its change type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import plotly.graph_objects as go

from rollbackhub.charts.rows import DrillPoint
from rollbackhub.charts.seconds import ticks
from rollbackhub.charts.theme import SYMBOLS
from rollbackhub.common.durations import in_words

LEAST_SPAN = timedelta(hours=1)
"""The shortest time that the axis shows."""


def drill_durations(*, points: Sequence[DrillPoint], targets: dict[str, float], with_targets: bool = True, zone: str = "UTC") -> go.Figure:
    """A point per drill (a series per change type, open marks for those that did not pass) and a line per target in use.

    `targets` maps change types to seconds; change types that share a target share its line. Without targets the axis fits what was measured.
    `zone` names the viewer's time zone, in which the points stand.
    """
    figure = go.Figure()
    change_types = list(dict.fromkeys([*targets, *(point.change_type for point in points)]))
    for index, change_type in enumerate(change_types):
        mine = [point for point in points if point.change_type == change_type]
        if not mine:
            continue
        figure.add_scatter(
            name=change_type,
            mode="markers",
            cliponaxis=False,
            x=[point.at for point in mine],
            y=[point.seconds for point in mine],
            marker={"size": 10, "symbol": [SYMBOLS[index % len(SYMBOLS)] + ("" if point.passed else "-open") for point in mine], "line": {"width": 1.5}},
            customdata=[[point.url, point.name, in_words(point.seconds), _against(point), point.verdict] for point in mine],
            hovertemplate="<b>%{customdata[1]}</b><br>%{customdata[4]}: %{customdata[2]}%{customdata[3]}<br>%{x|%-d %b %Y, %H:%M} "
            + zone
            + "<br>Click to open<extra></extra>",
        )
    shown = {change_type: seconds for change_type, seconds in targets.items() if with_targets and any(point.change_type == change_type for point in points)}
    largest = max([point.seconds for point in points] + list(shown.values()), default=1.0) * 1.12
    values, words = ticks(largest)
    figure.update_layout(
        height=340,
        showlegend=True,
        xaxis={"title": {"text": f"Started ({zone})"}, "type": "date", **_time_range(points)},
        yaxis={"title": {"text": "Rollback time"}, "range": [0, largest], "tickvals": values, "ticktext": words, "rangemode": "tozero"},
        margin={"t": 8},
    )
    by_seconds: dict[float, list[str]] = {}
    for change_type, seconds in shown.items():
        by_seconds.setdefault(seconds, []).append(change_type)
    for seconds, names in by_seconds.items():
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=seconds, y1=seconds, yref="y", line={"dash": "dash"})
        figure.add_annotation(
            x=1, xref="paper", xanchor="right", y=seconds, yref="y", yanchor="bottom", yshift=1, text=f"target {in_words(seconds)} ({', '.join(names).lower()})"
        )
    return figure


def _time_range(points: Sequence[DrillPoint]) -> dict[str, Any]:
    """A range of at least LEAST_SPAN around the points: left to itself, plotly shows one drill on an axis of milliseconds."""
    if not points:
        return {}
    first, last = min(point.at for point in points), max(point.at for point in points)
    around = max(LEAST_SPAN - (last - first), (last - first) * 0.08) / 2
    return {"range": [first - around, last + around]}


def _against(point: DrillPoint) -> str:
    return "" if point.target_seconds is None else f" of {in_words(point.target_seconds)}"

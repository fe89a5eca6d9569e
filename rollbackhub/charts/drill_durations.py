"""Every drill's rollback time against its target: its change type's, or its artefact's own."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from rollbackhub.charts.rows import DrillPoint
from rollbackhub.charts.seconds import ticks
from rollbackhub.charts.theme import SYMBOLS
from rollbackhub.common.durations import in_words

LEAST_SPAN = timedelta(hours=1)
"""The shortest time that the axis shows."""


HEIGHT, LOG_HEIGHT = 340, 460
AROUND_PIXELS = 150
"""What legend and axis take of the height on a phone: the rest tells whether lines run into each other."""
LINE_PIXELS = 16
"""A row of a line's label is so high."""
ROW_LETTERS = 34
"""A row of it has at most so many letters: on a phone the plot is some 220 pixels wide."""
LOG_TICKS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 14400.0, 86400.0, 604800.0)


def drill_durations(*, points: Sequence[DrillPoint], targets: Sequence[tuple[str, float]], change_types: Sequence[str] = (), zone: str = "UTC") -> go.Figure:
    """A point per drill (a series per change type, open marks for those that did not pass) and a line per target, named by those whose it is.

    `targets` are change types and artefacts, as they are to be named, each with its seconds; those that share a target share its line. Without targets the
    axis fits what was measured. When lines would run into each other (minutes beside hours) the axis is logarithmic, and says so.
    `change_types`: their order, whichever of them have points, so that a type keeps its mark. `zone` names the viewer's time zone of the points.
    """
    figure = go.Figure()
    lines: dict[float, list[str]] = {}
    for name, seconds in targets:
        lines.setdefault(seconds, []).append(name)
    scale = _scale([point.seconds for point in points], sorted(lines))
    for index, change_type in enumerate(dict.fromkeys([*change_types, *(point.change_type for point in points)])):
        mine = [point for point in points if point.change_type == change_type]
        if not mine:
            continue
        figure.add_scatter(
            name=change_type,
            mode="markers",
            cliponaxis=False,
            x=[point.at for point in mine],
            y=[max(point.seconds, scale.least) for point in mine],
            marker={"size": 10, "symbol": [SYMBOLS[index % len(SYMBOLS)] + ("" if point.passed else "-open") for point in mine], "line": {"width": 1.5}},
            customdata=[[point.url, point.name, in_words(point.seconds), _against(point), point.verdict] for point in mine],
            hovertemplate="<b>%{customdata[1]}</b><br>%{customdata[4]}: %{customdata[2]}%{customdata[3]}<br>%{x|%-d %b %Y, %H:%M} "
            + zone
            + "<br>Click to open<extra></extra>",
        )
    values, tick_words = scale.ticks
    figure.update_layout(
        height=scale.height,
        showlegend=True,
        xaxis={"title": {"text": f"Started ({zone})"}, "type": "date", **_time_range(points)},
        yaxis={"title": {"text": scale.title}, "type": "log" if scale.is_log else "linear", "range": scale.range, "tickvals": values, "ticktext": tick_words},
        margin={"t": 8},
    )
    free = 0.0
    for seconds in sorted(lines):
        words = f"{in_words(seconds)} ({', '.join(lines[seconds])})"
        rows = textwrap.wrap(f"target {words}", ROW_LETTERS)
        at = scale.pixels(seconds)
        lifted = max(at, free) - at
        free = at + lifted + LINE_PIXELS * len(rows)
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=seconds, y1=seconds, yref="y", line={"dash": "dash"})
        # plotly takes the logarithm for annotations, and the value itself for shapes.
        y = math.log10(seconds) if scale.is_log else seconds
        yshift = round(1 + lifted)
        figure.add_annotation(x=1, xref="paper", xanchor="right", y=y, yref="y", yanchor="bottom", yshift=yshift, align="right", text="<br>".join(rows))
    return figure


@dataclass(frozen=True, slots=True)
class _Scale:
    """The axis of seconds from `least` (0 when it is linear) to `most`."""

    least: float
    most: float

    @property
    def is_log(self) -> bool:
        return self.least > 0

    @property
    def height(self) -> int:
        return LOG_HEIGHT if self.is_log else HEIGHT

    @property
    def title(self) -> str:
        return "Rollback time (logarithmic)" if self.is_log else "Rollback time"

    @property
    def range(self) -> list[float]:
        return [math.log10(self.least), math.log10(self.most)] if self.is_log else [0.0, self.most]

    @property
    def ticks(self) -> tuple[list[float], list[str]]:
        if not self.is_log:
            return ticks(self.most)
        values = [value for value in LOG_TICKS if self.least <= value <= self.most]
        return values, [in_words(value) for value in values]

    def pixels(self, seconds: float) -> float:
        """How high above the axis these seconds stand, about."""
        start, end = self.range
        return ((math.log10(seconds) if self.is_log else seconds) - start) / (end - start) * (self.height - AROUND_PIXELS)


def _scale(measured: Sequence[float], lines: Sequence[float]) -> _Scale:
    """Linear from zero, unless two of the lines (sorted) would run into each other so."""
    most = max([*measured, *lines], default=1.0) * 1.12
    linear = _Scale(0.0, most)
    if all(linear.pixels(upper) - linear.pixels(lower) >= LINE_PIXELS for lower, upper in pairwise(lines)):
        return linear
    return _Scale(min([*(max(seconds, LOG_TICKS[0]) for seconds in measured), *lines]) * 0.6, most * 2)


def _time_range(points: Sequence[DrillPoint]) -> dict[str, Any]:
    """A range of at least LEAST_SPAN around the points: left to itself, plotly shows one drill on an axis of milliseconds."""
    if not points:
        return {}
    first, last = min(point.at for point in points), max(point.at for point in points)
    around = max(LEAST_SPAN - (last - first), (last - first) * 0.08) / 2
    return {"range": [first - around, last + around]}


def _against(point: DrillPoint) -> str:
    return "" if point.target_seconds is None else f" of {in_words(point.target_seconds)}"

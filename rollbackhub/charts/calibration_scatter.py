"""Does a drill predict production? Each production rollback against the newest passed drill of its path before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from rollbackhub.charts.log_seconds import drawn, log_axis
from rollbackhub.charts.theme import SYMBOLS
from rollbackhub.common.durations import in_words

GUIDE = "rgba(127,127,127,0.9)"
"""Lines to read by: a grey that is seen on both backgrounds."""


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """A production rollback and the drill that it is compared with (both in seconds)."""

    drill_seconds: float
    production_seconds: float
    change_type: str
    name: str
    url: str
    imported: bool = False


def calibration_scatter(*, points: Sequence[CalibrationPoint], change_types: Sequence[str] = ()) -> go.Figure:
    """A point a pair on equal logarithmic axes (a symbol a change type, open ones from imported history), the line on which both took the same time,
    and dotted lines where production took twice and half of it.
    """
    figure = go.Figure()
    every = [seconds for point in points for seconds in (point.drill_seconds, point.production_seconds)]
    axis = log_axis([*every, *(seconds * factor for seconds in every for factor in (0.9, 1.1))], title="")
    low, high = (10**end for end in axis["range"])
    for factor, dash, name in ((1.0, "solid", "Production took as long"), (2.0, "dot", "twice as long, or half"), (0.5, "dot", "")):
        figure.add_scatter(
            name=name,
            mode="lines",
            x=[low, high],
            y=[low * factor, high * factor],
            line={"dash": dash, "width": 1.5, "color": GUIDE},
            showlegend=bool(name),
            hoverinfo="skip",
        )
    for index, change_type in enumerate(dict.fromkeys([*change_types, *(point.change_type for point in points)])):
        mine = [point for point in points if point.change_type == change_type]
        if mine:
            figure.add_scatter(
                name=change_type,
                mode="markers",
                x=[drawn(point.drill_seconds) for point in mine],
                y=[drawn(point.production_seconds) for point in mine],
                marker={"size": 9, "symbol": [SYMBOLS[index % len(SYMBOLS)] + ("-open" if point.imported else "") for point in mine], "line": {"width": 1.5}},
                customdata=[
                    [point.url, point.name, in_words(point.drill_seconds), in_words(point.production_seconds), _ratio(point), _source(point)] for point in mine
                ],
                hovertemplate="<b>%{customdata[1]}</b><br>drill %{customdata[2]}, production %{customdata[3]}<br>"
                "%{customdata[4]}%{customdata[5]}<extra></extra>",
            )
    figure.update_layout(
        height=440,
        showlegend=True,
        xaxis={**axis, "title": {"text": "Newest passed drill before it (logarithmic)"}},
        yaxis={**axis, "title": {"text": "Production rollback (logarithmic)"}},
        margin={"t": 8},
    )
    return figure


def _ratio(point: CalibrationPoint) -> str:
    return f"{point.production_seconds / point.drill_seconds:.2g} × its drill" if point.drill_seconds else "its drill took no time"


def _source(point: CalibrationPoint) -> str:
    return ", imported" if point.imported else ""

"""Rollback times of many runs against their targets: each run by change type, and the middle of them by month."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from rollbackhub.charts.months import month_axis
from rollbackhub.charts.theme import DASHES, SYMBOLS, group_colour
from rollbackhub.common.durations import in_words

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
TICKS = (
    *(digit * 10.0**power for power in (-3, -2, -1) for digit in (1, 2, 5)),
    *(1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0),
    *(number * _MINUTE for number in (1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 45)),
    *(number * _HOUR for number in (1, 1.5, 2, 3, 4, 6, 8, 12, 16)),
    *(number * _DAY for number in (1, 2, 4, 7, 14, 30)),
)
"""Round times, for logarithmic axes."""

MOST_TICKS = 7

LEAST = TICKS[0]
"""A logarithmic axis has no zero: what took less stands here."""
APART, WIDE = 0.22, 0.17
"""Where the two groups of a change type stand beside its middle, and how far points are spread around that."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class RunPoint:
    """One measured run. `group` is the series that it belongs to; `hit`: within its target (None: it had none)."""

    group: str
    change_type: str
    alias: str
    at: dt.datetime
    """Naive: the time on the viewer's clock."""
    seconds: float
    target_seconds: float | None
    hit: bool | None
    verdict: str
    imported: bool
    url: str


@dataclass(frozen=True, slots=True)
class Middle:
    """Median and 90th percentile (None: too few runs to say) of a group's runs, of a change type or of a month."""

    group: str
    of: str | dt.date
    median: float
    ninth_decile: float | None
    measured: int


def durations_by_type(
    *, points: Sequence[RunPoint], middles: Sequence[Middle], targets: Mapping[str, float], groups: Sequence[str], zone: str = "UTC"
) -> go.Figure:
    """A column for each change type that has runs: its groups side by side, every point, their median and 90th percentile, and the target's line.

    Open marks missed their target, marks with a dot were imported. The axis is logarithmic: minutes stand beside hours.
    """
    types = list(dict.fromkeys([*(str(middle.of) for middle in middles), *(point.change_type for point in points)]))
    column = {change_type: index for index, change_type in enumerate(types)}
    figure = go.Figure()
    for index, group in enumerate(groups):
        mine = [point for point in points if point.group == group]
        figure.add_scatter(
            name=group,
            mode="markers",
            x=[round(column[point.change_type] + _beside(index, groups) + (number * GOLDEN % 1 - 0.5) * 2 * WIDE, 3) for number, point in enumerate(mine)],
            y=[max(point.seconds, LEAST) for point in mine],
            marker={
                "symbol": [_symbol(point, index) for point in mine],
                "size": 6,
                "opacity": 0.75,
                "line": {"width": 1},
                "color": group_colour(group),
            },
            customdata=_texts(mine),
            hovertemplate="<b>%{customdata[1]}</b>, "
            + group.lower()
            + "<br>%{customdata[2]}%{customdata[3]} · %{customdata[4]}%{customdata[5]}<br>%{customdata[6]} "
            + zone
            + "<extra></extra>",
        )
    _add_lines(figure, "Median", "solid", [(middle, middle.median) for middle in middles], column, groups)
    _add_lines(figure, "90th percentile", "dot", [(middle, middle.ninth_decile) for middle in middles if middle.ninth_decile is not None], column, groups)
    for change_type, seconds in targets.items():
        if change_type in column:
            middle = column[change_type]
            figure.add_shape(type="line", x0=middle - 0.45, x1=middle + 0.45, y0=seconds, y1=seconds, line={"dash": "dash", "width": 2})
    seen = [*(point.seconds for point in points), *(middle.median for middle in middles), *(targets[name] for name in targets if name in column)]
    figure.update_layout(
        height=480,
        showlegend=True,
        xaxis={
            "title": {"text": "Change type, with its target (dashed)"},
            "tickvals": list(column.values()),
            # Beside the line it would hide points.
            "ticktext": [f"{name}<br>{in_words(targets[name])}" if name in targets else name for name in types],
            "range": [-0.5, max(len(types), 1) - 0.5],
            "showgrid": False,
        },
        yaxis=log_axis(seen),
        margin={"t": 16},
    )
    return figure


def durations_by_month(*, middles: Sequence[Middle], groups: Sequence[str]) -> go.Figure:
    """A line of medians and a thinner one of 90th percentiles for each group."""
    figure = go.Figure()
    for index, group in enumerate(groups):
        mine = [middle for middle in middles if middle.group == group]
        if not mine:
            continue
        for name, dash, values in (
            ("median", "solid", [middle.median for middle in mine]),
            ("90th percentile", "dot", [middle.ninth_decile for middle in mine]),
        ):
            figure.add_scatter(
                name=f"{group}: {name}",
                mode="lines+markers",
                x=[middle.of for middle in mine],
                y=[None if value is None else max(value, LEAST) for value in values],
                line={"dash": dash, "width": 2, "color": group_colour(group)},
                marker={"symbol": SYMBOLS[index] + ("" if dash == DASHES[0] else "-open"), "size": 7, "color": group_colour(group)},
                connectgaps=False,
                customdata=[["" if value is None else in_words(value), middle.measured] for value, middle in zip(values, mine, strict=True)],
                hovertemplate=f"<b>{group}, {name}</b>" + "<br>%{x|%b %Y}: %{customdata[0]} (%{customdata[1]:,} runs)<extra></extra>",
            )
    seen = [value for middle in middles for value in (middle.median, middle.ninth_decile) if value is not None]
    months = month_axis(middle.of for middle in middles if isinstance(middle.of, dt.date))
    figure.update_layout(height=340, showlegend=True, xaxis=months, yaxis=log_axis(seen), margin={"t": 16})
    return figure


def log_axis(seen: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis of rollback times that holds all of these seconds, with ticks at round times."""
    low, high = max(min(seen, default=1.0), LEAST) * 0.7, max([*seen, 1.0]) * 1.6
    values = [value for value in TICKS if low <= value <= high]
    values = values[:: math.ceil(len(values) / MOST_TICKS) or 1]
    return {
        "title": {"text": "Rollback time (logarithmic)"},
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": values,
        "ticktext": [in_words(value) for value in values],
    }


def _add_lines(figure: go.Figure, name: str, dash: str, values: Sequence[tuple[Middle, float]], column: Mapping[str, int], groups: Sequence[str]) -> None:
    if not values:
        return
    x: list[float | None] = []
    y: list[float | None] = []
    texts: list[list[str]] = []
    for middle, seconds in values:
        at = column[str(middle.of)] + _beside(groups.index(middle.group), groups)
        x += [at - WIDE, at, at + WIDE, None]
        y += [max(seconds, LEAST)] * 3 + [None]
        texts += [[f"{middle.of}, {middle.group.lower()}", in_words(seconds), f"{middle.measured:,}"]] * 4
    figure.add_scatter(
        name=name,
        mode="lines",
        x=x,
        y=y,
        line={"dash": dash, "width": 3},
        connectgaps=False,
        customdata=texts,
        hovertemplate="<b>%{customdata[0]}</b><br>" + name + " %{customdata[1]} of %{customdata[2]} runs<extra></extra>",
    )


def _texts(points: Sequence[RunPoint]) -> npt.NDArray[Any]:
    """What the hover says of each. As an array: plotly looks at each item of nested lists, which takes longer than all else for a thousand points."""
    texts = np.empty((len(points), 7), dtype=object)
    for place, point in enumerate(points):
        imported = " · imported" if point.imported else ""
        texts[place] = point.url, point.alias, in_words(point.seconds), _against(point), point.verdict, imported, f"{point.at:%-d %b %Y}"
    return texts


def _beside(index: int, groups: Sequence[str]) -> float:
    return (index - (len(groups) - 1) / 2) * 2 * APART if len(groups) > 1 else 0.0


def _symbol(point: RunPoint, index: int) -> str:
    shape = ("circle", "diamond", "square")[index]
    return shape + ("-open" if point.hit is False else "") + ("-dot" if point.imported else "")


def _against(point: RunPoint) -> str:
    return "" if point.target_seconds is None else f" of {in_words(point.target_seconds)}"

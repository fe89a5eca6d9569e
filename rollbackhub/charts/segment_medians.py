"""Where the time goes: the median of each segment, drills beside production."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from rollbackhub.charts.seconds import ticks
from rollbackhub.charts.theme import group_colour
from rollbackhub.common.durations import in_words

PATTERNS = ("", "/")
LABEL_ROOM = 1.3
"""The axis reaches this many times as far as the longest bar: its time stands behind it."""


@dataclass(frozen=True, slots=True)
class SegmentMedian:
    """The median seconds of a segment in a group, over so many runs that measured it; 90 % of them took `ninth_decile` or less (None: too few)."""

    group: str
    segment: str
    median: float
    ninth_decile: float | None
    measured: int


def segment_medians(*, medians: Sequence[SegmentMedian], segments: Sequence[str], groups: Sequence[str]) -> go.Figure:
    """Paired bars, a pair for each segment in the clock's order, as long as they took; groups differ by pattern, too."""
    found = {(median.group, median.segment): median for median in medians}
    figure = go.Figure()
    extent = max([*(median.median for median in medians), 0.01]) * LABEL_ROOM
    for index, group in enumerate(groups):
        mine = [median for segment in segments if (median := found.get((group, segment))) is not None]
        figure.add_bar(
            name=group,
            orientation="h",
            y=[median.segment for median in mine],
            x=[median.median for median in mine],
            text=[in_words(median.median) for median in mine],
            textposition="outside",
            cliponaxis=False,
            marker={"pattern": {"shape": PATTERNS[index % len(PATTERNS)]}, "line": {"width": 0}, "color": group_colour(group)},
            customdata=[
                [f"{median.measured:,}", "" if median.ninth_decile is None else f", nine in ten {in_words(median.ninth_decile)} or less"] for median in mine
            ],
            hovertemplate="<b>%{y}</b>, " + group.lower() + "<br>median %{text}%{customdata[1]}<br>%{customdata[0]} runs measured it<extra></extra>",
        )
    values, words = ticks(extent, wanted=4)
    figure.update_layout(
        barmode="group",
        height=110 + 56 * max(len(segments), 1),
        showlegend=True,
        xaxis={"title": {"text": "Median time"}, "range": [0, extent], "tickvals": values, "ticktext": words},
        yaxis={"title": {"text": "Segment"}, "categoryorder": "array", "categoryarray": list(segments), "autorange": "reversed", "showgrid": False},
        margin={"t": 16},
    )
    return figure

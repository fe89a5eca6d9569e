"""Where the time goes: the median of each segment, drills beside production."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from rollbackhub.charts.run_durations import LEAST, TICKS
from rollbackhub.common.durations import in_words

PATTERNS = ("", "/")
LABEL_ROOM = 4.0
"""The logarithmic axis reaches this many times as far as the longest bar: its seconds stand behind it."""


@dataclass(frozen=True, slots=True)
class SegmentMedian:
    """The median seconds of a segment in a group, over so many runs that measured it; 90 % of them took `ninth_decile` or less (None: too few)."""

    group: str
    segment: str
    median: float
    ninth_decile: float | None
    measured: int


def segment_medians(*, medians: Sequence[SegmentMedian], segments: Sequence[str], groups: Sequence[str]) -> go.Figure:
    """Paired bars, a pair for each segment in the clock's order; groups differ by pattern, too. Logarithmic: seconds stand beside hours."""
    found = {(median.group, median.segment): median for median in medians}
    figure = go.Figure()
    low = max(min((median.median for median in medians), default=1.0), LEAST) / 3
    high = max([*(median.median for median in medians), 1.0]) * LABEL_ROOM
    for index, group in enumerate(groups):
        mine = [median for segment in segments if (median := found.get((group, segment))) is not None]
        figure.add_bar(
            name=group,
            orientation="h",
            y=[median.segment for median in mine],
            x=[max(median.median, LEAST) for median in mine],
            text=[in_words(median.median) for median in mine],
            textposition="outside",
            cliponaxis=False,
            marker={"pattern": {"shape": PATTERNS[index % len(PATTERNS)]}, "line": {"width": 0}},
            customdata=[
                [f"{median.measured:,}", "" if median.ninth_decile is None else f", nine in ten {in_words(median.ninth_decile)} or less"] for median in mine
            ],
            hovertemplate="<b>%{y}</b>, " + group.lower() + "<br>median %{text}%{customdata[1]}<br>%{customdata[0]} runs measured it<extra></extra>",
        )
    values = [value for value in TICKS if low <= value <= high]
    figure.update_layout(
        barmode="group",
        height=110 + 56 * max(len(segments), 1),
        showlegend=True,
        xaxis={
            "title": {"text": "Median time (logarithmic)"},
            "type": "log",
            "range": [math.log10(low), math.log10(high)],
            "tickvals": values,
            "ticktext": [in_words(value) for value in values],
        },
        yaxis={"title": {"text": "Segment"}, "categoryorder": "array", "categoryarray": list(segments), "autorange": "reversed", "showgrid": False},
        margin={"t": 16},
    )
    return figure

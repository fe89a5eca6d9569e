"""The clock of one rollback: its segments one below the other, each from where the one before ended."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rollbackhub.charts.rows import SegmentBar
from rollbackhub.charts.seconds import ticks
from rollbackhub.common.durations import in_words

TARGET_FITS = 2.0
"""The target's line is drawn while it is at most this many times as far as the last segment; beyond, the bars would vanish."""


def segments_waterfall(*, segments: Sequence[SegmentBar], target_seconds: float | None, restored_seconds: float | None = None) -> go.Figure:
    """Bars by segment on an axis of seconds since the decision, with lines where service was restored and where the target is.

    A target far beyond the bars is said in words at the right edge instead of being drawn to scale.
    """
    end = max((bar.start + bar.seconds for bar in segments), default=0.0)
    extent = max(end, restored_seconds or 0.0, 0.01)
    target_drawn = target_seconds is not None and target_seconds <= extent * TARGET_FITS
    if target_drawn and target_seconds is not None:
        extent = max(extent, target_seconds)
    figure = go.Figure(
        go.Bar(
            orientation="h",
            y=[bar.label for bar in segments],
            base=[bar.start for bar in segments],
            x=[bar.seconds for bar in segments],
            text=[in_words(bar.seconds) + ("" if bar.ended else ", not ended") for bar in segments],
            textposition="outside",
            cliponaxis=False,
            customdata=[[in_words(bar.start), in_words(bar.start + bar.seconds)] for bar in segments],
            hovertemplate="<b>%{y}</b><br>%{text}, from %{customdata[0]} to %{customdata[1]}<extra></extra>",
            marker={"line": {"width": 0}, "pattern": {"shape": ["" if bar.ended else "/" for bar in segments]}},
            width=0.55,
        )
    )
    values, words = ticks(extent)
    figure.update_layout(
        height=90 + 42 * max(len(segments), 1),
        showlegend=False,
        xaxis={"title": {"text": "Time since the decision"}, "range": [0, extent * 1.18], "tickvals": values, "ticktext": words},
        yaxis={"autorange": "reversed", "showgrid": False},
        margin={"t": 44},
    )
    if restored_seconds is not None:
        _line(figure, restored_seconds, f"restored {in_words(restored_seconds)}", dash="dot")
    if target_drawn and target_seconds is not None:
        _line(figure, target_seconds, f"target {in_words(target_seconds)}", dash="dash")
    elif target_seconds is not None:
        figure.add_annotation(
            x=1, xref="paper", xanchor="right", y=1, yref="paper", yanchor="bottom", yshift=16, text=f"target {in_words(target_seconds)}, far to the right →"
        )
    return figure


def _line(figure: go.Figure, seconds: float, label: str, *, dash: str) -> None:
    figure.add_shape(type="line", x0=seconds, x1=seconds, xref="x", y0=0, y1=1, yref="paper", line={"dash": dash})
    figure.add_annotation(x=seconds, xref="x", y=1, yref="paper", yanchor="bottom", xanchor="center", text=label)

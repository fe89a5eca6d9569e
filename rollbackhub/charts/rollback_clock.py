"""The whole clock of a production rollback: detection before the decision, then segment by segment until it was verified."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from rollbackhub.charts.rows import SegmentBar
from rollbackhub.charts.seconds import ticks
from rollbackhub.charts.segments_waterfall import segments_waterfall
from rollbackhub.common.durations import in_words

DETECTION_FITS = 2.0
"""Detection is drawn while it is at most this many times as long as all the rest; beyond, the rest would vanish beside it."""


def rollback_clock(
    *, segments: Sequence[SegmentBar], detect_seconds: float | None, target_seconds: float | None, restored_seconds: float | None = None
) -> go.Figure:
    """Bars by segment on an axis of seconds since the decision; the detection lies to the left of it.

    A detection long before everything else is said in words at the left edge instead of being drawn to scale, as a far target is.
    """
    after = max([bar.start + bar.seconds for bar in segments] + [restored_seconds or 0.0, 0.01])
    drawn = detect_seconds is not None and 0 < detect_seconds <= after * DETECTION_FITS
    bars = [SegmentBar("Detect", -(detect_seconds or 0.0), detect_seconds or 0.0), *segments] if drawn else list(segments)
    figure = segments_waterfall(segments=bars, target_seconds=target_seconds, restored_seconds=restored_seconds)
    if drawn and detect_seconds is not None:
        axis = figure.layout.xaxis
        values, words = ticks(detect_seconds, wanted=3)
        before = [(-value, f"−{word}") for value, word in zip(values, words, strict=True) if value > 0]
        figure.update_layout(
            xaxis={
                "range": [-detect_seconds * 1.06, axis.range[1]],
                "tickvals": [*(value for value, _ in reversed(before)), *axis.tickvals],
                "ticktext": [*(word for _, word in reversed(before)), *axis.ticktext],
            }
        )
        figure.add_shape(type="line", x0=0, x1=0, xref="x", y0=0, y1=1, yref="paper", line={"dash": "solid", "width": 1})
    elif detect_seconds:
        # On a line of its own: on a phone it would run into the target's.
        figure.update_layout(margin={"t": 60}, height=figure.layout.height + 16)
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=1, yref="paper", yanchor="bottom", yshift=32, text=f"← detected {in_words(detect_seconds)} before"
        )
    return figure

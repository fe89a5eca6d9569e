"""How long each version was live, is kept after that, and when its provider shuts it down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

LONGEST_NAME = 26
"""Characters of a name beside its row; the whole name is in the hover and in the table."""

WIDEST = dt.timedelta(days=400)
"""How far back and ahead the axis goes at most."""

ROW_PIXELS, FRAME_PIXELS = 44, 150


@dataclass(frozen=True, slots=True)
class RetentionBar:
    """One version. Instants are naive: the time on the viewer's clock. `live_until` None: it is live."""

    version: str
    artefact: str
    live_from: dt.datetime | None
    live_until: dt.datetime | None
    kept_until: dt.datetime | None
    provider_at: dt.datetime | None
    retired: bool
    url: str


def retention_timeline(*, bars: Sequence[RetentionBar], now: dt.datetime, zone: str = "UTC") -> go.Figure:
    """A row per version, the first on top: a bar while it was live, a hatched one for its window, a thin one after that; marks for the dates ahead."""
    figure = go.Figure()
    rows = range(len(bars))
    spans: list[tuple[str, str, float, float, Callable[[RetentionBar], tuple[dt.datetime | None, dt.datetime | None]]]] = [
        ("Live", "", 0.62, 1.0, lambda bar: (bar.live_from, bar.live_until or now)),
        ("Superseded, within its window", "/", 0.62, 0.7, lambda bar: (bar.live_until, bar.kept_until)),
        (
            "Window over, still kept",
            ".",
            0.3,
            0.4,
            lambda bar: (bar.kept_until, now) if bar.kept_until and bar.kept_until < now and not bar.retired else (None, None),
        ),
    ]
    for name, pattern, width, opacity, span_of in spans:
        found = [
            (row, start, end)
            for row, bar in zip(rows, bars, strict=True)
            for start, end in [span_of(bar)]
            if start is not None and end is not None and end > start
        ]
        if found:
            figure.add_bar(
                name=name,
                orientation="h",
                y=[row for row, _, _ in found],
                base=[start for _, start, _ in found],
                x=[(end - start).total_seconds() * 1000 for _, start, end in found],
                width=width,
                opacity=opacity,
                marker={"pattern": {"shape": pattern, "size": 6, "fillmode": "overlay"}, "line": {"width": 1}},
                customdata=[[bars[row].url, _full(bars[row]), _day(start), _day(end)] for row, start, end in found],
                hovertemplate=f"<b>%{{customdata[1]}}</b><br>{name}: %{{customdata[2]}} to %{{customdata[3]}} {zone}<extra></extra>",
            )
    marks: list[tuple[str, str, Callable[[RetentionBar], dt.datetime | None]]] = [
        ("Retained until", "diamond", lambda bar: bar.kept_until),
        ("Its provider shuts it down", "x", lambda bar: bar.provider_at),
    ]
    for name, symbol, at_of in marks:
        points = [(row, at) for row, bar in zip(rows, bars, strict=True) if (at := at_of(bar)) is not None]
        if points:
            figure.add_scatter(
                name=name,
                mode="markers",
                x=[at for _, at in points],
                y=[row for row, _ in points],
                marker={"symbol": symbol, "size": 11, "line": {"width": 1}},
                customdata=[[bars[row].url, _full(bars[row]), _day(at)] for row, at in points],
                hovertemplate=f"<b>%{{customdata[1]}}</b><br>{name}: %{{customdata[2]}} {zone}<extra></extra>",
            )
    figure.update_layout(
        height=FRAME_PIXELS + ROW_PIXELS * len(bars),
        barmode="overlay",
        showlegend=True,
        xaxis={"title": {"text": f"Day ({zone})"}, "type": "date", "range": _range(bars, now=now)},
        yaxis={
            "title": {"text": "Version"},
            "tickvals": list(rows),
            "ticktext": [f"{_cut(bar.version)}<br>{_cut(bar.artefact)}" for bar in bars],
            "range": [len(bars) - 0.5, -0.5],
            "showgrid": False,
        },
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"t": 40},
    )
    figure.add_shape(type="line", x0=now, x1=now, xref="x", y0=0, y1=1, yref="paper", line={"dash": "dot"})
    figure.add_annotation(x=now, xref="x", y=0, yref="paper", yanchor="bottom", xanchor="left", xshift=3, text="now")
    return figure


def _range(bars: Sequence[RetentionBar], *, now: dt.datetime) -> list[dt.datetime]:
    """From the first to the last instant and a little more, at most WIDEST around now."""
    instants = [at for bar in bars for at in (bar.live_from, bar.live_until, bar.kept_until, bar.provider_at) if at is not None]
    first, last = max(min([now, *instants]), now - WIDEST), min(max([now, *instants]), now + WIDEST)
    around = max((last - first) * 0.03, dt.timedelta(days=1))
    return [first - around, last + around]


def _full(bar: RetentionBar) -> str:
    return f"{bar.version} of {bar.artefact}"


def _day(at: dt.datetime) -> str:
    return f"{at.day} {at:%b %Y, %H:%M}"


def _cut(name: str) -> str:
    """The middle goes: versions of one artefact begin alike."""
    tail = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - tail - 1]}…{name[-tail:]}"

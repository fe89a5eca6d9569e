"""How long it took, group by group: the median and the time within which nine of ten were done, on one axis of durations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from rollbackhub.charts.log_seconds import drawn, log_axis
from rollbackhub.charts.theme import SYMBOLS
from rollbackhub.common.durations import in_words

ROW_PIXELS, FRAME_PIXELS = 46, 130


@dataclass(frozen=True, slots=True)
class SpreadRow:
    """One group of a series: its median and 90th percentile in seconds, from n measured ones."""

    group: str
    series: str
    median: float
    p90: float
    n: int


def spread_rows(*, rows: Sequence[SpreadRow], axis: str) -> go.Figure:
    """A row a group (the first on top): for each series a line from the median (filled mark) to the 90th percentile (open mark)."""
    figure = go.Figure()
    groups, series = list(dict.fromkeys(row.group for row in rows)), list(dict.fromkeys(row.series for row in rows))
    for index, name in enumerate(series):
        mine = [row for row in rows if row.series == name]
        # Series of one group stand one below the other.
        places = [groups.index(row.group) + (index - (len(series) - 1) / 2) * 0.26 for row in mine]
        symbol = SYMBOLS[index % len(SYMBOLS)]
        figure.add_scatter(
            name=name,
            mode="lines+markers",
            x=[value for row in mine for value in (drawn(row.median), drawn(row.p90), None)],
            y=[place for place in places for _ in range(3)],
            connectgaps=False,
            marker={"size": 11, "symbol": [symbol, f"{symbol}-open", symbol] * len(mine), "line": {"width": 1.5}},
            customdata=[[row.group, f"median {in_words(row.median)}, nine of ten within {in_words(row.p90)}", f"{row.n:,}"] for row in mine for _ in range(3)],
            hovertemplate=f"<b>%{{customdata[0]}}</b>: {name}<br>%{{customdata[1]}}<br>of %{{customdata[2]}} measured<extra></extra>",
        )
    figure.update_layout(
        height=FRAME_PIXELS + ROW_PIXELS * max(len(groups), 1),
        showlegend=True,
        xaxis=log_axis([value for row in rows for value in (row.median, row.p90)], title=f"{axis}: median filled, 90th percentile open"),
        yaxis={"tickvals": list(range(len(groups))), "ticktext": groups, "range": [len(groups) - 0.5, -0.5], "showgrid": False},
        margin={"t": 8},
    )
    return figure

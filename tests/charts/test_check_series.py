"""The chart of one metric of a verification."""

from __future__ import annotations

from rollbackhub.charts.check_series import check_series
from rollbackhub.charts.rows import Mark, SeriesValue

POINTS = [SeriesValue(1.0, 0.02, 100), SeriesValue(2.0, None, 0), SeriesValue(3.0, 0.04, 300)]
MARKS = [Mark("flip", 0.0), Mark("drained", 0.8)]


def test_share_is_drawn_in_percent_with_baseline_margin_and_marks() -> None:
    figure = check_series(title="Errors, share of requests", points=POINTS, marks=MARKS, baseline=0.02, allowed=0.03, unit="share")
    (line,) = figure.data
    assert list(line.y) == [2.0, None, 4.0]
    assert (line.connectgaps, list(line.customdata)) == (False, [100, 0, 300])
    assert figure.layout.yaxis.title.text == "Errors, share of requests"
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.ticksuffix) == ("Seconds since the flip", " %")
    assert [note.text for note in figure.layout.annotations] == ["baseline 2 %", "allowed 3 %", "flip", "drained"]
    band = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (band.y0, band.y1) == (2.0, 3.0)
    assert figure.layout.yaxis.range[1] >= 4.0


def test_seconds_are_drawn_in_milliseconds_and_nothing_is_drawn_that_there_is_not() -> None:
    figure = check_series(title="Median latency", points=[SeriesValue(1.0, 0.25, 9)], marks=[], baseline=None, allowed=None, unit="seconds")
    assert list(figure.data[0].y) == [250.0]
    assert figure.layout.yaxis.ticksuffix == " ms"
    assert not figure.layout.shapes
    assert not figure.layout.annotations

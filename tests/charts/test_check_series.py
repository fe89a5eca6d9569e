"""The chart of one metric of a verification."""

from __future__ import annotations

from rollbackhub.charts.check_series import AXIS_PIXELS, HEIGHT, LABEL_PIXELS, LABEL_WIDTH, check_series
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
    assert [note.text for note in figure.layout.annotations] == ["baseline<br>2 %", "allowed<br>3 %", "flip", "drained"]
    band = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (band.y0, band.y1) == (2.0, 3.0)
    assert figure.layout.yaxis.range[1] >= 4.0


def test_labels_of_lines_stand_right_of_the_series_and_apart_however_narrow_the_margin() -> None:
    for baseline, allowed in ((0.0, 0.0001), (0.02, 0.021), (0.02, 0.3)):
        figure = check_series(title="Errors", points=POINTS, marks=MARKS, baseline=baseline, allowed=allowed, unit="share")
        lower, upper = (note for note in figure.layout.annotations if "<br>" in note.text)
        assert {(note.x, note.xref, note.xanchor) for note in (lower, upper)} == {(1, "paper", "left")}
        assert figure.layout.margin.r >= LABEL_WIDTH
        plot = HEIGHT - figure.layout.margin.t - AXIS_PIXELS
        heights = [note.y / figure.layout.yaxis.range[1] * plot + note.yshift for note in (lower, upper)]
        assert heights[0] >= LABEL_PIXELS / 2 - 1, "not on the axis"
        assert heights[1] - heights[0] >= LABEL_PIXELS - 1, "not on each other"


def test_seconds_are_drawn_in_milliseconds_and_nothing_is_drawn_that_there_is_not() -> None:
    figure = check_series(title="Median latency", points=[SeriesValue(1.0, 0.25, 9)], marks=[], baseline=None, allowed=None, unit="seconds")
    assert list(figure.data[0].y) == [250.0]
    assert figure.layout.yaxis.ticksuffix == " ms"
    assert not figure.layout.shapes
    assert not figure.layout.annotations

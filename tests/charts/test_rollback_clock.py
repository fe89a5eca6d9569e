"""The whole clock of a rollback as a figure."""

from __future__ import annotations

from rollbackhub.charts.rollback_clock import rollback_clock
from rollbackhub.charts.rows import SegmentBar

BARS = [SegmentBar("Execute", 0.0, 1.0), SegmentBar("Drain", 1.0, 3.0)]


def test_rollback_clock_short_detection_is_drawn_left_of_the_decision() -> None:
    figure = rollback_clock(segments=BARS, detect_seconds=6.0, target_seconds=5.0, restored_seconds=4.0)
    (bar,) = figure.data
    assert list(bar.y) == ["Detect", "Execute", "Drain"]
    assert (bar.base[0], bar.x[0]) == (-6.0, 6.0)
    left, right = figure.layout.xaxis.range
    assert left < -6.0
    assert right > 5.0
    assert list(figure.layout.xaxis.tickvals) == sorted(figure.layout.xaxis.tickvals)
    assert len(figure.layout.xaxis.tickvals) == len(figure.layout.xaxis.ticktext)
    assert next(text for value, text in zip(figure.layout.xaxis.tickvals, figure.layout.xaxis.ticktext, strict=True) if value < 0).startswith("−")


def test_rollback_clock_long_detection_is_said_in_words_and_the_rest_stays_readable() -> None:
    figure = rollback_clock(segments=BARS, detect_seconds=180.0, target_seconds=600.0, restored_seconds=4.0)
    assert list(figure.data[0].y) == ["Execute", "Drain"]
    assert figure.layout.xaxis.range[0] == 0
    said = {annotation.text: annotation.yshift for annotation in figure.layout.annotations}
    assert said["← detected 3 min before"] != said["target 10 min, far to the right →"], "on lines of their own"


def test_rollback_clock_without_a_detection_says_nothing_about_it() -> None:
    figure = rollback_clock(segments=BARS, detect_seconds=None, target_seconds=None)
    assert list(figure.data[0].y) == ["Execute", "Drain"]
    assert not figure.layout.annotations


def test_rollback_clock_detected_at_the_decision_has_no_bar_of_nothing() -> None:
    figure = rollback_clock(segments=BARS, detect_seconds=0.0, target_seconds=None)
    assert list(figure.data[0].y) == ["Execute", "Drain"]

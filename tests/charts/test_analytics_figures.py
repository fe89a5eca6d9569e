"""Figures of analytics' questions: values, units, patterns and intervals; and what they do with nothing or one."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pytest
from plotly.graph_objects import Figure

from rollbackhub.charts.calibration_scatter import CalibrationPoint, calibration_scatter
from rollbackhub.charts.duration_curve import duration_curve
from rollbackhub.charts.exposure_curve import exposure_curve
from rollbackhub.charts.log_seconds import log_axis
from rollbackhub.charts.rate_intervals import RatePoint, rate_intervals
from rollbackhub.charts.spread_rows import SpreadRow, spread_rows
from rollbackhub.charts.stacked_months import stacked_months
from rollbackhub.charts.stacked_rows import stacked_rows

MONTHS = [dt.date(2026, 1, 1), dt.date(2026, 2, 1)]


def content(figure: Figure) -> dict[str, Any]:
    """The figure as it is served."""
    return dict(json.loads(figure.to_json()))


def traces(figure: Figure) -> dict[str, Any]:
    """Its series by name."""
    return {trace["name"]: trace for trace in content(figure)["data"]}


def test_log_axis_has_round_ticks_in_words_and_a_title_that_says_logarithmic() -> None:
    axis = log_axis([10, 4000], title="Time")
    assert axis["ticktext"] == ["15 s", "1 min", "5 min", "15 min", "1 h"]
    assert axis["title"]["text"] == "Time (logarithmic)"
    low, high = axis["range"]
    assert 10**low < 10 < 4000 < 10**high


@pytest.mark.parametrize("seconds", [[], [0.0], [20.0], [1e9], [0.0, 1e9]])
def test_log_axis_of_anything_has_finite_ends_and_ticks(seconds: list[float]) -> None:
    axis = log_axis(seconds, title="Time")
    assert all(math.isfinite(end) for end in axis["range"])
    assert axis["range"][0] < axis["range"][1]
    assert axis["tickvals"]


def test_log_axis_of_days_says_days() -> None:
    assert log_axis([86400, 2592000], title="")["ticktext"] == ["1 d", "7 d", "30 d"]


def test_calibration_scatter_has_the_line_of_equal_times_and_a_point_a_pair() -> None:
    points = [
        CalibrationPoint(240, 480, "Model", "reasoner", "/rollbacks/1/"),
        CalibrationPoint(240, 200, "Model", "reasoner", "/analytics/import/1/", imported=True),
        CalibrationPoint(100, 100, "Prompt", "support", "/rollbacks/2/"),
    ]
    found = traces(calibration_scatter(points=points, change_types=["Prompt", "Model"]))
    line = found["Production took as long"]
    assert line["x"] == line["y"]
    assert found["twice as long, or half"]["y"] == [value * 2 for value in line["x"]]
    assert (found["Model"]["x"], found["Model"]["y"]) == ([240.0, 240.0], [480.0, 200.0])
    assert found["Model"]["marker"]["symbol"] == ["square", "square-open"]
    assert found["Prompt"]["marker"]["symbol"] == ["circle"]
    assert found["Model"]["customdata"][0] == ["/rollbacks/1/", "reasoner", "4 min", "8 min", "2 × its drill", ""]
    layout = content(calibration_scatter(points=points))["layout"]
    assert layout["xaxis"]["range"] == layout["yaxis"]["range"], "equal axes, or the line would lie"


def test_spread_rows_median_is_filled_and_the_90th_percentile_open() -> None:
    rows = [SpreadRow("On-call", "Decision", 60, 300, 12), SpreadRow("On-call", "Approval", 5, 9, 12), SpreadRow("Lead", "Decision", 90, 91, 7)]
    figure = spread_rows(rows=rows, axis="Time")
    found = traces(figure)
    assert found["Decision"]["x"] == [60, 300, None, 90, 91, None]
    assert found["Decision"]["marker"]["symbol"][:2] == ["circle", "circle-open"]
    assert found["Approval"]["marker"]["symbol"][0] == "square"
    assert len(set(found["Decision"]["y"][:2])) == 1
    assert found["Decision"]["y"][0] != found["Approval"]["y"][0], "one below the other"
    assert content(figure)["layout"]["yaxis"]["ticktext"] == ["On-call", "Lead"]


def test_stacked_months_and_rows_tell_series_by_pattern_too() -> None:
    months = traces(stacked_months(months=MONTHS, series=[("On time", [3, 0]), ("Missed", [1, 2])], axis="Drills", unit="drills"))
    assert months["Missed"]["y"] == [1, 2]
    assert months["On time"]["marker"]["pattern"]["shape"] != months["Missed"]["marker"]["pattern"]["shape"]
    rows = traces(stacked_rows(groups=["a", "b"], series=[("Passed", [3, 0]), ("Failed", [1, 0])], axis="Share", as_shares=True))
    assert (rows["Passed"]["x"], rows["Failed"]["x"]) == ([75.0, 0.0], [25.0, 0.0])
    assert rows["Passed"]["customdata"][0] == [3, 4, 75.0]
    assert content(stacked_rows(groups=["a"], series=[("Passed", [3])], axis="Runs"))["layout"]["showlegend"] is False


def test_stacked_months_of_one_month_is_not_drawn_on_an_axis_of_milliseconds() -> None:
    figure = content(stacked_months(months=MONTHS[:1], series=[("On time", [3])], axis="Drills", unit="drills"))
    axis = figure["layout"]["xaxis"]
    assert figure["data"][0]["width"] == 20 * 86_400_000
    assert axis["range"] == ["2025-12-12", "2026-01-21"]
    assert axis["title"]["text"] == "Month (UTC)"


def test_rate_intervals_in_percent_with_asymmetric_bars() -> None:
    found = traces(rate_intervals(points=[RatePoint("2026 Q1", 1, 10, 0.1, 0.02, 0.4)], axis="Change fail rate"))["Change fail rate"]
    assert (found["y"], found["error_y"]["array"], found["error_y"]["arrayminus"]) == ([10.0], [30.0], [8.0])
    assert found["customdata"] == [[1, 10, "2 % to 40 %"]]


def test_duration_curve_in_steps_and_exposure_curve_with_none() -> None:
    curve = traces(duration_curve(curves=[("Mended", [(0.0, 0.0), (60.0, 0.5), (3600.0, 1.0)])], axis="Time", share="Mended"))["Mended"]
    assert (curve["x"], curve["y"], curve["line"]["shape"]) == ([60.0, 3600.0], [50.0, 100.0], "hv")
    figure = content(exposure_curve(steps=[(0.0, 0.1), (1500.0, 1.0)]))
    assert figure["data"][0]["x"] == [1.0, 1500.0], "nothing has no logarithm"
    assert figure["data"][0]["customdata"] == ["0", "1,500"]
    assert figure["layout"]["xaxis"]["ticktext"] == ["1", "10", "100", "1,000", "10,000"]


@pytest.mark.parametrize(
    "figure",
    [
        calibration_scatter(points=[]),
        spread_rows(rows=[], axis="Time"),
        stacked_months(months=[], series=[], axis="Drills", unit="drills"),
        stacked_rows(groups=[], series=[], axis="Drills"),
        rate_intervals(points=[], axis="Rate"),
        duration_curve(curves=[], axis="Time", share="Done"),
        exposure_curve(steps=[]),
    ],
)
def test_figures_without_rows_are_still_figures(figure: Figure) -> None:
    assert content(figure)["layout"]["height"] > 0

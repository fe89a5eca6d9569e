"""Each figure shows its rows: values, units, marks and targets; and needs nothing but them."""

from __future__ import annotations

import datetime as dt
import json
from itertools import pairwise
from typing import Any

import pytest
from plotly.graph_objects import Figure

from rollbackhub.charts.drill_durations import AROUND_PIXELS, LINE_PIXELS, LOG_HEIGHT, drill_durations
from rollbackhub.charts.rows import DrillPoint, Mark, SegmentBar, TrafficPoint
from rollbackhub.charts.segments_waterfall import segments_waterfall
from rollbackhub.charts.theme import Theme, colours, surface, template
from rollbackhub.charts.traffic_shares import traffic_shares

SEGMENTS = [SegmentBar("Execute", 0, 0.02), SegmentBar("Propagate", 0.02, 0.08), SegmentBar("Drain", 0.1, 1.4), SegmentBar("Verify", 1.5, 4.0)]


def _content(figure: Figure) -> dict[str, Any]:
    return dict(json.loads(figure.to_json()))


def _texts(figure: Figure) -> list[str]:
    return [annotation["text"] for annotation in _content(figure)["layout"].get("annotations", [])]


def _point(seconds: float, *, change_type: str = "Model", passed: bool = True, target: float | None = 600) -> DrillPoint:
    at = dt.datetime(2026, 3, 1, 12)  # noqa: DTZ001 (naive is what the row wants)
    return DrillPoint(
        at=at,
        seconds=seconds,
        target_seconds=target,
        change_type=change_type,
        name="smart-reasoner",
        verdict="Passed" if passed else "Failed",
        passed=passed,
        url="/drills/1/",
    )


def test_segments_waterfall_each_segment_starts_where_it_began() -> None:
    bars = _content(segments_waterfall(segments=SEGMENTS, target_seconds=600))["data"][0]
    assert bars["y"] == ["Execute", "Propagate", "Drain", "Verify"]
    assert bars["base"] == [0, 0.02, 0.1, 1.5]
    assert bars["x"] == [0.02, 0.08, 1.4, 4.0]
    assert bars["text"] == ["0.02 s", "0.08 s", "1.4 s", "4.0 s"]


def test_segments_waterfall_near_target_is_a_line_at_its_place() -> None:
    content = _content(segments_waterfall(segments=SEGMENTS, target_seconds=8, restored_seconds=1.5))
    assert [shape["x0"] for shape in content["layout"]["shapes"]] == [1.5, 8]
    assert content["layout"]["xaxis"]["range"][1] > 8


def test_segments_waterfall_far_target_is_words_and_bars_stay_visible() -> None:
    figure = segments_waterfall(segments=SEGMENTS, target_seconds=600)
    assert _texts(figure) == ["target 10 min, far to the right →"]
    assert _content(figure)["layout"]["xaxis"]["range"][1] < 10


def test_segments_waterfall_without_target_or_rows_is_still_a_figure() -> None:
    assert _texts(segments_waterfall(segments=[], target_seconds=None)) == []


def test_traffic_shares_a_line_per_version_in_percent_with_marks() -> None:
    points = [TrafficPoint(-1, {"bad": 0.25, "good": 0.75}), TrafficPoint(0.5, {"good": 1.0})]
    figure = traffic_shares(points=points, marks=[Mark("flip", 0), Mark("drained", 0.4)], versions=["bad", "good"])
    bad, good = _content(figure)["data"]
    assert (bad["name"], bad["y"]) == ("bad", [25.0, None])
    assert (good["name"], good["y"]) == ("good", [75.0, 100.0])
    assert bad["line"]["dash"] != good["line"]["dash"]
    assert _texts(figure) == ["flip", "drained"]
    assert [shape["x0"] for shape in _content(figure)["layout"]["shapes"]] == [0, 0.4]


def test_drill_durations_series_by_change_type_and_a_line_per_target_in_use() -> None:
    points = [_point(2.0), _point(700, passed=False), _point(3.0, change_type="Prompt", target=300)]
    figure = drill_durations(points=points, targets=[("prompt", 300), ("model", 600)], change_types=["Prompt", "Model", "Agent code"])
    series = {trace["name"]: trace for trace in _content(figure)["data"]}
    assert list(series) == ["Prompt", "Model"]
    assert series["Model"]["y"] == [2.0, 700]
    assert series["Model"]["marker"]["symbol"][0] != series["Model"]["marker"]["symbol"][1]
    assert series["Model"]["customdata"][1][:3] == ["/drills/1/", "smart-reasoner", "11 min 40 s"]
    assert _texts(figure) == ["target 5 min (prompt)", "target 10 min (model)"]


def test_drill_durations_shared_target_is_one_line() -> None:
    figure = drill_durations(points=[_point(2), _point(3, change_type="Prompt")], targets=[("prompt", 600), ("model", 600)])
    assert _texts(figure) == ["target 10 min (prompt, model)"]


def test_drill_durations_label_of_a_target_with_many_names_fits_a_phone() -> None:
    figure = drill_durations(points=[_point(2)], targets=[("model, formerly prompt", 600), ("Support articles of the help centre", 600), ("prompt", 601)])
    first, second = figure.layout.annotations
    assert first.text == "target 10 min (model, formerly<br>prompt, Support articles of the<br>help centre)"
    assert (first.xanchor, first.align) == ("right", "right")
    assert second.yshift - first.yshift >= 2 * LINE_PIXELS, "above all rows of the first"
    assert _texts(drill_durations(points=[_point(2)], targets=[("model, formerly prompt", 600)])) == ["target 10 min (model, formerly<br>prompt)"]


def test_drill_durations_targets_of_minutes_beside_hours_stand_apart_on_a_logarithmic_axis() -> None:
    types = {"prompt": 300.0, "model": 600.0, "agent code": 900.0, "eval set": 1800.0, "Support articles": 14400.0}
    points = [_point(number + 2.0, change_type=name, target=seconds) for number, (name, seconds) in enumerate(types.items())]
    layout = _content(drill_durations(points=points, targets=list(types.items())))["layout"]
    assert (layout["yaxis"]["type"], layout["yaxis"]["title"]["text"]) == ("log", "Rollback time (logarithmic)")
    assert [shape["y0"] for shape in layout["shapes"]] == list(types.values())
    assert [annotation["text"] for annotation in layout["annotations"]] == [
        "target 5 min (prompt)",
        "target 10 min (model)",
        "target 15 min (agent code)",
        "target 30 min (eval set)",
        "target 4 h (Support articles)",
    ]
    low, high = layout["yaxis"]["range"]
    heights = [(annotation["y"] - low) / (high - low) * (LOG_HEIGHT - AROUND_PIXELS) + annotation["yshift"] for annotation in layout["annotations"]]
    assert all(later - earlier >= LINE_PIXELS - 1 for earlier, later in pairwise(heights)), "no label runs into the next"
    assert heights[-1] + LINE_PIXELS <= LOG_HEIGHT - AROUND_PIXELS
    near = _content(drill_durations(points=points[:4], targets=list(types.items())[:4]))["layout"]
    assert (near["yaxis"]["type"], near["yaxis"]["range"][0]) == ("linear", 0)


def test_drill_durations_without_targets_fits_what_was_measured() -> None:
    figure = drill_durations(points=[_point(2.0)], targets=[])
    assert _texts(figure) == []
    assert _content(figure)["layout"]["yaxis"]["range"][1] < 3


@pytest.mark.parametrize("figure", [drill_durations(points=[_point(1)], targets=[]), segments_waterfall(segments=SEGMENTS, target_seconds=1)])
def test_figures_any_name_no_colour_of_their_own(figure: Figure) -> None:
    content = json.dumps({"data": _content(figure)["data"], "layout": {**_content(figure)["layout"], "template": None}})
    assert "#" not in content
    assert "rgb" not in content


def _luminance(colour: str) -> float:
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme_every_series_colour_stands_out_from_its_background(theme: Theme) -> None:
    background = _luminance(surface(theme))
    for colour in colours(theme):
        lighter, darker = sorted((_luminance(colour), background), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, colour
    assert template(theme).layout.colorway == tuple(colours(theme))


def test_one_drill_stands_on_an_axis_of_an_hour_not_of_milliseconds() -> None:
    figure = drill_durations(points=[_point(0.5)], targets=[])
    start, end = figure.layout.xaxis.range
    assert end - start == dt.timedelta(hours=1)

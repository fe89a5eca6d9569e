"""Many runs against their targets: columns by change type, lines by month."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from typing import Any

import pytest
from plotly.graph_objects import Figure

from rollbackhub.charts.run_durations import LEAST, Middle, RunPoint, durations_by_month, durations_by_type, log_axis
from rollbackhub.charts.theme import group_colour

GROUPS = ("Drills", "Production")


def content(figure: Figure) -> dict[str, Any]:
    return dict(json.loads(figure.to_json()))


def point(seconds: float, *, group: str = "Drills", change_type: str = "Model", hit: bool | None = True, imported: bool = False) -> RunPoint:
    return RunPoint(
        group=group,
        change_type=change_type,
        alias="smart-reasoner",
        at=dt.datetime(2026, 3, 1, 12),  # noqa: DTZ001 (naive is what the row wants)
        seconds=seconds,
        target_seconds=None if hit is None else 600,
        hit=hit,
        verdict="Passed",
        imported=imported,
        url="/drills/1/",
    )


def by_type(points: list[RunPoint], middles: list[Middle], **targets: float) -> dict[str, Any]:
    return content(durations_by_type(points=points, middles=middles, targets=targets, groups=GROUPS))


def test_groups_stand_side_by_side_in_the_column_of_their_type() -> None:
    points = [point(10), point(20, group="Production"), point(30, change_type="Prompt"), point(0)]
    found = by_type(points, [Middle("Drills", "Model", 5, 10, 12), Middle("Drills", "Prompt", 30, None, 1)], Model=600, Dataset=14400)
    drills, production, median, ninth = found["data"]
    assert [round(x) for x in drills["x"]] == [0, 1, 0]
    assert max(drills["x"][0], drills["x"][2]) < 0 < production["x"][0] < 0.5
    assert drills["y"] == [10, 30, LEAST], "a logarithmic axis has no zero"
    assert drills["marker"]["symbol"][0] != production["marker"]["symbol"][0]
    assert (median["line"]["dash"], ninth["line"]["dash"]) == ("solid", "dot")
    assert [value for value in median["y"] if value] == [5, 5, 5, 30, 30, 30]
    assert [value for value in ninth["y"] if value] == [10, 10, 10], "of one run there is none"
    assert median["customdata"][0] == ["Model, drills", "5.0 s", "12"]
    (target,) = found["layout"]["shapes"]
    assert (target["y0"], target["line"]["dash"]) == (600, "dash"), "no line for a type without a run"
    assert found["layout"]["xaxis"]["ticktext"] == ["Model<br>10 min", "Prompt"]
    assert found["layout"]["yaxis"]["title"]["text"] == "Rollback time (logarithmic)"
    low, high = found["layout"]["yaxis"]["range"]
    assert low < math.log10(LEAST) < math.log10(600) < high


def test_missed_and_imported_runs_have_marks_of_their_own() -> None:
    (drills, *_) = by_type([point(1), point(900, hit=False), point(1, hit=None), point(1, imported=True), point(900, hit=False, imported=True)], [])["data"]
    assert drills["marker"]["symbol"] == ["circle", "circle-open", "circle", "circle-dot", "circle-open-dot"]
    assert drills["customdata"][4][2:6] == ["15 min", " of 10 min", "Passed", " · imported"]
    assert drills["customdata"][0][0] == "/drills/1/"


def test_months_are_lines_that_differ_in_dash_and_symbol_and_leave_gaps() -> None:
    months = [dt.date(2026, month, 1) for month in (1, 2, 3)]
    middles = [Middle("Drills", month, 60 + index, 90 if index != 1 else None, 30) for index, month in enumerate(months)]
    found = content(durations_by_month(middles=middles, groups=GROUPS))
    median, ninth = found["data"]
    assert (median["name"], ninth["name"]) == ("Drills: median", "Drills: 90th percentile")
    assert median["y"] == [60, 61, 62]
    assert ninth["y"] == [90, None, 90]
    assert (median["line"]["dash"], median["marker"]["symbol"]) != (ninth["line"]["dash"], ninth["marker"]["symbol"])
    assert median["customdata"][0] == ["1 min", 30]
    assert found["layout"]["yaxis"]["ticktext"] == ["1 min", "1 min 30 s", "2 min"]


@pytest.mark.parametrize("low", [0.002, 0.5, 3.0, 70.0, 400.0, 5000.0, 90000.0])
@pytest.mark.parametrize("times", [2.0, 30.0, 100_000.0])
def test_logarithmic_axis_has_some_round_ticks_and_not_many(low: float, times: float) -> None:
    axis = log_axis([low, low * times])
    assert 2 <= len(axis["tickvals"]) <= 7
    assert all(axis["range"][0] <= math.log10(value) <= axis["range"][1] for value in axis["tickvals"])


def test_figures_of_nothing_are_figures_and_none_names_a_colour_but_its_groups() -> None:
    for figure in (
        durations_by_type(points=[], middles=[], targets={}, groups=GROUPS),
        durations_by_month(middles=[], groups=GROUPS),
        durations_by_type(points=[point(1)], middles=[Middle("Drills", "Model", 1, 1, 1)], targets={"Model": 5}, groups=GROUPS),
    ):
        found = content(figure)
        found["layout"].pop("template")
        named = set(re.findall(r"#\w+", json.dumps(found)))
        assert named <= {group_colour(group) for group in GROUPS}

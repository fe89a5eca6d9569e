"""What charts share: the colours of drills and of production, axes of months, of counts and of shares."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from plotly.graph_objects import Figure

from rollbackhub.charts.hit_rates import Share, hit_rates_by_month, hit_rates_by_type
from rollbackhub.charts.months import count_ticks, month_axis
from rollbackhub.charts.run_durations import Middle, durations_by_month, durations_by_type
from rollbackhub.charts.segment_medians import SegmentMedian, segment_medians
from rollbackhub.charts.stacked_months import stacked_months
from rollbackhub.charts.stacked_rows import stacked_rows
from rollbackhub.charts.theme import Theme, group_colour, surface
from tests.charts.test_figures import _luminance

MARCH = dt.date(2026, 3, 1)
GROUPS = ("Drills", "Production")


def content(figure: Figure) -> dict[str, Any]:
    return dict(json.loads(figure.to_json()))


def shares(of: str | dt.date, groups: tuple[str, ...]) -> list[Share]:
    return [Share(group, of, 1, 2, 0.1, 0.9) for group in groups]


@pytest.mark.parametrize("present", [GROUPS, GROUPS[:1], GROUPS[1:]])
def test_drills_and_production_have_one_colour_each_in_every_chart_whichever_are_there(present: tuple[str, ...]) -> None:
    medians = [SegmentMedian(group, "Drain", 4, 9, 12) for group in present]
    charts = [
        hit_rates_by_type(shares=shares("Model", present), groups=GROUPS),
        hit_rates_by_month(shares=shares(MARCH, present), groups=GROUPS),
        durations_by_month(middles=[Middle(group, MARCH, 60, 90, 12) for group in present], groups=GROUPS),
        durations_by_type(points=[], middles=[Middle(group, "Model", 60, 90, 12) for group in present], targets={}, groups=present),
        segment_medians(medians=medians, segments=("Drain",), groups=present),
        stacked_rows(groups=["a"], series=[(f"{group} runs", [1]) for group in present], axis="Runs"),
    ]
    for chart in charts:
        traces = [trace for trace in content(chart)["data"] if trace["name"].startswith(GROUPS)]
        assert traces
        for trace in traces:
            group = next(group for group in GROUPS if trace["name"].startswith(group))
            assert trace["marker"]["color"] == group_colour(group), trace["name"]
            assert trace.get("line", {}).get("color", group_colour(group)) == group_colour(group)
    assert group_colour("Drills") != group_colour("Production")
    assert group_colour("On time") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("group", GROUPS)
def test_colours_of_groups_stand_out_from_both_backgrounds(group: str, theme: Theme) -> None:
    lighter, darker = sorted((_luminance(str(group_colour(group))), _luminance(surface(theme))), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 3


def test_months_have_one_tick_each_and_no_label_twice() -> None:
    months = [dt.date(2024 + (place // 12), place % 12 + 1, 1) for place in range(30)]
    for some in (months[:1], months[:3], months[:12], months):
        for axis in (
            content(hit_rates_by_month(shares=[share for month in some for share in shares(month, GROUPS)], groups=GROUPS))["layout"]["xaxis"],
            content(durations_by_month(middles=[Middle("Drills", month, 60, 90, 12) for month in some], groups=GROUPS))["layout"]["xaxis"],
            content(stacked_months(months=some, series=[("On time", [1] * len(some))], axis="Drills", unit="drills"))["layout"]["xaxis"],
        ):
            assert len(axis["tickvals"]) == len(set(axis["ticktext"])) == min(len(some), 10 if len(some) > 12 else 12)
            assert axis["ticktext"][0] == "Jan 2024"
    assert month_axis([])["tickvals"] == []


def test_counts_have_whole_ticks_and_shares_reach_their_hundred() -> None:
    assert count_ticks(1)["dtick"] == 1
    assert "dtick" not in count_ticks(5000)
    months = content(stacked_months(months=[MARCH], series=[("On time", [1]), ("Missed", [0])], axis="Drills", unit="drills"))["layout"]["yaxis"]
    rows = content(stacked_rows(groups=["a"], series=[("On time", [1])], axis="Drills"))["layout"]["xaxis"]
    assert (months["dtick"], rows["dtick"], months["tickformat"]) == (1, 1, ",d")
    layout = content(stacked_rows(groups=["a"], series=[("On time", [1])], axis="Drills", as_shares=True))["layout"]
    assert (layout["xaxis"]["range"], layout["xaxis"]["dtick"], layout["xaxis"]["ticksuffix"]) == ([0, 100], 25, " %")
    assert layout["margin"]["r"] >= 32, "half of “100 %” stands beside the plot"

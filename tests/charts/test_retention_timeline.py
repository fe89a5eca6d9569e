"""The timeline of versions: a row each, its bars and marks where the dates are."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from rollbackhub.charts.retention_timeline import RetentionBar, retention_timeline

NOW = dt.datetime(2026, 11, 1, 12)  # noqa: DTZ001 (naive is what the row wants)
DAY = dt.timedelta(days=1)
DAY_MS = 86_400_000


def bar(version: str, **values: Any) -> RetentionBar:
    common: dict[str, Any] = {
        "live_from": None,
        "live_until": None,
        "kept_until": None,
        "provider_at": None,
        "retired": False,
        "url": f"/registry/versions/{version}/",
    }
    return RetentionBar(version=version, artefact="Reasoner model", **(common | values))


def content(*bars: RetentionBar) -> dict[str, Any]:
    return dict(json.loads(retention_timeline(bars=bars, now=NOW, zone="CET").to_json()))


def series(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in found["data"]}


def test_each_version_has_its_row_with_bars_and_marks() -> None:
    found = content(
        bar("v3", live_from=NOW - 2 * DAY),
        bar("v2", live_from=NOW - 10 * DAY, live_until=NOW - 2 * DAY, kept_until=NOW + 88 * DAY, provider_at=NOW + 9 * DAY),
        bar("v1", live_from=NOW - 200 * DAY, live_until=NOW - 100 * DAY, kept_until=NOW - 10 * DAY),
    )
    traces = series(found)
    assert [traces["Live"][name] for name in ("y", "x")] == [[0, 1, 2], [2 * DAY_MS, 8 * DAY_MS, 100 * DAY_MS]]
    assert [at[:10] for at in traces["Live"]["base"]] == ["2026-10-30", "2026-10-22", "2026-04-15"]
    window = traces["Superseded, within its window"]
    assert [window[name] for name in ("y", "x")] == [[1, 2], [90 * DAY_MS, 90 * DAY_MS]]
    assert [traces["Window over, still kept"][name] for name in ("y", "x")] == [[2], [10 * DAY_MS]]
    assert traces["Retained until"]["y"] == [1, 2]
    assert (traces["Its provider shuts it down"]["y"], traces["Its provider shuts it down"]["x"][0][:10]) == ([1], "2026-11-10")
    assert found["layout"]["yaxis"]["ticktext"] == ["v3<br>Reasoner model", "v2<br>Reasoner model", "v1<br>Reasoner model"]
    assert traces["Live"]["customdata"][1][0] == "/registry/versions/v2/"


def test_axes_have_names_and_series_differ_without_colour() -> None:
    found = content(bar("v2", live_from=NOW - 10 * DAY, live_until=NOW - 2 * DAY, kept_until=NOW + 88 * DAY, provider_at=NOW + 9 * DAY))
    assert found["layout"]["xaxis"]["title"]["text"] == "Day (CET)"
    assert found["layout"]["yaxis"]["title"]["text"] == "Version"
    traces = series(found)
    assert traces["Live"]["marker"]["pattern"]["shape"] != traces["Superseded, within its window"]["marker"]["pattern"]["shape"]
    assert traces["Retained until"]["marker"]["symbol"] != traces["Its provider shuts it down"]["marker"]["symbol"]
    assert [annotation["text"] for annotation in found["layout"]["annotations"]] == ["now"]
    assert found["layout"]["shapes"][0]["x0"] == NOW.isoformat()


def test_retired_version_is_kept_no_longer() -> None:
    found = content(bar("v1", live_from=NOW - 200 * DAY, live_until=NOW - 100 * DAY, kept_until=NOW - 10 * DAY, retired=True))
    assert "Window over, still kept" not in series(found)


def test_axis_reaches_no_farther_than_a_year_and_a_bit() -> None:
    found = content(bar("v1", live_from=NOW - 4000 * DAY, provider_at=NOW + 4000 * DAY))
    first, last = (dt.datetime.fromisoformat(at) for at in found["layout"]["xaxis"]["range"])
    assert NOW - 430 * DAY < first < NOW < last < NOW + 430 * DAY


def test_long_names_are_cut_beside_the_row_and_whole_in_the_hover() -> None:
    name = "v" * 110 + "-2026-11-23"
    found = content(bar(name, live_from=NOW - DAY))
    shown = found["layout"]["yaxis"]["ticktext"][0].split("<br>")[0]
    assert len(shown) == 26
    assert shown.endswith("…vv-2026-11-23")
    assert name in found["data"][0]["customdata"][0][1]

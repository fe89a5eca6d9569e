"""The share of aliases that could be rolled back: a step wherever it changed, up to now."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from rollbackhub.charts.rollbackable_share import SharePoint, rollbackable_share

NOW = dt.datetime(2026, 11, 1, 12)  # noqa: DTZ001 (naive is what the row wants)
DAY = dt.timedelta(days=1)
SINCE = NOW - 90 * DAY


def content(*points: SharePoint) -> dict[str, Any]:
    return dict(json.loads(rollbackable_share(points=points, since=SINCE, now=NOW, zone="CET").to_json()))


def test_each_point_is_a_step_and_the_last_holds_until_now() -> None:
    found = content(SharePoint(NOW - 200 * DAY, 0, 0), SharePoint(NOW - 50 * DAY, 1, 3), SharePoint(NOW - DAY, 3, 4))
    (line,) = found["data"]
    assert line["line"]["shape"] == "hv"
    # What stood before the time began is drawn from where it begins; without an alias there is no share.
    assert line["x"] == [at.isoformat() for at in (SINCE, NOW - 50 * DAY, NOW - DAY, NOW)]
    assert line["y"] == [None, 33.3, 75.0, 75.0]
    assert line["customdata"] == [[0, 0], [1, 3], [3, 4], [3, 4]]


def test_axes_name_their_units() -> None:
    layout = content(SharePoint(NOW - DAY, 1, 1))["layout"]
    assert (layout["xaxis"]["title"]["text"], layout["yaxis"]["title"]["text"]) == ("Time (CET)", "Rollbackable (%)")
    assert layout["xaxis"]["range"] == [SINCE.isoformat(), NOW.isoformat()]


def test_no_point_is_still_a_figure() -> None:
    assert content()["data"][0].get("y", []) == []

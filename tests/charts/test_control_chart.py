"""The control chart: what signals looks different, and the lines say their times."""

from __future__ import annotations

import datetime as dt
import json

from rollbackhub.charts.control_chart import ControlPoint, control_chart


def test_signals_have_another_mark_and_say_why() -> None:
    at = dt.datetime(2026, 3, 1, 12)  # noqa: DTZ001 (naive is what the row wants)
    points = [
        ControlPoint(at, 100, "", imported=False, url="/drills/1/"),
        ControlPoint(at + dt.timedelta(days=1), 300, "slower: one drill beyond the upper limit", imported=True, url=""),
    ]
    found = json.loads(control_chart(points=points, low=50, centre=100, high=200).to_json())
    line, usual, signals = found["data"]
    assert (line["mode"], line["y"]) == ("lines", [100, 300])
    assert (usual["y"], usual["marker"]["symbol"]) == ([100], ["circle"])
    assert (signals["y"], signals["marker"]["symbol"]) == ([300], ["diamond-open-dot"])
    assert signals["customdata"] == [["", "5 min", "<br>slower: one drill beyond the upper limit", " · imported"]]
    assert [note["text"] for note in found["layout"]["annotations"]] == ["upper limit 3 min 20 s", "centre 1 min 40 s", "lower limit 50 s"]
    assert [shape["line"]["dash"] for shape in found["layout"]["shapes"]] == ["dash", "solid", "dash"]
    assert found["layout"]["yaxis"]["title"]["text"] == "Drill duration (logarithmic)"

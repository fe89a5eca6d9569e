"""Shares with their intervals."""

from __future__ import annotations

import datetime as dt
import json

from rollbackhub.charts.hit_rates import Share, hit_rates_by_month, hit_rates_by_type

GROUPS = ("Drills", "Production")
SHARES = [Share("Drills", "Model", 9, 10, 0.6, 0.98), Share("Production", "Model", 1, 2, 0.1, 0.9), Share("Drills", "Prompt", 3, 3, 0.44, 1.0)]


def test_each_type_has_its_row_with_marks_and_intervals() -> None:
    found = json.loads(hit_rates_by_type(shares=SHARES, groups=GROUPS).to_json())
    drills, production = found["data"]
    assert drills["x"] == [90.0, 100.0]
    assert [round(y) for y in drills["y"]] == [0, 1]
    assert drills["y"][0] < production["y"][0]
    assert (drills["error_x"]["array"], drills["error_x"]["arrayminus"]) == ([8.0, 0.0], [30.0, 56.0])
    assert drills["customdata"][0] == ["Model", "9 of 10", "60 to 98 %", "90.0 %"]
    assert drills["marker"]["symbol"] != production["marker"]["symbol"]
    assert found["layout"]["yaxis"]["ticktext"] == ["Model", "Prompt"]
    assert found["layout"]["xaxis"]["title"]["text"] == "Within target (%)"


def test_months_are_lines_of_their_own_dash() -> None:
    shares = [Share(group, dt.date(2026, 3, 1), 1, 2, 0.1, 0.9) for group in GROUPS]
    drills, production = json.loads(hit_rates_by_month(shares=shares, groups=GROUPS).to_json())["data"]
    assert drills["line"]["dash"] != production["line"]["dash"]
    assert drills["x"] < production["x"], "side by side"
    assert drills["customdata"] == production["customdata"] == [["Mar 2026", "1 of 2", "10 to 90 %", "50.0 %"]]
    assert json.loads(hit_rates_by_month(shares=shares[:1], groups=GROUPS).to_json())["data"][0]["name"] == "Drills"

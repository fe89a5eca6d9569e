"""Medians of segments, drills beside production."""

from __future__ import annotations

import json

from rollbackhub.charts.segment_medians import SegmentMedian, segment_medians

SEGMENTS = ("Detect", "Execute", "Drain")


def test_bars_stand_in_the_clocks_order_and_differ_by_pattern() -> None:
    medians = [SegmentMedian("Drills", "Drain", 4, 9, 12), SegmentMedian("Drills", "Execute", 0, None, 2), SegmentMedian("Production", "Detect", 600, None, 3)]
    found = json.loads(segment_medians(medians=medians, segments=SEGMENTS, groups=("Drills", "Production")).to_json())
    drills, production = found["data"]
    assert (drills["y"], drills["x"], drills["text"]) == (["Execute", "Drain"], [0, 4], ["0.00 s", "4.0 s"])
    assert drills["customdata"] == [["2", ""], ["12", ", nine in ten 9.0 s or less"]]
    assert production["y"] == ["Detect"]
    assert drills["marker"]["pattern"]["shape"] != production["marker"]["pattern"]["shape"]
    assert found["layout"]["yaxis"]["categoryarray"] == list(SEGMENTS)
    assert found["layout"]["xaxis"]["title"]["text"] == "Median time"
    assert found["layout"]["xaxis"]["range"][0] == 0, "bars begin where nothing was taken"
    assert found["layout"]["xaxis"]["range"][1] > 600


def test_nothing_is_a_figure_too() -> None:
    assert len(segment_medians(medians=[], segments=(), groups=("Drills", "Production")).data) == 2

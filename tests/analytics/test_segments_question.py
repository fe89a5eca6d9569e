"""Where the time goes: medians by segment, drills beside production."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.domain import rollups
from rollbackhub.analytics.enums import RunKind
from rollbackhub.analytics.questions import segments
from tests.analytics.test_durations_question import END, alias_in, figure, rows
from tests.factories.analytics import add_facts

DRILL: dict[str, Any] = {"execute_seconds": 1.0, "propagate_seconds": 2.0, "drain_seconds": 5.0, "verify_seconds": 30.0}
REAL: dict[str, Any] = {
    "detect_seconds": 600.0,
    "authorise_seconds": 240.0,
    "execute_seconds": 1.0,
    "propagate_seconds": None,
    "drain_seconds": 8.0,
    "verify_seconds": None,
}


def test_nothing_measured_says_what_would_fill_it(db: None) -> None:
    answer = segments.answer(AnalyticsFilter())
    assert (answer.figures, answer.tables) == ((), ())
    assert answer.empty


def test_each_segment_has_its_median_where_it_was_measured(db: None) -> None:
    for number in range(3):
        add_facts(alias_in("staging"), [10.0] * 5, end=END - dt.timedelta(days=10 * number), **{name: value * (number + 1) for name, value in DRILL.items()})
    add_facts(alias_in("production"), [249.0] * 4, end=END, kind=RunKind.ROLLBACK, **REAL)
    answer = segments.answer(AnalyticsFilter())
    assert rows(answer, "Segments") == [
        ["Detect", "Production", 4, 600.0, None],
        ["Authorise", "Production", 4, 240.0, None],
        ["Execute", "Drills", 15, 2.0, 3.0],
        ["Execute", "Production", 4, 1.0, None],
        ["Execute", "Together", 19, 2.0, 3.0],
        ["Propagate", "Drills", 15, 4.0, 6.0],
        ["Drain", "Drills", 15, 10.0, 15.0],
        ["Drain", "Production", 4, 8.0, None],
        ["Drain", "Together", 19, 10.0, 15.0],
        ["Verify", "Drills", 15, 60.0, 90.0],
    ]
    assert answer.headline == (
        "Of the rollback time (decided to restored), in production authorise costs most: "
        "4 min in the median of 4 production rollbacks (few: take it as a hint); "
        "but in drills drain costs most: 10 s in the median of 15 drills (few: take it as a hint)."
    )
    assert "Nothing was measured of: decide." in answer.notes
    drills, production = figure(answer, "segments")["data"]
    assert drills["marker"]["pattern"]["shape"] != production["marker"]["pattern"]["shape"]
    assert drills["y"] == ["Execute", "Propagate", "Drain", "Verify"]
    assert production["x"] == [600.0, 240.0, 1.0, 8.0]
    assert figure(answer, "segments")["layout"]["yaxis"]["categoryarray"] == ["Detect", "Authorise", "Execute", "Propagate", "Drain", "Verify"]
    assert answer.extra["production_authorise_median"] == 240


def test_drills_alone_say_that_there_is_nothing_beside_them(db: None) -> None:
    add_facts(alias_in("staging"), [10.0] * 25, end=END, **DRILL)
    assert segments.answer(AnalyticsFilter()).headline == (
        "Of the rollback time (decided to restored), in drills drain costs most: 5.0 s in the median of 25 drills. "
        "No production rollback was measured to set beside it."
    )


def test_a_segment_is_not_blamed_because_it_alone_was_measured(db: None) -> None:
    past: dict[str, Any] = dict.fromkeys(REAL) | {"authorise_seconds": 49.0}
    add_facts(alias_in("production"), [302.0] * 25, end=END, kind=RunKind.ROLLBACK, **past)
    add_facts(alias_in("staging"), [10.0] * 25, end=END, **DRILL)
    answer = segments.answer(AnalyticsFilter())
    assert answer.headline == (
        "Of the rollback time (decided to restored), in production it is not known what costs most: of 5 min 02 s in the median of 25 production rollbacks "
        "only authorise (49 s) was recorded; but in drills drain costs most: 5.0 s in the median of 25 drills."
    )
    assert "Never measured in production: execute, propagate and drain." in answer.notes


def test_a_segment_that_few_of_the_runs_recorded_is_not_blamed(db: None) -> None:
    nothing: dict[str, Any] = dict.fromkeys(REAL)
    add_facts(alias_in("production"), [300.0] * 25, end=END, kind=RunKind.ROLLBACK, **nothing)
    add_facts(alias_in("production"), [300.0] * 2, end=END - dt.timedelta(days=40), kind=RunKind.ROLLBACK, **nothing | {"drain_seconds": 290.0})
    assert "in production it is not known what costs most" in segments.answer(AnalyticsFilter()).headline


def test_buckets_say_about_the_same(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    add_facts(alias_in("staging"), [10.0] * 25, end=END, **DRILL)
    exact = rows(segments.answer(AnalyticsFilter()), "Segments")
    monkeypatch.setattr(rollups, "EXACT_UP_TO", 5)
    for about, right in zip(rows(segments.answer(AnalyticsFilter()), "Segments"), exact, strict=True):
        assert about[:3] == right[:3]
        assert about[3:] == pytest.approx(right[3:], rel=0.0101)

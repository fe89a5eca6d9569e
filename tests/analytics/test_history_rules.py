"""How a row of a history file is read."""

from __future__ import annotations

import csv
import datetime as dt
import io
import zoneinfo

import pytest

from rollbackhub.analytics.enums import RunKind
from rollbackhub.analytics.history_rules import COLUMNS, PastRun, example_rows, read_row
from tests.analytics.history_files import DRILL, ROLLBACK

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def read(row: dict[str, str], *, zone: zoneinfo.ZoneInfo | None = None, **changes: str) -> PastRun:
    """A row that is right."""
    run, problems = read_row({name: (row | changes).get(name, "") for name in COLUMNS}, zone=zone, now=NOW)
    assert problems == []
    assert run is not None
    return run


def wrong(row: dict[str, str], *, zone: zoneinfo.ZoneInfo | None = None, **changes: str) -> list[tuple[str, str]]:
    """What is wrong with a row."""
    run, problems = read_row({name: (row | changes).get(name, "") for name in COLUMNS}, zone=zone, now=NOW)
    assert run is None
    return [(problem.column, problem.sentence) for problem in problems]


def test_drill_has_its_verdict_as_outcome_and_only_what_was_measured() -> None:
    run = read(DRILL)
    assert (run.kind, run.verdict, run.outcome, run.rollback_seconds, run.target_seconds, run.hit) == (RunKind.DRILL, "passed", "passed", 240.0, None, None)
    assert set(run.segments.values()) == {None}


def test_rollback_has_its_segments_as_the_hub_measures_them() -> None:
    run = read(ROLLBACK)
    assert run.segments == {
        "detect_seconds": 360.0,
        "authorise_seconds": 540.0,
        "execute_seconds": 60.0,
        "propagate_seconds": 20.0,
        "drain_seconds": 670.0,
        "verify_seconds": 1050.0,
    }
    assert (run.rollback_seconds, run.hit, run.outcome, run.exposure) == (1290.0, False, "verified", 18200)


def test_draining_that_was_seen_before_the_last_acknowledgement_took_nothing() -> None:
    run = read(ROLLBACK, drained_at="2026-03-14T01:41:10Z")
    assert run.segments["drain_seconds"] == 0.0


@pytest.mark.parametrize(("seconds", "hit"), [("600", True), ("600.5", False), ("", None)])
def test_hit_is_within_the_target_and_unknown_without_a_time(seconds: str, hit: bool | None) -> None:
    assert read(DRILL, target_seconds="600", rollback_seconds=seconds, verdict="passed" if seconds else "failed").hit is hit


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-02T10:00:00Z", "2026-03-02T10:00:00+00:00"),
        ("2026-03-02 10:00:00.250+01:00", "2026-03-02T09:00:00.250000+00:00"),
        ("2026-03-02T10:00+0530", "2026-03-02T04:30:00+00:00"),
        ("2026-03-02 10:00", "2026-03-02T09:00:00+00:00"),
        ("2026-07-02 10:00", "2026-07-02T08:00:00+00:00"),
    ],
)
def test_times_with_an_offset_or_in_the_stated_zone(text: str, utc: str) -> None:
    assert read(DRILL, zone=BERLIN, decided_at=text).at.isoformat() == utc


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2026-03-02", "is no instant"),
        ("02/03/2026 10:00", "is no instant"),
        ("46083.41", "is no instant"),
        ("2026-02-30 10:00", "is no instant"),
        ("2026-03-29 02:30", "never was in Europe/Berlin"),
        ("2026-10-25 02:30", "was twice in Europe/Berlin"),
        ("2026-11-24T00:00:00Z", "has not come yet"),
        ("1999-12-31T23:59:59Z", "before the year 2000"),
        ("0001-01-01T00:00:00+23:59", "before the year 2000"),
    ],
)
def test_time_that_cannot_be_told_is_refused(text: str, sentence: str) -> None:
    assert [(column, sentence in said) for column, said in wrong(DRILL, zone=BERLIN, decided_at=text)] == [("decided_at", True)]


def test_time_without_a_zone_and_none_stated_is_refused() -> None:
    ((column, sentence),) = wrong(DRILL, decided_at="2026-03-02 10:00")
    assert column == "decided_at"
    assert "names no time zone" in sentence
    assert "2026-03-02 10:00+01:00" in sentence


@pytest.mark.parametrize(
    ("changes", "column", "sentence"),
    [
        ({"kind": ""}, "kind", "Say one of drill, rehearsal, rollback, roll_forward."),
        ({"kind": "fire drill"}, "kind", "fire drill is none of drill"),
        ({"verdict": "ok"}, "verdict", "ok is none of passed"),
        ({"decided_at": ""}, "decided_at", "Say when it was decided."),
        ({"rollback_seconds": ""}, "restored_at", "A run that passed was restored."),
        ({"rollback_seconds": "4 min"}, "rollback_seconds", "is no number of seconds"),
        ({"rollback_seconds": "-1"}, "rollback_seconds", "is no number of seconds"),
        ({"rollback_seconds": "312,5"}, "rollback_seconds", "like 240 or 312.5"),
        ({"rollback_seconds": "nan"}, "rollback_seconds", "is no number of seconds"),
        ({"rollback_seconds": "99999999999"}, "rollback_seconds", "a year at most"),
        ({"target_seconds": "0"}, "target_seconds", "is no whole number from 1"),
        ({"target_seconds": "9999999999999999999999"}, "target_seconds", "is no whole number"),
        ({"restored_at": "2026-03-02T09:59:59Z", "rollback_seconds": ""}, "restored_at", "It lies before decided_at."),
        ({"restored_at": "2026-03-02T10:05:00Z"}, "rollback_seconds", "From decided_at to restored_at it is 300 s."),
        ({"outcome": "verified"}, "outcome", "A drill ends with its verdict."),
        ({"exposure": "12"}, "exposure", "A drill has none"),
        ({"authority": "on_call"}, "authority", "A drill has none"),
        ({"detected_at": "2026-03-02T09:00:00Z"}, "detected_at", "A drill has none"),
        ({"reference": "x" * 121}, "reference", "120 characters at most"),
        ({"note": "bell \x07"}, "note", "cannot be shown"),
    ],
)
def test_drill_that_is_wrong_names_column_and_what_to_do(changes: dict[str, str], column: str, sentence: str) -> None:
    ((found, said),) = wrong(DRILL | changes)
    assert found == column
    assert sentence in said


@pytest.mark.parametrize(
    ("changes", "column", "sentence"),
    [
        ({"outcome": "running"}, "outcome", "running is none of verified"),
        ({"outcome": "verified", "verdict": "failed"}, "outcome", "its verdict is failed"),
        ({"kind": "roll_forward", "outcome": "held", "verdict": "failed"}, "outcome", "A fix that holds passed"),
        ({"kind": "roll_forward", "outcome": "failed"}, "outcome", "did not pass"),
        ({"authority": "admin"}, "authority", "admin is none of on_call"),
        ({"authorised_how": "asked"}, "authorised_how", "none of own"),
        ({"exposure": "18.200"}, "exposure", "without separators"),
        ({"exposure": "-5"}, "exposure", "is no whole number"),
        ({"authorised_at": "2026-03-14T01:30:00Z"}, "authorised_at", "It lies before decided_at."),
        ({"drained_at": "2026-03-14T01:35:00Z"}, "drained_at", "It lies before executed_at."),
        ({"drained_at": "2026-03-14T01:53:00Z"}, "restored_at", "It lies before drained_at"),
    ],
)
def test_rollback_that_is_wrong_names_column_and_what_to_do(changes: dict[str, str], column: str, sentence: str) -> None:
    ((found, said),) = wrong(ROLLBACK | changes)
    assert found == column
    assert sentence in said


def test_all_that_is_wrong_is_named_at_once() -> None:
    assert [column for column, _ in wrong(DRILL, kind="x", verdict="y", decided_at="z", rollback_seconds="w")] == [
        "kind",
        "verdict",
        "decided_at",
        "rollback_seconds",
    ]


@pytest.mark.parametrize(
    ("kind", "verdict", "outcome"), [("rollback", "failed", "closed"), ("roll_forward", "passed", "held"), ("roll_forward", "failed", "failed")]
)
def test_outcome_that_is_not_given_is_what_the_verdict_says(kind: str, verdict: str, outcome: str) -> None:
    assert read(ROLLBACK, kind=kind, verdict=verdict).outcome == outcome


def test_template_has_rows_that_can_be_read() -> None:
    from rollbackhub.analytics.domain.history_import import template_csv

    rows = list(csv.DictReader(io.StringIO(template_csv())))
    assert rows == example_rows()
    assert [read(row).kind for row in rows] == [RunKind.DRILL, RunKind.ROLLBACK]

"""What is served, judged from what was kept: the words and the course."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.served import CONSUMERS, SERVED, ServedCourse, judge_consumers, judge_job, judge_observed, said_at

AT = dt.datetime(2026, 7, 1, 3, 0, tzinfo=dt.UTC)
SHOWS = {"expected": "v1", "found": "v1", "reached": True}
WANTED = {"v1": "v1", "a1b2c3d": "v1"}


@pytest.mark.parametrize(
    ("value", "verdict", "sentence"),
    [
        (SHOWS, Verdict.PASSED, "git shows v1."),
        ({**SHOWS, "found": "v2", "reached": False}, Verdict.FAILED, "git shows v2, not v1."),
        ({"error": "unreachable: no answer", "message": "no answer"}, Verdict.ERROR, "git could not be read: no answer"),
        ({"error": "unreachable: no answer"}, Verdict.ERROR, "git could not be read: unreachable: no answer"),
        ({"error": "x", "message": "The branch is gone.", "final": True}, Verdict.FAILED, "The branch is gone."),
    ],
)
def test_look_at_the_system(value: dict[str, Any], verdict: Verdict, sentence: str) -> None:
    assert judge_observed("git", value) == CheckOutcome(SERVED, verdict, sentence)


@pytest.mark.parametrize(
    ("said", "errors", "verdict", "sentence", "right"),
    [
        ({"http://a": "v1", "http://b": "a1b2c3d"}, {}, Verdict.PASSED, "2 of 2 consumers use v1.", 2),
        ({"http://a": "v1", "http://b": "v2"}, {}, Verdict.FAILED, "http://b uses v2.", 1),
        ({"http://a": "v1"}, {"http://b": "no answer"}, Verdict.ERROR, "http://b was not heard (no answer).", 1),
        ({"http://a": "v2"}, {"http://b": "no answer"}, Verdict.FAILED, "http://a uses v2; http://b was not heard (no answer).", 0),
    ],
)
def test_look_at_the_consumers(said: dict[str, str], errors: dict[str, str], verdict: Verdict, sentence: str, right: int) -> None:
    found = judge_consumers({"said": said, "wanted": WANTED, "errors": errors, "answers": "not used", "wrong": "not used"})
    assert found == CheckOutcome(CONSUMERS, verdict, sentence, {"asked": len(said) + len(errors), "right": right})


@pytest.mark.parametrize(
    ("value", "verdict", "sentence"),
    [
        ({"state": "succeeded", "result": {"version": "a1b2c3d"}, "message": ""}, Verdict.PASSED, "Rebuild index is done for v1."),
        ({"state": "succeeded", "result": {"version": "v1"}, "message": "9 rows"}, Verdict.PASSED, "Rebuild index is done for v1. 9 rows"),
        ({"state": "succeeded", "result": {"version": "v2"}, "message": ""}, Verdict.FAILED, "Rebuild index ended, but was done for v2, not for v1."),
        ({"state": "succeeded", "result": {}, "message": ""}, Verdict.FAILED, "a version that it does not name"),
        ({"state": "failed", "result": {}, "message": "disk full"}, Verdict.FAILED, "Rebuild index failed: disk full"),
    ],
)
def test_end_of_a_job(value: dict[str, Any], verdict: Verdict, sentence: str) -> None:
    found = judge_job({"job": "rebuild_index", **value}, names=["v1", "a1b2c3d"], label="v1")
    assert found.verdict == verdict
    assert sentence in found.sentence


def look(verdict: Verdict) -> list[CheckOutcome]:
    return [CheckOutcome(SERVED, verdict, f"{verdict}.")]


def test_course_passes_after_so_many_looks_over_so_long_and_begins_anew_after_one_that_fails() -> None:
    course = ServedCourse(2, span_seconds=1)
    verdicts = [Verdict.PASSED, Verdict.ERROR, Verdict.PASSED, Verdict.PASSED, Verdict.PASSED]
    found = [course.take(look(verdict), at=AT + dt.timedelta(seconds=0.5 * number)) for number, verdict in enumerate(verdicts)]
    assert found == [None, None, None, None, Verdict.PASSED]
    assert (course.passes, course.verdict) == (3, Verdict.PASSED)


def test_course_ends_when_another_look_would_show_the_same() -> None:
    course = ServedCourse(2)
    assert course.take(look(Verdict.FAILED), at=AT) is None
    assert course.take(look(Verdict.FAILED), at=AT, final=True) == Verdict.FAILED
    assert said_at(course.outcomes) == {"verdicts": {SERVED: "failed"}, "sentences": {SERVED: "failed."}}

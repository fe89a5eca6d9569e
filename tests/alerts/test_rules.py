"""Matching labels, patterns that cannot take for ever, the course of an alert, and when RollbackHub acts by itself."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from rollbackhub.alerts.enums import AlertState
from rollbackhub.alerts.rules import Circumstances, Course, Matcher, go_on, matches, problem_of_pattern, why_not_by_itself
from rollbackhub.common.clock import monotonic
from rollbackhub.executions.enums import ProofState

F, R = AlertState.FIRING, AlertState.RESOLVED
T0 = dt.datetime(2026, 11, 30, 8, 0, tzinfo=dt.UTC)


def minute(number: int) -> dt.datetime:
    return T0 + dt.timedelta(minutes=number)


@pytest.mark.parametrize(
    ("op", "value", "fits"),
    [
        ("=", "critical", True),
        ("=", "crit", False),
        ("!=", "page", True),
        ("!=", "critical", False),
        ("=~", "crit.*", True),
        ("=~", "crit", False),
        ("!~", "crit", True),
        ("!~", "page|critical", False),
    ],
)
def test_matcher_fits_as_prometheus_has_it(op: str, value: str, fits: bool) -> None:
    assert matches([Matcher("severity", op, value)], {"severity": "critical"}) == fits


def test_matcher_label_that_is_missing_counts_as_empty() -> None:
    assert matches([Matcher("team", "=", ""), Matcher("team", "!=", "x"), Matcher("team", "!~", ".+")], {})
    assert matches([], {"a": "b"})


@pytest.mark.parametrize("pattern", ["smart-.*", "a|b|c", ".*feedback.*", "[a-z]{2,10}", "(low|high)?", "^(reasoner|support)-[0-9]+$", ""])
def test_pattern_usual_is_taken(pattern: str) -> None:
    assert problem_of_pattern(pattern) == ""


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|aa)+$", "(.*)*x", r"(a)\1", "(?=a)b", "a?" * 40 + "a" * 40, ".*.*.*x", "(x+x+)+y", "a" * 300, "(", "[", "*a", "a{1,3}{1,3}{9}"],
)
def test_pattern_that_could_take_for_ever_or_is_none_is_refused_with_a_sentence(pattern: str) -> None:
    assert problem_of_pattern(pattern).endswith(".")


def test_pattern_the_worst_that_is_taken_is_quick() -> None:
    worst = ".*a.*b"
    assert problem_of_pattern(worst) == ""
    began = monotonic()
    assert not matches([Matcher("text", "=~", worst)], {"text": "a" * 100_000})
    # No limit of time, but of the order of it: what is refused takes years.
    assert monotonic() - began < 60


def test_course_same_firing_sent_again_only_counts() -> None:
    first = go_on(None, status=F, starts_at=T0, ends_at=None, at=minute(1))
    assert first == Course(F, T0, T0, None, times_seen=1, times_fired=1, to_do=True)
    again = go_on(replace(first, to_do=False), status=F, starts_at=T0, ends_at=None, at=minute(5))
    assert again == Course(F, T0, T0, None, times_seen=2, times_fired=1, to_do=False)


def test_course_resolved_then_later_start_is_a_new_firing_and_earlier_posts_only_count() -> None:
    first = replace(go_on(None, status=F, starts_at=T0, ends_at=None, at=minute(1)), to_do=False)
    over = go_on(first, status=R, starts_at=T0, ends_at=minute(4), at=minute(5))
    assert (over.state, over.resolved_at, over.to_do) == (R, minute(4), True)
    late = go_on(replace(over, to_do=False), status=F, starts_at=T0, ends_at=None, at=minute(6))
    assert (late.state, late.to_do, late.times_seen) == (R, False, 3)
    anew = go_on(late, status=F, starts_at=minute(8), ends_at=None, at=minute(9))
    assert (anew.state, anew.starts_at, anew.resolved_at, anew.times_fired, anew.to_do) == (F, minute(8), None, 2, True)
    old = go_on(replace(anew, to_do=False), status=R, starts_at=T0, ends_at=minute(4), at=minute(10))
    assert (old.state, old.to_do) == (F, False)
    unsaid = go_on(replace(anew, to_do=False), status=R, starts_at=None, ends_at=minute(11), at=minute(12))
    assert (unsaid.state, unsaid.resolved_at) == (R, minute(11))


def test_course_over_before_it_was_heard_of_asks_nobody_for_anything() -> None:
    assert not go_on(None, status=R, starts_at=T0, ends_at=minute(1), at=minute(2)).to_do


def test_course_start_in_the_future_counts_as_now_and_is_the_same_firing_when_it_is_sent_again() -> None:
    first = go_on(None, status=F, starts_at=minute(600), ends_at=None, at=minute(1))
    assert (first.starts_at, first.sender_starts_at) == (minute(1), minute(600))
    again = go_on(replace(first, to_do=False), status=F, starts_at=minute(600), ends_at=None, at=minute(2))
    assert again == replace(first, times_seen=2, to_do=False)
    over = go_on(again, status=R, starts_at=minute(600), ends_at=minute(601), at=minute(3))
    assert (over.state, over.resolved_at, over.to_do) == (R, minute(3), True)
    late = go_on(replace(over, to_do=False), status=F, starts_at=minute(600), ends_at=None, at=minute(4))
    assert (late.state, late.times_fired, late.to_do) == (R, 1, False)


def test_course_firing_of_a_clock_that_was_set_right_is_not_taken_for_a_late_one() -> None:
    ahead = replace(go_on(None, status=F, starts_at=minute(600), ends_at=None, at=minute(1)), to_do=False)
    over = replace(go_on(ahead, status=R, starts_at=minute(600), ends_at=None, at=minute(3)), to_do=False)
    anew = go_on(over, status=F, starts_at=minute(5), ends_at=None, at=minute(6))
    assert (anew.state, anew.starts_at, anew.times_fired, anew.to_do) == (F, minute(5), 2, True)


GOOD = Circumstances(
    is_stopped=False,
    is_on=True,
    account_works=True,
    account_may=True,
    required_role="on_call",
    strategic=False,
    proof=ProofState.VALID,
    still_fires=True,
    of_alias=0,
    of_alias_most=1,
    of_all=0,
    of_all_most=3,
)


def test_by_itself_when_everything_is_right() -> None:
    assert why_not_by_itself(GOOD) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"is_on": False}, "not turned on"),
        ({"is_stopped": True}, "kill switch"),
        ({"still_fires": False}, "over before"),
        *(({"proof": state}, "not proven now") for state in ProofState if state != ProofState.VALID),
        ({"strategic": True}, "strategic"),
        ({"required_role": "platform_lead"}, "Platform lead"),
        ({"required_role": "leadership"}, "Senior leadership"),
        ({"account_works": False}, "not active"),
        ({"account_may": False}, "may not roll back alone"),
        ({"of_alias": 1}, "most for this alias"),
        ({"of_all": 3}, "most for all aliases"),
    ],
)
def test_by_itself_is_refused_with_its_reason(change: dict[str, Any], words: str) -> None:
    assert words in why_not_by_itself(replace(GOOD, **change))

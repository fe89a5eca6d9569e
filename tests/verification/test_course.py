"""When a verification ends: all checks together, each often enough, long enough; or one is given up."""

from __future__ import annotations

import datetime as dt

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.course import Course
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.specs import GatewayRevision, TrafficShare

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
P, F, U, E = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.ERROR


def course(*, span_seconds: float = 0, **limits: int) -> Course:
    """Of two checks, the first with these limits and two passes wanted, the second with one."""
    first = TrafficShare.model_validate({"key": "a", "consecutive": 2, "failure_limit": 0, "error_limit": 0} | limits)
    return Course([first, GatewayRevision(key="b", consecutive=1, failure_limit=0, error_limit=0)], span_seconds=span_seconds)


def run(found: Course, *looks: tuple[Verdict, Verdict]) -> list[Verdict | None]:
    """A look a second."""
    return [
        found.take([CheckOutcome("a", first, "."), CheckOutcome("b", second, ".")], at=NOON + dt.timedelta(seconds=second_of))
        for second_of, (first, second) in enumerate(looks)
    ]


def test_passes_when_all_pass_at_once_and_each_as_often_in_a_row_as_it_wants() -> None:
    assert run(course(), (P, P), (P, P)) == [None, P]
    assert run(course(), (P, F), (P, P)) == [None, P], "the first has passed twice in a row by then"
    assert run(course(), (P, P), (F, P), (P, P), (P, P)) == [None, None, None, P]


def test_does_not_pass_before_the_looks_that_pass_span_the_time() -> None:
    assert run(course(span_seconds=2), (P, P), (P, P), (P, P)) == [None, None, P]
    assert run(course(span_seconds=2), (P, P), (P, F), (P, P), (P, P), (P, P)) == [None, None, None, None, P], "the time begins anew"


def test_is_given_up_at_the_limit_of_one_check_in_a_row() -> None:
    assert run(course(failure_limit=2), (F, P), (P, P), (F, P), (F, P)) == [None, None, None, F]
    assert run(course(inconclusive_limit=2), (U, P), (U, P)) == [None, U]
    assert run(course(error_limit=3), (E, P), (E, P), (E, P)) == [None, None, E]


def test_without_limits_it_goes_on() -> None:
    found = course()
    assert run(found, *[(F, E)] * 50) == [None] * 50
    assert found.looks == 50
    assert found.verdict == F, "what failed is worse than what could not be seen"


def judged(verdict: Verdict, paid: int | None) -> list[CheckOutcome]:
    return [CheckOutcome("a", verdict, ".", paid=paid), CheckOutcome("b", P, ".")]


def test_failure_that_only_repeats_the_last_paid_look_counts_once() -> None:
    found = course(failure_limit=2)
    assert [found.take(judged(F, 3), at=NOON) for _ in range(50)] == [None] * 50, "one paid look, seen fifty times"
    assert found.take(judged(F, 4), at=NOON) == F


def test_paid_look_that_does_not_fail_begins_the_count_anew() -> None:
    found = course(failure_limit=2)
    assert [found.take(judged(verdict, paid), at=NOON) for verdict, paid in ((F, 3), (U, 4), (F, 5), (F, 5))] == [None] * 4
    assert found.take(judged(F, 6), at=NOON) == F


def test_looks_that_show_nothing_or_cannot_be_taken_count_each() -> None:
    found = course(inconclusive_limit=3, error_limit=2)
    assert [found.take(judged(U, 1), at=NOON) for _ in range(3)] == [None, None, U]
    assert [found.take(judged(E, None), at=NOON) for _ in range(2)] == [None, E]

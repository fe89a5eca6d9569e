"""What verified a drill or a rollback, check by check, on its page."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from rollbackhub.common.verdict import Verdict
from rollbackhub.dashboard.number_words import WORDS, number_rows
from rollbackhub.dashboard.verification_panel import panel_of
from rollbackhub.executions.domain import looks
from rollbackhub.executions.enums import StepState
from rollbackhub.executions.models import CheckResult, Execution, StepAttempt
from tests.dashboard.people import client_of
from tests.dashboard.world import make_drill
from tests.executions.verifications import QUERY, keep_verification
from tests.factories.executions import StepAttemptFactory
from tests.factories.fixtures import Cast
from tests.factories.routing import RoutingPolicyFactory


@pytest.fixture
def drill(db: None) -> Execution:
    return make_drill(RoutingPolicyFactory(), ago=dt.timedelta(hours=1))


def second_attempt(drill: Execution) -> StepAttempt:
    first = drill.attempts.get(key="verify")
    StepAttempt.objects.filter(pk=first.pk).update(state=StepState.INTERRUPTED)
    return StepAttemptFactory(execution=drill, position=first.position, key="verify", action="verify", segment="verify", number=2, started_at=first.ended_at)


def text_of(cast: Cast, drill: Execution) -> str:
    response = client_of(cast.auditor).get(reverse("drills:detail", args=[drill.pk]))
    assert response.status_code == 200
    return str(response.content.decode())


def panel_text(cast: Cast, drill: Execution) -> str:
    return text_of(cast, drill).split("What was verified")[1].split("</section>")[0]


def test_passed_checks_have_their_series_table_query_and_the_way_to_judge_again(cast: Cast, drill: Execution) -> None:
    keep_verification(drill, second_attempt(drill))
    said = panel_text(cast, drill)
    assert "attempt 2" in said
    for title in ("Nothing goes to the bad version", "Negative feedback is back at the baseline", "Latency is back at the baseline"):
        assert title in said
    assert said.count("data-figure=") == 2
    assert "Baseline 2.0 % of 10000 requests (the stable version at the same time); allowed up to 7.0 %" in said
    assert "looks in a row have passed, 3 are wanted" in said
    assert QUERY.replace('"', "&quot;") in said
    assert f"python manage.py recheck {drill.pk}" in said
    rows = said.split('aria-label="Looks: Negative feedback')[1].split("</table>")[0]
    assert rows.count("<tr>") - 1 == rows.count(" s</td>") > 0


def test_numbers_are_said_in_words_beside_their_names_and_the_query_can_be_copied(cast: Cast, drill: Execution) -> None:
    keep_verification(drill, second_attempt(drill), rate=0.2)
    said = panel_text(cast, drill)
    assert "p value of “no worse than the baseline”: small means shown to be worse" in said
    assert '<code class="small muted">p_worse</code>' in said
    assert '<dd class="wrap-anywhere">20.00 %</dd>' in said
    copied = re.search(r'<button type="button"[^>]* data-copy="([^"]+)" hidden>', said)
    assert copied is not None
    assert f'<code id="{copied[1]}">{QUERY.replace(chr(34), "&quot;")}' in said


@pytest.mark.parametrize("values", [{}, {"rate": 0.2}, {"requests_a_look": 3}, {"stuck": 4}])
def test_every_number_that_is_kept_has_words(values: dict[str, object], drill: Execution) -> None:
    keep_verification(drill, second_attempt(drill), **values)  # type: ignore[arg-type]
    names = {name for result in CheckResult.objects.filter(execution=drill, attempt__number=2) for name in result.numbers}
    assert len(names) > 30
    assert names - set(WORDS) == set()


def test_parts_of_a_check_and_units_are_said() -> None:
    rows = number_rows({"errors": {"rate": 0.02, "points": -0.001, "counter_resets": 1}, "clock_skew_seconds": 0.5, "lagging": [], "ratio_at_most": None})
    assert [(row.name, row.value) for row in rows] == [
        ("errors.rate", "2.00 %"),
        ("errors.points", "-0.10 percentage points"),
        ("errors.counter_resets", "1"),
        ("clock_skew_seconds", "0.50 s"),
        ("lagging", "–"),
        ("ratio_at_most", "–"),
    ]
    assert rows[0].words == "Errors: Their share of the requests"


def test_what_stands_in_the_way_comes_first_in_words(cast: Cast, drill: Execution) -> None:
    keep_verification(drill, second_attempt(drill), rate=0.2)
    said = panel_text(cast, drill)
    assert said.index("Negative feedback is back at the baseline") < said.index("Nothing goes to the bad version")
    assert "not shown to be within the margin" in said


@pytest.mark.parametrize(
    ("values", "word", "sentence"),
    [
        ({"rate": 0.2}, "Not back yet", "not shown to be within the margin"),
        ({"requests_a_look": 3}, "Not enough seen yet", "more requests"),
        ({"errors": (11,)}, "Cannot be seen now", "did not answer within"),
        ({"stuck": 4}, "Not back yet", "still served"),
    ],
)
def test_state_while_it_goes_on_is_in_words(values: dict[str, object], word: str, sentence: str, cast: Cast, drill: Execution) -> None:
    attempt = second_attempt(drill)
    # The second attempt's course does not end by itself within so many looks.
    keep_verification(drill, attempt, ended=False, looks=12, **({"requests_a_look": 40} | values))  # type: ignore[arg-type]
    found = panel_of(Execution.objects.prefetch_related("attempts", "checks").get(pk=drill.pk))
    assert found is not None
    assert found.checks[0].look.word == word
    assert sentence in found.checks[0].sentence


def test_sessions_that_stick_are_said_on_top(cast: Cast, drill: Execution) -> None:
    assert keep_verification(drill, second_attempt(drill), stuck=4) == Verdict.FAILED
    said = panel_text(cast, drill)
    assert said.index("Nothing goes to the bad version") < said.index("Negative feedback is back at the baseline")
    assert "the gateways send it nothing, so something else holds clients there" in said


def test_verification_from_before_looks_were_kept_shows_what_there_is(cast: Cast, drill: Execution) -> None:
    said = panel_text(cast, drill)
    assert "got 0 of 60 requests" in said
    assert "recheck" not in said


def test_number_of_queries_does_not_grow_with_the_looks_and_long_ones_are_cut_and_say_so(cast: Cast, drill: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_verification(drill, second_attempt(drill), requests_a_look=3, looks=60)
    execution = Execution.objects.prefetch_related("attempts", "checks").get(pk=drill.pk)
    with CaptureQueriesContext(connection) as queries:
        whole = panel_of(execution)
    assert whole is not None
    assert (len(queries), whole.is_whole) == (1, True)
    assert whole.looks == 60
    monkeypatch.setattr(looks, "MOST_SAMPLES", 90)
    assert "Shown are its newest samples." in panel_text(cast, drill)


def test_execution_without_a_verification_has_no_panel(db: None) -> None:
    running = make_drill(RoutingPolicyFactory(), ago=dt.timedelta(seconds=9), running="drain")
    assert panel_of(Execution.objects.prefetch_related("attempts", "checks").get(pk=running.pk)) is None

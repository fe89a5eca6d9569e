"""A verification is judged again from what it kept: the same samples give the same verdict, and changed ones are named."""

from __future__ import annotations

import datetime as dt
import uuid
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from rollbackhub.common.errors import NotFound
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.recheck import recheck_execution
from rollbackhub.executions.enums import StepState
from rollbackhub.executions.models import CheckResult, Execution, Sample, StepAttempt
from tests.dashboard.world import make_drill
from tests.executions.verifications import keep_verification
from tests.factories.executions import StepAttemptFactory
from tests.factories.routing import RoutingPolicyFactory


@pytest.fixture
def drill(db: None) -> Execution:
    return make_drill(RoutingPolicyFactory(), ago=dt.timedelta(hours=1))


def verify_attempt(drill: Execution) -> StepAttempt:
    """A second attempt: the first has samples of another kind."""
    first = drill.attempts.get(key="verify")
    StepAttempt.objects.filter(pk=first.pk).update(state=StepState.INTERRUPTED)
    return StepAttemptFactory(execution=drill, position=first.position, key="verify", action="verify", segment="verify", number=2, started_at=first.ended_at)


def run(drill_id: object) -> tuple[int, str]:
    """Exit code and what was said."""
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("recheck", str(drill_id), stdout=out, stderr=out)
    return int(ended.value.code or 0), out.getvalue()


@pytest.mark.parametrize(("rate", "requests", "verdict"), [(0.02, 200, Verdict.PASSED), (0.2, 200, Verdict.FAILED), (0.02, 3, Verdict.INCONCLUSIVE)])
def test_verdict_from_the_kept_samples_is_the_one_that_was_recorded(drill: Execution, rate: float, requests: int, verdict: Verdict) -> None:
    assert keep_verification(drill, verify_attempt(drill), rate=rate, requests_a_look=requests) == verdict
    (again,) = recheck_execution(drill.pk)
    assert (again.agrees, again.differing) == (True, [])
    assert {outcome.name: outcome.verdict for outcome in again.outcomes}["negative_feedback"] == verdict
    code, said = run(drill.pk)
    assert code == 0
    assert "The same as recorded." in said


def test_look_that_says_what_its_samples_do_not_is_named(drill: Execution) -> None:
    """Samples cannot be changed by the application; one that was written wrongly is found."""
    attempt = verify_attempt(drill)
    keep_verification(drill, attempt, looks=8, rate=0.2)
    last = Sample.objects.filter(execution=drill, kind="look").order_by("-id")[0]
    forged = {**last.value["verdicts"], "negative_feedback": "passed"}
    Sample.objects.create(execution=drill, attempt=attempt, kind="look", source="checks", taken_at=last.taken_at, value={"verdicts": forged})
    (again,) = recheck_execution(drill.pk)
    assert not again.agrees
    number = Sample.objects.filter(execution=drill, kind="look").count()
    assert again.differing[0].startswith(f"look {number} at ")
    assert "negative_feedback was passed, and is failed" in again.differing[0]
    code, said = run(drill.pk)
    assert code == 1
    assert "NOT the same as recorded" in said


def test_verdict_that_was_changed_is_named(drill: Execution) -> None:
    keep_verification(drill, verify_attempt(drill), rate=0.2)
    CheckResult.objects.filter(execution=drill, check_name="negative_feedback").update(verdict=Verdict.PASSED)
    code, said = run(drill.pk)
    assert code == 1
    assert "Recorded otherwise: negative_feedback: passed" in said


def test_number_that_was_changed_is_named(drill: Execution) -> None:
    attempt = verify_attempt(drill)
    keep_verification(drill, attempt, rate=0.2)
    result = CheckResult.objects.get(attempt=attempt, check_name="negative_feedback")
    name, number = next((name, number) for name, number in result.numbers.items() if isinstance(number, int | float))
    CheckResult.objects.filter(pk=result.pk).update(numbers=result.numbers | {name: number + 1})
    code, said = run(drill.pk)
    assert code == 1
    assert "NOT the same as recorded" in said


def test_sentence_of_an_earlier_release_is_shown_and_is_no_difference(drill: Execution) -> None:
    attempt = verify_attempt(drill)
    keep_verification(drill, attempt)
    CheckResult.objects.filter(attempt=attempt, check_name="negative_feedback").update(sentence="As it was said then.")
    code, said = run(drill.pk)
    assert code == 0
    assert "Recorded in other words: negative_feedback: passed. As it was said then." in said
    assert "  The same as recorded." in said


def test_nothing_kept_or_no_such_execution_is_2_and_says_so(drill: Execution) -> None:
    code, said = run(drill.pk)
    assert code == 2
    assert "kept no looks" in said
    with pytest.raises(NotFound):
        recheck_execution(uuid.uuid4())
    with pytest.raises(CommandError) as refused:
        call_command("recheck", str(uuid.uuid4()))
    assert refused.value.returncode == 2


def test_rechecking_writes_nothing(drill: Execution) -> None:
    keep_verification(drill, verify_attempt(drill))
    before = list(Sample.objects.order_by("id").values_list("id", flat=True)), list(CheckResult.objects.order_by("id").values())
    run(drill.pk)
    assert before == (list(Sample.objects.order_by("id").values_list("id", flat=True)), list(CheckResult.objects.order_by("id").values()))

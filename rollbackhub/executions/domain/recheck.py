"""Judge a verification again from what it kept, and compare: the same samples must give the same verdicts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rollbackhub.common.errors import NotFound
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.actions import parse_params
from rollbackhub.executions.actions.run_job import RunJob
from rollbackhub.executions.actions.verify import Verify, VerifyParams
from rollbackhub.executions.actions.verify_served import VerifyServed, VerifyServedParams
from rollbackhub.executions.domain.looks import begin_looks, checks_of, feed
from rollbackhub.executions.models import CheckResult, Execution, Sample, StepAttempt
from rollbackhub.verification.course import Course
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.looking import evaluate
from rollbackhub.verification.served import ServedCourse, judge_consumers, judge_job, judge_observed


@dataclass(frozen=True, slots=True)
class Rechecked:
    """One attempt of a step that verifies, judged again."""

    attempt: StepAttempt
    looks: int
    differing: list[str]
    """Each look whose verdicts are others than those that were kept, in words; empty: all are the same."""
    outcomes: list[CheckOutcome]
    """At the last look."""
    kept: list[CheckResult]
    """What was recorded at the end of the attempt; empty when it did not come to its end."""
    verdict: Verdict | None
    """How it ended by these looks; None: it had not ended."""

    @property
    def agrees(self) -> bool:
        """Whether every verdict and every number is as it was recorded. Sentences may be worded anew by a later release; their numbers may not."""
        names = {outcome.name for outcome in self.outcomes}
        return not self.differing and not self.otherwise and (not self.kept or {result.check_name for result in self.kept} == names)

    @property
    def otherwise(self) -> list[CheckResult]:
        """What was recorded otherwise than it is judged now."""
        return [result for result, now in self._beside() if now is None or not _same(result, now)]

    @property
    def reworded(self) -> list[CheckResult]:
        """What was recorded in other words than those of today, and is the same."""
        return [result for result, now in self._beside() if now is not None and now.sentence != result.sentence and _same(result, now)]

    def _beside(self) -> list[tuple[CheckResult, CheckOutcome | None]]:
        again = {outcome.name: outcome for outcome in self.outcomes}
        return [(result, again.get(result.check_name)) for result in self.kept]


def _same(recorded: CheckResult, again: CheckOutcome) -> bool:
    """The verdict, the numbers that both have, and every number of the recorded sentence."""
    now = json.loads(json.dumps(again.numbers))
    kept = all(recorded.numbers[key] == now[key] for key in recorded.numbers.keys() & now.keys())
    return recorded.verdict == again.verdict and kept and _numbers_of(recorded.sentence) <= _numbers_of(again.sentence)


def _numbers_of(sentence: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)?", sentence))


@dataclass(frozen=True, slots=True)
class NotKept:
    """An attempt that passed and kept no looks: it is from before they were kept, and its verdict cannot be recomputed."""

    attempt: StepAttempt
    kept: list[CheckResult]


def recheck_execution(execution_id: UUID) -> list[Rechecked]:
    """Every attempt of every step that verified, or had a job done, in order. Reads only. Raises NotFound.

    Attempts from before looks were kept have none, and are left out: see `list_not_kept`.
    """
    execution, steps = _steps_of(execution_id)
    attempts = execution.attempts.filter(key__in=steps).order_by("position", "number")
    found = [_RECHECKS[steps[attempt.key]["action"]](execution, attempt, steps[attempt.key].get("params") or {}) for attempt in attempts]
    return [rechecked for rechecked in found if rechecked.looks]


def list_not_kept(execution_id: UUID) -> list[NotKept]:
    """What passed and cannot be recomputed, in order. Raises NotFound."""
    execution, steps = _steps_of(execution_id)
    with_looks = Sample.objects.filter(execution=execution, kind="look").values("attempt")
    attempts = execution.attempts.filter(key__in=steps, verdict=Verdict.PASSED).exclude(pk__in=with_looks).order_by("position", "number")
    return [
        NotKept(attempt, list(CheckResult.objects.filter(attempt=attempt).order_by("id")))
        for attempt in attempts
        if steps[attempt.key]["action"] != RunJob.name or Sample.objects.filter(attempt=attempt, kind="job").exists()
    ]


def _steps_of(execution_id: UUID) -> tuple[Execution, dict[str, Any]]:
    execution = Execution.objects.filter(pk=execution_id).first()
    if execution is None:
        raise NotFound("There is no such execution.", code="execution_not_found")
    return execution, {step["key"]: step for step in execution.plan["steps"] if step["action"] in _RECHECKS}


class _Comparing:
    """Looks that are judged again, one after the other."""

    def __init__(self) -> None:
        self.count = 0
        self.differing: list[str] = []

    def take(self, sample: Sample, outcomes: Sequence[CheckOutcome]) -> None:
        """Compare what the look said then with what it says now."""
        self.count += 1
        for outcome in outcomes:
            kept = sample.value["verdicts"].get(outcome.name)
            if kept != outcome.verdict:
                at = f"look {self.count} at {sample.taken_at:%H:%M:%S.%f} UTC"
                self.differing.append(f"{at}: {outcome.name} was {kept}, and is {outcome.verdict} ({outcome.sentence})")


def _recheck(execution: Execution, attempt: StepAttempt, params: dict[str, object]) -> Rechecked:
    parsed = parse_params(action=Verify.name, params=params)
    assert isinstance(parsed, VerifyParams)
    checks = checks_of(execution.plan, parsed.model_dump())
    looks = begin_looks(execution, attempt, of_fix=parsed.versions == "fix")
    course, comparing, verdict = Course(checks, span_seconds=parsed.window_seconds), _Comparing(), None
    for sample in Sample.objects.filter(attempt=attempt).order_by("id").iterator():
        if sample.kind != "look":
            feed(looks, kind=sample.kind, value=sample.value, taken_at=sample.taken_at)
            continue
        outcomes = [evaluate(check, looks) for check in checks]
        verdict = course.take(outcomes, at=sample.taken_at)
        comparing.take(sample, outcomes)
    return Rechecked(attempt, comparing.count, comparing.differing, course.outcomes, _results(attempt), verdict)


def _recheck_served(execution: Execution, attempt: StepAttempt, params: dict[str, object]) -> Rechecked:
    parsed = parse_params(action=VerifyServed.name, params=params)
    assert isinstance(parsed, VerifyServedParams)
    course, comparing, verdict = ServedCourse(parsed.consecutive, span_seconds=parsed.window_seconds), _Comparing(), None
    outcomes: list[CheckOutcome] = []
    over = False
    for sample in Sample.objects.filter(attempt=attempt).order_by("id").iterator():
        if sample.kind == "observed":
            outcomes = [judge_observed(sample.source, sample.value)]
            over = bool(sample.value.get("failed") or sample.value.get("final"))
        elif sample.kind == "consumers" and "said" in sample.value:
            outcomes.append(judge_consumers(sample.value))
        elif sample.kind == "look":
            verdict = course.take(outcomes, at=sample.taken_at, final=over)
            comparing.take(sample, outcomes)
    return Rechecked(attempt, comparing.count, comparing.differing, course.outcomes, _results(attempt), verdict)


def _recheck_job(execution: Execution, attempt: StepAttempt, params: dict[str, object]) -> Rechecked:
    comparing, last, outcomes = _Comparing(), None, []
    for sample in Sample.objects.filter(attempt=attempt, kind__in=("job", "look")).order_by("id").iterator():
        if sample.kind == "job":
            last = sample.value
        elif last is not None:
            outcomes = [judge_job(last, names=sample.value["names"], label=sample.value["version"])]
            comparing.take(sample, outcomes)
    return Rechecked(attempt, comparing.count, comparing.differing, outcomes, _results(attempt), outcomes[0].verdict if outcomes else None)


def _results(attempt: StepAttempt) -> list[CheckResult]:
    return list(CheckResult.objects.filter(attempt=attempt).order_by("id"))


_RECHECKS: dict[str, Callable[[Execution, StepAttempt, dict[str, object]], Rechecked]] = {
    Verify.name: _recheck,
    VerifyServed.name: _recheck_served,
    RunJob.name: _recheck_job,
}

"""Judge a verification again from what it kept, and compare: the same samples must give the same verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from rollbackhub.common.errors import NotFound
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.actions import parse_params
from rollbackhub.executions.actions.verify import Verify, VerifyParams
from rollbackhub.executions.domain.looks import begin_looks, checks_of, feed
from rollbackhub.executions.models import CheckResult, Execution, Sample, StepAttempt
from rollbackhub.verification.course import Course
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.looking import evaluate


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
        """Whether everything is as it was recorded, to the sentence."""
        recorded = {(result.check_name, result.verdict, result.sentence) for result in self.kept}
        again = {(outcome.name, str(outcome.verdict), outcome.sentence) for outcome in self.outcomes}
        return not self.differing and (not self.kept or recorded == again)


def recheck_execution(execution_id: UUID) -> list[Rechecked]:
    """Every attempt of every step that verified, in order. Reads only. Raises NotFound.

    Attempts from before looks were kept have none, and are left out.
    """
    execution = Execution.objects.filter(pk=execution_id).first()
    if execution is None:
        raise NotFound("There is no such execution.", code="execution_not_found")
    steps = {step["key"]: step for step in execution.plan["steps"] if step["action"] == Verify.name}
    attempts = execution.attempts.filter(key__in=steps).order_by("position", "number")
    found = [_recheck(execution, attempt, steps[attempt.key].get("params") or {}) for attempt in attempts]
    return [rechecked for rechecked in found if rechecked.looks]


def _recheck(execution: Execution, attempt: StepAttempt, params: dict[str, object]) -> Rechecked:
    parsed = parse_params(action=Verify.name, params=params)
    assert isinstance(parsed, VerifyParams)
    checks = checks_of(execution.plan, parsed.model_dump())
    looks = begin_looks(execution, attempt, of_fix=parsed.versions == "fix")
    course = Course(checks, span_seconds=parsed.window_seconds)
    count, differing, verdict = 0, [], None
    for sample in Sample.objects.filter(attempt=attempt).order_by("id").iterator():
        if sample.kind != "look":
            feed(looks, kind=sample.kind, value=sample.value, taken_at=sample.taken_at)
            continue
        count += 1
        outcomes = [evaluate(check, looks) for check in checks]
        verdict = course.take(outcomes, at=sample.taken_at)
        for outcome in outcomes:
            kept = sample.value["verdicts"].get(outcome.name)
            if kept != outcome.verdict:
                differing.append(f"look {count} at {sample.taken_at:%H:%M:%S.%f} UTC: {outcome.name} was {kept}, and is {outcome.verdict} ({outcome.sentence})")
    kept_results = list(CheckResult.objects.filter(attempt=attempt).order_by("id"))
    return Rechecked(attempt, count, differing, course.outcomes, kept_results, verdict)

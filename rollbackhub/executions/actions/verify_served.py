"""Verify by observing what is served, several looks in a row: the system's state, and what each consumer says that it uses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.mechanism import Observation, ProblemFound, Share
from rollbackhub.executions.actions.await_observed import as_sample, gave_up, no_mechanism, refused
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.consumers import ask_consumers
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.domain.mechanisms import BoundMechanism
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.served import CONSUMERS, SERVED, ServedCourse, judge_consumers, judge_observed, said_at

WHAT = {SERVED: "what is served", CONSUMERS: "what the consumers use"}


class VerifyServedParams(Params):
    """How many looks in a row must pass and over how many seconds; the limit in seconds."""

    consecutive: int = Field(default=3, ge=1, le=100)
    window_seconds: float = Field(default=0, ge=0, le=3600)
    limit_seconds: float = Field(default=60, gt=0, le=86400)
    interval_seconds: float = Field(default=0.5, gt=0, le=60)


class VerifyServed(Action):
    """A look that cannot be taken is no pass: it starts the count anew, and at the end it is an `error`."""

    name = "verify_served"
    promise = Promise.READ_ONLY
    params_type = VerifyServedParams

    def run(self, context: StepContext, params: VerifyServedParams) -> StepOutcome:
        """Passed when every check passed at `consecutive` looks in a row; `at` is when the last of them did."""
        context.in_the_middle()
        moved_by = context.mechanism()
        if moved_by is None:
            return no_mechanism(context)
        wanted = moved_by.shares(context.wanted_now())
        course = ServedCourse(params.consecutive, span_seconds=params.window_seconds)
        while True:
            seen, problem, value = _look(context, moved_by, wanted)
            checks = [judge_observed(moved_by.name, value)]
            over = problem is not None or (seen is not None and bool(seen.failed))
            if moved_by.target.consumers and not over:
                checks.append(judge_consumers(ask_consumers(context, moved_by, wanted=moved_by.names_of(wanted)).kept))
            kept = context.keep_sample(kind="look", source="checks", value=said_at(checks))
            verdict = course.take(checks, at=kept.taken_at, final=over)
            if problem is not None:
                return replace(refused(problem), checks=tuple(checks))
            if seen is not None and seen.failed:
                return replace(gave_up(moved_by, seen), checks=tuple(checks))
            if verdict == Verdict.PASSED:
                said = " ".join(check.sentence for check in checks)
                return StepOutcome(Verdict.PASSED, f"{said} So at {course.passes} looks in a row.", at=kept.taken_at, checks=tuple(checks))
            if context.seconds_left(params.limit_seconds) <= 0:
                return _not_verified(checks, course.verdict)
            context.pause(params.interval_seconds)


def _look(context: StepContext, moved_by: BoundMechanism, wanted: list[Share]) -> tuple[Observation | None, ProblemFound | None, dict[str, Any]]:
    """What the system shows (None: it could not be read), the problem that another look would find again, and what was kept of it."""
    seen, problem = None, None
    try:
        seen = moved_by.mechanism.observe(target=moved_by.target, wanted=wanted)
        value = as_sample(seen)
    except ProblemFound as error:
        problem = error
        value = {"error": describe(error), "message": error.message, "final": True}
    except RollbackHubError as error:
        value = {"error": describe(error), "message": error.message}
    context.keep_sample(kind="observed", source=moved_by.name, value=value)
    return seen, problem, value


def _not_verified(checks: list[CheckOutcome], verdict: Verdict) -> StepOutcome:
    findings = [
        FindingDraft(FindingCode.NOT_RESTORED, WHAT[check.name], "the good version, everywhere", check.sentence, "Look at what still uses another version.")
        for check in checks
        if check.verdict == Verdict.FAILED
    ]
    findings += [
        FindingDraft(FindingCode.UNREACHABLE, WHAT[check.name], "an answer", check.sentence, "See whether it runs and can be reached.")
        for check in checks
        if check.verdict == Verdict.ERROR
    ]
    message = " ".join(check.sentence for check in checks if check.verdict != Verdict.PASSED)
    return StepOutcome(verdict, message, findings=tuple(findings), checks=tuple(checks))

"""Verify by observing what is served, several looks in a row: the system's state, and what each consumer says that it uses."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.verdict import Verdict, combine
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

SERVED, CONSUMERS = "served_version", "consumers"
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
        passes, since = 0, clock.now()
        while True:
            try:
                seen, served = _look(context, moved_by, wanted)
            except ProblemFound as error:
                return refused(error)
            if seen is not None and seen.failed:
                return replace(gave_up(moved_by, seen), checks=(served,))
            checks = [served, *_check_consumers(context, moved_by, wanted)]
            verdict = combine(check.verdict for check in checks)
            at = clock.now()
            passes, since = (passes + 1, since if passes else at) if verdict == Verdict.PASSED else (0, at)
            if passes >= params.consecutive and (at - since).total_seconds() >= params.window_seconds:
                said = " ".join(check.sentence for check in checks)
                return StepOutcome(Verdict.PASSED, f"{said} So at {passes} looks in a row.", at=at, checks=tuple(checks))
            if context.seconds_left(params.limit_seconds) <= 0:
                return _not_verified(checks, verdict)
            context.pause(params.interval_seconds)


def _look(context: StepContext, moved_by: BoundMechanism, wanted: list[Share]) -> tuple[Observation | None, CheckOutcome]:
    """What the system shows (None: it could not be read), and what that says. Raises ProblemFound, which another look would find again."""
    try:
        seen = moved_by.mechanism.observe(target=moved_by.target, wanted=wanted)
    except RollbackHubError as error:
        context.keep_sample(kind="observed", source=moved_by.name, value={"error": describe(error)})
        if isinstance(error, ProblemFound):
            raise
        return None, CheckOutcome(SERVED, Verdict.ERROR, f"{moved_by.name} could not be read: {error.message}")
    context.keep_sample(kind="observed", source=moved_by.name, value=as_sample(seen))
    if seen.reached:
        return seen, CheckOutcome(SERVED, Verdict.PASSED, f"{moved_by.name} shows {seen.found}.")
    return seen, CheckOutcome(SERVED, Verdict.FAILED, f"{moved_by.name} shows {seen.found}, not {seen.expected}.")


def _check_consumers(context: StepContext, moved_by: BoundMechanism, wanted: list[Share]) -> list[CheckOutcome]:
    if not moved_by.target.consumers:
        return []
    look = ask_consumers(context, moved_by, wanted=moved_by.names_of(wanted))
    verdict = Verdict.PASSED if look.all_right else Verdict.FAILED if look.wrong else Verdict.ERROR
    numbers = {"asked": len(moved_by.target.consumers), "right": len(look.answers) - len(look.wrong)}
    return [CheckOutcome(CONSUMERS, verdict, f"{look.in_words}.", numbers)]


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

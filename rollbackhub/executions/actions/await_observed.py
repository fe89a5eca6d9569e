"""Wait until the system that was told shows it, and until nobody can still see what was there before."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.mechanism import Observation, ProblemFound
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.domain.mechanisms import BoundMechanism, to_finding
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft


class AwaitObservedParams(Params):
    """How long to wait, in seconds; `settle`: whether caches of consumers that nobody observes are waited out."""

    limit_seconds: float = Field(default=300, gt=0, le=86400)
    interval_seconds: float = Field(default=0.3, gt=0, le=60)
    settle: bool = True


class AwaitObserved(Action):
    """Reads the system anew at each look; a look that fails is kept and tried again while there is time."""

    name = "await_observed"
    promise = Promise.READ_ONLY
    params_type = AwaitObservedParams

    def run(self, context: StepContext, params: AwaitObservedParams) -> StepOutcome:
        """Passed when the system shows what this execution has written last, and its caches are over."""
        context.in_the_middle()
        moved_by = context.mechanism()
        if moved_by is None:
            return no_mechanism(context)
        if context.nothing_to_put_back:
            return StepOutcome(Verdict.PASSED, f"Nothing was changed: {moved_by.name} is as it was.", at=clock.now())
        wanted = moved_by.shares(context.wanted_now())
        kept: dict[str, Any] | None = None
        while True:
            seen: Observation | None = None
            problem: RollbackHubError | None = None
            try:
                seen = moved_by.mechanism.observe(target=moved_by.target, wanted=wanted)
                value = as_sample(seen)
            except RollbackHubError as error:
                problem, value = error, {"error": describe(error)}
            if value != kept:
                kept = value
                context.keep_sample(kind="observed", source=moved_by.name, value=value)
            if seen is not None and seen.reached:
                return self._settled(context, moved_by, params, found=seen.found)
            if seen is not None and seen.failed:
                return gave_up(moved_by, seen)
            if isinstance(problem, ProblemFound):
                return refused(problem)
            if context.seconds_left(params.limit_seconds) <= 0:
                return _too_late(moved_by, problem, seen, limit_seconds=params.limit_seconds)
            context.pause(params.interval_seconds)

    @staticmethod
    def _settled(context: StepContext, moved_by: BoundMechanism, params: AwaitObservedParams, *, found: str) -> StepOutcome:
        """Wait until the last cache that may hold the old version is over, unless consumers are asked themselves."""
        observed_at = clock.now()
        bound = moved_by.mechanism.settle_seconds(target=moved_by.target)
        if not params.settle or not bound or moved_by.target.consumers:
            return StepOutcome(Verdict.PASSED, f"{moved_by.name} shows {found}.", at=observed_at)
        own = context.last_own_revision()
        # Counted from the later of the write and this look: whoever read just before it holds the old version longest.
        written = observed_at if own is None else max(own.created_at, context.execution.executed_at or own.created_at)
        settled_at = written + dt.timedelta(seconds=bound)
        while (left := (settled_at - clock.now()).total_seconds()) > 0:
            context.pause(min(left, 5.0))
        message = f"{moved_by.name} shows {found}. Its clients keep what they have read for up to {bound:g} s: that was waited out."
        return StepOutcome(Verdict.PASSED, message, at=clock.now(), result={"settle_seconds": bound})


def no_mechanism(context: StepContext) -> StepOutcome:
    """The procedure is for another kind of alias."""
    finding = FindingDraft(
        FindingCode.CONFIG_MISMATCH,
        f"procedure of {context.plan['alias']}",
        "an alias that a mechanism moves",
        "one whose gateways take it from the hub",
        "Bind the alias to a connection, or give it a procedure for gateways.",
    )
    return StepOutcome(Verdict.FAILED, f"{context.plan['alias']} has no mechanism whose state could be read.", findings=(finding,))


def as_sample(seen: Observation) -> dict[str, Any]:
    """A look at the system, as it is kept."""
    value = {"reached": seen.reached, "expected": seen.expected, "found": seen.found, **seen.values}
    return value | {"failed": seen.failed} if seen.failed else value


def gave_up(moved_by: BoundMechanism, seen: Observation) -> StepOutcome:
    """The system says that it will not get there: nothing is gained by waiting until the step's time is over."""
    remedy = "See there why it failed, and have it done there again. Then retry this step."
    finding = FindingDraft(FindingCode.NOT_RESTORED, moved_by.name, seen.expected, seen.found, remedy)
    return StepOutcome(Verdict.FAILED, f"{moved_by.name} shows {seen.found}, not {seen.expected}. It will not get there by itself.", findings=(finding,))


def refused(error: ProblemFound) -> StepOutcome:
    """The system is not as it would have to be; another look would find the same."""
    return StepOutcome(Verdict.FAILED, error.message, findings=(to_finding(error.problem),))


def _too_late(moved_by: BoundMechanism, problem: RollbackHubError | None, seen: Observation | None, *, limit_seconds: float) -> StepOutcome:
    if seen is None:
        said = problem.message if problem is not None else "no answer"
        finding = FindingDraft(FindingCode.UNREACHABLE, moved_by.name, "an answer that shows its state", said, "See whether the system runs.")
        return StepOutcome(Verdict.ERROR, f"{moved_by.name} could not be read within {limit_seconds:g} s: {said}", findings=(finding,))
    expected = f"{seen.expected} within {limit_seconds:g} s"
    finding = FindingDraft(FindingCode.NOT_RESTORED, moved_by.name, expected, seen.found, "Look at the system: it was told, and shows something else.")
    return StepOutcome(Verdict.FAILED, f"{moved_by.name} shows {seen.found}, not {seen.expected}, after {limit_seconds:g} s.", findings=(finding,))

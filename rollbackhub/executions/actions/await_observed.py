"""Wait until the system that was told shows it, and until nobody can still see what was there before."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import Field

from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.mechanism import ProblemFound
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
        problem: RollbackHubError | None = None
        while True:
            expected, found, reached = "", "", False
            try:
                seen = moved_by.mechanism.observe(target=moved_by.target, wanted=wanted)
                value = {"reached": seen.reached, "expected": seen.expected, "found": seen.found, **seen.values}
                expected, found, reached, problem = seen.expected, seen.found, seen.reached, None
            except RollbackHubError as error:
                problem, value = error, {"error": describe(error)}
            if value != kept:
                kept = value
                context.keep_sample(kind="observed", source=moved_by.name, value=value)
            if reached:
                return self._settled(context, moved_by, params, found=found)
            if isinstance(problem, ProblemFound):
                return StepOutcome(Verdict.FAILED, problem.message, findings=(to_finding(problem.problem),))
            if context.seconds_left(params.limit_seconds) <= 0:
                return _too_late(moved_by, problem, expected=expected, found=found, limit_seconds=params.limit_seconds)
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


def _too_late(moved_by: BoundMechanism, problem: RollbackHubError | None, *, expected: str, found: str, limit_seconds: float) -> StepOutcome:
    if problem is not None:
        finding = FindingDraft(FindingCode.UNREACHABLE, moved_by.name, "an answer that shows its state", problem.message, "See whether the system runs.")
        return StepOutcome(Verdict.ERROR, f"{moved_by.name} could not be read within {limit_seconds:g} s: {problem.message}", findings=(finding,))
    finding = FindingDraft(
        FindingCode.NOT_RESTORED, moved_by.name, f"{expected} within {limit_seconds:g} s", found, "Look at the system: it was told, and shows something else."
    )
    return StepOutcome(Verdict.FAILED, f"{moved_by.name} shows {found}, not {expected}, after {limit_seconds:g} s.", findings=(finding,))

"""Wait until the system that was told shows it, and until nobody can still see what was there before."""

from __future__ import annotations

import datetime as dt
import math
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
        waited: float | None = None
        while True:
            seen: Observation | None = None
            problem: RollbackHubError | None = None
            try:
                seen = moved_by.mechanism.observe(target=moved_by.target, wanted=wanted)
                value = as_sample(seen)
            except RollbackHubError as error:
                problem, value = error, {"error": describe(error)}
            # The look after the wait is the one that counts: it is kept also when it shows what the one before it did.
            if value != kept or waited is not None:
                kept = value
                context.keep_sample(kind="observed", source=moved_by.name, value=value)
            if seen is not None and seen.reached:
                if waited is None and (bound := _cache_seconds(moved_by, params)):
                    waited = _wait_out(context, moved_by, bound=bound, found=seen.found)
                    continue
                return _reached(moved_by, seen, params)
            if seen is not None and seen.failed:
                return gave_up(moved_by, seen)
            if isinstance(problem, ProblemFound):
                return refused(problem)
            if seen is not None and waited is not None:
                return _moved_meanwhile(moved_by, seen)
            if context.seconds_left(params.limit_seconds + (waited or 0.0)) <= 0:
                return _too_late(moved_by, problem, seen, limit_seconds=params.limit_seconds)
            context.pause(params.interval_seconds)


def _cache_seconds(moved_by: BoundMechanism, params: AwaitObservedParams) -> float:
    """For how long caches that nobody observes have to be waited out; 0 when consumers are asked themselves."""
    return moved_by.mechanism.settle_seconds(target=moved_by.target) if params.settle and not moved_by.target.consumers else 0.0


def _wait_out(context: StepContext, moved_by: BoundMechanism, *, bound: float, found: str) -> float:
    """Wait until the last cache that may hold the old version is over, and say so meanwhile. Returns the seconds waited."""
    began = clock.now()
    own = context.last_own_revision()
    # Counted from the write: whoever read just before it holds the old version longest.
    written = began if own is None else max(own.created_at, context.execution.executed_at or own.created_at)
    settled_at = written + dt.timedelta(seconds=bound)
    if (left := (settled_at - began).total_seconds()) > 0:
        cache = f"Its clients keep what they have read for up to {bound:g} s"
        context.say(f"{moved_by.name} shows {found}. {cache}: waiting {math.ceil(left)} s for that to be over, then looking once more.")
    while (left := (settled_at - clock.now()).total_seconds()) > 0:
        context.pause(min(left, 5.0))
    return (clock.now() - began).total_seconds()


def _reached(moved_by: BoundMechanism, seen: Observation, params: AwaitObservedParams) -> StepOutcome:
    bound = _cache_seconds(moved_by, params)
    if not bound:
        return StepOutcome(Verdict.PASSED, f"{moved_by.name} shows {seen.found}.", at=clock.now())
    message = f"{moved_by.name} shows {seen.found}, also after its clients' caches: they keep what they have read for up to {bound:g} s, which was waited out."
    return StepOutcome(Verdict.PASSED, message, at=clock.now(), result={"settle_seconds": bound})


def _moved_meanwhile(moved_by: BoundMechanism, seen: Observation) -> StepOutcome:
    """It stood as wanted before the wait, so somebody or something else has changed it."""
    remedy = "Find out who or what changed it there, then retry this step."
    finding = FindingDraft(FindingCode.FLAG_MOVED, moved_by.name, seen.expected, seen.found, remedy)
    message = f"{moved_by.name} showed {seen.expected}, and {seen.found} once its clients' caches had been waited out: it was changed meanwhile."
    return StepOutcome(Verdict.FAILED, message, findings=(finding,))


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

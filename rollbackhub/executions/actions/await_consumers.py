"""Wait until everything that uses the version says that it uses the good one."""

from __future__ import annotations

from pydantic import Field

from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.connectors.mechanism import Observation, Share
from rollbackhub.executions.actions.await_observed import as_sample, gave_up, no_mechanism
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.consumers import Look, ask_consumers
from rollbackhub.executions.domain.context import StepContext, describe
from rollbackhub.executions.domain.mechanisms import BoundMechanism
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft


class AwaitConsumersParams(Params):
    """Looks in a row that must all be right; the limit in seconds."""

    consecutive: int = Field(default=2, ge=1, le=100)
    limit_seconds: float = Field(default=600, gt=0, le=86400)
    interval_seconds: float = Field(default=0.5, gt=0, le=60)


class AwaitConsumers(Action):
    """Asks each consumer of the target. Without any, the system's own state, whose caches were waited out, is all that can be seen."""

    name = "await_consumers"
    promise = Promise.READ_ONLY
    params_type = AwaitConsumersParams

    def run(self, context: StepContext, params: AwaitConsumersParams) -> StepOutcome:
        """Passed when all are right; `at` is the first of the looks in a row that saw it so."""
        context.in_the_middle()
        moved_by = context.mechanism()
        if moved_by is None:
            return no_mechanism(context)
        if context.nothing_to_put_back:
            return StepOutcome(Verdict.PASSED, "Nothing was changed: what uses it was not touched.", at=clock.now())
        if not moved_by.target.consumers:
            message = f"Nothing that uses {context.plan['alias']} can be asked: what {moved_by.name} shows is what counts."
            return StepOutcome(Verdict.PASSED, message, at=clock.now(), result={"consumers": 0})
        shares = moved_by.shares(context.wanted_now())
        wanted = moved_by.names_of(shares)
        right, since = 0, clock.now()
        while True:
            at = clock.now()
            look = ask_consumers(context, moved_by, wanted=wanted)
            right, since = (right + 1, since if right else at) if look.all_right else (0, at)
            if right >= params.consecutive:
                return StepOutcome(Verdict.PASSED, f"{look.in_words}.", at=since, result={"consumers": len(look.answers)})
            failure = None if look.all_right else _failure(context, moved_by, shares)
            if failure is not None:
                return gave_up(moved_by, failure)
            if context.seconds_left(params.limit_seconds) <= 0:
                return _not_all(look, params.limit_seconds)
            context.pause(params.interval_seconds)


def _failure(context: StepContext, moved_by: BoundMechanism, shares: list[Share]) -> Observation | None:
    """What the system shows, when it says that the version will not come up: then its consumers will never use it."""
    if not moved_by.mechanism.may_give_up:
        return None
    try:
        seen = moved_by.mechanism.observe(target=moved_by.target, wanted=shares)
    except RollbackHubError as error:
        # A system that cannot be read has not said that it gave up: the consumers decide.
        context.keep_sample(kind="observed", source=moved_by.name, value={"error": describe(error)})
        return None
    if not seen.failed:
        return None
    context.keep_sample(kind="observed", source=moved_by.name, value=as_sample(seen))
    return seen


def _not_all(look: Look, limit_seconds: float) -> StepOutcome:
    findings = [
        FindingDraft(FindingCode.NOT_RESTORED, url, f"the good version within {limit_seconds:g} s", version, "See why it still uses another version.")
        for url, version in look.wrong.items()
    ]
    expected = "an answer that names its version"
    findings += [FindingDraft(FindingCode.UNREACHABLE, url, expected, why, "See whether it runs.") for url, why in look.errors.items()]
    verdict = Verdict.FAILED if look.wrong else Verdict.ERROR
    return StepOutcome(verdict, f"Not after {limit_seconds:g} s: {look.in_words}.", findings=tuple(findings))

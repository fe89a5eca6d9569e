"""Put the policy back to the weights that it had when the execution was requested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.actions.set_weights import promise_of_mechanism, write_weights
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.owners import owner_of


class RestoreBefore(Action):
    """Nothing to do when the execution changed nothing; never overwrites somebody else's change."""

    name = "restore_before"
    promise = Promise.CAS
    params_type = Params

    def promise_in(self, plan: Mapping[str, Any], params: Any) -> Promise:
        """The mechanism's, when there is one."""
        return promise_of_mechanism(plan)

    def run(self, context: StepContext, params: Params) -> StepOutcome:
        """Append the old weights, then read the policy back."""
        if context.last_own_revision() is None:
            return StepOutcome(Verdict.PASSED, "Nothing had been changed, so nothing had to be put back.")
        context.in_the_middle()
        reason = f"{owner_of(context.execution).reference(context.execution)}: put back as it was"
        return write_weights(context, wanted=context.candidates("before"), reason=reason)

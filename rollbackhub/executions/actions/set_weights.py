"""Write the weights of the plan as the policy's next revision."""

from __future__ import annotations

from pydantic import Field

from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.claims import ENGINE
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.owners import owner_of
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec


class SetWeightsParams(Params):
    """Which of the plan's weights."""

    to: str = Field(pattern=r"^(canary|rolled_back|forward_[1-9])$")


class SetWeights(Action):
    """Compare-and-set on the revision; the same step twice writes once."""

    name = "set_weights"
    promise = Promise.CAS
    params_type = SetWeightsParams

    def run(self, context: StepContext, params: SetWeightsParams) -> StepOutcome:
        """Append the revision, then read the policy back."""
        wanted = [CandidateSpec.from_dict(values) for values in context.plan[f"weights_{params.to}"]]
        reason = f"{owner_of(context.execution).reference(context.execution)}: {params.to.replace('_', ' ')}"
        return write_weights(context, wanted=wanted, reason=reason)


def write_weights(context: StepContext, *, wanted: list[CandidateSpec], reason: str) -> StepOutcome:
    """Make `wanted` the policy's present weights, unless somebody else changed the policy meanwhile; then observe it."""
    alias = context.plan["alias"]
    try:
        with context.fenced():
            revision = _append(context, wanted=wanted, reason=reason)
    except Conflict as conflict:
        return _moved(context, f"revision {conflict.extra.get('current_revision', '?')}, written by somebody else")
    except InvalidInput as error:
        finding = FindingDraft(
            FindingCode.TARGET_RETIRED, alias, "weights that can be set", error.message, "Register the version again, or choose another target."
        )
        return StepOutcome(Verdict.FAILED, error.message, findings=(finding,))
    context.in_the_middle()
    policy = RoutingPolicy.objects.get(pk=context.execution.policy_id)
    found = get_candidates(policy=policy)
    if found != wanted:
        return _moved(context, "; ".join(f"{candidate.candidate_id} {candidate.weight} %" for candidate in found))
    if revision is None:
        return StepOutcome(
            Verdict.PASSED, f"The weights of {alias} were so already (revision {policy.revision_number}).", result={"revision": policy.revision_number}
        )
    shares = ", ".join(f"{candidate.version_pin} {candidate.weight} %" for candidate in wanted)
    message = f"{alias} is at revision {revision.number}: {shares}."
    return StepOutcome(Verdict.PASSED, message, at=revision.created_at, result={"revision": revision.number, "routing_number": revision.routing_number})


def _append(context: StepContext, *, wanted: list[CandidateSpec], reason: str) -> PolicyRevision | None:
    """The revision that this step wrote, now or before; None when the policy needs no change."""
    written = PolicyRevision.objects.filter(effect_key=context.effect_key).first()
    if written is not None:
        return written
    policy = RoutingPolicy.objects.select_for_update(of=("self",)).get(pk=context.execution.policy_id)
    expected = context.expected_revision()
    if policy.revision_number == expected and get_candidates(policy=policy) == wanted:
        return None
    return append_revision(policy_id=policy.pk, expected_revision=expected, candidates=wanted, actor=ENGINE, reason=reason, effect_key=context.effect_key)


def _moved(context: StepContext, found: str) -> StepOutcome:
    finding = FindingDraft(
        FindingCode.CONFIG_MISMATCH,
        f"policy of {context.plan['alias']}",
        f"revision {context.expected_revision()}, as this execution left it",
        found,
        "Look at the policy's revisions: the change was not overwritten. Decide which weights are right.",
    )
    return StepOutcome(Verdict.FAILED, "The policy was changed by somebody else while this ran; their change was left as it is.", findings=(finding,))

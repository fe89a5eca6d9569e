"""Write the weights of the plan as the policy's next revision, and bring them to the system that serves by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError, TransientError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import PermissionMissing, Promise, connector_type
from rollbackhub.connectors.mechanism import ProblemFound
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain.claims import ENGINE
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.mechanisms import BoundMechanism, to_finding
from rollbackhub.executions.domain.owners import owner_of
from rollbackhub.executions.enums import FindingCode
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.deliveries import mark_delivered
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec


class SetWeightsParams(Params):
    """Which of the plan's weights."""

    to: str = Field(pattern=r"^(canary|rolled_back|forward_[1-9])$")


class SetWeights(Action):
    """Compare-and-set on the revision; the same step twice writes once. A mechanism is applied with the same key."""

    name = "set_weights"
    promise = Promise.CAS
    params_type = SetWeightsParams

    def promise_in(self, plan: Mapping[str, Any], params: Any) -> Promise:
        """The mechanism's, when there is one."""
        return promise_of_mechanism(plan)

    def run(self, context: StepContext, params: SetWeightsParams) -> StepOutcome:
        """Append the revision, then read the policy back."""
        wanted = context.candidates(params.to)
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
    mechanism = context.mechanism()
    if mechanism is not None:
        return _apply(context, mechanism, revision, wanted=wanted, reason=reason)
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


def promise_of_mechanism(plan: Mapping[str, Any]) -> Promise:
    """What the plan's mechanism promises; compare-and-set when gateways take the policy from the hub."""
    moved_by = plan.get("mechanism")
    if moved_by is None:
        return Promise.CAS
    kind = connector_type(moved_by["connector"])
    promise: Promise = kind(kind.parse_settings(plan["connections"][moved_by["connection"]])).promise  # type: ignore[attr-defined]
    return promise


def _apply(context: StepContext, mechanism: BoundMechanism, revision: PolicyRevision | None, *, wanted: list[CandidateSpec], reason: str) -> StepOutcome:
    """Bring the system to what the policy says now. The policy keeps what is wanted also when the system refuses: the finding says what stands there."""
    policy = RoutingPolicy.objects.get(pk=context.execution.policy_id)
    before = get_candidates(policy=policy, number=revision.number - 1) if revision else wanted
    label = owner_of(context.execution).reference(context.execution)
    context.before_effect()
    try:
        applied = mechanism.mechanism.apply(
            target=mechanism.target,
            before=mechanism.shares(before),
            wanted=mechanism.shares(wanted),
            key=context.effect_key,
            reason=f"{reason} (RollbackHub, {label}, requested by {context.execution.requested_by_label})",
        )
    except TransientError:
        raise
    except ProblemFound as error:
        return StepOutcome(Verdict.FAILED, f"{mechanism.name} did not take it: {error.message}", findings=(to_finding(error.problem),))
    except PermissionMissing as error:
        finding = FindingDraft(
            FindingCode.PERMISSION_MISSING, mechanism.name, "a system that lets RollbackHub change it", error.message, "Give RollbackHub the permission there."
        )
        return StepOutcome(Verdict.FAILED, f"{mechanism.name} refuses: {error.message}", findings=(finding,))
    except RollbackHubError as error:
        return StepOutcome(Verdict.ERROR, f"{mechanism.name}: {error.message}")
    context.in_the_middle()
    if revision is not None:
        with context.fenced():
            mark_delivered(policy_id=policy.pk, number=revision.number)
    shares = ", ".join(f"{candidate.version_pin} {candidate.weight} %" for candidate in wanted if candidate.weight > 0)
    told = f"{mechanism.name} was set" if applied.changed else f"{mechanism.name} stood so already"
    note = f" {applied.note}" if applied.note else ""
    result = {"changed": applied.changed, "native": applied.revision, **({"revision": revision.number} if revision else {})}
    return StepOutcome(Verdict.PASSED, f"{told}: {shares} ({applied.revision}).{note}", at=clock.now(), result=result)


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

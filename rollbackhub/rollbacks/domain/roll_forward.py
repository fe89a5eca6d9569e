"""The other way out: ship a fixed version on a fast track, in the bad version's place, watched at each stage by the same engine.

The fix takes over the bad version's candidates and, stage by stage, its weight (never more than that); the bad version has none from
the first stage on.
If the fix holds, the rollback is closed as rolled forward; if not, a rollback of the fix is one click away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, principal_of, require
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.common.shown_text import problem_of
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.owners import ExecutionOwner
from rollbackhub.executions.domain.path import describe_path
from rollbackhub.executions.domain.plan import Plan, build_plan
from rollbackhub.executions.domain.transitions import close_execution, start_execution
from rollbackhub.executions.enums import ExecutionKind, ExecutionState
from rollbackhub.executions.fingerprints import canonical_hash, fingerprint
from rollbackhub.executions.models import Execution
from rollbackhub.registry.domain.holds import describe_hold, held_among, start_hold
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.domain.authority import get_authority, may_start_alone
from rollbackhub.rollbacks.domain.changes import address_of, change_state, clean_reason, current_part, locked, require_person, wrong_state
from rollbackhub.rollbacks.domain.proposal import Target, propose_rollback
from rollbackhub.rollbacks.domain.transitions import authorise, create_request, refuse_unless_free
from rollbackhub.rollbacks.enums import AuthorisedBy, RollbackState, RollForwardState, Via
from rollbackhub.rollbacks.models import Rollback, RollForward
from rollbackhub.rollbacks.rules import plan_hash
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.rules import CandidateSpec

FORWARD = system_actor("rollbacks")

FAST_TRACK = (25, 100)
"""The shortened canary, in percent of the traffic; the full one of the chapter is 5/25/50/100 (prompt), 1/5/25/50/100 (model)."""

HOLD_LIMIT_SECONDS = 300
"""How long a stage may wait for enough requests at the fix."""

MAX_STAGES = 5

GATES: dict[str, str] = {
    "eval": "Eval gate: the fix passes the eval set",
    "feedback": "Feedback gate: enough user feedback at each canary step",
    "canary": "Full canary: 5/25/50/100 % (prompt), 1/5/25/50/100 % (model)",
    "review": "Review of the change by a second person",
    "rehearsal": "Rehearsed rollback path of the fix in staging",
}
"""The gates of an ordinary release. The fast track always skips the full canary."""


@dataclass(frozen=True, slots=True)
class SkippedGate:
    """A gate that a roll-forward skips: which, the name of who answers for it, and why."""

    gate: str
    name: str
    reason: str


def start_roll_forward(
    *,
    target: Target,
    fix_version: Version,
    account: User,
    actor: Actor,
    reason: str,
    skipped_gates: Sequence[SkippedGate],
    via: Via,
    percents: Sequence[int] = FAST_TRACK,
) -> RollForward:
    """Decide to ship a fix instead of rolling this alias back. It takes the authority that the rollback would take, alone.

    Raises Forbidden, InvalidInput (gates without name and reason, stages, the fix cannot serve), NotFound, Conflict `rollback_active`.
    """
    require(user=account, capability=Capability.ROLL_BACK)
    require_person(account=account, actor=actor, doing="Rolling forward")
    reason = clean_reason(reason)
    refuse_unless_free(target.policy)
    proposal = propose_rollback(targets=[target], account=account, going_back=False)
    if not proposal.alone:
        raise Forbidden(f"Rolling forward takes the same authority as rolling back: {proposal.authority.in_words}. Ask one of them.", code="not_authorised")
    gates = _checked_gates(skipped_gates)
    plan = forward_plan(rollback_plan=proposal.parts[0].plan, target=target, fix=fix_version, percents=percents)
    now = clock.now()
    try:
        with transaction.atomic():
            rollback = create_request(proposal, account=account, actor=actor, reason=reason, via=via, now=now)
            rollback.authorised_how, rollback.authorised_by, rollback.authorised_at = AuthorisedBy.OWN, principal_of(account), now
            rollback.expires_at = rollback.tell_next_at = None
            rollback.save(update_fields=["authorised_how", "authorised_by", "authorised_at", "expires_at", "tell_next_at"])
            rollback = change_state(
                rollback_id=rollback.pk,
                to=RollbackState.ROLLING_FORWARD,
                actor=actor,
                event="rollback.rolling_forward",
                data={"fix": fix_version.label, "skipped_gates": gates, "percents": list(percents)},
                outcome=f"Shipping {fix_version.label} in the place of {plan.bad_version.label}.",
            )
            execution = start_execution(
                kind=ExecutionKind.ROLL_FORWARD, policy=target.policy, plan=plan, actor=actor, user=principal_of(account), decided_at=now
            )
            return RollForward.objects.create(
                rollback=rollback,
                part=rollback.parts.get(),
                fix_version=fix_version,
                execution=execution,
                canary_percents=list(percents),
                skipped_gates=gates,
                reason=reason,
                started_by=principal_of(account),
            )
    except IntegrityError:
        refuse_unless_free(target.policy)
        raise


def roll_back_instead(*, rollback_id: UUID, account: User, actor: Actor) -> Rollback:
    """The fix does not hold: roll back after all, the fix now being the bad version. It takes the authority for that, alone.

    Raises NotFound, Forbidden, InvalidInput (nothing to go back to), Conflict `wrong_state`.
    """
    require(user=account, capability=Capability.ROLL_BACK)
    forward = RollForward.objects.select_related("execution", "fix_version").filter(rollback=rollback_id).order_by("-created_at").first()
    if forward is None:
        raise wrong_state(locked_now(rollback_id), "has no roll-forward to go back from")
    with transaction.atomic():
        if forward.execution.is_active:
            close_execution(execution_id=forward.execution_id, actor=actor, reason="rolled back instead")
        rollback = locked(rollback_id)
        if rollback.state != RollbackState.NEEDS_HUMAN or current_part(rollback).execution_id is not None:
            # Turned back already: from there it is a rollback that stopped, to be retried, put back or given up.
            raise wrong_state(rollback, "has no roll-forward that failed")
        part = rollback.parts.select_related("policy__environment", "policy__artefact").get()
        pins = {candidate.version_pin for candidate in get_candidates(policy=part.policy) if candidate.weight > 0}
        bad = forward.fix_version if forward.fix_version.label in pins else part.bad_version
        if bad.label not in pins:
            raise Conflict(
                f"Neither the fix nor {part.bad_version.label} has any weight: there is nothing to roll back. Close the rollback.", code="wrong_state"
            )
        plan = build_plan(policy=part.policy, kind=ExecutionKind.ROLLBACK, bad_version=bad)
        if bad != part.bad_version:
            start_hold(version=part.bad_version, rollback_id=rollback.pk, actor=actor)
        part.plan, part.fingerprint, part.procedure_version, part.bad_version = plan.content, plan.fingerprint, plan.procedure_version, bad
        part.save(update_fields=["plan", "fingerprint", "procedure_version", "bad_version"])
        authority = get_authority(change_types=[plan.content["change_type"]], parts=1, strategic=rollback.is_strategic)
        rollback.plan_hash = plan_hash([plan.content], strategic=rollback.is_strategic)
        rollback.plan_number += 1
        rollback.required_role, rollback.required_because = authority.role, authority.because
        # To roll back is decided now; that something is wrong has been known since the decision to roll forward at the latest.
        first_decided_at = rollback.decided_at
        rollback.detected_at = rollback.detected_at or first_decided_at
        rollback.decided_at = clock.now()
        rollback.save(update_fields=["plan_hash", "plan_number", "required_role", "required_because", "detected_at", "decided_at"])
        record(
            event="rollback.turned_back",
            actor=actor,
            subject_type="rollback",
            subject_id=rollback.pk,
            data={"bad_version": bad.label, "plan_hash": rollback.plan_hash, "first_decided_at": first_decided_at.isoformat()},
        )
        if not may_start_alone(account=account, authority=authority):
            raise Forbidden(f"Rolling back takes {authority.in_words}. Ask one of them to press it.", code="not_authorised")
        return authorise(rollback, how=AuthorisedBy.OWN, by=principal_of(account), actor=actor, at=clock.now())


def locked_now(rollback_id: UUID) -> Rollback:
    """The rollback as it is. Raises NotFound."""
    with transaction.atomic():
        return locked(rollback_id)


def forward_plan(*, rollback_plan: Plan, target: Target, fix: Version, percents: Sequence[int]) -> Plan:
    """The plan of a roll-forward: per stage the weights, then gateways, drain (once) and the fix's own feedback and latency.

    Raises InvalidInput.
    """
    _require_usable(fix, target=target, bad=rollback_plan.bad_version, percents=percents)
    before = get_candidates(policy=target.policy)
    # A canary of 25 % leaves one stage only: the fix gets no more than the bad version had.
    stages = preview_stages(before, bad=rollback_plan.bad_version.label, fix=fix.label, percents=percents)
    content: dict[str, Any] = {key: value for key, value in rollback_plan.content.items() if key not in ("weights_canary", "weights_rolled_back", "steps")}
    content |= {
        "fix_version": fix.label,
        "good_versions": [label for label in rollback_plan.content["good_versions"] if label != fix.label],
        "steps": _steps(len(stages)),
    }
    for number, stage in enumerate(stages, start=1):
        content[f"weights_forward_{number}"] = [candidate.as_dict() for candidate in stage]
    content["procedure"] = {"slug": "roll-forward", "version": 1, "hash": canonical_hash(content["steps"])}
    path = describe_path(policy=target.policy, candidates=stages[-1], targets=[fix], procedure=rollback_plan.procedure_version)
    return Plan(
        content=content,
        fingerprint=fingerprint({**path, "procedure": content["procedure"]}),
        procedure_version=rollback_plan.procedure_version,
        bad_version=rollback_plan.bad_version,
    )


def preview_stages(candidates: Sequence[CandidateSpec], *, bad: str, fix: str, percents: Sequence[int]) -> list[list[CandidateSpec]]:
    """The weights at each stage that would really run: what the cap makes alike is one stage. Pure."""
    every = [stage_weights(candidates, bad=bad, fix=fix, percent=percent) for percent in percents]
    return [stage for index, stage in enumerate(every) if stage not in every[:index]]


def stage_weights(candidates: Sequence[CandidateSpec], *, bad: str, fix: str, percent: int) -> list[CandidateSpec]:
    """The policy at a stage: the fix in the bad version's place with `percent` of the traffic at most, the rest with the others. Pure.

    The fix never gets more than the bad version had. Without any other version it takes all at once.
    """
    others = [index for index, candidate in enumerate(candidates) if candidate.version_pin != bad]
    total = sum(candidate.weight for candidate in candidates if candidate.version_pin == bad)
    mine = min(total, percent) if others else total
    weights = {index: candidates[index].weight for index in others}
    if others:
        largest = max(others, key=lambda index: (weights[index], -index))
        weights[largest] += total - mine
    left = mine
    bad_ones = [index for index, candidate in enumerate(candidates) if candidate.version_pin == bad]
    for index in bad_ones:
        share = left if index == bad_ones[-1] else min(left, round(mine * candidates[index].weight / total) if total else 0)
        weights[index] = share
        left -= share
    return [
        CandidateSpec(candidate.candidate_id, fix if candidate.version_pin == bad else candidate.version_pin, weights[index])
        for index, candidate in enumerate(candidates)
    ]


class RollForwardOwner(ExecutionOwner):
    """Executions that ship a fix."""

    def refusal(self, execution: Execution) -> str | None:
        """The requester's authority, again."""
        forward = RollForward.objects.select_related("rollback", "started_by").filter(execution=execution).first()
        if forward is None:
            return "no roll-forward has asked for it."
        authority = get_authority(change_types=[execution.change_type], parts=1, strategic=forward.rollback.is_strategic)
        if not may_start_alone(account=forward.started_by, authority=authority):
            return f"{forward.started_by} no longer has the authority for it."
        return None

    def state_changed(self, execution: Execution, *, before: str) -> None:
        """Held: the rollback closes as rolled forward. Stopped: it needs a person, who rolls back or retries."""
        forward = RollForward.objects.filter(execution=execution).first()
        if forward is None:
            return
        state = ExecutionState(execution.state)
        if state == ExecutionState.RUNNING:
            self._resume(forward)
        elif state == ExecutionState.NEEDS_HUMAN:
            self._end(forward, RollForwardState.FAILED, RollbackState.NEEDS_HUMAN, "rollback.fix_does_not_hold", execution.outcome)
        elif state == ExecutionState.CANCELLED:
            self._end(forward, RollForwardState.FAILED, RollbackState.CLOSED, "rollback.closed", execution.outcome)
        elif state == ExecutionState.FINISHED and execution.verdict == Verdict.PASSED:
            said = f"{forward.fix_version.label} holds: {execution.outcome}"
            self._end(forward, RollForwardState.HELD, RollbackState.ROLLED_FORWARD, "rollback.rolled_forward", said)
            start_hold(version=execution.bad_version, rollback_id=forward.rollback_id, actor=FORWARD)
        elif state == ExecutionState.FINISHED and forward.rollback.state == RollbackState.ROLLING_FORWARD:
            self._end(forward, RollForwardState.FAILED, RollbackState.NEEDS_HUMAN, "rollback.fix_does_not_hold", execution.outcome)

    def address(self, execution: Execution) -> str:
        """The rollback's page."""
        forward = RollForward.objects.select_related("rollback").filter(execution=execution).first()
        return address_of(forward.rollback) if forward else super().address(execution)

    @staticmethod
    def _resume(forward: RollForward) -> None:
        rollback = locked(forward.rollback_id)
        if rollback.state == RollbackState.NEEDS_HUMAN:
            RollForward.objects.filter(pk=forward.pk).update(state=RollForwardState.RUNNING, outcome="", ended_at=None)
            change_state(rollback_id=rollback.pk, to=RollbackState.ROLLING_FORWARD, actor=FORWARD, event="rollback.rolling_forward", outcome="")

    @staticmethod
    def _end(forward: RollForward, state: RollForwardState, to: RollbackState, event: str, outcome: str) -> None:
        rollback = locked(forward.rollback_id)
        RollForward.objects.filter(pk=forward.pk).update(state=state, outcome=outcome, ended_at=clock.now())
        if rollback.state != to:
            change_state(rollback_id=rollback.pk, to=to, actor=FORWARD, event=event, data={"fix": forward.fix_version.label}, outcome=outcome)


def failed_roll_forward(rollback: Rollback) -> RollForward | None:
    """The roll-forward whose fix does not hold and from which nobody has gone back yet."""
    forward = rollback.roll_forwards.select_related("fix_version", "execution").order_by("-created_at").first()
    waits = rollback.state == RollbackState.NEEDS_HUMAN and forward is not None and current_part(rollback).execution_id is None
    return forward if waits else None


def _steps(stages: int) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [_step("preflight", "Check the path", "preflight", "setup", {})]
    for number in range(1, stages + 1):
        steps += [
            _step(f"forward_{number}", f"Give the fix its weight, stage {number} of {stages}", "set_weights", "execute", {"to": f"forward_{number}"}),
            _step(f"gateways_{number}", f"Gateways take stage {number}", "await_gateways", "propagate", {}),
        ]
        if number == 1:
            steps.append(_step("drain", "The bad version's traffic drains", "await_drain", "drain", {}))
        segment = "verify" if number == stages else "setup"
        steps.append(_step(f"hold_{number}", f"The fix holds at stage {number}", "verify", segment, {"versions": "fix", "limit_seconds": HOLD_LIMIT_SECONDS}))
    return steps


def _step(key: str, title: str, action: str, segment: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": key,
        "title": title,
        "action": action,
        "params": dict(params),
        "segment": segment,
        "always": False,
        "undo": False,
        "starts_clock": False,
    }


def _checked_gates(skipped: Sequence[SkippedGate]) -> list[dict[str, str]]:
    fields: dict[str, list[str]] = {}
    for gate in skipped:
        if gate.gate not in GATES:
            fields.setdefault("skipped_gates", []).append(f"There is no gate {gate.gate}; there are {', '.join(GATES)}.")
        elif not gate.name.strip() or len(gate.reason.strip()) < 3:
            fields.setdefault(f"gate_{gate.gate}", []).append("A skipped gate needs the name of who answers for it, and a reason.")
        elif problem := problem_of(gate.name.strip()) or problem_of(gate.reason.strip()):
            fields.setdefault(f"gate_{gate.gate}", []).append(problem)
    names = [gate.gate for gate in skipped]
    if len(set(names)) < len(names):
        fields.setdefault("skipped_gates", []).append("A gate stands twice.")
    if "canary" not in names:
        fields.setdefault("gate_canary", []).append("The fast track shortens the canary: name who answers for that, and why.")
    if fields:
        raise InvalidInput(" ".join(sentence for found in fields.values() for sentence in found), code="gates_invalid", fields=fields)
    return [{"gate": gate.gate, "name": gate.name.strip()[:120], "reason": gate.reason.strip()[:500]} for gate in skipped]


def _require_usable(fix: Version, *, target: Target, bad: Version, percents: Sequence[int]) -> None:
    if target.policy.connection_id is not None:
        raise InvalidInput(
            f"{target.policy.alias} is not served by gateways, so a fix cannot take over a share of its traffic. Roll it back, and release the fix.",
            code="roll_forward_not_possible",
            fields={"fix_version": ["Roll back, and release the fix."]},
        )
    fields: dict[str, list[str]] = {}
    if fix.artefact_id != target.policy.artefact_id:
        fields["fix_version"] = [f"{fix.label} is not a version of {target.policy.artefact.slug}."]
    elif fix.pk == bad.pk:
        fields["fix_version"] = [f"{fix.label} is the bad version itself. Register the fixed version first, and choose that."]
    elif fix.lifecycle == Lifecycle.RETIRED:
        fields["fix_version"] = [f"{fix.label} is retired and cannot serve."]
    elif hold := held_among([fix]).get(fix.pk):
        raise InvalidInput(describe_hold(hold), code="version_held", fields={"fix_version": [describe_hold(hold)]})
    elif any(candidate.version_pin == fix.label for candidate in get_candidates(policy=target.policy)):
        fields["fix_version"] = [f"{fix.label} is in the policy already: it is no fix, it is what a rollback goes to."]
    if not 1 <= len(percents) <= MAX_STAGES or list(percents) != sorted(set(percents)) or percents[-1] != 100 or percents[0] < 1:
        fields["percents"] = [f"The stages are 1 to {MAX_STAGES} rising percents that end with 100, e.g. 25, 100."]
    if fields:
        raise InvalidInput(" ".join(sentence for found in fields.values() for sentence in found), code="roll_forward_invalid", fields=fields)

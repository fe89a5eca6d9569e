"""Rollbacks in every state for pages, each with the steps, samples, gateways and checks that the engine leaves."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import transaction

from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.clock import now
from rollbackhub.executions.enums import ExecutionState, FindingCode, Segment, StepState
from rollbackhub.executions.models import Execution, Sample
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.enums import RollbackState, RollForwardState
from rollbackhub.rollbacks.models import Rollback, RollbackPart
from tests.factories.accounts import UserFactory
from tests.factories.executions import CheckResultFactory, FindingFactory, SampleFactory, StepAttemptFactory
from tests.factories.registry import ArtefactFactory, EnvironmentFactory, VersionFactory
from tests.factories.rollbacks import ApprovalFactory, HeldTrafficFactory, RollbackFactory, RollbackPartFactory, RollForwardFactory, StabilityHoldFactory
from tests.factories.routing import BAD, GOOD, GatewayFactory, RoutingPolicyFactory

STEP_TIMES = {"preflight": (0.05, 0.15), "flip": (0.15, 0.2), "propagate": (0.2, 0.5), "drain": (0.5, 2.5), "verify": (2.5, 12.5)}
"""When each step of a rollback began and ended, in seconds from the decision."""

STOPPED_AT = {
    RollbackState.RUNNING: ("drain", StepState.STARTED),
    RollbackState.UNDOING: ("verify", StepState.FAILED),
    RollbackState.NEEDS_HUMAN: ("flip", StepState.FAILED),
    RollbackState.PARTIALLY_RESTORED: ("propagate", StepState.FAILED),
    RollbackState.RESTORED: ("verify", StepState.STARTED),
    RollbackState.VERIFICATION_FAILED: ("verify", StepState.FAILED),
    RollbackState.CANCELLED: ("", StepState.STARTED),
}
GATEWAYS = ("production-gateway-1", "production-gateway-2")


def make_rollback(state: str, *, alias: str = "", person: User | None = None, **values: Any) -> Rollback:
    """A rollback of one alias (`parts=2`: of two) in this state, detected three minutes before, with all its evidence."""
    state = RollbackState(state)
    environment = EnvironmentFactory(slug="production")
    alias = alias or f"{state.value.replace('_', '-')}-alias"
    for number, name in enumerate(GATEWAYS):
        GatewayFactory(environment=environment, node_id=name, applied_number=5 - number, applied_at=now())
    decided_at = values.pop("decided_at", now() - dt.timedelta(minutes=1))
    policy = _policy(environment, alias)
    trait = "awaiting" if state == RollbackState.AWAITING_APPROVAL else state.value
    requested_by = person or User.objects.filter(username="oncall").first() or UserFactory(username="oncall", first_name="Olga", last_name="Call")
    several = values.pop("parts", 1)
    rollback: Rollback = RollbackFactory(
        **{trait: True, "requested_by": requested_by, "decided_at": decided_at, "detected_at": decided_at - dt.timedelta(minutes=3), **values},
        parts=1,
        parts__policy=policy,
    )
    for position in range(1, several):
        RollbackPartFactory(rollback=rollback, position=position, policy=_policy(environment, f"{alias}-{position + 1}"), execution=None)
    for part in rollback.parts.select_related("execution"):
        if part.execution is not None:
            _evidence(part, state)
    if rollback.restored_at is not None:
        StabilityHoldFactory(version=rollback.parts.get(position=0).bad_version, rollback_id=rollback.pk, started_at=rollback.restored_at)
    Rollback.objects.filter(pk=rollback.pk).update(created_at=decided_at)
    with transaction.atomic():
        for event, data in (("rollback.requested", {"reason": rollback.reason}), (f"rollback.{state.value}", {"why": rollback.outcome})):
            record(event=event, actor=Actor(kind="person", label="Olga Call"), subject_type="rollback", subject_id=rollback.pk, data=data)
    return Rollback.objects.get(pk=rollback.pk)


def make_rollbacks() -> dict[str, Rollback]:
    """One for each state that looks different, and the special ones."""
    held: dict[str, Any] = {
        "exposure_observed": 412,
        "exposure_estimated": 9120,
        "exposure_basis": "412 requests counted by the gateways; about 9120 before, estimated.",
    }
    found = {
        "awaiting": make_rollback("awaiting_approval", alias="support-answer", parts=2, is_strategic=True),
        "running": make_rollback("running", alias="smart-summary", parts=2),
        "needs_human": make_rollback("needs_human"),
        "partially_restored": make_rollback("partially_restored", alias="smart-search"),
        "restored": make_rollback("restored"),
        "verification_failed": make_rollback("verification_failed", alias="smart-writer"),
        "verified": make_rollback("verified", alias="smart-coder", **held),
        "late": make_rollback("verified", alias="late-alias", target_seconds=2, break_glass=True),
        "closed": make_rollback("closed"),
        "rejected": make_rollback("rejected"),
        "undone": make_rollback("undone"),
        "rolling_forward": make_rollback("rolling_forward"),
        "rolled_forward": make_rollback("rolled_forward", alias="smart-fixer"),
    }
    ApprovalFactory(rollback=found["rejected"], decision="rejected", reason="Wait for the fix, it is minutes away.")
    RollForwardFactory(rollback=found["rolling_forward"])
    RollForwardFactory(rollback=found["rolled_forward"], state=RollForwardState.HELD, outcome="The fix holds at 100 %.", ended_at=now())
    HeldTrafficFactory(rollback=found["late"])
    return found


def _policy(environment: Environment, alias: str) -> Any:
    artefact = ArtefactFactory(slug=f"{alias}-model", name=alias.title())
    for label in (GOOD, BAD):
        VersionFactory(artefact=artefact, label=label)
    return RoutingPolicyFactory(environment=environment, alias=alias, artefact=artefact)


def _evidence(part: RollbackPart, state: RollbackState) -> None:
    execution = part.execution
    assert execution is not None
    start = part.rollback.decided_at
    last, how = STOPPED_AT.get(state, ("verify", StepState.DONE))
    if not last:
        return
    for position, step in enumerate(execution.plan["steps"]):
        key = step["key"]
        if key not in STEP_TIMES:
            continue
        begin, end = (start + dt.timedelta(seconds=seconds) for seconds in STEP_TIMES[key])
        outcome = how if key == last else StepState.DONE
        lagging = {"lagging": [GATEWAYS[1]], "wanted": 5} if key == "propagate" and outcome == StepState.FAILED else {}
        attempt = StepAttemptFactory(
            execution=execution,
            position=position,
            key=key,
            action=step["action"],
            segment=Segment(step["segment"]),
            started_at=begin,
            ended_at=None if outcome == StepState.STARTED else end,
            state=outcome,
            message="" if outcome == StepState.STARTED else f"{step['title']}: as expected." if outcome == StepState.DONE else "It did not pass.",
            result=lagging,
        )
        _observed(execution, attempt, begin=begin, behind=bool(lagging))
        if key == last:
            break
    if state == RollbackState.PARTIALLY_RESTORED:
        FindingFactory(
            execution=execution,
            code=FindingCode.NOT_RESTORED,
            subject=f"gateway {GATEWAYS[1]}",
            expected="routing state 5 applied within 30 s",
            found="still at 4",
            remedy="See whether the gateway runs and reaches the hub; until then it serves the old weights.",
        )
    if execution.state == ExecutionState.FINISHED:
        execution.refresh_from_db()


def _observed(execution: Execution, attempt: Any, *, begin: dt.datetime, behind: bool) -> None:
    samples: list[tuple[str, float, dict[str, Any]]] = []
    if attempt.key == "propagate":
        shown = {name: {"applied": 4 if behind and name == GATEWAYS[1] else 5, "acknowledged": not (behind and name == GATEWAYS[1])} for name in GATEWAYS}
        samples.append(("gateways", 0.1, {"wanted": 5, "gateways": shown}))
    if attempt.key in ("drain", "verify"):
        shares = [0.25, 0.1, 0.02, 0.0] if attempt.key == "drain" else [0.0] * 8
        samples += [
            (
                "traffic",
                number * 0.5,
                {
                    "shares": {BAD: share, GOOD: 1 - share},
                    "requests": {BAD: round(40 * share), GOOD: 40 - round(40 * share)},
                    "total": 40,
                    "per_gateway": {},
                    "complete": True,
                },
            )
            for number, share in enumerate(shares)
        ]
    if attempt.key == "verify" and attempt.state != StepState.STARTED:
        passed = attempt.state == StepState.DONE
        CheckResultFactory(execution=execution, attempt=attempt, numbers={"bad": 0, "total": 320})
        CheckResultFactory(
            execution=execution,
            attempt=attempt,
            check_name="negative_feedback",
            verdict="passed" if passed else "failed",
            sentence="Negative feedback is 2.1 %, the baseline is 2.0 %." if passed else "Negative feedback is 9.4 %, the baseline is 2.0 %.",
        )
    Sample.objects.bulk_create(
        SampleFactory.build(execution=execution, attempt=attempt, kind=kind, taken_at=begin + dt.timedelta(seconds=seconds), value=value)
        for kind, seconds, value in samples
    )

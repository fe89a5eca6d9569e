"""A small world for pages: two environments, three aliases, drills that ended in every way, one that runs and one that needs a person."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from drills.models import Drill
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState, FindingCode, StepState
from rollbackhub.executions.models import Execution, Sample
from rollbackhub.registry.enums import ChangeType, Lifecycle, Stakes
from rollbackhub.registry.models import Environment
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.drills import DrillFactory
from tests.factories.executions import CheckResultFactory, FindingFactory, ProcedureFactory, ProcedureVersionFactory, SampleFactory, StepAttemptFactory
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory
from tests.factories.routing import BAD, GOOD, GatewayFactory, PolicyRevisionFactory, RoutingPolicyFactory

SECONDS = {
    "preflight": (0.0, 0.2),
    "expose": (0.2, 0.25),
    "expose_gateways": (0.25, 0.4),
    "expose_traffic": (0.4, 8.0),
    "flip": (8.0, 8.04),
    "propagate": (8.04, 8.2),
    "drain": (8.2, 9.9),
    "verify": (9.9, 15.0),
    "restore": (15.0, 15.1),
    "restore_gateways": (15.1, 15.3),
}
"""When each step of the built-in procedure began and ended, in seconds from the start."""


@dataclass(frozen=True)
class World:
    """The things that pages are about."""

    staging: Environment
    production: Environment
    reasoner: RoutingPolicy
    prompt: RoutingPolicy
    lonely: RoutingPolicy
    """In production only."""
    passed: Execution
    failed: Execution
    running: Execution
    """Of the prompt alias."""
    needs_person: Execution
    """Of the alias `batch-summariser`."""
    cancelled: Execution
    event_id: int
    """Of an audit event."""
    version_id: int
    """Of the version that is in canary."""


def make_world() -> World:
    """Build it in whatever database is current."""
    staging, production = EnvironmentFactory(slug="staging"), EnvironmentFactory(slug="production")
    for environment in (staging, production):
        ConnectionFactory(environment=environment, connector="prometheus", settings={"endpoint": "http://127.0.0.1:18400/metrics"})
    for change_type in (ChangeType.MODEL, ChangeType.PROMPT):
        ProcedureVersionFactory(procedure=ProcedureFactory(change_type=change_type))
    model = ArtefactFactory(slug="reasoner-model", name="Reasoner model", stakes=Stakes.HIGH)
    VersionFactory(artefact=model, label=GOOD, lifecycle=Lifecycle.LIVE, changelog="Known good.", digest="sha256:" + "a1" * 32)
    canary = VersionFactory(artefact=model, label=BAD, lifecycle=Lifecycle.CANARY, changelog="Faster tool use; under test.", digest="sha256:" + "b2" * 32)
    reasoner = RoutingPolicyFactory(environment=staging, alias="smart-reasoner", artefact=model)
    PolicyRevisionFactory(policy=reasoner, weights={BAD: 0, GOOD: 100}, reason="Drill 1a2b3c4d: rolled back", actor_label="engine")
    PolicyRevisionFactory(policy=reasoner, weights={BAD: 25, GOOD: 75}, reason="Drill 1a2b3c4d: before", actor_label="engine")
    RoutingPolicyFactory(environment=production, alias="smart-reasoner", artefact=model)
    prompt_artefact = ArtefactFactory(slug="support-prompt", name="Support prompt", change_type=ChangeType.PROMPT)
    prompt = RoutingPolicyFactory(environment=staging, alias="support-reply", artefact=prompt_artefact)
    RoutingPolicyFactory(environment=production, alias="support-reply", artefact=prompt_artefact)
    lonely = RoutingPolicyFactory(environment=production, alias="legacy-classifier", artefact=ArtefactFactory(slug="classifier", name="Classifier"))
    batch = RoutingPolicyFactory(environment=staging, alias="batch-summariser", artefact=ArtefactFactory(slug="summariser", name="Batch summariser"))
    GatewayFactory(environment=staging, node_id="staging-gateway-1", applied_number=3, applied_at=now())
    GatewayFactory(environment=production, node_id="production-gateway-1", applied_number=3, applied_at=now())
    GatewayFactory(
        environment=production, node_id="production-gateway-2", applied_number=0, refused_number=1, refusal="Unknown cluster 'anthropic:claude-sonnet-4-6'"
    )
    failed = make_drill(reasoner, ago=dt.timedelta(days=3), verdict=Verdict.FAILED)
    passed = make_drill(reasoner, ago=dt.timedelta(hours=2))
    make_drill(prompt, ago=dt.timedelta(days=9), verdict=Verdict.INCONCLUSIVE)
    cancelled = DrillFactory(
        execution__policy=reasoner, execution__state=ExecutionState.CANCELLED, execution__outcome="Stopped by Olga Call: not now"
    ).execution
    running = make_drill(prompt, ago=dt.timedelta(seconds=9), running="drain")
    needs_person = make_drill(batch, ago=dt.timedelta(minutes=20), running="restore", state=ExecutionState.NEEDS_HUMAN)
    event_id = AuditEvent.objects.order_by("id").values_list("pk", flat=True)[0]
    return World(staging, production, reasoner, prompt, lonely, passed, failed, running, needs_person, cancelled, event_id, canary.pk)


def make_drill(
    policy: RoutingPolicy,
    *,
    ago: dt.timedelta,
    verdict: str = Verdict.PASSED,
    running: str = "",
    state: str = ExecutionState.RUNNING,
    rollback_seconds: float = 1.9,
) -> Execution:
    """A drill with its steps, samples, checks and findings, as the engine leaves them; `running` names the step at which it stands."""
    start = now() - ago

    def at(seconds: float) -> dt.datetime:
        return start + dt.timedelta(seconds=seconds)

    passed, finished = verdict == Verdict.PASSED, not running
    restored = finished and verdict != Verdict.FAILED
    values: dict[str, Any] = {
        "policy": policy,
        "state": ExecutionState.FINISHED if finished else state,
        "verdict": verdict if finished else "",
        "started_at": start,
        "fence": 1,
        "claims": 2,
        "claimed_by": "worker-1",
        "requested_by": User.objects.filter(username="oncall").first(),
        "requested_by_label": "Olga Call",
        "decided_at": at(8.0),
        "executed_at": at(8.04),
        "propagated_at": at(8.2),
        "drained_at": at(8.0 + rollback_seconds) if restored else None,
        "restored_at": at(8.0 + rollback_seconds) if restored else None,
        "verified_at": at(15.0) if finished and passed else None,
        "finished_at": at(15.3) if finished else None,
        "rollback_seconds": rollback_seconds if restored else None,
        "outcome": {
            Verdict.PASSED: f"Restored in {rollback_seconds:.2f} s and verified. Staging is as it was before.",
            Verdict.FAILED: "Step “The bad version's traffic drains” did not pass. Staging is as it was before.",
        }.get(Verdict(verdict), "The metrics endpoint had no data.")
        if finished
        else "",
    }
    drill: Drill = DrillFactory(note="Monthly drill", **{f"execution__{name}": value for name, value in values.items()})
    execution = drill.execution
    Execution.objects.filter(pk=execution.pk).update(created_at=start)
    stopped = False
    for position, step in enumerate(execution.plan["steps"]):
        key = step["key"]
        if stopped:
            break
        begin, end = SECONDS[key]
        common = {"execution": execution, "position": position, "key": key, "action": step["action"], "segment": step["segment"]}
        if key == "propagate":
            StepAttemptFactory(
                **common,
                started_at=at(begin),
                ended_at=at(begin + 0.05),
                state=StepState.INTERRUPTED,
                message="The worker was lost while this ran; the step was tried again.",
            )
        attempt = StepAttemptFactory(
            **common,
            number=2 if key == "propagate" else 1,
            worker="worker-2" if key == "propagate" else "worker-1",
            started_at=at(begin),
            ended_at=None if key == running else at(end),
            state=StepState.STARTED if key == running else (StepState.FAILED if key == "drain" and verdict == Verdict.FAILED else StepState.DONE),
            message="" if key == running else f"{step['title']}: as expected.",
        )
        _samples(execution, attempt, start=start, begin=begin, end=end)
        if key == "verify" and finished:
            _checks(execution, attempt, verdict)
        stopped = key == running
    if verdict == Verdict.FAILED and finished:
        FindingFactory(
            execution=execution,
            code=FindingCode.CONFIG_MISMATCH,
            subject="staging-gateway-1",
            expected="0 % on claude-sonnet-4-6",
            found="25 % on claude-sonnet-4-6",
            remedy="Mend the gateway's configuration: its flag has moved.",
        )
    with transaction.atomic():
        for event in ("drill.requested", "execution.started", *(["execution.finished"] if finished else [])):
            record(event=event, actor=Actor(kind="person", label="Olga Call"), subject_type="execution", subject_id=execution.pk, data={"alias": policy.alias})
    execution.refresh_from_db()
    return execution


def _samples(execution: Execution, attempt: Any, *, start: dt.datetime, begin: float, end: float) -> None:
    if attempt.key not in ("expose_traffic", "drain", "verify"):
        return
    seconds, samples = begin, []
    while seconds < end:
        share = {"expose_traffic": 0.25, "drain": max(0.0, 0.25 - (seconds - begin) * 0.2), "verify": 0.0}[attempt.key]
        value = {
            "shares": {BAD: round(share, 4), GOOD: round(1 - share, 4)},
            "requests": {BAD: round(20 * share), GOOD: 20 - round(20 * share)},
            "total": 20,
            "per_gateway": {},
            "complete": True,
        }
        samples.append(("traffic", seconds, value))
        seconds += 0.5
    samples.append(("metrics", begin, {GOOD: {"requests": 400, "negative_feedback": 8}}))
    Sample.objects.bulk_create(
        SampleFactory.build(execution=execution, attempt=attempt, kind=kind, taken_at=start + dt.timedelta(seconds=seconds), value=value)
        for kind, seconds, value in samples
    )


def _checks(execution: Execution, attempt: Any, verdict: str) -> None:
    CheckResultFactory(
        execution=execution, attempt=attempt, sentence="claude-sonnet-4-6 got 0 of 60 requests in the last 3 samples.", numbers={"bad": 0, "total": 60}
    )
    CheckResultFactory(
        execution=execution,
        attempt=attempt,
        check_name="negative_feedback",
        verdict=verdict if verdict != Verdict.FAILED else Verdict.PASSED,
        sentence="Negative feedback is 2.1 %, the baseline is 2.0 %.",
        numbers={"current": 0.021, "baseline": 0.02, "margin": 0.05},
    )

"""Aliases that mechanisms move, one for each change type, with drills and a rollback that stand where their pages have something of their own to say."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, StepState
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.drills import DrillFactory
from tests.factories.executions import SampleFactory, StepAttemptFactory
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory
from tests.factories.rollbacks import RollbackFactory, RollbackPartFactory
from tests.factories.routing import BAD, GOOD, PolicyRevisionFactory, RoutingPolicyFactory, candidate_id

HOURS = 4 * 3600
"""The data set's own target, in seconds."""

_DEPLOY = {
    "deploy_url": "http://127.0.0.1:9/deploy",
    "status_url": "http://127.0.0.1:9/services/{service}",
    "job_url": "http://127.0.0.1:9/jobs",
    "job_status_url": "http://127.0.0.1:9/jobs/{job_id}",
    "signing_ref": "env:NOT_THERE",
}
MOVED: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "support-tone": ("prompt", "mlflow", {"address": "http://127.0.0.1:9"}, {"model": "support-tone", "alias": "production"}),
    "fast-model": (
        "model",
        "haproxy",
        {"sockets": {"balancer-1": "tcp:127.0.0.1:9"}},
        {"backend": "models", "servers": {candidate_id(BAD): ["new"], candidate_id(GOOD): ["old"]}},
    ),
    "support-agent": ("agent_code", "deploy", _DEPLOY, {"service": "support-agent"}),
    "support-evals": ("eval_set", "git", {"remote": "https://git.example.org/evals.git"}, {"path": "evals"}),
    "support-articles": ("dataset", "delta", {"root": "/data"}, {"table": "articles"}),
}
"""By alias: change type, connector, the connection's settings, the target."""


@dataclass(frozen=True)
class MechanismWorld:
    """What the pages are about."""

    policies: dict[str, RoutingPolicy]
    drills: dict[str, Execution]
    """A passed drill of each alias."""
    rebuilding: Execution
    """A drill of the data set whose index is being built."""
    rollback: Rollback
    """One in production, whose index is being built."""


def make_mechanism_world() -> MechanismWorld:
    """Build it in whatever database is current; nothing in it needs its systems."""
    staging, production = EnvironmentFactory(slug="staging"), EnvironmentFactory(slug="production")
    policies = {alias: make_moved(staging, alias) for alias in MOVED}
    drills = {alias: make_passed(policy, seconds=number * 3 + 2.5) for number, (alias, policy) in enumerate(policies.items())}
    rebuilding = make_running(policies["support-articles"])
    return MechanismWorld(policies, drills, rebuilding, make_rebuilding_rollback(make_moved(production, "support-articles")))


def addresses_of_mechanisms(world: MechanismWorld) -> dict[str, str]:
    """The pages that look different for an alias that a mechanism moves, by a short name."""
    return {
        "drills-five-targets": reverse("drills:list") + "?alias=t-&outcome=passed",
        "start-mechanism": reverse("drills:start", args=["staging", "support-agent"]),
        "drill-mechanism": reverse("drills:detail", args=[world.drills["fast-model"].pk]),
        "drill-job": reverse("drills:detail", args=[world.rebuilding.pk]),
        "rollback-job": reverse("rollbacks:detail", args=[world.rollback.pk]),
        "procedure-mechanism": reverse("procedures:detail", args=["dataset-delta"]),
        "procedure-edit-gateways": reverse("procedures:edit", args=["model-weight-flip"]),
    }


def make_moved(environment: Environment, alias: str) -> RoutingPolicy:
    """The alias in this environment. What can share traffic has a canary; else the bad version has all of it."""
    change_type, connector, settings, target = MOVED[alias]
    ConnectionFactory(environment=environment, connector="deploy", settings=_DEPLOY)
    connection = ConnectionFactory(environment=environment, connector=connector, settings=settings)
    artefact = ArtefactFactory(
        slug=alias, name=alias.replace("-", " ").capitalize(), change_type=change_type, target_seconds=HOURS if change_type == "dataset" else None
    )
    for label in (GOOD, BAD):
        VersionFactory(artefact=artefact, label=label)
    policy: RoutingPolicy = RoutingPolicyFactory(environment=environment, alias=alias, artefact=artefact, revision=False)
    RoutingPolicy.objects.filter(pk=policy.pk).update(connection=connection, target=target)
    policy.refresh_from_db()
    PolicyRevisionFactory(policy=policy, weights={BAD: 25, GOOD: 75} if connector == "haproxy" else {BAD: 100, GOOD: 0})
    return policy


def make_passed(policy: RoutingPolicy, *, seconds: float) -> Execution:
    """A drill that took so long."""
    plan = build_plan(policy=policy, kind=ExecutionKind.DRILL)
    start = now() - dt.timedelta(hours=1)
    restored = start + dt.timedelta(seconds=5 + seconds)
    values = {
        "state": ExecutionState.FINISHED,
        "verdict": Verdict.PASSED,
        "started_at": start,
        "decided_at": start + dt.timedelta(seconds=5),
        "executed_at": start + dt.timedelta(seconds=5.5),
        "propagated_at": restored,
        "drained_at": restored,
        "restored_at": restored,
        "verified_at": restored + dt.timedelta(seconds=3),
        "finished_at": restored + dt.timedelta(seconds=9),
        "rollback_seconds": seconds,
        "outcome": f"Restored in {seconds:.2f} s and verified.",
    }
    return make_execution(policy, plan, **values)


def make_running(policy: RoutingPolicy) -> Execution:
    """A drill that stands at its job, two fifths of which are done."""
    plan = build_plan(policy=policy, kind=ExecutionKind.DRILL)
    start = now() - dt.timedelta(seconds=50)
    execution = make_execution(policy, plan, state=ExecutionState.RUNNING, started_at=start, decided_at=start, claims=1, fence=1)
    attempts_until_job(execution, start=start)
    return execution


def make_execution(policy: RoutingPolicy, plan: Any, **values: Any) -> Execution:
    """A drill with this plan."""
    given = {"policy": policy, "plan": plan.content, "procedure_version": plan.procedure_version, "bad_version": plan.bad_version, "kind": ExecutionKind.DRILL}
    given |= {"fingerprint": plan.fingerprint, "target_seconds": plan.content["target_seconds"], **values}
    execution: Execution = DrillFactory(**{f"execution__{name}": value for name, value in given.items()}).execution
    return execution


def make_rebuilding_rollback(policy: RoutingPolicy, *, state: str = "running") -> Rollback:
    """In production, two fifths of its job are done; `needs_human`: its job has failed."""
    bad = policy.artefact.versions.get(label=BAD)
    plan = build_plan(policy=policy, kind=ExecutionKind.ROLLBACK, bad_version=bad)
    rollback: Rollback = RollbackFactory(**{state: True}, parts=False, environment=policy.environment, target_seconds=plan.content["target_seconds"])
    part = RollbackPartFactory(
        rollback=rollback, policy=policy, bad_version=bad, procedure_version=plan.procedure_version, plan=plan.content, fingerprint=plan.fingerprint
    )
    attempt = attempts_until_job(part.execution, start=rollback.decided_at)
    if state == "needs_human":
        see_job(attempt, state="failed", progress=41.0, message="The disk is full.", after=30)
        ended = {"state": StepState.FAILED, "ended_at": attempt.started_at + dt.timedelta(seconds=30), "message": "Rebuild index failed: The disk is full."}
        StepAttempt.objects.filter(pk=attempt.pk).update(**ended)
    return rollback


def attempts_until_job(execution: Execution, *, start: dt.datetime) -> StepAttempt:
    """Steps that are done, up to the job that runs. Returns its attempt."""
    for position, step in enumerate(execution.plan["steps"]):
        is_job = step["action"] == "run_job"
        attempt: StepAttempt = StepAttemptFactory(
            execution=execution,
            position=position,
            key=step["key"],
            action=step["action"],
            segment=step["segment"],
            started_at=start + dt.timedelta(seconds=position),
            state=StepState.STARTED if is_job else StepState.DONE,
            message="" if is_job else f"{step['title']}: as expected.",
        )
        if is_job:
            break
    see_job(attempt, progress=10.0, message="1 of 10 parts", after=1)
    see_job(attempt, progress=40.5, message="4 of 10 parts", after=12)
    return attempt


def see_job(attempt: StepAttempt, *, after: float, job_id: str = "job-1", error: str = "", **values: Any) -> None:
    """A look at the job, so many seconds after its step began, as `run_job` keeps it."""
    said = {"error": error} if error else {"state": "running", "progress": None, "message": "", "result": {}, **values}
    SampleFactory(
        execution=attempt.execution,
        attempt=attempt,
        kind="job",
        source="deploy",
        taken_at=attempt.started_at + dt.timedelta(seconds=after),
        value={"job": "rebuild_index", "id": job_id, **said},
    )

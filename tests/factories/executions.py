"""Procedures, executions and their evidence."""

from __future__ import annotations

import datetime as dt
from typing import Any

import factory
from factory.django import DjangoModelFactory

from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.enums import REHEARSES, ExecutionKind, ExecutionState, FindingCode, Segment, StepState
from rollbackhub.executions.fingerprints import canonical_hash, fingerprint
from rollbackhub.executions.models import CheckResult, Execution, Finding, Procedure, ProcedureVersion, Sample, StepAttempt
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.executions.rules import steps_for
from rollbackhub.registry.enums import ChangeType
from tests.factories.registry import VersionFactory
from tests.factories.routing import BAD, GOOD, RoutingPolicyFactory, candidate_id


class ProcedureFactory(DjangoModelFactory):
    """The procedure of a change type (there is one for each), of the gateways unless a connector is named."""

    class Meta:
        model = Procedure
        django_get_or_create = ["change_type", "connector"]

    change_type = ChangeType.MODEL
    connector = ""
    slug = factory.LazyAttribute(lambda procedure: f"{procedure.change_type}-flip".replace("_", "-"))
    name = factory.LazyAttribute(lambda procedure: f"{procedure.change_type}: flip")


class ProcedureVersionFactory(DjangoModelFactory):
    """Its next version."""

    class Meta:
        model = ProcedureVersion

    procedure = factory.SubFactory(ProcedureFactory)
    number = factory.LazyAttribute(lambda version: version.procedure.versions.count() + 1)
    steps = factory.LazyFunction(lambda: list(WEIGHT_FLIP))
    content_hash = factory.LazyAttribute(lambda version: canonical_hash(version.steps))


def plan_of(*, policy: Any, procedure_version: Any, kind: str = ExecutionKind.DRILL) -> dict[str, Any]:
    """A plan as the domain freezes it, for the chapter's two versions."""

    def weights(bad: int) -> list[dict[str, Any]]:
        return [{"id": candidate_id(label), "version_pin": label, "weight": weight} for label, weight in ((BAD, bad), (GOOD, 100 - bad))]

    plan = {
        "alias": policy.alias,
        "environment": policy.environment.slug,
        "change_type": policy.artefact.change_type,
        "artefact": policy.artefact.slug,
        "target_seconds": 600,
        "bad_version": BAD,
        "good_versions": [GOOD],
        "revision": policy.revision_number,
        "weights_before": weights(25),
        "weights_canary": weights(25),
        "weights_rolled_back": weights(0),
        "procedure": {"slug": procedure_version.procedure.slug, "version": procedure_version.number, "hash": procedure_version.content_hash},
        "connections": {},
        "steps": steps_for(procedure_version.steps, kind=ExecutionKind(kind)),
    }
    found = paths_of([policy])[policy.pk]
    if kind in REHEARSES and found.path is not None:
        plan["path"] = found.path
    return plan


def _after(seconds: float) -> Any:
    return factory.LazyAttribute(lambda execution: execution.started_at + dt.timedelta(seconds=seconds))


class ExecutionFactory(DjangoModelFactory):
    """A queued drill. Traits: `running`, `passed` (12.5 s from decided to restored), `failed`."""

    class Meta:
        model = Execution

    class Params:
        running = factory.Trait(
            state=ExecutionState.RUNNING,
            started_at=factory.LazyFunction(now),
            fence=1,
            claims=1,
            claimed_by="worker-1",
            lease_until=factory.LazyAttribute(lambda execution: execution.started_at + dt.timedelta(seconds=15)),
        )
        finished_run = factory.Trait(state=ExecutionState.FINISHED, started_at=factory.LazyFunction(lambda: now() - dt.timedelta(minutes=1)), fence=1, claims=1)
        passed = factory.Trait(
            finished_run=True,
            verdict=Verdict.PASSED,
            decided_at=_after(5),
            executed_at=_after(5.2),
            propagated_at=_after(5.5),
            drained_at=_after(7.5),
            restored_at=_after(7.5),
            verified_at=_after(17.5),
            finished_at=_after(20),
            rollback_seconds=12.5,
            outcome="Traffic was back on the good version.",
        )
        failed = factory.Trait(
            finished_run=True, verdict=Verdict.FAILED, decided_at=_after(5), finished_at=_after(20), outcome="The gateway served something else."
        )

    kind = ExecutionKind.DRILL
    policy = factory.SubFactory(RoutingPolicyFactory)
    environment = factory.SelfAttribute("policy.environment")
    procedure_version = factory.LazyAttribute(
        lambda execution: (
            ProcedureVersion.objects.filter(procedure__change_type=execution.policy.artefact.change_type, procedure__connector="").first()
            or ProcedureVersionFactory(procedure__change_type=execution.policy.artefact.change_type)
        )
    )
    change_type = factory.SelfAttribute("policy.artefact.change_type")
    bad_version = factory.LazyAttribute(lambda execution: VersionFactory(artefact=execution.policy.artefact, label=BAD))
    plan = factory.LazyAttribute(lambda execution: plan_of(policy=execution.policy, procedure_version=execution.procedure_version, kind=execution.kind))
    fingerprint = factory.LazyAttribute(lambda execution: fingerprint(execution.plan["path"]) if "path" in execution.plan else canonical_hash(execution.plan))
    requested_by_label = "test"
    target_seconds = 600


class StepAttemptFactory(DjangoModelFactory):
    """A step that was done in half a second."""

    class Meta:
        model = StepAttempt

    execution = factory.SubFactory(ExecutionFactory)
    position = factory.LazyAttribute(lambda attempt: attempt.execution.attempts.count())
    key = "flip"
    action = "set_weights"
    segment = Segment.EXECUTE
    fence = 1
    worker = "worker-1"
    state = StepState.DONE
    started_at = factory.LazyFunction(now)
    ended_at = factory.LazyAttribute(lambda attempt: None if attempt.state == StepState.STARTED else attempt.started_at + dt.timedelta(seconds=0.5))


class CheckResultFactory(DjangoModelFactory):
    """A check that passed."""

    class Meta:
        model = CheckResult

    attempt = factory.SubFactory(StepAttemptFactory, key="verify", action="verify", segment=Segment.VERIFY)
    execution = factory.SelfAttribute("attempt.execution")
    check_name = "traffic_share"
    verdict = Verdict.PASSED
    sentence = "The bad version's share is 0 %."
    decided_at = factory.LazyFunction(now)


class SampleFactory(DjangoModelFactory):
    """A sample of the traffic after the flip."""

    class Meta:
        model = Sample

    attempt = factory.SubFactory(StepAttemptFactory, key="drain", action="await_drain", segment=Segment.DRAIN)
    execution = factory.SelfAttribute("attempt.execution")
    kind = "traffic"
    source = "http://127.0.0.1:9/stats"
    taken_at = factory.LazyFunction(now)
    value = factory.LazyFunction(lambda: {"shares": {BAD: 0.0, GOOD: 1.0}, "requests": {BAD: 0, GOOD: 40}, "total": 40, "per_gateway": {}})


class FindingFactory(DjangoModelFactory):
    """A gateway that disagrees with the policy."""

    class Meta:
        model = Finding

    execution = factory.SubFactory(ExecutionFactory)
    code = FindingCode.CONFIG_MISMATCH
    subject = factory.Sequence("staging-gateway-{}".format)
    expected = "25 % on claude-sonnet-4-6"
    found = "100 % on claude-sonnet-4-6"
    found_at = factory.LazyFunction(now)

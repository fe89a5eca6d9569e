"""Many aliases at once, written in bulk: for what has to cost the same number of queries however many there are."""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.enums import ExecutionKind, ExecutionState
from rollbackhub.executions.models import Execution, ProcedureVersion
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import Artefact, Environment, Version
from rollbackhub.routing.models import Candidate, PolicyRevision, RoutingPolicy
from tests.factories.accounts import TeamFactory
from tests.factories.executions import ProcedureVersionFactory
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import RoutingStateFactory


def make_fleet(count: int, *, versions: int = 5, environment: Environment | None = None, begin: int = 0) -> list[RoutingPolicy]:
    """So many aliases of models, each with so many versions as candidates: the newest with 25 %, the one before with 75 %."""
    environment = environment or EnvironmentFactory()
    team = TeamFactory(slug="platform")
    if not ProcedureVersion.objects.filter(procedure__change_type=ChangeType.MODEL, procedure__connector="").exists():
        ProcedureVersionFactory(procedure__change_type=ChangeType.MODEL)
    names = [f"fleet-{number:05}" for number in range(begin, begin + count)]
    with transaction.atomic():
        artefacts = [Artefact(slug=f"{name}-model", name=name, change_type=ChangeType.MODEL, team=team) for name in names]
        Artefact.objects.bulk_create(artefacts, ignore_conflicts=True)
        found = {artefact.slug: artefact for artefact in Artefact.objects.filter(slug__in=[artefact.slug for artefact in artefacts])}
        known = set(Version.objects.filter(artefact__in=found.values()).values_list("artefact_id", flat=True))
        made = now() - dt.timedelta(days=10)
        Version.objects.bulk_create(
            Version(artefact=artefact, label=f"v{number}", digest=f"sha256:{artefact.slug}-v{number}", created_at=made + dt.timedelta(days=number))
            for artefact in found.values()
            if artefact.pk not in known
            for number in range(versions)
        )
        by_artefact: dict[int, list[Version]] = {}
        for version in Version.objects.filter(artefact__in=found.values()).order_by("label"):
            by_artefact.setdefault(version.artefact_id, []).append(version)
        policies = RoutingPolicy.objects.bulk_create(
            RoutingPolicy(environment=environment, alias=name, artefact=found[f"{name}-model"], revision_number=1) for name in names
        )
        revisions = PolicyRevision.objects.bulk_create(
            PolicyRevision(policy=policy, number=1, routing_number=1, reason="fleet", actor_label="test") for policy in policies
        )
        weights = {versions - 1: 25, versions - 2: 75}
        Candidate.objects.bulk_create(
            Candidate(
                revision=revision, position=position, candidate_id=f"fleet:{policy.alias}-{version.label}:eu", version=version, weight=weights.get(position, 0)
            )
            for policy, revision in zip(policies, revisions, strict=True)
            for position, version in enumerate(by_artefact[policy.artefact_id])
        )
        RoutingStateFactory(environment=environment)
    return policies


def prove(policies: list[RoutingPolicy]) -> None:
    """A drill of each, as it stands, that passed a minute ago."""
    ended = now() - dt.timedelta(minutes=1)
    Execution.objects.bulk_create(
        Execution(
            kind=ExecutionKind.DRILL,
            state=ExecutionState.FINISHED,
            verdict=Verdict.PASSED,
            environment=path.policy.environment,
            policy=path.policy,
            procedure_version=path.procedure,
            change_type=path.policy.artefact.change_type,
            bad_version=path.bad,
            plan={"path": path.path},
            fingerprint=path.fingerprint,
            requested_by_label="test",
            started_at=ended,
            restored_at=ended,
            verified_at=ended,
            finished_at=ended,
            rollback_seconds=2.5,
        )
        for path in paths_of(policies).values()
    )

"""A path that a drill in staging has proven for production, and how it is changed through the real domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rollbackhub.audit.actors import system_actor
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.domain.proof import Proof, proofs_of
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Execution, Procedure
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.registry.models import Artefact, Connection, Environment
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision, create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.factories.executions import ExecutionFactory
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory
from tests.factories.routing import BAD, GOOD

ACTOR = system_actor("test")
OLD, NEXT = "claude-sonnet-4-0", "claude-sonnet-5-0"


@dataclass
class Proven:
    """`smart-reasoner` in staging and production: BAD in canary, GOOD to go back to, OLD kept at 0 %."""

    artefact: Artefact
    staging: RoutingPolicy
    production: RoutingPolicy
    procedure: Procedure
    drill: Execution

    def proof(self, policy: RoutingPolicy | None = None, **at: Any) -> Proof:
        """The proof of the path in production (or of this policy) as it is now."""
        found = RoutingPolicy.objects.select_related("environment", "artefact").get(pk=(policy or self.production).pk)
        return proofs_of(paths_of([found]), **at)[found.pk]

    def revise(self, candidates: list[CandidateSpec], *, policy: RoutingPolicy | None = None) -> None:
        """Make these the candidates in production."""
        found = policy or self.production
        found.refresh_from_db()
        append_revision(policy_id=found.pk, expected_revision=found.revision_number, candidates=candidates, actor=ACTOR, reason="test")

    def candidates(self) -> list[CandidateSpec]:
        """The candidates in production."""
        self.production.refresh_from_db()
        return get_candidates(policy=self.production)

    def write_steps(self, steps: list[dict[str, Any]]) -> None:
        """The procedure's next version."""
        append_procedure_version(procedure=self.procedure, steps=steps, actor=ACTOR)

    def connect(self, environment: str, connector: str, settings: dict[str, Any]) -> None:
        """Set a connection."""
        values = {"settings": settings}
        Connection.objects.update_or_create(environment=Environment.objects.get(slug=environment), connector=connector, defaults=values)


def candidate_id(label: str) -> str:
    """The candidate that serves a version."""
    return f"anthropic:{label}:ap-south-1"


def spec(label: str, weight: int) -> CandidateSpec:
    """A candidate of this version."""
    return CandidateSpec(candidate_id(label), label, weight)


def drilled(policy: RoutingPolicy, **values: Any) -> Execution:
    """A drill as the domain would freeze it now, ended as asked (passed, by default)."""
    plan = build_plan(policy=RoutingPolicy.objects.select_related("environment", "artefact").get(pk=policy.pk), kind=values.get("kind", ExecutionKind.DRILL))
    found: Execution = ExecutionFactory(
        **{
            "policy": policy,
            "plan": plan.content,
            "fingerprint": plan.fingerprint,
            "procedure_version": plan.procedure_version,
            "bad_version": plan.bad_version,
            **({} if {"failed", "finished_run"} & values.keys() else {"passed": True}),
            **values,
        }
    )
    return found


def make_proven() -> Proven:
    """The world, with its drill passed a minute ago."""
    artefact = ArtefactFactory(slug="smart-reasoner", stakes="high")
    for label in (OLD, GOOD, BAD, NEXT):
        VersionFactory(artefact=artefact, label=label, digest=f"sha256:{label.encode().hex():0>64}")
    policies = []
    for slug in ("staging", "production"):
        environment = EnvironmentFactory(slug=slug)
        ConnectionFactory(environment=environment, connector="envoy", settings={"admins": {f"{slug}-1": "http://a:1", f"{slug}-2": "http://b:1"}})
        ConnectionFactory(environment=environment, connector="prometheus", settings={"endpoint": f"http://{slug}/metrics", "requests": "llm_requests_total"})
        weights = [spec(BAD, 25), spec(GOOD, 75), spec(OLD, 0)]
        policies.append(create_policy(environment=environment, alias="smart-reasoner", artefact=artefact, candidates=weights, actor=ACTOR, reason="test"))
    procedure = Procedure.objects.get(change_type="model", connector="")
    append_procedure_version(procedure=procedure, steps=WEIGHT_FLIP, actor=ACTOR)
    Procedure.objects.filter(pk=procedure.pk).update(runbook_url="http://wiki/r", runbook_hash="sha256:" + "a" * 64)
    return Proven(artefact=artefact, staging=policies[0], production=policies[1], procedure=procedure, drill=drilled(policies[0]))

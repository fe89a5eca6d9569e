"""Everything that readiness is judged by, read for many aliases at once with a fixed number of queries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.accounts.domain.notices import list_people_with
from rollbackhub.accounts.enums import Role
from rollbackhub.common import clock
from rollbackhub.executions.domain.path import PathNow, paths_of
from rollbackhub.executions.domain.proof import Proof, proofs_of
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.readiness.models import PreflightFinding, PreflightRun
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Connection, SpeedTarget, StabilityHold
from rollbackhub.rollbacks.models import AuthorityRule
from rollbackhub.rollbacks.rules import LEVELS, may_decide_alone
from rollbackhub.routing.models import RoutingPolicy

STAGES = ("set_weights",)
DEPLOYING = ("git", "deploy")
"""Actions that flip in an instant, unless what they move is deployed."""


@dataclass(slots=True)
class Facts:
    """What is known about one alias in one environment at one instant."""

    policy: RoutingPolicy
    now: dt.datetime
    path: PathNow
    proof: Proof
    held: dict[int, StabilityHold] = field(default_factory=dict)
    """Standing holds on the versions to go back to; staging knows none."""
    findings: list[PreflightFinding] = field(default_factory=list)
    """Open findings of the continuous preflight: the alias's own and its environment's."""
    preflight: PreflightRun | None = None
    needs_person: Execution | None = None
    """What runs on the alias here and waits for somebody."""
    required_role: str = ""
    """Who decides a rollback of this change type alone."""
    deciders: int = 0
    """Active people who may."""
    connectors: frozenset[str] = frozenset()
    target_seconds: int | None = None
    drillable: RoutingPolicy | None = None
    """The alias in a staging environment."""

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """The procedure's steps."""
        return self.path.procedure.steps if self.path.procedure else ()

    @property
    def verifies(self) -> bool:
        """Whether the procedure has a verification, and the environment what it verifies by."""
        actions = {step["action"] for step in self.steps}
        return "verify_served" in actions or ("verify" in actions and "prometheus" in self.connectors)

    @property
    def flips(self) -> bool:
        """Whether the procedure goes back by a flip."""
        by_flip = self.path.procedure is not None and self.path.procedure.procedure.connector not in DEPLOYING
        return by_flip and any(step["action"] in STAGES for step in self.steps)


def facts_of(policies: Sequence[RoutingPolicy], *, at: dt.datetime | None = None) -> dict[int, Facts]:
    """The facts about these policies (with environment and artefact), by the policy's id. A fixed number of queries."""
    now = at or clock.now()
    paths = paths_of(policies)
    proofs = proofs_of(paths, at=now)
    by_policy, by_environment = _open_findings(policies)
    runs = PreflightRun.objects.in_bulk({policy.environment_id for policy in policies})
    waiting = {
        execution.policy_id: execution
        for execution in Execution.objects.filter(policy__in=[policy.pk for policy in policies], state=ExecutionState.NEEDS_HUMAN).defer("plan")
    }
    roles = {rule.subject: rule.role for rule in AuthorityRule.objects.all()}
    deciders = _count_deciders()
    connectors: dict[int, set[str]] = {}
    for environment_id, name in Connection.objects.filter(name="").values_list("environment_id", "connector"):
        connectors.setdefault(environment_id, set()).add(name)
    targets = dict(SpeedTarget.objects.values_list("change_type", "seconds"))
    drillable = _drillable(policies)
    found = {}
    for policy in policies:
        path, artefact = paths[policy.pk], policy.artefact
        role = roles.get(artefact.change_type, Role.LEADERSHIP)
        found[policy.pk] = Facts(
            policy=policy,
            now=now,
            path=path,
            proof=proofs[policy.pk],
            held=_holds_that_count(path),
            findings=[*by_policy.get(policy.pk, ()), *by_environment.get(policy.environment_id, ())],
            preflight=runs.get(policy.environment_id),
            needs_person=waiting.get(policy.pk),
            required_role=role,
            deciders=deciders[Role(role)],
            connectors=frozenset(connectors.get(policy.environment_id, ())),
            target_seconds=artefact.target_seconds if artefact.target_seconds is not None else targets.get(artefact.change_type),
            drillable=drillable.get((policy.alias, policy.artefact_id)),
        )
    return found


def _holds_that_count(path: PathNow) -> dict[int, StabilityHold]:
    if path.policy.environment.kind != EnvironmentKind.PRODUCTION:
        return {}
    return {version.pk: path.held[version.pk] for version in path.targets if version.pk in path.held}


def _open_findings(policies: Sequence[RoutingPolicy]) -> tuple[dict[int, list[PreflightFinding]], dict[int, list[PreflightFinding]]]:
    by_policy: dict[int, list[PreflightFinding]] = {}
    by_environment: dict[int, list[PreflightFinding]] = {}
    rows = PreflightFinding.objects.filter(environment__in={policy.environment_id for policy in policies}, closed_at=None).order_by("first_seen_at", "id")
    for finding in rows:
        if finding.policy_id is None:
            by_environment.setdefault(finding.environment_id, []).append(finding)
        else:
            by_policy.setdefault(finding.policy_id, []).append(finding)
    return by_policy, by_environment


def _count_deciders() -> dict[Role, int]:
    """How many active people decide alone what needs each authority. Two queries."""
    people = list_people_with(*LEVELS).prefetch_related("role_assignments")
    held = [{row.role for row in person.role_assignments.all()} for person in people]
    return {role: sum(may_decide_alone(roles, required=role) for roles in held) for role in LEVELS}


def _drillable(policies: Sequence[RoutingPolicy]) -> dict[tuple[str, int], RoutingPolicy]:
    rows = RoutingPolicy.objects.filter(environment__kind="staging", alias__in={policy.alias for policy in policies}).select_related("environment")
    return {(row.alias, row.artefact_id): row for row in rows}

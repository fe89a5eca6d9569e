"""What a procedure would do before it is written: its steps, what the real system would change, what stands in the way, and whose proof ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.mechanism import Change, Problem, RunsJobs
from rollbackhub.executions.actions import parse_params
from rollbackhub.executions.domain.deliver import mechanism_of
from rollbackhub.executions.domain.mechanisms import JobLook, job_problems, problems_of
from rollbackhub.executions.domain.path import paths_of
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.domain.procedure_list import policies_using
from rollbackhub.executions.domain.proof import proofs_of
from rollbackhub.executions.enums import ExecutionKind, ProofState
from rollbackhub.executions.fingerprints import canonical_hash
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.executions.rules import steps_for
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec

CALL_SECONDS = 5.0
MOST_PROOFS = 200
"""Aliases whose proofs are looked at; the page says when there are more."""

Steps = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class EndedProof:
    """An alias whose way back is proven now, and would not be any more."""

    policy: RoutingPolicy
    state: ProofState


@dataclass(slots=True)
class ProofsAfter:
    """What saving does to proofs. `looked_at` of `users` aliases."""

    ended: list[EndedProof] = field(default_factory=list)
    regained: list[RoutingPolicy] = field(default_factory=list)
    """Proven before with exactly these steps."""
    looked_at: int = 0
    users: int = 0


@dataclass(slots=True)
class AliasPreview:
    """What the steps would do to one alias in staging now."""

    policy: RoutingPolicy
    drill: list[dict[str, Any]]
    rollback: list[dict[str, Any]]
    undo: list[dict[str, Any]]
    """What a person may have run when a rollback cannot go on."""
    before: list[dict[str, Any]] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)
    bad_version: str = ""
    problem: str = ""
    """Why there is no plan for the alias now."""
    system: str = ""
    """The connection that moves it; empty: gateways."""
    changes: list[Change] | None = None
    """What the system says it would change; None: it was not asked or could not say."""
    system_problem: str = ""
    findings: list[Problem] = field(default_factory=list)
    """What a preflight finds in the way."""


def proposed_version(procedure: Procedure, steps: Steps, *, number: int) -> ProcedureVersion:
    """The version as it would be written. It is not saved."""
    return ProcedureVersion(procedure=procedure, number=number, steps=list(steps), content_hash=canonical_hash(list(steps)))


def proofs_after(procedure: Procedure, steps: Steps, *, number: int) -> ProofsAfter:
    """Whose proof would end by writing these steps. A fixed number of queries."""
    users = policies_using(procedure)
    policies = list(users[: MOST_PROOFS + 1])
    found = ProofsAfter(users=len(policies) if len(policies) <= MOST_PROOFS else users.count())
    policies = policies[:MOST_PROOFS]
    found.looked_at = len(policies)
    if not policies:
        return found
    before = proofs_of(paths_of(policies))
    after = proofs_of(paths_of(policies, proposed=proposed_version(procedure, steps, number=number)))
    for policy in policies:
        was, becomes = before[policy.pk].state, after[policy.pk].state
        if was == ProofState.VALID and becomes != ProofState.VALID:
            found.ended.append(EndedProof(policy, becomes))
        elif was != ProofState.VALID and becomes == ProofState.VALID:
            found.regained.append(policy)
    return found


def previewable(procedure: Procedure) -> list[RoutingPolicy]:
    """The aliases in staging that go back by this procedure, at most a hundred. One query."""
    return list(policies_using(procedure).filter(environment__kind=EnvironmentKind.STAGING)[:100])


def preview_alias(policy: RoutingPolicy, steps: Steps) -> AliasPreview:
    """What these steps would do to this alias now. It asks the real system, and changes nothing. Whatever cannot be said is said to be so."""
    rollback = steps_for(steps, kind=ExecutionKind.ROLLBACK)
    preview = AliasPreview(
        policy,
        drill=steps_for(steps, kind=ExecutionKind.DRILL),
        rollback=[step for step in rollback if not step["undo"]],
        undo=[step for step in rollback if step["undo"]],
        system=policy.connection.key if policy.connection else "",
    )
    try:
        content = build_plan(policy=policy, kind=ExecutionKind.DRILL).content
    except RollbackHubError as error:
        preview.problem = error.message
        return preview
    preview.before, preview.after, preview.bad_version = content["weights_before"], content["weights_rolled_back"], content["bad_version"]
    if policy.connection is not None:
        _ask_the_system(preview)
    return preview


def _ask_the_system(preview: AliasPreview) -> None:
    policy = preview.policy
    try:
        moved_by = mechanism_of(policy, timeout_seconds=CALL_SECONDS)
        before = moved_by.shares([CandidateSpec.from_dict(values) for values in preview.before])
        wanted = moved_by.shares([CandidateSpec.from_dict(values) for values in preview.after])
        preview.findings = problems_of(moved_by, before=before, wanted=wanted)
        preview.findings += job_problems(_jobs(policy, preview.drill), environment=policy.environment.slug)
        preview.changes = moved_by.mechanism.plan(target=moved_by.target, wanted=wanted)
    except RollbackHubError as error:
        preview.system_problem = error.message
    except ValueError as error:
        # A mechanism that serves one version at a time, and weights that name two.
        preview.system_problem = str(error)


def _jobs(policy: RoutingPolicy, steps: Steps) -> list[JobLook]:
    """The jobs that the steps have run, with who runs them in this environment."""
    connections = {connection.key: connection for connection in policy.environment.connections.all()}
    found: dict[tuple[str, str], JobLook] = {}
    for step in steps:
        if step["action"] != "run_job":
            continue
        params = parse_params(action="run_job", params=step["params"])
        connection = connections.get(params.connection)
        runner = None
        if connection is not None:
            kind = connector_type(connection.connector)
            runner = kind(kind.parse_settings(connection.settings), timeout_seconds=CALL_SECONDS)
        found[params.job, params.connection] = JobLook(params.job, params.connection, runner if isinstance(runner, RunsJobs) else None)
    return list(found.values())

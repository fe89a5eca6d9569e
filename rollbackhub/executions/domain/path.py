"""The rollback paths of aliases as they are now: what a drill would prove, and what a proof is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F

from rollbackhub.common.secret_names import without_secrets
from rollbackhub.executions.actions import parse_params
from rollbackhub.executions.fingerprints import Path, canonical_hash, fingerprint
from rollbackhub.executions.models import ProcedureVersion
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Connection, Version
from rollbackhub.routing.domain.current import get_served_before
from rollbackhub.routing.models import Candidate, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec, serves_alone, without_version


@dataclass(slots=True)
class PathNow:
    """The path of one policy: what it depends on, the version that would be taken out, and the versions to go back to.

    Without a procedure or a version to go back to there is no path: `path` is None.
    """

    policy: RoutingPolicy
    candidates: list[CandidateSpec]
    procedure: ProcedureVersion | None
    bad: Version | None
    targets: list[Version] = field(default_factory=list)
    rolled_back: list[CandidateSpec] = field(default_factory=list)
    """The candidates as a rollback would leave them; empty when there is nothing to go back to."""
    path: Path | None = None
    fingerprint: str = ""


def paths_of(
    policies: Sequence[RoutingPolicy], *, bad_versions: Mapping[int, Version] | None = None, proposed: ProcedureVersion | None = None
) -> dict[int, PathNow]:
    """The present path of each policy (with its environment and artefact), by the policy's id. `bad_versions`: what is taken out, by the
    policy's id, where somebody has named it; else it is the version under test. `proposed`: a version that is not written yet, taken as the
    present one of its procedure. Four queries for any number."""
    candidates = _candidates_of(policies)
    known = list_connections()
    procedures = current_procedures(known, proposed=proposed)
    connections = _connections_by_alias(policies, known)
    hashes: dict[tuple[str, str], str] = {}
    for by_environment in connections.values():
        for environment, by_name in by_environment.items():
            for name, settings in by_name.items():
                if name != TARGET and (environment, name) not in hashes:
                    hashes[environment, name] = canonical_hash(settings)
    found = {}
    paths: list[tuple[PathNow, dict[str, Version]]] = []
    for policy in policies:
        rows = candidates.get(policy.pk, [])
        specs = [CandidateSpec(row.candidate_id, row.version.label, row.weight) for row in rows]
        versions = {row.version.label: row.version for row in rows}
        named = (bad_versions or {}).get(policy.pk)
        paths.append((PathNow(policy, specs, procedures.of(policy), bad=named or find_version_under_test(specs, versions)), versions))
    alone = {now.policy.pk: now.bad.label for now, versions in paths if now.bad and len(versions) > 1 and serves_alone(now.candidates, now.bad.label)}
    served_before = get_served_before(alone)
    for now, versions in paths:
        policy = now.policy
        if now.bad is not None and now.bad.label in versions and len(versions) > 1:
            now.rolled_back = without_version(now.candidates, now.bad.label, served_before=served_before.get(policy.pk))
            now.targets = [versions[label] for label in dict.fromkeys(spec.version_pin for spec in now.rolled_back if spec.weight > 0)]
        if now.procedure is not None and now.targets:
            now.path = describe_path(
                policy=policy,
                candidates=now.candidates,
                targets=now.targets,
                procedure=now.procedure,
                connections=used_by(now.procedure, policy, connections.get((policy.alias, policy.artefact_id), {})),
            )
            now.fingerprint = fingerprint(now.path, settings_hashes=hashes)
        found[policy.pk] = now
    return found


def describe_path(
    *,
    policy: RoutingPolicy,
    candidates: Sequence[CandidateSpec],
    targets: Sequence[Version],
    procedure: ProcedureVersion,
    connections: Mapping[str, Mapping[str, object]] | None = None,
    known: Sequence[Connection] | None = None,
) -> Path:
    """Everything that going back to these targets depends on, as JSON. `connections` None: those of the alias are found (one query more
    when `known`, every connection, is not given)."""
    if connections is None:
        every = list_connections() if known is None else known
        connections = used_by(procedure, policy, _connections_by_alias([policy], every).get((policy.alias, policy.artefact_id), {}))
    # Only an artefact's own: the template's margins stand in the procedure.
    checks = {"checks": {check["key"]: check for check in policy.artefact.checks}} if policy.artefact.checks else {}
    return {
        **checks,
        "alias": policy.alias,
        "procedure": {"name": str(procedure), "hash": procedure.content_hash},
        "runbook": procedure.procedure.runbook_hash,
        "target": {version.label: version.digest for version in targets},
        "candidates": {candidate.candidate_id: candidate.version_pin for candidate in candidates},
        "connections": connections,
    }


def find_version_under_test(candidates: Sequence[CandidateSpec], versions: Mapping[str, Version]) -> Version | None:
    """The version that a drill takes out when nobody names one: the one in canary, else the newest. None when there is no other beside it."""
    present = [versions[label] for label in dict.fromkeys(candidate.version_pin for candidate in candidates)]
    if len(present) < 2:
        return None
    in_canary = [version for version in present if version.lifecycle == Lifecycle.CANARY]
    return max(in_canary or present, key=lambda version: (version.created_at, version.pk))


def _candidates_of(policies: Sequence[RoutingPolicy]) -> dict[int, list[Candidate]]:
    rows = (
        Candidate.objects.filter(revision__policy__in=[policy.pk for policy in policies], revision__number=F("revision__policy__revision_number"))
        .select_related("version")
        .annotate(policy_id=F("revision__policy_id"))
        .order_by("revision_id", "position")
    )
    found: dict[int, list[Candidate]] = {}
    for row in rows:
        found.setdefault(row.policy_id, []).append(row)
    return found


@dataclass(frozen=True, slots=True)
class Procedures:
    """The present version of every procedure, found by what it is for."""

    by_use: Mapping[tuple[str, str, int | None], ProcedureVersion]
    connectors: Mapping[int, str]
    """By the connection's id."""

    def of(self, policy: RoutingPolicy) -> ProcedureVersion | None:
        """The artefact's own procedure for what moves the alias, else its change type's."""
        connector = self.connectors[policy.connection_id] if policy.connection_id else ""
        change_type = policy.artefact.change_type
        return self.by_use.get((change_type, connector, policy.artefact_id)) or self.by_use.get((change_type, connector, None))


def list_connections() -> list[Connection]:
    """Every connection with its environment. One query."""
    return list(Connection.objects.select_related("environment"))


def current_procedures(connections: Sequence[Connection], *, proposed: ProcedureVersion | None = None) -> Procedures:
    """All of them; `proposed` in place of the present version of its procedure. One query."""
    versions = ProcedureVersion.objects.select_related("procedure").order_by("procedure_id", "-number").distinct("procedure_id")
    wanted = [*versions, proposed] if proposed is not None else list(versions)
    by_use = {(found.procedure.change_type, found.procedure.connector, found.procedure.artefact_id): found for found in wanted}
    return Procedures(by_use, {connection.pk: connection.connector for connection in connections})


TARGET = "target"
"""Beside the connections of an environment: what the alias moves there."""

OF_GATEWAYS = ("envoy", "prometheus")


def used_by(procedure: ProcedureVersion, policy: RoutingPolicy, connections: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Of the environments' connections those that a path uses: the gateways' or the mechanism's (which may be named otherwise elsewhere), those of jobs."""
    named = connection_names(procedure.steps)
    found: dict[str, dict[str, object]] = {}
    for environment, by_name in connections.items():
        target = by_name.get(TARGET)
        wanted = {"prometheus", *named}
        if isinstance(target, Mapping):
            wanted |= {str(target["connection"]), TARGET}
        else:
            wanted.add("envoy")
        found[environment] = {name: settings for name, settings in by_name.items() if name in wanted}
    return found


def connection_names(steps: Sequence[Mapping[str, Any]]) -> set[str]:
    """The connections that steps name themselves (jobs)."""
    names = set()
    for step in steps:
        params = parse_params(action=step["action"], params=step.get("params") or {})
        if isinstance(getattr(params, "connection", None), str):
            names.add(params.connection)
    return names


def _connections_by_alias(policies: Sequence[RoutingPolicy], known: Sequence[Connection]) -> dict[tuple[str, int], dict[str, dict[str, object]]]:
    """For each alias and artefact the connections of every environment in which it stands, with its own target there. One query; settings are shared."""
    by_environment: dict[int, tuple[str, dict[str, object]]] = {}
    names: dict[int, str] = {}
    for connection in known:
        # Settings hold no secret; one that somebody put there all the same is no part of the path, and is shown nowhere.
        _, by_name = by_environment.setdefault(connection.environment_id, (connection.environment.slug, {}))
        by_name[connection.key] = without_secrets(connection.settings)
        names[connection.pk] = connection.key
    placed = RoutingPolicy.objects.filter(alias__in={policy.alias for policy in policies})
    found: dict[tuple[str, int], dict[str, dict[str, object]]] = {}
    for alias, artefact_id, environment_id, connection_id, target in placed.values_list("alias", "artefact_id", "environment_id", "connection_id", "target"):
        if environment_id in by_environment:
            slug, connections = by_environment[environment_id]
            own = {TARGET: {"connection": names[connection_id], **target}} if connection_id else {}
            found.setdefault((alias, artefact_id), {})[slug] = {**connections, **own} if own else connections
    return found

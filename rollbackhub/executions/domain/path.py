"""The rollback paths of aliases as they are now: what a drill would prove, and what a proof is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db.models import F

from rollbackhub.common.secret_names import without_secrets
from rollbackhub.executions.actions import parse_params
from rollbackhub.executions.fingerprints import Path, canonical_hash, fingerprint
from rollbackhub.executions.models import ProcedureVersion
from rollbackhub.registry.domain.holds import held_among
from rollbackhub.registry.enums import EnvironmentKind, Lifecycle
from rollbackhub.registry.models import Connection, StabilityHold, Version
from rollbackhub.routing.domain.current import get_served_before
from rollbackhub.routing.models import Candidate, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec, serves_alone, weights_by_version, without_version


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
    held: dict[int, StabilityHold] = field(default_factory=dict)
    """Standing holds on the alias's versions, by the version's id."""
    taken_out: list[Version] = field(default_factory=list)
    """Versions without weight that were rolled back, whether their hold stands or not."""
    path: Path | None = None
    fingerprint: str = ""

    @property
    def is_barred(self) -> bool:
        """Whether nobody may go back now: there is no version to go back to, or all of them are retired or under hold."""
        return _is_barred(self.targets, self.held)


def paths_of(
    policies: Sequence[RoutingPolicy], *, bad_versions: Mapping[int, Version] | None = None, proposed: ProcedureVersion | None = None
) -> dict[int, PathNow]:
    """What a rollback of each policy (with its environment and artefact) would take out and go back to now, and the path that this depends on, by
    the policy's id. Plans, preflight, readiness and the release gate all ask here.

    `bad_versions`: what is taken out, by the policy's id, where somebody has named it. Else in production it is what serves (the version in
    canary, or the newest, of several). A drill brings a version to serve first, so in staging it is what production would take out, where
    the same candidates stand there and it can be gone back there; else the version under test. `proposed`: a version that is not written yet,
    taken as the present one of its procedure. Six queries at most for any number.
    """
    placed = _placed(policies)
    twins = _twins(policies, placed, named=bad_versions or {})
    candidates = _candidates_of({policy.pk for policy in policies} | set(twins.values()))
    held = held_among({row.version_id: row.version for rows in candidates.values() for row in rows}.values())
    known = list_connections()
    procedures = current_procedures(known, proposed=proposed)
    connections = _connections_by_alias(placed, known)
    hashes: dict[tuple[str, str], str] = {}
    for by_environment in connections.values():
        for environment, by_name in by_environment.items():
            for name, settings in by_name.items():
                if name != TARGET and (environment, name) not in hashes:
                    hashes[environment, name] = canonical_hash(settings)
    ways = _ways_back(policies, candidates=candidates, held=held, twins=twins, named=bad_versions or {})
    found = {}
    for policy in policies:
        way = ways[policy.pk]
        now = PathNow(policy, way.candidates, procedures.of(policy), way.bad, way.targets, way.rolled_back, way.held, way.taken_out)
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


@dataclass(slots=True)
class _Way:
    candidates: list[CandidateSpec]
    versions: dict[str, Version]
    held: dict[int, StabilityHold]
    bad: Version | None = None
    rolled_back: list[CandidateSpec] = field(default_factory=list)
    targets: list[Version] = field(default_factory=list)

    @property
    def taken_out(self) -> list[Version]:
        """Versions without weight that were rolled back."""
        weights = weights_by_version(self.candidates)
        return [found for found in self.versions.values() if not weights[found.label] and (found.pk in self.held or found.lifecycle == Lifecycle.ROLLED_BACK)]

    @property
    def unusable(self) -> list[str]:
        """Labels of the versions that are gone back to only when there is no other."""
        retired = [version for version in self.versions.values() if version.lifecycle == Lifecycle.RETIRED]
        return [version.label for version in (*self.taken_out, *retired)]

    @property
    def is_alone(self) -> bool:
        """Whether only history tells what to go back to."""
        return self.bad is not None and self.bad.label in self.versions and len(self.versions) > 1 and serves_alone(self.candidates, self.bad.label)

    def go_back(self, served_before: Mapping[str, int] | None) -> None:
        """Fill in where it leads."""
        if self.bad is not None and self.bad.label in self.versions and len(self.versions) > 1:
            self.rolled_back = without_version(self.candidates, self.bad.label, served_before=served_before, unusable=self.unusable)
            self.targets = [self.versions[label] for label in dict.fromkeys(spec.version_pin for spec in self.rolled_back if spec.weight > 0)]


def _ways_back(
    policies: Sequence[RoutingPolicy],
    *,
    candidates: Mapping[int, Sequence[Candidate]],
    held: Mapping[int, StabilityHold],
    twins: Mapping[int, int],
    named: Mapping[int, Version],
) -> dict[int, _Way]:
    """For each policy what would be taken out and what serves then. `twins`: of an alias in staging the policy in production, by id. A query."""
    serving = {policy.pk for policy in policies if policy.environment.kind == EnvironmentKind.PRODUCTION} | set(twins.values())
    ways: dict[int, _Way] = {}
    for policy_id in {policy.pk for policy in policies} | serving:
        rows = candidates.get(policy_id, ())
        specs = [CandidateSpec(row.candidate_id, row.version.label, row.weight) for row in rows]
        versions = {row.version.label: row.version for row in rows}
        way = ways[policy_id] = _Way(specs, versions, {row.version_id: held[row.version_id] for row in rows if row.version_id in held})
        way.bad = named.get(policy_id) or _find_bad_version(specs, versions, only_serving=policy_id in serving)
    alone = {policy_id: way for policy_id, way in ways.items() if way.is_alone}
    wanted = {policy_id: way.bad.label for policy_id, way in alone.items() if way.bad is not None}
    served_before = get_served_before(wanted, without={policy_id: way.unusable for policy_id, way in alone.items()})
    for policy_id, way in ways.items():
        way.go_back(served_before.get(policy_id))
    for policy_id, twin_id in twins.items():
        way, twin = ways[policy_id], ways[twin_id]
        if twin.bad is None or twin.bad == way.bad or _is_barred(twin.targets, twin.held) or _pins(way.candidates) != _pins(twin.candidates):
            continue
        # Whatever staging's weights are: what is drilled is what production would do.
        way.bad, way.targets = twin.bad, twin.targets
        weights = {spec.candidate_id: spec.weight for spec in twin.rolled_back}
        way.rolled_back = [replace(spec, weight=weights[spec.candidate_id]) for spec in way.candidates]
    return ways


def _is_barred(targets: Sequence[Version], held: Mapping[int, StabilityHold]) -> bool:
    return all(version.pk in held or version.lifecycle == Lifecycle.RETIRED for version in targets)


def _pins(candidates: Iterable[CandidateSpec]) -> dict[str, str]:
    return {candidate.candidate_id: candidate.version_pin for candidate in candidates}


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
        connections = used_by(procedure, policy, _connections_by_alias(_placed([policy]), every).get((policy.alias, policy.artefact_id), {}))
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


def _find_bad_version(candidates: Sequence[CandidateSpec], versions: Mapping[str, Version], *, only_serving: bool) -> Version | None:
    """The version that is taken out when nobody names one: the one in canary, else the newest. None when there is no other beside it."""
    if len(versions) < 2:
        return None
    present = [versions[label] for label in dict.fromkeys(spec.version_pin for spec in candidates if spec.weight > 0 or not only_serving)]
    in_canary = [version for version in present if version.lifecycle == Lifecycle.CANARY]
    return max(in_canary or present, key=lambda version: (version.created_at, version.pk), default=None)


def _candidates_of(policy_ids: Iterable[int]) -> dict[int, list[Candidate]]:
    rows = (
        Candidate.objects.filter(revision__policy__in=list(policy_ids), revision__number=F("revision__policy__revision_number"))
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


def _placed(policies: Sequence[RoutingPolicy]) -> list[RoutingPolicy]:
    """These aliases in every environment, with it, in the order of their ids. One query."""
    return list(RoutingPolicy.objects.filter(alias__in={policy.alias for policy in policies}).select_related("environment").order_by("pk"))


def _twins(policies: Sequence[RoutingPolicy], placed: Sequence[RoutingPolicy], *, named: Mapping[int, Version]) -> dict[int, int]:
    """Of each of these policies in staging the one in production whose history counts for it, by id; without those whose bad version is named."""
    production: dict[tuple[str, int], int] = {}
    for row in placed:
        if row.environment.kind == EnvironmentKind.PRODUCTION:
            production.setdefault((row.alias, row.artefact_id), row.pk)
    wanted = [policy for policy in policies if policy.environment.kind != EnvironmentKind.PRODUCTION and policy.pk not in named]
    return {policy.pk: production[policy.alias, policy.artefact_id] for policy in wanted if (policy.alias, policy.artefact_id) in production}


def _connections_by_alias(placed: Sequence[RoutingPolicy], known: Sequence[Connection]) -> dict[tuple[str, int], dict[str, dict[str, object]]]:
    """For each alias and artefact the connections of every environment in which it stands, with its own target there. Settings are shared."""
    by_environment: dict[int, tuple[str, dict[str, object]]] = {}
    names: dict[int, str] = {}
    for connection in known:
        # Settings hold no secret; one that somebody put there all the same is no part of the path, and is shown nowhere.
        _, by_name = by_environment.setdefault(connection.environment_id, (connection.environment.slug, {}))
        by_name[connection.key] = without_secrets(connection.settings)
        names[connection.pk] = connection.key
    found: dict[tuple[str, int], dict[str, dict[str, object]]] = {}
    for row in placed:
        if row.environment_id in by_environment:
            slug, connections = by_environment[row.environment_id]
            own = {TARGET: {"connection": names[row.connection_id], **row.target}} if row.connection_id else {}
            found.setdefault((row.alias, row.artefact_id), {})[slug] = {**connections, **own} if own else connections
    return found

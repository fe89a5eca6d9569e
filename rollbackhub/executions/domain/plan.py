"""The plan: everything an execution needs, frozen when it is requested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.mechanism import Mechanism
from rollbackhub.executions.domain.path import connection_names, current_procedures, describe_path, find_version_under_test, list_connections
from rollbackhub.executions.enums import REHEARSES, ExecutionKind
from rollbackhub.executions.fingerprints import fingerprint
from rollbackhub.executions.models import ProcedureVersion
from rollbackhub.executions.rules import steps_for
from rollbackhub.registry.models import Artefact, Connection, SpeedTarget, Version
from rollbackhub.routing.domain.current import get_candidates, get_served_before
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec, serves_alone, with_canary, without_version

CANARY_PERCENT = 25
"""The weight to which a drill brings a candidate that has none (the chapter's canary)."""


class Plan:
    """A plan before it is frozen onto an execution."""

    def __init__(self, *, content: dict[str, Any], fingerprint: str, procedure_version: ProcedureVersion, bad_version: Version) -> None:
        self.content = content
        self.fingerprint = fingerprint
        self.procedure_version = procedure_version
        self.bad_version = bad_version


def build_plan(*, policy: RoutingPolicy, kind: ExecutionKind, bad_version: Version | None = None) -> Plan:
    """What an execution of this kind on this alias would do now. `bad_version` None: the version under test.

    Raises InvalidInput (nothing to roll back, no target) and NotFound (no procedure).
    """
    candidates = get_candidates(policy=policy)
    artefact = policy.artefact
    versions = {version.label: version for version in Version.objects.filter(artefact=artefact, label__in={candidate.version_pin for candidate in candidates})}
    serving = [candidate for candidate in candidates if candidate.weight > 0]
    if kind == ExecutionKind.ROLLBACK and bad_version is None and len(serving) < len(candidates) and len({c.version_pin for c in serving}) < 2:
        raise InvalidInput(
            f"{policy.alias} in {policy.environment.slug} serves {serving[0].version_pin} alone, so there is no version in canary to take out."
            f" Name the version to roll back if {serving[0].version_pin} itself is bad.",
            code="nothing_to_roll_back",
            fields={"bad_version": ["Name the version that is bad."]},
        )
    bad = bad_version or version_under_test(serving if kind == ExecutionKind.ROLLBACK else candidates, versions)
    served_before = get_served_before({policy.pk: bad.label}).get(policy.pk) if serves_alone(candidates, bad.label) else None
    rolled_back = without_version(candidates, bad.label, served_before=served_before)
    if kind == ExecutionKind.ROLLBACK and all(candidate.version_pin != bad.label for candidate in serving):
        raise InvalidInput(
            f"{bad.label} has no weight in {policy.alias} in {policy.environment.slug} already: there is nothing to roll back.",
            code="nothing_to_roll_back",
            fields={"bad_version": ["Choose a version that has weight."]},
        )
    known = list_connections()
    moved_by = next((connection for connection in known if connection.pk == policy.connection_id), None)
    procedure_version = current_procedures(known).of(policy)
    if procedure_version is None:
        what = f"{artefact.change_type} and the connector {moved_by.connector}" if moved_by else artefact.change_type
        raise NotFound(f"There is no rollback procedure for the change type {what} yet. Write one under Procedures.", code="no_procedure")
    connections = {connection.key: connection for connection in known if connection.environment_id == policy.environment_id}
    used = connection_names(procedure_version.steps) | {moved_by.key if moved_by else "envoy", "prometheus"}
    content: dict[str, Any] = {
        "alias": policy.alias,
        "environment": policy.environment.slug,
        "change_type": artefact.change_type,
        "artefact": artefact.slug,
        "target_seconds": get_target_seconds(artefact),
        "bad_version": bad.label,
        "good_versions": list(dict.fromkeys(candidate.version_pin for candidate in rolled_back if candidate.weight > 0)),
        "revision": policy.revision_number,
        "weights_before": [candidate.as_dict() for candidate in candidates],
        "weights_canary": [candidate.as_dict() for candidate in with_canary(candidates, bad.label, percent=_canary_percent(moved_by, candidates, bad.label))],
        "weights_rolled_back": [candidate.as_dict() for candidate in rolled_back],
        "procedure": {"slug": procedure_version.procedure.slug, "version": procedure_version.number, "hash": procedure_version.content_hash},
        "connections": {name: connection.settings for name, connection in connections.items() if name in used},
        "steps": steps_for(procedure_version.steps, kind=kind),
    }
    if artefact.checks is not None:
        content["checks"] = artefact.checks
    if moved_by is not None:
        content["mechanism"] = {"connection": moved_by.key, "connector": moved_by.connector, "target": policy.target}
    named = {name: connection.connector for name, connection in connections.items() if name in used and connection.name}
    if named:
        content["connectors"] = named
    path = describe_path(
        policy=policy, candidates=candidates, targets=[versions[label] for label in content["good_versions"]], procedure=procedure_version, known=known
    )
    if kind in REHEARSES:
        # What a passed run is proof of. A rollback's plan is without it: what approvals are bound to is what would be done.
        content["path"] = path
    return Plan(content=content, fingerprint=fingerprint(path), procedure_version=procedure_version, bad_version=bad)


def version_under_test(candidates: Sequence[CandidateSpec], versions: dict[str, Version]) -> Version:
    """The version that a drill takes out when nobody names one: the one in canary, else the newest of those with another beside it."""
    found = find_version_under_test(candidates, versions)
    if found is None:
        raise InvalidInput(
            "The policy has only one version, so there is nothing to go back to. Add the previous version as a candidate.", code="no_rollback_target"
        )
    return found


def get_target_seconds(artefact: Artefact) -> int | None:
    """The speed target in seconds: the artefact's own, else its change type's. None when neither is set."""
    if artefact.target_seconds is not None:
        return artefact.target_seconds
    return SpeedTarget.objects.filter(change_type=artefact.change_type).values_list("seconds", flat=True).first()


def _canary_percent(moved_by: Connection | None, candidates: Sequence[CandidateSpec], label: str) -> int:
    kind = connector_type(moved_by.connector) if moved_by else None
    if kind is not None and issubclass(kind, Mechanism) and not kind.weighted:
        return 100
    present = sum(candidate.weight for candidate in candidates if candidate.version_pin == label)
    return present or CANARY_PERCENT

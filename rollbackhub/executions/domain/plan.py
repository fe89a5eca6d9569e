"""The plan: everything an execution needs, frozen when it is requested."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.connectors.base import connector_type
from rollbackhub.connectors.mechanism import Mechanism
from rollbackhub.executions.domain.path import PathNow, connection_names, paths_of
from rollbackhub.executions.enums import REHEARSES, ExecutionKind
from rollbackhub.executions.models import ProcedureVersion
from rollbackhub.executions.rules import steps_for
from rollbackhub.registry.domain.holds import until_in_words
from rollbackhub.registry.models import Artefact, Connection, SpeedTarget, StabilityHold, Version
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec, with_canary, without_version

CANARY_PERCENT = 25
"""The weight to which a drill brings a candidate that has none (the chapter's canary)."""


class Plan:
    """A plan before it is frozen onto an execution."""

    def __init__(
        self, *, content: dict[str, Any], fingerprint: str, procedure_version: ProcedureVersion, bad_version: Version, path: PathNow | None = None
    ) -> None:
        self.content = content
        self.fingerprint = fingerprint
        self.path = path
        """The path as it was when it was made; None for a plan that was made from another."""
        self.procedure_version = procedure_version
        self.bad_version = bad_version


def build_plan(*, policy: RoutingPolicy, kind: ExecutionKind, bad_version: Version | None = None) -> Plan:
    """What an execution of this kind on this alias would do now. `bad_version` None: the version under test.

    Raises InvalidInput (nothing to roll back, no target) and NotFound (no procedure).
    """
    now = paths_of([policy], bad_versions={policy.pk: bad_version} if bad_version is not None else None)[policy.pk]
    bad, candidates, procedure_version = now.bad, now.candidates, now.procedure
    if kind == ExecutionKind.ROLLBACK and bad_version is None:
        _require_named(now)
    if bad is None:
        raise InvalidInput(
            "The policy has only one version, so there is nothing to go back to. Add the previous version as a candidate.", code="no_rollback_target"
        )
    if not now.targets:
        without_version(candidates, bad.label)  # Says why.
    if kind == ExecutionKind.ROLLBACK and all(candidate.version_pin != bad.label for candidate in candidates if candidate.weight > 0):
        raise InvalidInput(
            f"{bad.label} has no weight in {policy.alias} in {policy.environment.slug} already: there is nothing to roll back.",
            code="nothing_to_roll_back",
            fields={"bad_version": ["Choose a version that has weight."]},
        )
    artefact = policy.artefact
    known = list(Connection.objects.filter(environment=policy.environment_id))
    moved_by = next((connection for connection in known if connection.pk == policy.connection_id), None)
    if procedure_version is None:
        what = f"{artefact.change_type} and the connector {moved_by.connector}" if moved_by else artefact.change_type
        raise NotFound(f"There is no rollback procedure for the change type {what} yet. Write one under Procedures.", code="no_procedure")
    assert now.path is not None
    connections = {connection.key: connection for connection in known}
    used = connection_names(procedure_version.steps) | {moved_by.key if moved_by else "envoy", "prometheus"}
    content: dict[str, Any] = {
        "alias": policy.alias,
        "environment": policy.environment.slug,
        "change_type": artefact.change_type,
        "artefact": artefact.slug,
        "target_seconds": get_target_seconds(artefact),
        "bad_version": bad.label,
        "good_versions": [version.label for version in now.targets],
        "revision": policy.revision_number,
        "weights_before": [candidate.as_dict() for candidate in candidates],
        "weights_canary": [candidate.as_dict() for candidate in with_canary(candidates, bad.label, percent=_canary_percent(moved_by, candidates, bad.label))],
        "weights_rolled_back": [candidate.as_dict() for candidate in now.rolled_back],
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
    if kind in REHEARSES:
        # What a passed run is proof of. A rollback's plan is without it: what approvals are bound to is what would be done.
        content["path"] = now.path
    return Plan(content=content, fingerprint=now.fingerprint, path=now, procedure_version=procedure_version, bad_version=bad)


def _require_named(now: PathNow) -> None:
    """Where one version serves alone nobody guesses that it is bad: whoever asks for the same rollback a second time means the one that is out
    already. Raises InvalidInput `nothing_to_roll_back`."""
    serving = list(dict.fromkeys(candidate.version_pin for candidate in now.candidates if candidate.weight > 0))
    if len(serving) != 1 or now.bad is None:
        return
    alone, where = serving[0], f"{now.policy.alias} in {now.policy.environment.slug}"
    taken_out = "; ".join(_why_taken_out(version, now.held.get(version.pk)) for version in now.taken_out)
    if taken_out and now.is_barred:
        sentence = (
            f"{where} serves {alone} alone, and there is nothing to go back to ({taken_out})."
            f" If {alone} itself is bad, add a good version to the policy, roll forward with a fix, or have a lead lift the hold."
        )
    elif taken_out:
        back = ", ".join(version.label for version in now.targets)
        sentence = f"{where} serves {alone} alone already ({taken_out}). Name {alone} if it is bad itself: that goes back to {back}."
    else:
        sentence = f"{where} serves {alone} alone, so there is no version in canary to take out. Name the version to roll back if {alone} itself is bad."
    raise InvalidInput(sentence, code="nothing_to_roll_back", fields={"bad_version": ["Name the version that is bad."]})


def _why_taken_out(version: Version, hold: StabilityHold | None) -> str:
    return f"{version.label} is under a stability hold {until_in_words(hold)}" if hold else f"{version.label} was rolled back"


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

"""What the lab puts into the registry: a team, the two artefacts with their versions, the environments and the policies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import transaction

from rollbackhub.accounts.models import Team
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import Conflict
from rollbackhub.lab.catalogue import ALIASES, CHECKS, LabAlias
from rollbackhub.lab.parts import MovedAlias
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.domain.versions import record_registered
from rollbackhub.registry.enums import ChangeType, Lifecycle
from rollbackhub.registry.models import Artefact, Connection, Environment, Version
from rollbackhub.routing.domain.transitions import append_revision, create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from rollbackhub.verification.specs import as_json, parse_checks

ACTOR = system_actor("lab")
TEAM = ("lab", "Lab team")
AUTHOR = "lab"


def seed_lab(world: LabWorld) -> list[str]:
    """Make sure that the registry has what this world plays; answers what was made or changed, in words. Safe to repeat.

    Policies that exist are left as they are: somebody may have flipped them. Connections follow the world's ports and parts.
    Raises Conflict when an environment or artefact of that name exists and is not the lab's: then nothing is changed.
    """
    made: list[str] = []
    with transaction.atomic():
        team, created = Team.objects.get_or_create(slug=TEAM[0], defaults={"name": TEAM[1]})
        if created:
            made.append(f"team {team.slug}")
        environments = [_environment(slug, made) for slug in world.environments]
        for alias in ALIASES:
            artefact = _artefact(alias, team, made)
            for environment in environments:
                _policy(alias, artefact, environment, made)
        for environment in environments:
            _connections(world, environment, made)
        for moved in (alias for part in world.parts for alias in part.aliases()):
            artefact = _artefact(moved, team, made)
            for environment in environments:
                _moved_policy(moved, artefact, environment, made)
        if made:
            record(event="lab.seeded", actor=ACTOR, subject_type="lab", subject_id="lab", data={"made": made})
    return made


def _environment(slug: str, made: list[str]) -> Environment:
    environment, created = Environment.objects.get_or_create(slug=slug, defaults={"name": slug.title(), "kind": slug, "is_lab": True})
    if not environment.is_lab:
        raise Conflict(f"There is an environment {slug} that is not the lab's. Run without the lab (LAB=0), or rename that environment.", code="not_the_labs")
    if created:
        made.append(f"environment {slug}")
    return environment


def _artefact(alias: LabAlias | MovedAlias, team: Team, made: list[str]) -> Artefact:
    defaults: dict[str, Any] = {"name": alias.artefact_name, "change_type": alias.change_type, "stakes": alias.stakes, "team": team, "is_lab": True}
    if alias.change_type in (ChangeType.PROMPT, ChangeType.MODEL):
        # As people save them: with every setting written out. Whoever puts them back later puts back the same.
        defaults["checks"] = as_json(parse_checks(CHECKS))
    if isinstance(alias, MovedAlias):
        defaults["target_seconds"] = alias.target_seconds
    artefact, created = Artefact.objects.get_or_create(slug=alias.alias, defaults=defaults)
    if not artefact.is_lab:
        raise Conflict(f"There is an artefact {alias.alias} that is not the lab's. Run without the lab (LAB=0), or rename that artefact.", code="not_the_labs")
    if created:
        made.append(f"artefact {alias.alias}")
    for version in alias.versions:
        # Where it stands follows from its traffic in production, as with real ones.
        defaults = {"digest": version.digest, "uri": version.uri, "changelog": version.changelog, "author": AUTHOR}
        found, created = Version.objects.get_or_create(artefact=artefact, label=version.label, defaults=defaults)
        if created:
            record_registered(found, actor=ACTOR)
            made.append(f"version {version.label}")
    return artefact


def _policy(alias: LabAlias, artefact: Artefact, environment: Environment, made: list[str]) -> None:
    if RoutingPolicy.objects.filter(environment=environment, alias=alias.alias).exists():
        return
    candidates = [CandidateSpec(candidate.candidate_id, candidate.version_pin, candidate.weight) for candidate in alias.candidates]
    create_policy(
        environment=environment, alias=alias.alias, artefact=artefact, candidates=candidates, actor=ACTOR, reason="The lab's canary, as in the chapter."
    )
    made.append(f"policy {alias.alias} in {environment.slug}")


def _moved_policy(alias: MovedAlias, artefact: Artefact, environment: Environment, made: list[str]) -> None:
    if RoutingPolicy.objects.filter(environment=environment, alias=alias.alias).exists():
        return
    candidates = [CandidateSpec(*candidate) for candidate in alias.candidates]
    before = _as_before(candidates, alias)
    reason = "As the lab's systems stand at the start."
    policy = create_policy(
        environment=environment,
        alias=alias.alias,
        artefact=artefact,
        candidates=before or candidates,
        actor=ACTOR,
        reason="The known good version, before the present one took over." if before else reason,
        connection=Connection.objects.get(environment=environment, connector=alias.connector, name=""),
        target=alias.targets[environment.slug],
    )
    if before:
        # This was before releases were asked for; nobody else sees that, for all of it is one transaction.
        Environment.objects.filter(pk=environment.pk).update(releases_only=False)
        append_revision(policy_id=policy.pk, expected_revision=policy.revision_number, candidates=candidates, actor=ACTOR, reason=reason)
        Environment.objects.filter(pk=environment.pk).update(releases_only=environment.releases_only)
    made.append(f"policy {alias.alias} in {environment.slug}")


def _as_before(candidates: list[CandidateSpec], alias: MovedAlias) -> list[CandidateSpec]:
    """The candidates when the version that is superseded now had all of the traffic; empty when none is."""
    superseded = [version.label for version in alias.versions if version.lifecycle == Lifecycle.SUPERSEDED]
    return [replace(candidate, weight=100 if candidate.version_pin == superseded[-1] else 0) for candidate in candidates] if superseded else []


def _connections(world: LabWorld, environment: Environment, made: list[str]) -> None:
    wanted = world.connections(environment.slug) | {found.connector: found.settings for found in world.part_connections(environment.slug)}
    for connector, settings in wanted.items():
        connection, created = Connection.objects.get_or_create(environment=environment, connector=connector, name="", defaults={"settings": settings})
        if not created and connection.settings != settings:
            Connection.objects.filter(pk=connection.pk).update(settings=settings)
            made.append(f"connection {connector} of {environment.slug} (changed)")
        elif created:
            made.append(f"connection {connector} of {environment.slug}")

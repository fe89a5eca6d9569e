"""What an audit event is about: whose team's it is, in words, its page, its incident. For a whole batch at once: the queries do not grow with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from drills.models import PlannedDrill
from incidents.models import Incident, IncidentRollback
from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.models import Team
from rollbackhub.actions.models import Action
from rollbackhub.audit.models import AuditEvent
from rollbackhub.registry.models import Version
from rollbackhub.releases.models import Release
from rollbackhub.rollbacks.domain.changes import address_of
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the thing that an event is about."""

    about: str
    url: str
    teams: tuple[Team, ...]
    incident_id: UUID | None = None
    is_lab: bool = False
    more: Mapping[str, object] = field(default_factory=dict)
    """What templates may name besides the event's own data."""


def facts_of(events: Sequence[AuditEvent]) -> dict[int, Facts]:
    """By the event's id. An event whose thing is not there any more, or belongs to no team, is left out."""
    by_kind: dict[str, list[AuditEvent]] = defaultdict(list)
    for event in events:
        by_kind[event.subject_type].append(event)
    found: dict[int, Facts] = {}
    for kind, resolve in _RESOLVERS.items():
        asked = by_kind.pop(kind, [])
        if asked:
            known = resolve([event.subject_id for event in asked])
            found.update({event.pk: known[event.subject_id] for event in asked if event.subject_id in known})
    # Whatever else says which incident it belongs to (alerts, proposals, postmortems) is told to the incident's teams.
    others = [event for events_of in by_kind.values() for event in events_of if isinstance(event.data.get("incident"), str)]
    if others:
        incidents = _incidents([event.data["incident"] for event in others])
        for event in others:
            of = incidents.get(event.data["incident"])
            if of is not None:
                page = _PAGES.get(event.subject_type)
                found[event.pk] = replace(of, url=page.format(event.subject_id)) if page else of
    return {event_id: facts for event_id, facts in found.items() if facts.teams}


def teams_of(policies: Iterable[RoutingPolicy]) -> tuple[Team, ...]:
    """The teams that own what these aliases serve, each once. No query when fetched with `artefact__team`."""
    found = {policy.artefact.team_id: policy.artefact.team for policy in policies}
    return tuple(found[key] for key in sorted(found))


def _uuids(subjects: Iterable[str]) -> list[UUID]:
    found = []
    for subject in subjects:
        try:
            found.append(UUID(subject))
        except ValueError:
            continue
    return found


def _numbers(subjects: Iterable[str]) -> list[int]:
    return [int(subject) for subject in subjects if subject.isascii() and subject.isdecimal()]


def _at(policies: Sequence[RoutingPolicy], environment: str) -> str:
    return f"{', '.join(policy.alias for policy in policies)} in {environment}"


def _rollbacks(subjects: list[str]) -> dict[str, Facts]:
    rollbacks = Rollback.objects.filter(pk__in=_uuids(subjects)).select_related("environment").prefetch_related("parts__policy__artefact__team")
    incidents = dict(IncidentRollback.objects.filter(rollback__in=_uuids(subjects)).values_list("rollback", "incident"))
    found = {}
    for rollback in rollbacks:
        policies = [part.policy for part in sorted(rollback.parts.all(), key=lambda part: part.position)]
        found[str(rollback.pk)] = Facts(
            about=_at(policies, rollback.environment.slug),
            url=address_of(rollback),
            teams=teams_of(policies),
            incident_id=incidents.get(rollback.pk),
            is_lab=rollback.is_lab,
        )
    return found


def _incidents(subjects: list[str]) -> dict[str, Facts]:
    incidents = Incident.objects.filter(pk__in=_uuids(subjects)).select_related("environment").prefetch_related("aliases__artefact__team")
    found = {}
    for incident in incidents:
        policies = list(incident.aliases.all())
        found[str(incident.pk)] = Facts(
            about=_at(policies, incident.environment.slug),
            url=f"/incidents/{incident.pk}/",
            teams=teams_of(policies),
            incident_id=incident.pk,
            is_lab=incident.is_lab,
            more={"title": incident.title, "severity": incident.severity},
        )
    return found


def _planned_drills(subjects: list[str]) -> dict[str, Facts]:
    planned = PlannedDrill.objects.filter(pk__in=_numbers(subjects)).select_related("plan__team", "plan__environment")
    return {
        str(drill.pk): Facts(
            about=f"{drill.plan.name} in {drill.plan.environment.slug}",
            url=f"/drills/planned/{drill.pk}/",
            teams=(drill.plan.team,),
            is_lab=drill.plan.environment.is_lab,
        )
        for drill in planned
    }


def _versions(subjects: list[str]) -> dict[str, Facts]:
    versions = Version.objects.filter(pk__in=_numbers(subjects)).select_related("artefact__team")
    return {
        str(version.pk): Facts(
            about=f"{version.label} of {version.artefact.name}",
            url=f"/registry/versions/{version.pk}/",
            teams=(version.artefact.team,),
            is_lab=version.artefact.is_lab,
        )
        for version in versions
    }


def _releases(subjects: list[str]) -> dict[str, Facts]:
    releases = Release.objects.filter(pk__in=_numbers(subjects)).select_related("to_version", "policy__environment", "policy__artefact__team")
    return {
        str(release.pk): Facts(
            about=f"{release.to_version.label} at {_at([release.policy], release.policy.environment.slug)}",
            url=f"/releases/{release.pk}/",
            teams=teams_of([release.policy]),
            is_lab=release.policy.environment.is_lab,
        )
        for release in releases
    }


def _actions(subjects: list[str]) -> dict[str, Facts]:
    actions = Action.objects.filter(pk__in=_uuids(subjects)).select_related("team", "owner")
    return {
        str(action.pk): Facts(
            about=action.title,
            url=f"/actions/{action.pk}/",
            teams=(action.team,),
            is_lab=action.is_lab,
            more={"title": action.title, "owner": name_of(action.owner)},
        )
        for action in actions
    }


_PAGES = {"proposal": "/alerts/proposals/{}/", "postmortem": "/postmortems/{}/"}
"""Of what belongs to an incident and has a page of its own."""

_RESOLVERS: dict[str, Callable[[list[str]], dict[str, Facts]]] = {
    "rollback": _rollbacks,
    "incident": _incidents,
    "planned_drill": _planned_drills,
    "version": _versions,
    "release": _releases,
    "action": _actions,
}

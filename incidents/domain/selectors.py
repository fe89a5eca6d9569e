"""Reading incidents."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Case, IntegerField, Prefetch, QuerySet, Value, When

from incidents.domain.changes import no_incident
from incidents.enums import IncidentState
from incidents.models import Incident, IncidentRollback
from incidents.rules import Standing
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.models import Rollback, RollbackPart


def incident_of(rollback: Rollback) -> Incident | None:
    """The incident that a rollback opened or joined; None for the first half second. One query."""
    return Incident.objects.select_related("environment").filter(rollback_links__rollback=rollback).first()


def get_incident(incident_id: UUID) -> Incident:
    """An incident with its people. Raises NotFound. One query."""
    incident = _with_people().filter(pk=incident_id).first()
    if incident is None:
        raise no_incident()
    return incident


def list_incidents(*, state: str = "", environment: str = "", alias: str = "", severity: str = "", team: str = "") -> QuerySet[Incident]:
    """Incidents, newest first, with their aliases and rollbacks. Three queries for any number. `team`: whose artefacts the aliases serve."""
    links = Prefetch("rollback_links", IncidentRollback.objects.select_related("rollback"))
    found = _with_people().prefetch_related("aliases", links)
    if state:
        found = found.filter(state=state)
    if severity:
        found = found.filter(severity=severity)
    if environment:
        found = found.filter(environment__slug=environment)
    of_aliases = Incident.aliases.through.objects.all()
    if alias:
        found = found.filter(pk__in=of_aliases.filter(routingpolicy__alias=alias).values("incident"))
    if team:
        found = found.filter(pk__in=of_aliases.filter(routingpolicy__artefact__team__slug=team).values("incident"))
    return found.order_by("-opened_at", "-pk")


def open_ones_first(found: QuerySet[Incident]) -> QuerySet[Incident]:
    """What waits for people on top: open, then stable, then closed; the newest first in each."""
    order = [When(state=state, then=Value(place)) for place, state in enumerate((IncidentState.OPEN, IncidentState.STABLE))]
    return found.order_by(Case(*order, default=Value(len(order)), output_field=IntegerField()), "-opened_at", "-pk")


def list_rollbacks_of(incident: Incident) -> list[Rollback]:
    """The rollbacks of an incident with their people, in the order in which they were decided. One query."""
    return list(Rollback.objects.filter(incident_link__incident=incident).select_related("principal", "authorised_by").order_by("decided_at", "created_at"))


def list_parts_of(incident: Incident) -> list[RollbackPart]:
    """The aliases of its rollbacks, with versions and executions, in the order in which the rollbacks were decided. One query."""
    parts = RollbackPart.objects.filter(rollback__incident_link__incident=incident)
    return list(parts.select_related("policy", "bad_version__artefact", "execution").order_by("rollback__decided_at", "rollback", "position"))


def list_versions_of(incident: Incident) -> list[tuple[Version, bool]]:
    """The versions that it is about, and whether a rollback of it took them out (else a person named them). Two queries."""
    taken_out = {part.bad_version_id: part.bad_version for part in list_parts_of(incident)}
    by_hand = incident.versions.select_related("artefact").order_by("artefact__slug", "label")
    return [*((version, True) for version in taken_out.values()), *((version, False) for version in by_hand if version.pk not in taken_out)]


def standings_of(incident: Incident) -> list[Standing]:
    """What each of its rollbacks says about the harm. Two queries."""
    aliases: dict[UUID, set[int]] = {}
    for rollback_id, policy_id in incident.rollback_links.values_list("rollback", "rollback__parts__policy"):
        aliases.setdefault(rollback_id, set()).add(policy_id)
    return [
        Standing(
            rollback_id=link.rollback_id,
            aliases=frozenset(aliases[link.rollback_id]),
            state=link.followed_state,
            decided_at=link.rollback.decided_at,
            over_at=link.over_at,
        )
        for link in incident.rollback_links.select_related("rollback")
    ]


def _with_people() -> QuerySet[Incident]:
    return Incident.objects.select_related("environment", "decided_by", "authorised_by", "commander")

"""Reading incidents."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Prefetch, QuerySet

from incidents.models import Incident, IncidentRollback
from rollbackhub.common.errors import NotFound
from rollbackhub.rollbacks.models import Rollback


def incident_of(rollback: Rollback) -> Incident | None:
    """The incident that a rollback opened or joined; None for the first half second. One query."""
    return Incident.objects.select_related("environment").filter(rollback_links__rollback=rollback).first()


def get_incident(incident_id: UUID) -> Incident:
    """An incident with its people. Raises NotFound. One query."""
    incident = Incident.objects.select_related("environment", "decided_by", "authorised_by").filter(pk=incident_id).first()
    if incident is None:
        raise NotFound("There is no such incident.", code="incident_not_found")
    return incident


def list_incidents(*, state: str = "", environment: str = "", alias: str = "") -> QuerySet[Incident]:
    """Incidents, newest first, with their aliases and rollbacks. Three queries for any number."""
    links = Prefetch("rollback_links", IncidentRollback.objects.select_related("rollback"))
    found = Incident.objects.select_related("environment", "decided_by", "authorised_by").prefetch_related("aliases", links)
    if state:
        found = found.filter(state=state)
    if environment:
        found = found.filter(environment__slug=environment)
    if alias:
        found = found.filter(pk__in=Incident.aliases.through.objects.filter(routingpolicy__alias=alias).values("incident"))
    return found.order_by("-opened_at", "-pk")


def list_rollbacks_of(incident: Incident) -> list[Rollback]:
    """The rollbacks of an incident with their people, in the order in which they were decided. One query."""
    return list(Rollback.objects.filter(incident_link__incident=incident).select_related("principal", "authorised_by").order_by("decided_at", "created_at"))

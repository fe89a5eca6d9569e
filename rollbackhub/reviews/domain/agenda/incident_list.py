"""Incidents of the quarter that hurt users of the team's aliases, and those that are still not closed."""

from __future__ import annotations

from django.db.models import Q

from incidents.enums import IncidentState
from incidents.models import Incident
from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.common import clock
from rollbackhub.common.sentences import counted
from rollbackhub.reviews.domain.agenda.scope import Scope, shortened

INCIDENTS = (
    Column("title", "Incident"),
    Column("opened_at", "Opened", "instant"),
    Column("state", "State"),
    Column("restored", "Decided to restored", "seconds"),
    Column("exposure", "Requests by bad versions", "count"),
    Column("outcome", "Outcome"),
    Column("url", "Page"),
)


def incident_list(scope: Scope) -> Answer:
    """What happened, and what is still open. Three queries."""
    theirs = Q(aliases__artefact__team=scope.team)
    within = Q(opened_at__gte=scope.begins_at, opened_at__lt=scope.ends_at)
    left = Q(opened_at__lt=scope.begins_at) & ~Q(state=IncidentState.CLOSED)
    matching = Incident.objects.filter(theirs & (within | left)).values("pk")
    found = Incident.objects.filter(pk__in=matching).prefetch_related("rollback_links").order_by("-opened_at", "pk")
    incidents = list(found if scope.review.is_lab else found.filter(is_lab=False))
    if not incidents:
        return Answer(headline="No incident in this quarter, and none is left from before.")
    new = [incident for incident in incidents if incident.opened_at >= scope.begins_at]
    not_closed = [incident for incident in incidents if incident.state != IncidentState.CLOSED]
    before = f", {len(incidents) - len(new)} left from before" if len(new) < len(incidents) else ""
    title, rows = shortened("Incidents", [_row(incident) for incident in incidents])
    return Answer(
        headline=f"{counted(len(new), 'incident')} in this quarter{before}; {len(not_closed)} {'is' if len(not_closed) == 1 else 'are'} not closed."
        " RollbackHub keeps no postmortems yet: bring them to the meeting.",
        tables=[Table(title, INCIDENTS, rows, url_column=6)],
    )


def _row(incident: Incident) -> tuple[Cell, ...]:
    seen, estimated = incident.exposure_observed, incident.exposure_estimated
    exposure = None if seen is None and estimated is None else (seen or 0) + (estimated or 0)
    restored = clock.seconds_between(incident.decided_at, incident.restored_at)
    rollbacks = incident.rollback_links.all()
    url = f"/rollbacks/{rollbacks[0].rollback_id}/" if rollbacks else ""
    return (incident.title, incident.opened_at, incident.get_state_display(), restored, exposure, incident.outcome, url)

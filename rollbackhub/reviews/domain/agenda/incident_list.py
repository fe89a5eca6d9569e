"""Incidents of the quarter that hurt users of the team's aliases, and those that are still not closed."""

from __future__ import annotations

from django.db.models import Q

from incidents.enums import IncidentState
from incidents.models import Incident
from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.common import clock
from rollbackhub.common.sentences import counted
from rollbackhub.postmortems.domain.selectors import is_overdue, postmortems_of
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.reviews.domain.agenda.scope import Scope, shortened

INCIDENTS = (
    Column("title", "Incident"),
    Column("opened_at", "Opened", "instant"),
    Column("state", "State"),
    Column("restored", "Decided to restored", "seconds"),
    Column("exposure", "Requests by bad versions", "count"),
    Column("outcome", "Outcome"),
    Column("postmortem", "Postmortem"),
    Column("url", "Page"),
)


def incident_list(scope: Scope) -> Answer:
    """What happened, what is still open, and where the postmortems stand. Four queries."""
    theirs = Q(aliases__artefact__team=scope.team)
    within = Q(opened_at__gte=scope.begins_at, opened_at__lt=scope.ends_at)
    left = Q(opened_at__lt=scope.begins_at) & ~Q(state=IncidentState.CLOSED)
    matching = Incident.objects.filter(theirs & (within | left)).values("pk")
    found = Incident.objects.filter(pk__in=matching).order_by("-opened_at", "pk")
    incidents = list(found if scope.review.is_lab else found.filter(is_lab=False))
    if not incidents:
        return Answer(headline="No incident in this quarter, and none is left from before.")
    new = [incident for incident in incidents if incident.opened_at >= scope.begins_at]
    not_closed = [incident for incident in incidents if incident.state != IncidentState.CLOSED]
    before = f", {len(incidents) - len(new)} left from before" if len(new) < len(incidents) else ""
    postmortems = postmortems_of(incidents)
    title, rows = shortened("Incidents", [_row(incident, postmortems.get(incident.pk), scope=scope) for incident in incidents])
    return Answer(
        headline=f"{counted(len(new), 'incident')} in this quarter{before}; {len(not_closed)} {'is' if len(not_closed) == 1 else 'are'} not closed."
        f" {_of_postmortems(list(postmortems.values()), scope=scope)}",
        tables=[Table(title, INCIDENTS, rows, url_column=7)],
    )


def _of_postmortems(postmortems: list[Postmortem], *, scope: Scope) -> str:
    """How many are written, and how many are late."""
    if not postmortems:
        return "None has a postmortem."
    published = [postmortem for postmortem in postmortems if postmortem.is_published]
    late = [postmortem for postmortem in postmortems if is_overdue(postmortem, at=scope.at)]
    said = f"{len(published)} of {counted(len(postmortems), 'postmortem')} {'is' if len(published) == 1 else 'are'} published"
    return f"{said}, {len(late)} overdue." if late else f"{said}."


def _row(incident: Incident, postmortem: Postmortem | None, *, scope: Scope) -> tuple[Cell, ...]:
    seen, estimated = incident.exposure_observed, incident.exposure_estimated
    exposure = None if seen is None and estimated is None else (seen or 0) + (estimated or 0)
    restored = clock.seconds_between(incident.decided_at, incident.restored_at)
    url = f"/incidents/{incident.pk}/"
    stands = "none" if postmortem is None else "Overdue" if is_overdue(postmortem, at=scope.at) else postmortem.get_state_display()
    return (incident.title, incident.opened_at, incident.get_state_display(), restored, exposure, incident.outcome, stands, url)

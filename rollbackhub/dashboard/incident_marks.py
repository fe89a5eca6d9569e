"""The incidents that go on at some aliases, for pages that are about the aliases."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from incidents.enums import IncidentState, Severity
from incidents.models import Incident
from rollbackhub.dashboard.looks import INCIDENTS, Look
from rollbackhub.routing.models import RoutingPolicy

_AtAlias = Incident.aliases.through


@dataclass(frozen=True, slots=True)
class IncidentMark:
    """An incident that is not closed, as the page of one of its aliases names it."""

    incident: Incident

    @property
    def look(self) -> Look:
        """Its state."""
        return INCIDENTS[IncidentState(self.incident.state)]

    @property
    def severity(self) -> str:
        """`SEV 2`."""
        return Severity(self.incident.severity).short


def incidents_at(policies: Collection[RoutingPolicy]) -> dict[int, list[IncidentMark]]:
    """By policy, the incidents that are not closed: open ones first, then the newest. One query for any number of aliases."""
    found = (
        _AtAlias.objects.filter(routingpolicy__in=policies)
        .exclude(incident__state=IncidentState.CLOSED)
        .select_related("incident")
        .order_by("-incident__opened_at", "-incident_id")
    )
    marks: dict[int, list[IncidentMark]] = {}
    for link in sorted(found, key=lambda link: link.incident.state != IncidentState.OPEN):
        marks.setdefault(link.routingpolicy_id, []).append(IncidentMark(link.incident))
    return marks

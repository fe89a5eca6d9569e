"""Past incidents that are like one: the same alias, artefact or cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from incidents.models import Incident
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.routing.models import RoutingPolicy

SHOWN = 5
LOOKED_AT = 200
"""The newest of each kind: what is older teaches less."""

WEIGHTS = {"cause": 3, "alias": 2, "artefact": 1}
"""A cause says more than the place; each cause counts."""


@dataclass
class Similar:
    """A past incident, with what it has in common and its postmortem (None: it has none)."""

    incident: Incident
    postmortem: Postmortem | None = None
    in_common: list[str] = field(default_factory=list)
    """In words, e.g. `alias smart-reasoner`."""
    score: int = 0


def list_similar(incident: Incident, *, limit: int = SHOWN) -> list[Similar]:
    """The most similar incidents that were opened before, or since; the most alike first, then the newest. At most six queries."""
    policies = list(RoutingPolicy.objects.filter(incidents=incident).select_related("artefact"))
    causes = {cause.pk: cause.name for postmortem in Postmortem.objects.filter(incident=incident) for cause in postmortem.causes.all()}
    aliases = {policy.alias for policy in policies}
    artefacts = {policy.artefact_id: policy.artefact.name for policy in policies}
    shared: dict[UUID, dict[str, int]] = {}

    def note(incident_id: UUID, what: str, weight: int) -> None:
        shared.setdefault(incident_id, {})[what] = weight

    through = Incident.aliases.through.objects.exclude(incident=incident).order_by("-incident__opened_at")
    rows = through.filter(routingpolicy__artefact__in=artefacts) if artefacts else through.none()
    for incident_id, alias, artefact in rows.values_list("incident", "routingpolicy__alias", "routingpolicy__artefact")[:LOOKED_AT]:
        note(incident_id, f"artefact {artefacts[artefact]}", WEIGHTS["artefact"])
        if alias in aliases:
            note(incident_id, f"alias {alias}", WEIGHTS["alias"])
    if causes:
        tags = Postmortem.causes.through.objects.filter(cause__in=causes).exclude(postmortem__incident=incident).order_by("-postmortem__incident__opened_at")
        for incident_id, cause in tags.values_list("postmortem__incident", "cause")[:LOOKED_AT]:
            note(incident_id, f"cause {causes[cause].lower()}", WEIGHTS["cause"])
    if not shared:
        return []
    found = {row.pk: row for row in Incident.objects.filter(pk__in=shared).select_related("environment")}
    ranked = sorted(shared, key=lambda key: (sum(shared[key].values()), found[key].opened_at), reverse=True)[:limit]
    of_them = {row.incident_id: row for row in Postmortem.objects.filter(incident__in=ranked)}
    return [
        Similar(found[key], of_them.get(key), sorted(shared[key], key=lambda what: (-shared[key][what], what)), sum(shared[key].values())) for key in ranked
    ]
